"""Clip shards: the frames of many videos in one memory-mapped file, and the windows that are its clips.

A shard is two files. ``train-000.npy`` holds uint8 ``(frames, H, W, 3)``, the frames of its videos one
after another; ``train-000.json`` beside it holds ``{"videos": [{"id", "start", "frames"}]}``. A clip is
``(video, first frame)``, so windows overlap without copies, and another clip length rewrites nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lvdm.data.config import ClipConfig
from lvdm.files import publish, write_json
from lvdm.reading import open_array, read_record

_AGAIN = "delete it and run stage shard again"


@dataclass(frozen=True)
class ShardVideo:
    """Where the frames of one video lie in a shard: ``start`` to ``start + frames``."""

    id: str
    start: int
    frames: int


@dataclass(frozen=True)
class _ShardRecord:
    """The ``.json`` beside a shard."""

    videos: tuple[ShardVideo, ...]


class Window(NamedTuple):
    """One clip of a shard: the video's id, and the first frame, counted from the start of that video."""

    video: str
    first: int


class Shard:
    """Reads one shard. The frames stay on disk until they are asked for.

    Attributes: ``path``; ``frames``, a read-only memory map, uint8 ``(frames, H, W, 3)``; ``videos``, in
    the order of their frames. Pickles as its path, so that worker processes map the file themselves.
    Raises ``FileNotFoundError`` when one of the two files is missing and ``ValueError`` when they
    disagree.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        for file in (self.path, self.path.with_suffix(".json")):
            if not file.is_file():
                raise FileNotFoundError(
                    f"{file} is missing; run stage shard for {self.path.stem}, of which {self.path} was given"
                )
        self.frames = _open_frames(self.path)
        self.videos = _read_videos(self.path.with_suffix(".json"))
        self._by_id = {video.id: video for video in self.videos}
        self._check()

    def __reduce__(self):
        return Shard, (self.path,)

    def video(self, id: str) -> ShardVideo:
        """The entry of one video. Raises ``KeyError`` when the shard does not hold it."""
        if id not in self._by_id:
            raise KeyError(f"{self.path} holds no video {id!r}; it holds {sorted(self._by_id)}")
        return self._by_id[id]

    def _check(self) -> None:
        starts = np.cumsum([0] + [video.frames for video in self.videos])
        consistent = (
            [video.start for video in self.videos] == starts[:-1].tolist()
            and len(self._by_id) == len(self.videos)
            and starts[-1] == len(self.frames)
        )
        if not consistent:
            raise ValueError(
                f"{self.path} has {len(self.frames)} frames, but {self.path.with_suffix('.json').name} describes "
                f"{len(self.videos)} videos of {starts[-1]} frames in all; delete both and run stage shard again"
            )


def first_frames(frames: int, clip: ClipConfig) -> range:
    """First frames of the windows of a video of ``frames`` frames: 0, step, 2 step, ... while they fit."""
    return range(0, max(0, frames - clip.span + 1), clip.step)


def windows(shard: Shard, clip: ClipConfig) -> list[Window]:
    """All windows of a shard, in the order of their frames; none crosses from one video to the next."""
    return [Window(video.id, first) for video in shard.videos for first in first_frames(video.frames, clip)]


def read_clip(shard: Shard, window: Window, clip: ClipConfig) -> np.ndarray:
    """The frames of one window: uint8 ``(T, H, W, 3)``, a read-only view of the file.

    Nothing is read before it is used. Raises ``ValueError`` outside the video.
    """
    video = shard.video(window.video)
    if window.first < 0 or window.first + clip.span > video.frames:
        raise ValueError(
            f"{shard.path}: a clip of {clip.span} frames from frame {window.first} leaves video {video.id!r}, which "
            f"has {video.frames} frames; use windows()"
        )
    start = video.start + window.first
    return shard.frames[start : start + clip.span : clip.stride]


def write_shard(
    path: str | Path,
    resolution: int,
    lengths: Mapping[str, int],
    read: Callable[[str], Iterable[np.ndarray]],
) -> None:
    """Write a shard in constant memory and publish it whole.

    ``lengths`` maps the id of each video to its number of frames, in the order that the shard shall
    have; ``read(id)`` yields its frames in pieces, uint8 ``(t, resolution, resolution, 3)``. No videos
    make an empty shard. The ``.json`` is published last and an older one is removed before: where it
    exists, the ``.npy`` beside it is the one that it describes. Raises ``ValueError`` when a video
    does not have the size or the number of frames that was said.
    """
    path = Path(path)
    record = path.with_suffix(".json")
    starts = np.cumsum([0, *lengths.values()]).tolist()
    videos = [ShardVideo(id, start, frames) for (id, frames), start in zip(lengths.items(), starts, strict=False)]
    # On leaving, the inner one is renamed first.
    with publish(record) as new_record, publish(path) as new_path:
        # Plain writes and not a writable memory map: on a full disk those raise OSError, this is killed by SIGBUS.
        with new_path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (starts[-1], resolution, resolution, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            for video in videos:
                for piece in _checked(path, video, resolution, read(video.id)):
                    file.write(np.ascontiguousarray(piece))
        write_json(new_record, {"videos": [asdict(video) for video in videos]})
        record.unlink(missing_ok=True)


def _checked(path: Path, video: ShardVideo, resolution: int, pieces: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """Pass the pieces of a video on while they are what the header says."""
    found = 0
    for piece in pieces:
        if piece.dtype != np.uint8 or piece.shape[1:] != (resolution, resolution, 3):
            raise ValueError(
                f"{path}: frames of video {video.id!r} are {piece.dtype} {piece.shape[1:]}, but data.resolution is "
                f"{resolution}; run stage extract again with this resolution"
            )
        found += len(piece)
        yield piece
    if found != video.frames:
        raise ValueError(
            f"{path}: video {video.id!r} gave {found} frames, but its record says {video.frames}; "
            "delete its frames and run stage extract again"
        )


def _open_frames(path: Path) -> np.ndarray:
    return open_array(path, "shard of frames", _AGAIN, shape="nHW3", dtype="uint8")


def _read_videos(path: Path) -> tuple[ShardVideo, ...]:
    return read_record(_ShardRecord, path, "record of a shard", _AGAIN).videos
