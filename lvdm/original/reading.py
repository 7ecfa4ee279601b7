"""Reads checkpoints that ``torch.save`` wrote, without running anything in them.

A checkpoint is a pickle, and a pickle names functions to call while it is read. ``torch.load(weights_only=True)`` calls
those alone that rebuild tensors, but gives up at the first class that it does not know, and released LVDM checkpoints
hold some: pytorch_lightning 1.4 keyed the states of its callbacks by their classes. So:

1. ``weights_only=True``. It also refuses what ``torch.load`` would otherwise hand on to other readers, TorchScript
   archives (``torch.jit.load``) and tar files.
2. Where a foreign class is all that stops it, :class:`_InertUnpickler`: the same tensors, and in the place of every
   other class or function one that does nothing. torch's own list of exceptions (``safe_globals``) would not do: it
   builds no dictionaries or lists of foreign types, of which hyper-parameters often are.
"""

import functools
import logging
import pickle
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_logger = logging.getLogger(__name__)

_ZIP = b"PK\x03\x04"

_REBUILDS: dict[tuple[str, str], Callable] = {
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}


def read_state(path: str | Path) -> dict[str, Tensor]:
    """The state dictionary in a checkpoint: under ``state_dict`` (Lightning), or the checkpoint itself.

    The tensors are on the CPU; those of a zip file (torch 1.6 and later) are mapped into memory and read when they
    are used. Raises ``FileNotFoundError`` when there is no file, and ``ValueError`` that names it when it is no whole
    checkpoint or holds no state dictionary.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the checkpoint file (.ckpt) in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; give the path of a released checkpoint (.ckpt)")
    loaded = _load(path)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{path} holds no state dictionary, neither under `state_dict` nor as a whole")
    foreign = [str(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if foreign:
        raise ValueError(f"{path} holds no state dictionary: no tensors are {', '.join(foreign[:10])}")
    return {name: tensor.detach() for name, tensor in state.items()}


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
    load = functools.partial(torch.load, str(path), map_location="cpu", mmap=is_zip)
    try:
        try:
            return load(weights_only=True)
        except pickle.UnpicklingError:
            loaded = load(weights_only=False, pickle_module=_INERT)
            _logger.info("%s: classes of other packages in it were left alone", path)
            return loaded
    except Exception as error:  # A damaged file fails in any way, even with an OSError: a seek to before its start.
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} is not a whole checkpoint as torch.save writes it ({reason}); download it again"
        ) from error


class _Inert:
    """Stands for an object of a class that is not looked up. Takes whatever a pickle does to it, and does nothing."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        pass

    def __call__(self, *arguments: Any, **keywords: Any) -> "_Inert":
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """As of a list."""

    def extend(self, items: Any) -> None:
        """As of a list."""

    def add(self, item: Any) -> None:
        """As of a set."""


class _InertUnpickler(pickle.Unpickler):
    """Rebuilds tensors and plain containers; whatever else a pickle names is an :class:`_Inert`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in _REBUILDS:
            # An object of its own each time: a pickle may set attributes of what it is given.
            return functools.partial(_REBUILDS[module, name])
        # A class each time, as classes are keys of dictionaries.
        return type("_Inert", (_Inert,), {})

    def __setattr__(self, name: str, value: Any) -> None:
        # torch sets this attribute to its reader of storages. For the format of before torch 1.6 that also knows
        # modules, and compares, even writes, source files for them.
        super().__setattr__(name, _storages_only(value) if name == "persistent_load" else value)


def _storages_only(load: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def persistent_load(identifier: Any) -> Any:
        if not isinstance(identifier, tuple) or identifier[:1] not in (("storage",), (b"storage",)):
            raise pickle.UnpicklingError("it refers to something else than the storage of a tensor")
        return load(identifier)

    return persistent_load


def _load_pickle(file: Any, **options: Any) -> Any:
    return _InertUnpickler(file, **options).load()


# What torch.load takes for the module `pickle`.
_INERT = types.SimpleNamespace(__name__="inert", Unpickler=_InertUnpickler, load=_load_pickle)
