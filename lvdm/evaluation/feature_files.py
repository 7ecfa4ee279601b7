"""Files of features: written a part at a time, read by what scores."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvdm.files import publish
from lvdm.reading import read_archive, wrong_file

_WHAT, _AGAIN = "file of features", "delete it and run stage features again"
_OWN = ("values", "videos", "groups", "firsts", "runs")
# Kinds of numpy's types, and dimensions.
_ARRAYS = {
    "values": ("f", 2),
    "probabilities": ("f", 2),
    "videos": ("U", 1),
    "groups": ("U", 1),
    "firsts": ("iu", 1),
    "runs": ("iu", 2),
    "starts": ("iu", 1),
    "windows": ("iu", 2),
}


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of clips, or of frames, and which of them are compared."""

    values: np.ndarray
    """float32 (N, D)"""
    probabilities: np.ndarray | None
    """float32 (N, K), of a detector that classifies."""
    videos: np.ndarray
    """(N,): the id of each one's video."""
    groups: np.ndarray
    """(N,): what that video belongs to, such as its patient; where nothing is known, its id."""
    firsts: np.ndarray
    """int64 (N,): its first frame there."""
    runs: np.ndarray
    """int64 (R, n): the rows that each repetition compares."""
    windows: dict[int, np.ndarray]
    """First frame to rows, of videos that are scored from several frames on."""

    def run(self, number: int) -> np.ndarray:
        """The rows of a repetition; where chance plays no part there is one for all."""
        return self.runs[number % len(self.runs)]


def write_features(path: Path, parts: list[Path], arrays: Mapping[str, np.ndarray], width: int) -> int:
    """Join parts to the features of all clips (.npz), one part in memory at a time; returns their number N.

    ``values`` float32 (N, D), ``probabilities`` float32 (N, K) where the detector gives any, and ``arrays``.
    ``width`` is D where there is no part.
    """
    names = _members(parts[0]) if parts else ["values"]
    count = 0
    with publish(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in names:
            shapes = [_part(part, name).shape for part in parts] or [(0, width)]
            count = sum(shape[0] for shape in shapes)
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, shapes[0][1])}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for part in parts:
                    member.write(_part(part, name).astype("<f4").tobytes())
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return count


def read_features(path: Path) -> FeatureSet:
    """What stage features wrote. Raises ``ValueError`` for another file."""
    arrays = read_archive(path, _WHAT, _AGAIN)
    if problem := _problem(arrays):
        raise wrong_file(path, _WHAT, problem, _AGAIN)
    own = {name: arrays[name] for name in _OWN}
    windows = dict(zip(arrays["starts"].tolist(), arrays["windows"], strict=True)) if "starts" in arrays else {}
    return FeatureSet(**own, probabilities=arrays.get("probabilities"), windows=windows)


def _problem(arrays: Mapping[str, np.ndarray]) -> str:
    """Why arrays are no features that belong together; empty when they are."""
    if missing := [name for name in _OWN if name not in arrays]:
        return f"there is no array {missing[0]!r}"
    for name, (kinds, dimensions) in _ARRAYS.items():
        # The type of an array without entries says nothing: shards may hold no video.
        if name in arrays and (
            arrays[name].ndim != dimensions or (arrays[name].size and arrays[name].dtype.kind not in kinds)
        ):
            return f"{name!r} is {arrays[name].dtype} {arrays[name].shape}"
    count = len(arrays["values"])
    for name in ("probabilities", "videos", "groups", "firsts"):
        if name in arrays and len(arrays[name]) != count:
            return f"{name!r} has {len(arrays[name])} rows and 'values' {count}"
    if not len(arrays["runs"]):
        return "there is no repetition in 'runs'"
    if len(arrays.get("starts", ())) != len(arrays.get("windows", ())):
        return "'starts' and 'windows' differ in length"
    for name in ("runs", "windows"):
        rows = arrays.get(name, np.zeros(0, int))
        if rows.size and (rows.min() < 0 or rows.max() >= count):
            return f"{name!r} names rows beyond the {count} that there are"
    return ""


def _members(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as arrays:
        return list(arrays.files)


def _part(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]
