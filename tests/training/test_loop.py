"""The loop, on a module small enough that a training takes a moment."""

import csv
import json
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lvdm.compute import Compute
from lvdm.training.checkpoint import RECORDS, Run
from lvdm.training.config import TrainingConfig
from lvdm.training.loop import INTERRUPTED, fit, spread
from lvdm.training.module import TrainingModule, learning_rate

STEPS = 12
NAME = "identity"


class Rows(Dataset[Tensor]):
    def __init__(self, size: int = 7):
        self.rows = torch.randn(size, 4, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        return self.rows[index]


class Crash(Exception):
    """Stands for a death without warning."""


class TwoLayers(TrainingModule):
    """Two networks with an optimiser each, an averaged weight, dropout and noise: all kinds of state there are."""

    def __init__(self, config: TrainingConfig, events: dict[int, Exception | int] | None = None):
        super().__init__(config, Compute(torch.device("cpu"), torch.float32))
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        self.second = nn.Linear(4, 1)
        self.register_buffer("average", torch.zeros(4, 4))
        self.events = events or {}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(self.first.parameters()), torch.optim.Adam(self.second.parameters())]

    def losses(self, batch: Tensor, generator: torch.Generator) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        out = self.first(batch + 0.1 * torch.randn(batch.shape, generator=generator))
        loss = (out - batch).square().mean()
        other = self.second(out.detach()).square().mean() if self.step >= 5 else None
        return [loss, other], {"loss": loss, "noise": out.std()}

    def after_step(self) -> None:
        self.average.lerp_(self.first[0].weight.detach(), 0.1)
        match self.events.pop(self.step, None):
            case Exception() as error:
                raise error
            case int() as number:
                os.kill(os.getpid(), number)

    def validate(self, batches: Iterable[Tensor]) -> dict[str, float]:
        assert not self.training
        return {"error": float(np.mean([(self.first(batch) - batch).abs().mean().item() for batch in batches]))}

    def picture(self, batch: Tensor) -> np.ndarray:
        return np.full((8, 8 * len(batch), 3), 128, dtype=np.uint8)

    def run_model(self, batch: Tensor) -> None:
        self.second(self.first(batch))


def config(**changes) -> TrainingConfig:
    settings = {
        "steps": STEPS,
        "batch_size": 2,
        "accumulate": 2,
        "learning_rate": 0.01,
        "log_every": 2,
        "validate_every": 5,
        "validate_clips": 4,
        "checkpoint_every": 1e6,
    }
    return TrainingConfig(**{**settings, **changes})


