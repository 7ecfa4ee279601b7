"""`batch_size: auto`: what it finds, and that a training does not show how it was found."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

from test_loop import NAME, STEPS, Rows, TwoLayers, assert_same_training, config

from lvdm.compute import Compute
from lvdm.config import ConfigError, load
from lvdm.files import read_json, write_json
from lvdm.models.config import AutoencoderConfig, DiscriminatorConfig
from lvdm.training import batch_size
from lvdm.training.autoencoder import AutoencoderTraining
from lvdm.training.batch_size import GIB, RECORD, largest
from lvdm.training.checkpoint import Run
from lvdm.training.config import (
    AutoencoderLossConfig,
    AutoencoderTrainingConfig,
    TrainingConfig,
    check_processes,
)
from lvdm.training.distributed import Processes, start
from lvdm.training.loop import fit

CLIPS = 12

# The launcher imports next to nothing.
DRIVER = """
import sys
from lvdm.training.distributed import start
processes = start(2, 1)
sys.path.insert(0, sys.argv[1])
from test_batch_size import main
main(processes, sys.argv[2])
"""


class Watched(TwoLayers):
    """A module that writes down on how many clips, and in which step, its losses were asked for."""

    def __init__(self, training: TrainingConfig, **options):
        super().__init__(training, **options)
        self.seen: list[tuple[int, int]] = []

    def losses(self, batch: Tensor, generator: torch.Generator) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        self.seen.append((len(batch), self.step))
        return super().losses(batch, generator)


class MadeMemory:
    """A device on which the work on ``n`` clips takes ``n`` GiB and one for the weights, of ``size`` GiB in all."""

    def __init__(self, module: Watched, size: float):
        self.module, self.limit = module, int(size * GIB)

    def start(self) -> None:
        self.before = len(self.module.seen)

    def peak(self) -> int:
        taken = GIB * (1 + max(clips for clips, _ in self.module.seen[self.before :]))
        if taken > self.limit:
            raise torch.OutOfMemoryError
        return taken


def automatic(**changes) -> TrainingConfig:
    return TrainingConfig(
        **{**config().model_dump(exclude={"accumulate"}), "batch_size": "auto", "clips_per_step": CLIPS, **changes}
    )


def train(folder: Path, training: TrainingConfig, memory: float | None, events: dict | None = None) -> Watched:
    """A training on a device with ``memory`` GiB; None: that of the CPU, which cannot be measured."""
    module = Watched(training, events=events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_size, "memory_of", lambda device: None if memory is None else MadeMemory(module, memory))
        fit(module, train=Rows(), heldout=Rows(5), run=Run(folder, NAME))
    return module


def main(processes: Processes, folder: str) -> None:
    """What the driver runs: one of two processes, of which the second has the smaller device."""
    module = Watched(automatic())
    batch_size.memory_of = lambda device: MadeMemory(module, 8 if processes.first else 4)
    fit(module, train=Rows(), heldout=Rows(5), run=Run(Path(folder), NAME), processes=processes)


# ---------------------------------------------------------------------------------------- what is found

SIZES = [size for size in range(1, 385) if 384 % size == 0]


@pytest.mark.parametrize(
    "peak",
    [
        lambda size: 10 + size,  # a straight line
        lambda size: max(60, 10 + size),  # small batches take less than the update of the weights
        lambda size: 10 + size**1.2,
        lambda size: 30 + size + (200 if size > 24 else 0),  # another algorithm for large batches
        lambda size: 30 + size if size < 8 else None,
        lambda size: 70,
    ],
)
@pytest.mark.parametrize("limit", [11, 50, 72, 90, 300, 1000])
def test_the_largest_that_fits_is_found_in_few_trials(peak, limit):
    tried = []

    def measure(size: int) -> int | None:
        tried.append(size)
        return peak(size)

    fitting = [size for size in SIZES if peak(size) is not None and peak(size) <= limit]
    expected = (fitting[-1], peak(fitting[-1])) if fitting else None
    assert largest(SIZES, measure, limit) == expected
    assert len(tried) == len(set(tried)) <= 10


def test_a_size_that_was_predicted_but_does_not_fit_gives_way_to_the_next():
    tried = []

    def measure(size: int) -> int | None:
        tried.append(size)
        return None if size > 32 else 10 + size

    assert largest(SIZES, measure, limit=110) == (32, 42)
    assert tried == [1, 4, 16, 64, 48, 32]


def test_a_prime_number_of_clips_is_computed_one_by_one_or_all_at_once():
    assert largest([1, 13], lambda size: size, limit=12) == (1, 1)
    assert largest([1, 13], lambda size: size, limit=13) == (13, 13)


# ------------------------------------------------------------------------------------ what becomes of it


def test_the_training_is_the_one_with_the_number_written_by_hand(tmp_path, caplog):
    with caplog.at_level("INFO"):
        found = train(tmp_path / "auto", automatic(), memory=8)  # of which 7.2 are used
    by_hand = train(tmp_path / "hand", config(batch_size=6, accumulate=2), memory=None)
    assert_same_training(found, tmp_path / "auto", by_hand, tmp_path / "hand")
    assert "batch_size: auto took 6 clips at a time (accumulate 2): 7.0 of 8.0 GiB" in caplog.text
    record = {"batch_size": 6, "accumulate": 2, "device": "cpu", "memory_gib": 8.0, "peak_gib": 7.0}
    assert read_json(tmp_path / "auto" / NAME / RECORD) == record
    assert not (tmp_path / "hand" / NAME / RECORD).exists()


def test_a_search_leaves_no_trace_in_the_module(tmp_path, monkeypatch):
    module = Watched(automatic())
    monkeypatch.setattr(batch_size, "memory_of", lambda device: MadeMemory(module, 8))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    drawn = torch.get_rng_state()
    resolved = batch_size.resolve(module, Rows(), tmp_path)
    assert (resolved.batch_size, resolved.accumulate, resolved.clips_per_step) == (6, 2, None)
    assert module.config == automatic()
    assert module.step == 0
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in module.parameters())
    # From its step 5 on the module has a second loss.
    assert {step for _, step in module.seen} == {STEPS - 1}


class Plenty:
    """A device on which everything fits."""

    limit = 2 * GIB

    def start(self) -> None:
        """There is nothing to forget."""

    def peak(self) -> int:
        return GIB


def test_a_search_tries_all_networks_and_puts_them_back(tmp_path, monkeypatch):
    """Averages of the discriminator's batch normalisation too, which trains from step 3 on."""
    training = AutoencoderTrainingConfig(batch_size="auto", clips_per_step=4, steps=5)
    torch.manual_seed(0)
    module = AutoencoderTraining(
        AutoencoderConfig(hidden_channels=4, norm_groups=4, downsample=(2, 4, 4)),
        DiscriminatorConfig(channels=4, layers=2),
        AutoencoderLossConfig(disc_start=3),
        training,
        Compute(torch.device("cpu"), torch.float32),
    )
    changed, before = set(), {name: value.clone() for name, value in module.state_dict().items()}

    def look() -> None:
        changed.update(name for name, value in module.state_dict().items() if not torch.equal(value, before[name]))

    monkeypatch.setattr(module, "after_step", look)
    monkeypatch.setattr(batch_size, "memory_of", lambda device: Plenty())
    clips = torch.randint(256, (1, 4, 32, 32, 3), dtype=torch.uint8)
    assert batch_size.resolve(module, clips, tmp_path).batch_size == 4
    assert {name.split(".")[0] for name in changed} == {"autoencoder", "loss"}
    assert any("running_mean" in name for name in changed)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_search_that_fails_leaves_no_trace_either(tmp_path, monkeypatch):
    module = Watched(automatic())
    monkeypatch.setattr(batch_size, "memory_of", lambda device: MadeMemory(module, 1.5))
    before = module.first[0].weight.clone()
    with pytest.raises(ValueError, match=r"not even 1 clip at a time fits in 1\.35 of the 1\.50 GiB"):
        batch_size.resolve(module, Rows(), tmp_path)
    assert torch.equal(module.first[0].weight, before)
    assert module.config == automatic()
    assert not (tmp_path / RECORD).exists()


