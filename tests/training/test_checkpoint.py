from pathlib import Path

import pytest
import torch

from lvdm.config import parse
from lvdm.stages.config import TrainAutoencoderConfig, TrainDiffusionConfig
from lvdm.training.checkpoint import RECORDS, Run
from lvdm.training.config import DiffusionTrainingConfig, TrainingConfig
from lvdm.training.identity import decisive, identity, indifferent, ingredients

STAGE = "lvdm.stages.latent_statistics"  # any stage; one with few imports is quick to hash


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run(tmp_path / "run", "mine")
    run.claim()
    return run


def saved_steps(run: Run) -> list[int]:
    return [int(path.stem) for path in sorted((run.folder / "checkpoints").glob("*.pt"))]


def test_the_last_two_are_kept_and_the_newest_is_loaded(run):
    for step in (10, 20, 100):
        run.save(step, {"weights": torch.full((3,), float(step))})
    assert saved_steps(run) == [20, 100]
    state = run.load(1000)
    assert state["step"] == 100
    assert torch.equal(state["weights"], torch.full((3,), 100.0))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"nonsense"])
def test_a_checkpoint_that_cannot_be_read_falls_back_to_the_one_before(run, caplog, damage):
    run.save(10, {"weights": torch.zeros(100)})
    run.save(20, {"weights": torch.ones(100)})
    newest = run.folder / "checkpoints" / "000000020.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    assert run.load(1000)["step"] == 10
    assert "going back to the checkpoint before" in caplog.text


def test_nothing_in_a_checkpoint_is_executed(run, tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    run.save(10, {"weights": Touch()})
    assert run.load(1000) is None
    assert not (tmp_path / "executed").exists()


def test_no_checkpoint_is_no_state(run):
    assert run.load(1000) is None


def test_a_full_disk_is_named_and_costs_no_checkpoint(run, monkeypatch):
    run.save(10, {"weights": torch.zeros(3)})

    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="make room and run again"):
        run.save(20, {"weights": torch.zeros(3)})
    assert saved_steps(run) == [10]


def end(run: Run, step: int, rows: str = "step,loss\n") -> None:
    """A training of ``step`` steps, without the training."""
    for name in RECORDS:
        (run.folder / name).write_text(rows)
    run.save(step, {"weights": torch.full((3,), float(step))})
    run.finish(step)


def test_another_training_has_a_folder_of_its_own_and_the_last_few_stay(run, caplog):
    caplog.set_level("INFO")
    end(run, 10)
    for name in ("second", "third"):
        other = Run(run.root, name)
        other.claim()
        assert other.load(1000) is None
        end(other, 20)
    assert caplog.text.count("starting anew") == 2
    crashed = Run(run.root, "crashed")
    crashed.claim()  # and has no state: it takes no place
    run.claim()
    assert run.load(1000)["step"] == 10
    run.keep(10)
    assert {path.parent.name for path in run.root.glob("*/identity.json")} == {"mine", "second", "third"}
    fourth = Run(run.root, "fourth")
    fourth.claim()
    end(fourth, 5)
    assert {path.parent.name for path in run.root.glob("*/identity.json")} == {"mine", "third", "fourth"}
    assert f"{run.root / 'second'} goes" in caplog.text


def test_what_tells_another_training_apart_is_said(tmp_path, caplog):
    data = tmp_path / "train-000.npy"
    data.write_bytes(b"data")
    settings = DiffusionTrainingConfig(steps=3, decay="cosine")
    first = Run.of(tmp_path / "run", TrainDiffusionConfig(training=settings), STAGE, [data])
    first.claim()
    data.write_bytes(b"other")
    settings = settings.replace(steps=6, learning_rate=1.0)
    Run.of(tmp_path / "run", TrainDiffusionConfig(training=settings), STAGE, [data]).claim()
    for said in (
        "training.learning_rate 6e-05 then and 1.0 now",
        "training.steps 3 then and 6 now",
        "the learning rate follows the number of steps",
        "other data: train-000.npy",
    ):
        assert said in caplog.text
    assert "code" not in caplog.text


def test_states_of_the_last_finished_numbers_of_steps_stay_and_the_others_go(run):
    for step in (1, 2):
        run.save(step, {})
    end(run, 3, "step,loss\n3,1\n")
    assert saved_steps(run) == [3]
    for step in (4, 5):
        run.save(step, {})
    end(run, 6, "step,loss\n6,1\n")
    assert saved_steps(run) == [3, 6]
    run.save(7, {})
    assert run.load(6)["step"] == 6
    assert run.load(5)["step"] == 3
    assert run.load(2) is None
    run.keep(3)  # taken up again
    assert saved_steps(run) == [3, 6, 7]  # one that is under way goes on
    run.go_on(3)
    assert saved_steps(run) == [3, 6]
    assert (run.folder / "metrics.csv").read_text() == run.record("metrics.csv", 3).read_text() == "step,loss\n3,1\n"
    end(run, 9)
    assert saved_steps(run) == [3, 9]
    assert [run.is_finished(step) for step in (3, 6, 9)] == [True, False, True]
    end(run, 2)
    assert saved_steps(run) == [2, 9]  # that of 3 is after it, and goes with its tables all the same


def test_claiming_again_keeps_the_state_and_drops_what_was_not_finished(run):
    run.save(10, {"weights": torch.zeros(3)})
    unfinished = run.folder / "checkpoints" / ".000000020.12345678.part.pt"
    unfinished.write_bytes(b"half")
    run.claim()
    assert run.load(1000)["step"] == 10
    assert not unfinished.exists()


def named(config, stage, inputs) -> str:
    return identity(ingredients(config, stage, inputs))


def test_identity_is_of_configuration_and_content_but_not_of_the_machine(tmp_path):
    first, second = tmp_path / "a.npy", tmp_path / "b.npy"
    for path in (first, second):
        path.write_bytes(path.name.encode())
        path.with_suffix(".json").write_text("{}")
    config = TrainAutoencoderConfig()
    reference = named(config, STAGE, [first, second])
    assert named(config.replace(compute={"workers": 3}), STAGE, [first, second]) == reference
    assert named(config.replace(training=TrainingConfig(seed=1).model_dump()), STAGE, [first, second]) != reference
    assert named(config, "lvdm.stages.shard", [first, second]) != reference
    assert named(config, STAGE, [second, first]) != reference
    moved = tmp_path / "moved.npy"
    moved.write_bytes(first.read_bytes())
    moved.with_suffix(".json").write_text("{}")
    assert named(config, STAGE, [moved, second]) == reference
    second.with_suffix(".json").write_text("[]")
    assert named(config, STAGE, [first, second]) != reference


@pytest.mark.parametrize(("decay", "same"), [("constant", True), ("cosine", False)])
def test_the_number_of_steps_is_part_of_it_where_the_learning_rate_follows_it(decay, same):
    settings = [DiffusionTrainingConfig(steps=steps, decay=decay) for steps in (3, 6)]
    one, other = (named(TrainDiffusionConfig(training=training), STAGE, []) for training in settings)
    assert (one == other) == same


def test_a_network_is_what_is_in_its_file():
    def settings(**file) -> dict:
        return {"loss": {"perceptual": {"size": 7, **file}}}

    one, other = (parse(TrainAutoencoderConfig, settings(path=path), "test") for path in ("a.pt", "b/c.pt"))
    assert decisive(one) == decisive(other) != decisive(TrainAutoencoderConfig())
    assert indifferent(one)["loss.perceptual.path"] == "a.pt"
    assert "loss.perceptual.path" not in indifferent(TrainAutoencoderConfig())
