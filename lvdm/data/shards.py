"""Clip shards: the frames of many videos in one memory-mapped file, and the windows that are its clips.

A shard is two files. ``train-000.npy`` holds uint8 ``(frames, H, W, 3)``, the frames of its videos one
after another; ``train-000.json`` beside it holds ``{"videos": [{"id", "start", "frames", "pieces", "group"}]}``.
``pieces`` are the lengths of the continuous pieces of a video, in their order: between two pieces the recording
was interrupted, or frames were left out, so no clip has frames of both. A clip is ``(video, first frame)``, so
windows overlap without copies, and another clip length rewrites nothing.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lvdm.data.config import ClipConfig, as_written, frame_size
from lvdm.files import publish, write_json
from lvdm.reading import open_array, read_record

_AGAIN = "delete it and run stage shard again"


@dataclass(frozen=True)
class ShardVideo:
    """Where the frames of one video lie in a shard: ``start`` to ``start + frames``.

    ``pieces`` are the lengths of its continuous pieces, ``frames`` in all; ``group`` is what it belongs to, its
    patient, or its own id. Raises ``ValueError`` for pieces of no frame and for others than ``frames``.
    """

    id: str
    start: int
    frames: int
    pieces: tuple[int, ...]
    group: str

    def __post_init__(self):
        if min(self.pieces, default=0) < 1 or sum(self.pieces) != self.frames:
            raise ValueError(f"video {self.id!r} has {self.frames} frames, but its pieces {list(self.pieces)}")

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """The first frame of each piece, counted from the start of the video, and the number of frames."""
        return tuple(accumulate(self.pieces, initial=0))

    def holds(self, first: int, span: int) -> bool:
        """Whether the ``span`` frames from ``first`` on lie in one piece."""
        return 0 <= first < self.frames and first + span <= self.bounds[bisect_right(self.bounds, first)]


class Entry(NamedTuple):
    """A video that is to be written into a shard: its id, the lengths of its continuous pieces, and its group."""

    id: str
    pieces: tuple[int, ...]
    group: str


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


def first_frames(pieces: Sequence[int], clip: ClipConfig) -> list[int]:
    """First frames of the windows of a video with ``pieces`` of so many frames, counted from its start.

    Of each piece those at 0, step, 2 step, ... frames from its own start, while they fit; of one that is shorter
    than a clip none.
    """
    starts = accumulate(pieces, initial=0)
    return [
        start + first
        for start, frames in zip(starts, pieces, strict=False)
        for first in range(0, frames - clip.span + 1, clip.step)
    ]


def windows(shard: Shard, clip: ClipConfig) -> list[Window]:
    """All windows of a shard, in the order of their frames; none crosses from one piece or video to the next."""
    return [Window(video.id, first) for video in shard.videos for first in first_frames(video.pieces, clip)]


def read_clip(shard: Shard, window: Window, clip: ClipConfig) -> np.ndarray:
    """The frames of one window: uint8 ``(T, H, W, 3)``, a read-only view of the file.

    Nothing is read before it is used. Raises ``ValueError`` for frames that do not lie in one piece of the video.
    """
    video = shard.video(window.video)
    if not video.holds(window.first, clip.span):
        raise ValueError(
            f"{shard.path}: a clip of {clip.span} frames from frame {window.first} lies in no piece of video "
            f"{video.id!r}, whose pieces have {_listed(video.pieces)} frames; use windows()"
        )
    start = video.start + window.first
    return shard.frames[start : start + clip.span : clip.stride]


def whole_videos(lengths: Mapping[str, int]) -> list[Entry]:
    """Videos of so many frames by their ids, for :func:`write_shard`: each of one piece, and a group of its own."""
    return [Entry(id, (frames,), id) for id, frames in lengths.items()]


def write_shard(
    path: str | Path,
    resolution: int | tuple[int, int],
    entries: Sequence[Entry],
    read: Callable[[str], Iterable[np.ndarray]],
) -> None:
    """Write a shard in constant memory and publish it whole.

    ``entries`` are its videos, in the order that the shard shall have; ``read(id)`` yields the frames of one a few
    at a time, uint8 ``(t, H, W, 3)``, with the height and the width of ``resolution``. No videos
    make an empty shard. The ``.json`` is published last and an older one is removed before: where it
    exists, the ``.npy`` beside it is the one that it describes. Raises ``ValueError`` when a video
    does not have the size or the number of frames that was said.
    """
    path = Path(path)
    record = path.with_suffix(".json")
    starts = list(accumulate((sum(entry.pieces) for entry in entries), initial=0))
    videos = [
        ShardVideo(entry.id, start, end - start, tuple(entry.pieces), entry.group)
        for entry, (start, end) in zip(entries, pairwise(starts), strict=True)
    ]
    # On leaving, the inner one is renamed first.
    with publish(record) as new_record, publish(path) as new_path:
        # Plain writes and not a writable memory map: on a full disk those raise OSError, this is killed by SIGBUS.
        with new_path.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (starts[-1], *frame_size(resolution), 3)}
            np.lib.format.write_array_header_1_0(file, header)
            for video in videos:
                for frames in _checked(path, video, resolution, read(video.id)):
                    file.write(np.ascontiguousarray(frames))
        write_json(new_record, {"videos": [asdict(video) for video in videos]})
        record.unlink(missing_ok=True)


def _checked(
    path: Path, video: ShardVideo, resolution: int | tuple[int, int], parts: Iterable[np.ndarray]
) -> Iterable[np.ndarray]:
    """Pass the frames of a video on while they are what the header says."""
    found = 0
    for frames in parts:
        if frames.dtype != np.uint8 or frames.shape[1:] != (*frame_size(resolution), 3):
            raise ValueError(
                f"{path}: frames of video {video.id!r} are {frames.dtype} {frames.shape[1:]}, but data.resolution is "
                f"{as_written(resolution)}; run stage extract again with this resolution"
            )
        found += len(frames)
        yield frames
    if found != video.frames:
        raise ValueError(
            f"{path}: video {video.id!r} gave {found} frames, but its record says {video.frames}; "
            "delete its frames and run stage extract again"
        )


def _open_frames(path: Path) -> np.ndarray:
    return open_array(path, "shard of frames", _AGAIN, shape="nHW3", dtype="uint8")


def _read_videos(path: Path) -> tuple[ShardVideo, ...]:
    return read_record(_ShardRecord, path, "record of a shard", _AGAIN).videos


def _listed(pieces: Sequence[int], most: int = 8) -> str:
    shown = ", ".join(map(str, pieces[:most]))
    return shown if len(pieces) <= most else f"{shown}, ... ({len(pieces)} pieces)"
