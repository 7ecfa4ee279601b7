"""Collections of videos to take clips from: of shards, of files of generated clips, of noise.

A library has an id, the lengths of the continuous pieces and a group for each of its videos, and reads some frames
of one of them, so that what chooses the clips and what computes with them need not know where they lie.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from lvdm.data.shards import Shard
from lvdm.reading import open_array


class Library(Protocol):
    """Videos in a fixed order. ``groups`` has what each belongs to: its patient, or itself."""

    ids: Sequence[str]
    pieces: Sequence[tuple[int, ...]]
    groups: Sequence[str]

    def read(self, video: int, frames: range) -> np.ndarray:
        """Some frames of a video, uint8 (T, H, W, 3)."""


class ShardLibrary:
    """The videos of shards, ordered by id, however they are spread over the files.

    Raises ``ValueError`` when two shards hold the same video.
    """

    def __init__(self, paths: Sequence[Path]):
        found = sorted(((video, shard) for shard in map(Shard, paths) for video in shard.videos), key=_id)
        self.ids = [video.id for video, _ in found]
        self.pieces = [video.pieces for video, _ in found]
        self.groups = [video.group for video, _ in found]
        self._videos = found
        for id, following in pairwise(self.ids):
            if id == following:
                raise ValueError(f"video {id!r} is in more than one of {len(paths)} shards; give each shard once")

    def read(self, video: int, frames: range) -> np.ndarray:
        entry, shard = self._videos[video]
        return np.array(shard.frames[entry.start + frames.start : entry.start + frames.stop : frames.step])


class ClipLibrary:
    """Generated videos in files of uint8 (n, T, H, W, 3); a video's id, and group, is its number in all of the files.

    Raises ``ValueError`` for a file that holds no such videos, and when files disagree in the shape of a video.
    """

    def __init__(self, paths: Sequence[Path]):
        self._files = [open_clips(path) for path in sorted(paths)]
        shapes = {file.shape[1:] for file in self._files}
        if len(shapes) > 1:
            raise ValueError(f"{len(paths)} files hold videos of different shapes, {sorted(shapes)}; score them apart")
        self._places = [(file, row) for file in self._files for row in range(len(file))]
        self.ids = [str(number) for number in range(len(self._places))]
        self.pieces = [(file.shape[1],) for file, _ in self._places]
        self.groups = self.ids

    def read(self, video: int, frames: range) -> np.ndarray:
        file, row = self._places[video]
        return np.array(file[row, frames.start : frames.stop : frames.step])


class NoiseLibrary:
    """Videos of independent uniform values; each value of video n depends on (seed, n) alone.

    ``shape`` is (T, H, W, 3).
    """

    def __init__(self, count: int, shape: tuple[int, ...], seed: int):
        self.ids = [str(number) for number in range(count)]
        self.pieces = [(shape[0],)] * count
        self.groups = self.ids
        self._shape, self._seed = shape, seed

    def read(self, video: int, frames: range) -> np.ndarray:
        values = np.random.default_rng((self._seed, video)).integers(0, 256, self._shape, dtype=np.uint8)
        return values[frames.start : frames.stop : frames.step]


def _id(entry: tuple) -> str:
    return entry[0].id


def open_clips(path: Path) -> np.ndarray:
    """Generated videos, uint8 (n, T, H, W, 3), which stay on the disk. Raises ``ValueError`` for another file."""
    remedy = "make it with lvdm sample or lvdm import-clips"
    return open_array(path, "file of generated videos", remedy, shape="nTHW3", dtype="uint8")
