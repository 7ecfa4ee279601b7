"""What training reads: clips from shards, and moments from the latent cache, as torch data sets.

Both keep their files memory-mapped and pickle without the data, so that worker processes cost no memory.
They are indexed in the order of the given files; :mod:`lvdm.data.sampler` decides the order of training.
A batch is read in one go, into the memory that it is sent to the network from, and in the numbers of the file: half a
float or a byte is moved faster than the float that the network's device makes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch.utils.data import Dataset

from lvdm.data.config import ClipConfig, as_written
from lvdm.data.shards import Shard, Window, read_clip, windows
from lvdm.reading import open_array, read_record

_AGAIN = "delete it and run stage encode again"


@dataclass(frozen=True)
class _LatentRecord:
    """The ``.json`` beside a cache of latents: id of the video and first frame of each window."""

    windows: tuple[tuple[str, int], ...]


def to_float(frames: torch.Tensor) -> torch.Tensor:
    """Frames as on disk, uint8 ``(..., T, H, W, 3)``, to frames in memory, float32 ``(..., C, T, H, W)`` in [-1, 1]."""
    # Contiguous first: bytes are cheaper to move than the floats that they become.
    return rearrange(frames, "... t h w c -> ... c t h w").contiguous().float().div_(127.5).sub_(1)


def to_uint8(clips: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`to_float`; rounds, and clips what lies outside [-1, 1]."""
    levels = (clips.float() + 1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    return rearrange(levels, "... c t h w -> ... t h w c").contiguous()


def collate(items: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    """For a DataLoader: the batch of a data set that makes batches itself, as those here do, or else of its items."""
    return items if isinstance(items, torch.Tensor) else torch.stack(items)


def read_clips(found: Sequence[tuple[Shard, Window]], clip: ClipConfig, pinned: bool = False) -> torch.Tensor:
    """A batch of windows: uint8 ``(B, T, H, W, 3)``; ``pinned``, a GPU can fetch it by itself."""
    batch = torch.empty((len(found), clip.length, *clip.size, 3), dtype=torch.uint8, pin_memory=pinned)
    for row, (shard, window) in zip(batch.numpy(), found, strict=True):
        row[:] = read_clip(shard, window, clip)
    return batch


class ClipDataset(Dataset[torch.Tensor]):
    """Every window of the given shards. An item is a clip as on disk, uint8 ``(T, H, W, 3)``.

    Shards without windows are fine, as long as one has some. Raises ``ValueError`` when none has, or
    when the shards are not of ``clip.resolution``.
    """

    def __init__(self, shards: Sequence[str | Path], clip: ClipConfig):
        self.clip = clip
        self.shards = [Shard(path) for path in shards]
        for shard in self.shards:
            _check_resolution(shard, clip)
        self.items: list[tuple[int, Window]] = [
            (number, window) for number, shard in enumerate(self.shards) for window in windows(shard, clip)
        ]
        if not self.items:
            longest = max((max(video.pieces) for shard in self.shards for video in shard.videos), default=0)
            raise ValueError(
                f"no clips in {_names(shards)}: a clip covers {clip.span} frames, and the longest piece has {longest}; "
                "lower data.length or data.stride, add videos, or change data.split"
            )

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> torch.Tensor:
        """The batch of some items: uint8 ``(B, T, H, W, 3)``."""
        items = (self.items[index] for index in indices)
        return read_clips([(self.shards[shard], window) for shard, window in items], self.clip)


class LatentDataset(Dataset[torch.Tensor]):
    """Every window of the given latent caches. An item holds its posterior's moments.

    An item is float16 ``(2, C, T/4, H/8, W/8)``: mean and log-variance, of every ``stride``-th latent frame of
    a window. Caches without windows are fine, as long as one has some. Raises ``ValueError`` when none has, when a
    cache does not agree with its ``.json``, or when the shapes of two caches differ.
    """

    def __init__(self, latents: Sequence[str | Path], stride: int = 1):
        self.paths = [Path(path) for path in latents]
        self.stride = stride
        self._open()
        if not len(self):
            raise ValueError(
                f"no latents in {_names(latents)}; the clip shards that they were made from hold no windows: "
                "lower data.length or data.stride, add videos, or change data.split"
            )
        shapes = {cache.shape[1:] for cache in self._caches if len(cache)}
        if len(shapes) > 1:
            raise ValueError(
                f"{_names(latents)} hold latents of different shapes {sorted(shapes)}; run stage encode for all again"
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.paths else 0

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> torch.Tensor:
        """The batch of some items: float16 ``(B, 2, C, T/4, H/8, W/8)``. Raises ``IndexError``."""
        places = np.asarray(indices)
        if places.min() < 0 or places.max() >= len(self):
            raise IndexError(f"items {places.min()} to {places.max()} of {len(self)}")
        numbers = np.searchsorted(self._ends, places, side="right")
        rows = places - self._ends[numbers]  # counted from the end of its cache
        item_shape = self._caches[numbers[0]][:, :, :, :: self.stride].shape[1:]
        batch = np.empty((len(places), *item_shape), dtype=np.float16)
        for number in np.unique(numbers):
            of_cache = numbers == number
            batch[of_cache] = self._caches[number][rows[of_cache]][:, :, :, :: self.stride]
        return torch.from_numpy(batch)

    def __getstate__(self) -> tuple[list[Path], int]:
        return self.paths, self.stride

    def __setstate__(self, state: tuple[list[Path], int]) -> None:
        self.paths, self.stride = state
        self._open()

    def _open(self) -> None:
        self._caches = [open_latents(path) for path in self.paths]
        self._ends = np.cumsum([len(cache) for cache in self._caches])


def _check_resolution(shard: Shard, clip: ClipConfig) -> None:
    height, width = shard.frames.shape[1:3]
    if (height, width) != clip.size:
        raise ValueError(
            f"{shard.path} has frames of {height}x{width}, but data.resolution is {as_written(clip.resolution)}; "
            "run stages extract and shard with this resolution"
        )


def open_latents(path: Path) -> np.ndarray:
    """The cache at ``path``, float16 ``(windows, 2, C, T/4, H/8, W/8)``, which stays on the disk.

    Raises ``FileNotFoundError`` and ``ValueError`` that name the file when it or its record is missing or another.
    """
    record = path.with_suffix(".json")
    for file in (path, record):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing; run stage encode for {path.stem}, of which {path} was given")
    cache = open_array(path, "cache of latents", _AGAIN, shape="n2CTHW", dtype="float16")
    described = len(read_record(_LatentRecord, record, "record of latents", _AGAIN).windows)
    if len(cache) != described:
        raise ValueError(
            f"{path} holds {cache.shape}, but {record.name} describes {described} windows of mean and log-variance; "
            "delete both and run stage encode again"
        )
    return cache


def _names(paths: Sequence[str | Path]) -> str:
    return ", ".join(map(str, paths)) or "an empty list of files"
