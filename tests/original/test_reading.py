"""A checkpoint is read without running anything in it, and what is none is refused by name."""

import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import pytest
import torch

from lvdm.original.reading import read_state

STATE = OrderedDict(
    weight=torch.arange(12.0).reshape(3, 4),
    transposed=torch.arange(12.0).reshape(3, 4).T,
    half=torch.ones(5, dtype=torch.float16),
    parameter=torch.nn.Parameter(torch.ones(2, 2)),
    steps=torch.tensor(3),
)
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(value, path: Path, zipped: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == STATE.keys() and all(torch.equal(found[name], STATE[name]) for name in STATE)


@pytest.fixture
def foreign(monkeypatch):
    """Classes of a package that is gone when the checkpoint is read."""
    module = types.ModuleType("gone_lightning")

    class Callback:
        pass

    class Hyperparameters(dict):
        pass

    class Milestones(list):
        pass

    for kind in (Callback, Hyperparameters, Milestones):
        kind.__module__, kind.__qualname__ = module.__name__, kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module
    assert module.__name__ not in sys.modules, "the test forgot to remove the package"


def released(foreign) -> dict:
    """A checkpoint as pytorch_lightning 1.4 writes it."""
    hyperparameters = foreign.Hyperparameters(rate=6e-5, options=foreign.Callback())
    hyperparameters.frozen = True
    return {
        "epoch": 299,
        "pytorch-lightning_version": "1.4.2",
        "callbacks": {foreign.Callback: {"best": torch.tensor(0.5), "folder": Path("/results")}},
        "hyper_parameters": hyperparameters,
        "lr_schedulers": [foreign.Milestones([1, 2]), defaultdict(list, {1: [foreign.Callback()]}), {1, 2}],
        "state_dict": STATE,
    }


@FORMATS
def test_lightning_checkpoint_with_classes_that_are_not_installed(foreign, tmp_path, monkeypatch, caplog, zipped):
    caplog.set_level("INFO")
    path = save(released(foreign), tmp_path / "released.ckpt", zipped)
    monkeypatch.delitem(sys.modules, foreign.__name__)
    assert same(read_state(path))
    assert "left alone" in caplog.text


@FORMATS
@pytest.mark.parametrize(
    "value", [{"state_dict": STATE, "epoch": 1}, STATE, dict(STATE)], ids=["lightning", "bare", "dict"]
)
def test_plain_checkpoints(tmp_path, zipped, value):
    found = read_state(save(value, tmp_path / "plain.ckpt", zipped))
    assert same(found)
    assert not any(tensor.requires_grad for tensor in found.values())


class Attack:
    """Unpickled by what everyone uses, it calls a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@FORMATS
@pytest.mark.parametrize("kind", ["system", "open", "exec", "save"])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, zipped, kind):
    mark = tmp_path / "executed"
    attack = {
        "system": Attack(os.system, f"touch {mark}"),
        "open": Attack(open, str(mark), "w"),
        "exec": Attack(exec, f"open({str(mark)!r}, 'w')"),
        "save": Attack(torch.save, 1, str(mark)),
    }[kind]
    pickle.loads(pickle.dumps(attack))
    mark.unlink()  # The attack works where nobody guards against it.
    path = save({"first": attack, "state_dict": STATE, "last": {"of": [attack]}}, tmp_path / "evil.ckpt", zipped)
    assert same(read_state(path))
    assert not mark.exists()


def test_an_attack_among_the_weights_is_refused(tmp_path):
    mark = tmp_path / "executed"
    path = save({"state_dict": {**STATE, "bad": Attack(os.system, f"touch {mark}")}}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match=r"evil\.ckpt holds no state dictionary: no tensors are bad"):
        read_state(path)
    assert not mark.exists()


def legacy(path: Path, content: bytes) -> Path:
    """A checkpoint in the format of before torch 1.6 that holds the pickle ``content`` and no storage."""
    opening = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    path.write_bytes(b"".join([*opening, content, pickle.dumps([], protocol=2)]))
    return path


def test_the_old_format_writes_no_source_files(tmp_path, monkeypatch):
    """torch's own reader compares the sources of modules in it, and may write a patch file of their difference."""

    class Module:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("module", OrderedDict, "model.py", "source") if isinstance(value, Module) else None

    monkeypatch.chdir(tmp_path)
    content = io.BytesIO()
    Pickler(content, protocol=2).dump({"state_dict": {"module": Module()}})
    path = legacy(tmp_path / "old.ckpt", content.getvalue())
    with pytest.raises(ValueError, match=r"old\.ckpt .*something else than the storage of a tensor"):
        read_state(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_pickle_cannot_change_the_functions_that_it_is_given(tmp_path):
    change = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x07changedK\x01sb."
    rebuild = pickle.loads(change)
    assert rebuild.changed, "the attack must work where nobody guards against it"
    del rebuild.changed
    with pytest.raises(ValueError, match=r"change\.ckpt"):
        read_state(legacy(tmp_path / "change.ckpt", change))
    assert not hasattr(rebuild, "changed")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*TorchScript archive")
def test_torchscript_archives_are_not_handed_to_their_interpreter(tmp_path, monkeypatch):
    path = tmp_path / "script.ckpt"
    torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)).save(str(path))
    monkeypatch.setattr(torch.jit, "load", lambda *arguments, **keywords: pytest.fail("it was loaded"))
    with pytest.raises(ValueError, match=r"script\.ckpt .*TorchScript"):
        read_state(path)


@FORMATS
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_named(tmp_path, zipped, share):
    path = save({"state_dict": {"weight": torch.randn(100, 100)}}, tmp_path / "cut.ckpt", zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cut\.ckpt is not a whole checkpoint .*download it again"):
        read_state(path)


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<html>Not found</html>", b"\x80\x02}q\x00."]
)
def test_other_files_are_named(tmp_path, content):
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.ckpt is not a whole checkpoint"):
        read_state(path)


def test_another_zip_file_is_named(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("photos/1.jpg", b"1")
    with pytest.raises(ValueError, match=r"photos\.zip is not a whole checkpoint"):
        read_state(path)


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give the checkpoint file"):
        read_state(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt is missing"):
        read_state(tmp_path / "nowhere.ckpt")


@pytest.mark.parametrize("value", [[1, 2], {"state_dict": 3}, {}, {"epoch": 1}, {1: torch.ones(1)}, torch.ones(2)])
def test_checkpoints_without_state_dictionary_are_named(tmp_path, value):
    path = save(value, tmp_path / "empty.ckpt")
    with pytest.raises(ValueError, match=r"empty\.ckpt holds no state dictionary"):
        read_state(path)
