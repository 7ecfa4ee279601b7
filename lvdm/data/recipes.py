"""Recipes of public data sets: config/datasets/NAME.yaml, one file each."""

from collections.abc import Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from lvdm.config import ConfigError, load, merge, shipped
from lvdm.data.config import RecipeConfig

# Keys of a data set that a recipe can fill in; where the videos are is one choice of three keys.
_PLACE = ("videos", "frames")
_PLAIN = ("page", "group")


def names() -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(path.stem for path in shipped("datasets").glob("*.yaml"))


@cache
def read(name: str) -> RecipeConfig:
    """A recipe by its name. Raises ``ConfigError``: for an unknown one with the names that there are."""
    if name not in names():
        raise ConfigError(f"there is no recipe {name!r}; there are {', '.join(names())}")
    return load(RecipeConfig, shipped("datasets") / f"{name}.yaml")


def complete(dataset: str, entry: Any) -> Any:
    """A data set's entry of the configuration with what its ``recipe`` says of it; without one, as it is.

    Keys that are given win: ``videos`` or ``frames`` over both of the recipe, ``folder`` over the folder that
    those of the recipe are below, and ``override`` is laid over that of the recipe and of ``fold``, the published
    fold that is held out. To complete an entry twice changes nothing, and what has a wrong type stays for the
    validation to refuse. Raises ``ConfigError`` that names ``dataset``.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("recipe"), str):
        return entry
    try:
        return _filled(read(entry["recipe"]), entry)
    except ConfigError as error:
        raise ConfigError(f"datasets.{dataset}: {error}") from None


def notes(name: str | None) -> list[str]:
    """What a user of a recipe should know: its rate, its groups, and all else; nothing without a recipe."""
    if name is None:
        return []
    recipe = read(name)
    return [recipe.rate.meaning, f"a group is {recipe.one_group}; {recipe.patients}", *recipe.notes]


def _filled(recipe: RecipeConfig, entry: Mapping[str, Any]) -> dict[str, Any]:
    full = dict(entry)
    folder = recipe.folder if entry.get("folder") is None else entry["folder"]
    if all(entry.get(key) is None for key in _PLACE) and isinstance(folder, str):
        full |= _places(recipe, folder)
    for key in _PLAIN:
        full.setdefault(key, getattr(recipe, key))
    given = entry.get("override", {})
    if isinstance(given, Mapping):
        full["override"] = merge(merge(recipe.override, _held_out(recipe, entry.get("fold"))), dict(given))
    return full


def _places(recipe: RecipeConfig, folder: str) -> dict[str, Any]:
    if recipe.frames is not None:
        return {"frames": _below(folder, recipe.frames)}
    if isinstance(recipe.videos, str):
        return {"videos": _below(folder, recipe.videos)}
    return {"videos": [_below(folder, pattern) for pattern in recipe.videos or ()]}


def _below(folder: str, place: str) -> str:
    return str(PurePosixPath(folder, place))


def _held_out(recipe: RecipeConfig, fold: Any) -> dict[str, Any]:
    """The override that holds a published fold out."""
    if not isinstance(fold, str):
        return {}
    if fold not in recipe.folds:
        there = f"there are {', '.join(recipe.folds)}" if recipe.folds else "none is published"
        raise ConfigError(f"{recipe.title} has no fold {fold!r}; {there}")
    return {"data": {"split": {"heldout": list(recipe.folds[fold])}}}
