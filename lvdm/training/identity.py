"""What makes a training this one and no other: the part of its configuration that decides weights, its data, its code.

A configuration class of a training states in ``indifferent`` which of its keys decide no weight. They are in no frozen
file and in no identity, so that changing them makes nothing stale and every state of the training goes on.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lvdm.config import Config
from lvdm.files import content_hash
from lvdm.provenance import code_stamp

Ingredients = dict[str, Any]
"""What an identity is a hash of: ``config``, ``code``, and ``inputs``, pairs of a file's name and its SHA-256."""


def decisive(config: Config) -> dict[str, Any]:
    """``config`` in JSON's types, defaults included, without the keys that it calls indifferent."""
    return _split(config)[0]


def indifferent(config: Config) -> dict[str, Any]:
    """Those keys, written with dots, and their values in JSON's types."""
    return _split(config)[1]


def ingredients(config: Config, stage: str, inputs: Sequence[Path]) -> Ingredients:
    """All that decides the state of a training after any of its steps.

    That is what is decisive in ``config``, the code of the module ``stage`` (``lvdm.stages...``), and the content of
    the input files, and of the ``.json`` beside each where there is one, in their order. The number of steps is a part
    only where the learning rate follows it: else a training of more steps comes through the states of one of fewer.
    """
    settings = decisive(config)
    if settings["training"]["decay"] == "constant":
        del settings["training"]["steps"]
    files = [file for path in inputs for file in dict.fromkeys([path, path.with_suffix(".json")]) if file.is_file()]
    hashes = [[file.name, content_hash(file)] for file in files]
    return {"config": settings, "code": code_stamp(stage), "inputs": hashes}


def identity(made_of: Ingredients) -> str:
    """16 hexadecimal digits of ``made_of``; names of files, which decide nothing, are no part of them."""
    parts = {**made_of, "inputs": [found for _, found in made_of["inputs"]]}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def differences(before: Ingredients, now: Ingredients) -> list[str]:
    """What tells two trainings apart, for people: keys with both values, files of other content, the code."""
    old, new = dict(_flat(before["config"])), dict(_flat(now["config"]))
    said = [
        f"{key} {old.get(key, 'not stated')} then and {new.get(key, 'not stated')} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if "training.steps" in old.keys() & new.keys() and old["training.steps"] != new["training.steps"]:
        said.append("the learning rate follows the number of steps")
    known = {tuple(pair) for pair in before["inputs"]}
    changed = dict.fromkeys(name for name, found in now["inputs"] if (name, found) not in known)
    if not changed and len(before["inputs"]) != len(now["inputs"]):
        changed = {"fewer files": None}
    if changed:
        names = list(changed)
        said.append(f"other data: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}")
    return [*said, *(["other code of lvdm"] if before["code"] != now["code"] else [])]


def _split(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    decisive, others = config.model_dump(mode="json"), {}
    for path in getattr(config, "indifferent", ()):
        *parents, key = path.split(".")
        part: Any = decisive
        for parent in parents:
            part = part.get(parent) or {}  # a part that is left out has no keys
        if key in part:
            others[path] = part.pop(key)
    return decisive, others


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