def train(folder: Path, events: dict[int, Exception | int] | None = None, **changes) -> TwoLayers:
    module = TwoLayers(config(**changes), events)
    fit(module, train=Rows(), heldout=Rows(5), run=Run(folder, NAME))
    return module


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_training(first: TwoLayers, first_folder: Path, second: TwoLayers, second_folder: Path) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    for table in ("metrics.csv", "quality.csv"):
        assert (first_folder / NAME / table).read_text() == (second_folder / NAME / table).read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[TwoLayers, Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return train(folder), folder


def test_a_training_leaves_its_records(undisturbed):
    module, folder = undisturbed
    assert module.step == STEPS
    assert [int(row["step"]) for row in read(folder / NAME / "metrics.csv")] == [2, 4, 6, 8, 10, 12]
    quality = read(folder / NAME / "quality.csv")
    assert [int(row["step"]) for row in quality] == [5, 10, 12]
    assert {(row["split"], row["clips"], row["metric"]) for row in quality} == {("heldout", "4", "error")}
    assert (folder / NAME / "picture.png").is_file()


def test_a_finished_training_is_not_repeated(undisturbed):
    module, folder = undisturbed
    again = train(folder, events={step: Crash() for step in range(1, STEPS + 1)})
    assert_same_training(module, folder, again, folder)


def assert_same_end(first: TwoLayers, first_folder: Path, second: TwoLayers, second_folder: Path) -> None:
    """Weights and published records; where more steps followed, the tables in the folder itself have more rows."""
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    for record in RECORDS:
        paths = [Run(folder, NAME).record(record, first.step) for folder in (first_folder, second_folder)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), record


@pytest.mark.parametrize("first", [3, 4, 5])  # with a row of the curve that is due, with one that is not, with quality
def test_more_steps_go_on_and_fewer_are_taken_up_again(undisturbed, tmp_path, first):
    few = train(tmp_path, steps=first)
    assert_same_training(*undisturbed, more := train(tmp_path, steps=STEPS), tmp_path)
    assert_same_end(*undisturbed, more, tmp_path)
    steps = {step: Crash() for step in range(1, 2 * STEPS)}
    again = train(tmp_path, steps=first, events=dict(steps))
    alone = train(tmp_path / "alone", steps=first)
    for module in (few, again):
        assert_same_end(alone, tmp_path / "alone", module, tmp_path)
    assert_same_end(*undisturbed, train(tmp_path, steps=STEPS, events=dict(steps)), tmp_path)
    # In between the state of the fewer steps is the one to go on from, and the one of more is not lost.
    del steps[first + 1]
    between = train(tmp_path, steps=first + 1, events=dict(steps))
    assert_same_end(train(tmp_path / "between", steps=first + 1), tmp_path / "between", between, tmp_path)
    assert_same_end(*undisturbed, train(tmp_path, steps=STEPS), tmp_path)


def test_a_training_of_more_steps_that_was_stopped_goes_on_after_a_look_at_fewer(undisturbed, tmp_path):
    few = train(tmp_path, steps=4)
    with pytest.raises(SystemExit):
        train(tmp_path, events={8: int(signal.SIGTERM)})
    assert_same_end(few, tmp_path, train(tmp_path, steps=4, events={step: Crash() for step in range(1, 12)}), tmp_path)
    resumed = train(tmp_path, events={step: Crash() for step in range(1, 9)})
    assert_same_training(*undisturbed, resumed, tmp_path)


def test_what_is_looked_at_may_change_while_a_training_is_stopped(undisturbed, tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path, events={6: int(signal.SIGTERM)})
    other = train(tmp_path, log_every=3, validate_every=4, validate_clips=2, picture_clips=1, checkpoint_every=1e-9)
    for name, value in undisturbed[0].state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert [int(row["step"]) for row in read(tmp_path / NAME / "metrics.csv")] == [2, 4, 6, 9, 12]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("step", [1, 5, 6, STEPS])
def test_a_signal_saves_the_finished_step_and_the_next_start_goes_on(undisturbed, tmp_path, caplog, number, step):
    handler = signal.getsignal(number)
    with pytest.raises(SystemExit) as interruption:
        train(tmp_path, events={step: int(number)})
    assert interruption.value.code == INTERRUPTED
    assert signal.getsignal(number) == handler
    assert [path.stem for path in (tmp_path / NAME / "checkpoints").iterdir()] == [f"{step:09d}"]
    assert f"saved after step {step} of {STEPS}" in caplog.text
    assert_same_training(*undisturbed, train(tmp_path), tmp_path)


def test_rows_after_the_last_checkpoint_are_written_once(undisturbed, tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path, events={3: int(signal.SIGTERM)})
    with pytest.raises(Crash):
        train(tmp_path, events={11: Crash()})
    assert read(tmp_path / NAME / "metrics.csv")[-1]["step"] == "10"
    assert_same_training(*undisturbed, train(tmp_path), tmp_path)


def test_a_death_between_checkpoint_and_validation_costs_no_validation(undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(TwoLayers, "validate", lambda self, batches: (_ for _ in ()).throw(Crash()))
    with pytest.raises(Crash):
        train(tmp_path, checkpoint_every=1e-9)
    monkeypatch.undo()
    assert_same_training(*undisturbed, train(tmp_path), tmp_path)


def test_a_checkpoint_of_another_model_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path, events={3: int(signal.SIGTERM)})
    module = TwoLayers(config())
    module.second = nn.Linear(4, 2)
    with pytest.raises(ValueError, match="do not fit the model"):
        fit(module, train=Rows(), heldout=None, run=Run(tmp_path, NAME))


@pytest.mark.parametrize("heldout", [None, Rows(0)])
def test_without_heldout_items_quality_is_that_of_training_items_and_says_so(tmp_path, heldout):
    fit(TwoLayers(config(steps=1)), train=Rows(), heldout=heldout, run=Run(tmp_path, NAME))
    assert [row["split"] for row in read(tmp_path / NAME / "quality.csv")] == ["train"]


def test_accumulated_batches_are_one_large_batch(tmp_path):
    """Without noise; the batches of a step hold the same items either way."""

    class Plain(TwoLayers):
        def losses(self, batch, generator):
            loss = (self.first[0](batch) - batch).square().mean()
            return [loss, None], {"loss": loss}

    modules = [
        Plain(config(steps=3, batch_size=size, accumulate=accumulate)) for size, accumulate in [(4, 1), (2, 2), (1, 4)]
    ]
    for number, module in enumerate(modules):
        fit(module, train=Rows(), heldout=None, run=Run(tmp_path / str(number), NAME))
    for module in modules[1:]:
        torch.testing.assert_close(module.first[0].weight, modules[0].first[0].weight)


def test_the_gradient_is_clipped(tmp_path):
    norms = []

    class Large(TwoLayers):
        def losses(self, batch, generator):
            loss = 1e6 * (self.first[0](batch) - batch).square().mean()
            return [loss, None], {"loss": loss}

        def after_step(self) -> None:
            gradients = [parameter.grad.flatten() for parameter in self.first.parameters()]
            norms.append(torch.cat(gradients).norm().item())

    fit(Large(config(steps=2, gradient_clip=0.5)), train=Rows(), heldout=None, run=Run(tmp_path, NAME))
    assert norms == pytest.approx([0.5, 0.5], rel=1e-4)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    class Broken(TwoLayers):
        def losses(self, batch, generator):
            losses, values = super().losses(batch, generator)
            return losses, {**values, "loss": torch.tensor(float("nan"))}

    with pytest.raises(ValueError, match=r"loss is nan at step 2; lower training\.learning_rate"):
        fit(Broken(config()), train=Rows(), heldout=None, run=Run(tmp_path, NAME))


def test_worker_processes_change_nothing(undisturbed, tmp_path):
    module = TwoLayers(config())
    fit(module, train=Rows(), heldout=Rows(5), run=Run(tmp_path, NAME), workers=2)
    assert_same_training(*undisturbed, module, tmp_path)


def test_nothing_of_lightning_is_left_behind(undisturbed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "run", steps=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_operations_are_counted_without_computing(undisturbed):
    module, _ = undisturbed
    # Products and sums of both layers, forward once and backward twice.
    assert module.model_flops(torch.full((4,), torch.nan)) == 3 * 2 * (4 * 4 + 4 * 1)


def test_progress_shows_the_share_of_the_peak(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("lvdm.progress.LINE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(Compute, "measure_peak", lambda self: 1e6)
    with caplog.at_level("INFO"):
        module = train(tmp_path)
    lines = re.findall(r"clips/s ([\d.e+]+), % of peak ([\d.e+-]+)", caplog.text)
    rates, shares = np.array(lines, dtype=float).T
    np.testing.assert_allclose(shares, 100 * rates * module.model_flops(Rows()[0]) / 1e6, rtol=2e-3)


def test_a_profile_changes_nothing(undisturbed, tmp_path, caplog):
    module, folder = undisturbed
    watched = TwoLayers(config())
    with caplog.at_level("INFO"):
        fit(watched, train=Rows(), heldout=Rows(5), run=Run(tmp_path, NAME), profile=True)
    assert_same_training(module, folder, watched, tmp_path)
    events = json.loads((tmp_path / NAME / "profile" / "trace.json").read_text())["traceEvents"]
    assert {"aten::addmm", "aten::mul"} <= {event["name"] for event in events}
    assert "profile of steps 8 to 12" in caplog.text
    shares = [float(share) for share in re.findall(r"^INFO.* ([\d.]+) %  .* ms a step", caplog.text, re.MULTILINE)]
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_learning_rate_warms_up_and_decays():
    constant = TrainingConfig(steps=100, learning_rate=1.0, warmup_steps=10)
    cosine = constant.replace(decay="cosine")
    assert [learning_rate(step, constant) for step in (0, 4, 9, 10, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert [learning_rate(step, cosine) for step in (9, 10, 55, 100)] == pytest.approx([1, 1, 0.5, 0])


def test_spread_reaches_both_ends():
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 10) == [0, 1, 2]