def test_a_run_goes_on_as_it_began_on_another_device(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path / "run", automatic(), memory=8, events={5: int(signal.SIGTERM)})
    resumed = train(tmp_path / "run", automatic(), memory=100)
    undisturbed = train(tmp_path / "other", automatic(), memory=8)
    assert_same_training(resumed, tmp_path / "run", undisturbed, tmp_path / "other")


def test_without_the_record_another_number_is_looked_for_and_the_training_resumes(tmp_path):
    with pytest.raises(SystemExit):
        train(tmp_path, automatic(), memory=8, events={5: int(signal.SIGTERM)})
    (tmp_path / NAME / RECORD).unlink()
    resumed = train(tmp_path, automatic(), memory=4)
    assert resumed.config.batch_size == 2
    assert [(2, step) for step in range(5, STEPS) for _ in range(6)] == resumed.seen[-6 * (STEPS - 5) :]


@pytest.mark.parametrize(
    ("training", "remedy"),
    [
        (automatic(), rf"auto found .*/{RECORD}, on another GPU .* delete that file"),
        (config(), r"lower training\.batch"),
    ],
)
def test_a_batch_that_does_not_fit_is_an_error_with_the_remedy(tmp_path, training, remedy):
    no_memory = torch.OutOfMemoryError("tried to allocate 2 GiB")
    with pytest.raises(ValueError, match=rf"clips at a time do not fit .*tried to allocate 2 GiB.*{remedy}"):
        train(tmp_path, training, memory=None, events={3: no_memory})


