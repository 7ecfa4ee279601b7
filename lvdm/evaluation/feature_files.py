"""Files of features: written a part at a time, read by what scores."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvdm.files import publish


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
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        windows = dict(zip(arrays.get("starts", np.array([])).tolist(), arrays.get("windows", []), strict=True))
        own = {name: arrays[name] for name in ("values", "videos", "groups", "firsts", "runs")}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no features ({error}); delete it and run stage features again") from None
    return FeatureSet(**own, probabilities=arrays.get("probabilities"), windows=windows)


def _members(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as arrays:
        return list(arrays.files)


def _part(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]
