"""Gather the frames of a shard's videos in one memory-mapped file."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvdm.data.shards import Entry, write_shard
from lvdm.data.video import iterate_frames
from lvdm.files import check_outputs
from lvdm.progress import Progress
from lvdm.reading import read_record
from lvdm.stages.config import ShardConfig

_SUFFIX = ".mkv"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Piece:
    first: int
    frames: int


@dataclass(frozen=True)
class _Extracted:
    """What this stage needs of a record of stage extract; its pieces follow one another in the file."""

    usable: bool
    group: str = ""
    frames: int = 0
    pieces: tuple[_Piece, ...] = ()

    def __post_init__(self):
        if self.pieces and not self.group:
            raise ValueError("pieces without their 'group'")
        count = 0
        for piece in self.pieces:
            if piece.first != count or piece.frames < 1:
                raise ValueError(f"{piece.frames} frames from frame {piece.first} on cannot follow frame {count}")
            count += piece.frames
        if count != self.frames:
            raise ValueError(f"the pieces have {count} frames, the video {self.frames}")


def run(config: ShardConfig, *, frames: list[Path], shard: Path) -> None:
    """Write ``shard`` (.npy) and the ``.json`` beside it from the frames of its videos.

    ``frames`` are the ``.mkv`` files of stage extract, each with its record ``.json`` beside it; those
    whose record says that they are not usable are left out. All pieces of the others are kept, too short for a clip
    or not, so that another length of clips rewrites nothing. The order of the videos is that of their
    ids, not of the arguments. No videos make an empty shard.
    Raises ``ValueError`` when a video's frames were not extracted, when they are of another
    resolution, or when its record does not describe them.
    """
    files = {path.stem: path for path in sorted(frames, key=lambda path: path.stem)}
    check_outputs(shard, shard.with_suffix(".json"))
    entries = [entry for id, path in files.items() if (entry := _entry(id, path)) is not None]
    lengths = {entry.id: sum(entry.pieces) for entry in entries}
    with Progress(f"writing {shard.stem}", sum(lengths.values()), "frame") as progress:

        def read(id: str) -> Iterator[np.ndarray]:
            missing = lengths[id]
            for part in iterate_frames(files[id]):
                yield part
                missing -= len(part)
                progress.advance(len(part))
            if missing > 0:
                raise ValueError(
                    f"{files[id]} lacks {missing} frames of {lengths[id]}: cut off? run stage extract again"
                )

        write_shard(shard, config.resolution, entries, read)
    _logger.info("%s: %d videos, %d frames", shard.name, len(entries), sum(lengths.values()))


def _entry(id: str, video: Path) -> Entry | None:
    """What the record of a video says of it; None of one that is not usable."""
    if video.suffix != _SUFFIX:
        raise ValueError(f"{video} holds no frames of stage extract, which are {_SUFFIX} files; give one of those")
    record = video.with_suffix(".json")
    for file in (record, video):
        if not file.is_file():
            raise ValueError(f"{file} is missing; run stage extract for video {id}, of which {video} was given")
    extracted = read_record(_Extracted, record, "record of extracted frames", "run stage extract again")
    return Entry(id, tuple(piece.frames for piece in extracted.pieces), extracted.group) if extracted.pieces else None
