from pathlib import Path

import pytest
import torch

from lvdm.stages.config import TrainAutoencoderConfig
from lvdm.training.checkpoint import Run, identity
from lvdm.training.config import TrainingConfig

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
    state = run.load()
    assert state["step"] == 100
    assert torch.equal(state["weights"], torch.full((3,), 100.0))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"nonsense"])
def test_a_checkpoint_that_cannot_be_read_falls_back_to_the_one_before(run, caplog, damage):
    run.save(10, {"weights": torch.zeros(100)})
    run.save(20, {"weights": torch.ones(100)})
    newest = run.folder / "checkpoints" / "000000020.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    assert run.load()["step"] == 10
    assert "going back to the checkpoint before" in caplog.text


def test_nothing_in_a_checkpoint_is_executed(run, tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    run.save(10, {"weights": Touch()})
    assert run.load() is None
    assert not (tmp_path / "executed").exists()


def test_no_checkpoint_is_no_state(run):
    assert run.load() is None


def test_a_full_disk_is_named_and_costs_no_checkpoint(run, monkeypatch):
    run.save(10, {"weights": torch.zeros(3)})

    def full(*_):
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="make room and run again"):
        run.save(20, {"weights": torch.zeros(3)})
    assert saved_steps(run) == [10]


def test_another_run_starts_anew_and_the_old_one_is_kept(run, caplog):
    run.save(10, {"weights": torch.zeros(3)})
    (run.folder / "metrics.csv").write_text("step,loss\n10,0.1\n")
    for number, kept in enumerate(("old-mine", "old-other", "old-mine-2")):
        present = Run(run.folder, ("other", "mine", "other")[number])
        present.claim()
        assert present.load() is None
        assert (run.folder / kept / "identity").is_file()
        present.save(20, {"weights": torch.ones(3)})
    assert (run.folder / "old-mine" / "checkpoints" / "000000010.pt").is_file()
    assert (run.folder / "old-mine" / "metrics.csv").is_file()
    assert not (run.folder / "metrics.csv").exists()
    assert "starting anew" in caplog.text


def test_claiming_again_keeps_the_state_and_drops_what_was_not_finished(run):
    run.save(10, {"weights": torch.zeros(3)})
    unfinished = run.folder / "checkpoints" / ".000000020.12345678.part.pt"
    unfinished.write_bytes(b"half")
    run.claim()
    assert run.load()["step"] == 10
    assert not unfinished.exists()


def test_identity_is_of_configuration_and_content_but_not_of_the_machine(tmp_path):
    first, second = tmp_path / "a.npy", tmp_path / "b.npy"
    for path in (first, second):
        path.write_bytes(path.name.encode())
        path.with_suffix(".json").write_text("{}")
    config = TrainAutoencoderConfig()
    reference = identity(config, STAGE, [first, second])
    assert identity(config.replace(compute={"workers": 3}), STAGE, [first, second]) == reference
    assert identity(config.replace(training=TrainingConfig(seed=1).model_dump()), STAGE, [first, second]) != reference
    assert identity(config, "lvdm.stages.shard", [first, second]) != reference
    assert identity(config, STAGE, [second, first]) != reference
    second.with_suffix(".json").write_text("[]")
    assert identity(config, STAGE, [first, second]) != reference