def test_on_the_cpu_it_is_one_clip_and_the_log_says_what_to_set(tmp_path, caplog):
    found = train(tmp_path / "auto", automatic(steps=2), memory=None)
    by_hand = train(tmp_path / "hand", config(steps=2, batch_size=1, accumulate=CLIPS), memory=None)
    assert_same_training(found, tmp_path / "auto", by_hand, tmp_path / "hand")
    assert read_json(tmp_path / "auto" / NAME / RECORD) == {"batch_size": 1, "accumulate": CLIPS, "device": "CPU"}
    assert "takes 1 clip at a time here (accumulate 12), which is slow; set training.batch_size" in caplog.text


# ------------------------------------------------------------------------------------- several processes


def test_two_processes_take_what_fits_on_both(tmp_path):
    """Of the six clips of each, the first has room for all six at once, and the second for two."""
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(tmp_path)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    assert ended.returncode == 0, ended.stderr
    found = read_json(tmp_path / NAME / RECORD)
    assert (found["batch_size"], found["accumulate"]) == (2, 6)
    assert (tmp_path / NAME / "metrics.csv").exists()


def test_clips_that_cannot_be_shared_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"`training\.clips_per_step` is 12, and 8 processes .* such as 16"):
        check_processes(automatic(), gpus=4, nodes=2)
    check_processes(automatic(), gpus=2, nodes=2)
    assert start(1, 1).smallest(3) == 3
    write_json(tmp_path / RECORD, {"batch_size": 6})
    module = Watched(automatic())
    module.processes = Processes(gpus=3)
    module.processes.tell = lambda number: number  # as if there were two others
    with pytest.raises(ValueError, match=rf"{RECORD} says 6 clips .* 3 processes cannot share .* delete that file"):
        batch_size.resolve(module, Rows(), tmp_path)


# ----------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"batch_size": "auto"}, r"needs `clips_per_step`"),
        ({"batch_size": "auto", "clips_per_step": 8, "accumulate": 4}, r"no `accumulate`, which follows.* default, 2"),
        ({"batch_size": 4, "clips_per_step": 8}, r"`clips_per_step` goes with `batch_size: auto`"),
        ({"batch_size": "most"}, r"batch_size"),
        ({"batch_size": 0}, r"batch_size"),
    ],
)
def test_the_clips_of_a_step_are_stated_in_one_way(tmp_path, written, said):
    write_json(tmp_path / "training.json", written)
    with pytest.raises(ConfigError, match=said):
        load(AutoencoderTrainingConfig, tmp_path / "training.json")


def test_a_frozen_configuration_with_auto_is_read_back():
    frozen = AutoencoderTrainingConfig(batch_size="auto", clips_per_step=8)
    assert AutoencoderTrainingConfig.model_validate_json(frozen.to_json()) == frozen


# --------------------------------------------------------------------------------------------- on a GPU


class Wide(TwoLayers):
    """A clip takes some tens of MiB."""

    def __init__(self, training: TrainingConfig):
        super().__init__(training)
        self.compute = Compute(torch.device("cuda"), torch.float32)
        self.second = nn.Sequential(nn.Linear(4, 2**20), nn.SiLU(), nn.Dropout(0.1))

    def losses(self, batch: Tensor, generator: torch.Generator) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        out = self.first(batch + 0.1 * torch.randn(batch.shape, generator=generator, device=batch.device))
        loss = (out - batch).square().mean()
        return [loss, self.second(batch).square().mean()], {"loss": loss}


@pytest.fixture
def small_gpu():
    """Call it with a number of GiB, and the GPU has no more."""
    total = torch.cuda.get_device_properties(0).total_memory
    yield lambda size: torch.cuda.set_per_process_memory_fraction(size * GIB / total)
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the memory of a GPU is measured")
def test_on_a_gpu_the_largest_batch_that_fits_is_taken(tmp_path, small_gpu, monkeypatch):
    monkeypatch.setattr(Compute, "measure_peak", lambda self: 1e12)  # needs more memory than is left here
    training = automatic(clips_per_step=512, steps=4)

    def run() -> Wide:
        module = Wide(training)
        fit(module, train=Rows(), heldout=Rows(5), run=Run(tmp_path, NAME))
        return module

    small_gpu(2)
    assert run().step == 4
    found = read_json(tmp_path / NAME / RECORD)
    assert found["memory_gib"] == pytest.approx(2, rel=0.01)
    assert 0.3 * found["memory_gib"] < found["peak_gib"] < 0.9 * found["memory_gib"]
    assert 8 < found["batch_size"] < 512
    for checkpoint in (tmp_path / NAME / "checkpoints").iterdir():
        checkpoint.unlink()
    small_gpu(found["peak_gib"] / 2)
    with pytest.raises(ValueError, match=f"{RECORD}, on another GPU"):
        run()
    (tmp_path / NAME / RECORD).unlink()
    assert run().config.batch_size < found["batch_size"]
