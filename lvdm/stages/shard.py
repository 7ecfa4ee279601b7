"""Gather the frames of a shard's videos in one memory-mapped file."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvdm.data.shards import write_shard
from lvdm.data.video import iterate_frames
from lvdm.files import check_outputs
from lvdm.progress import Progress
from lvdm.reading import read_record
from lvdm.stages.config import ShardConfig

_SUFFIX = ".mkv"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Extracted:
    """What this stage needs of a record of stage extract."""

    usable: bool
    frames: int = 0


def run(config: ShardConfig, *, frames: list[Path], shard: Path) -> None:
    """Write ``shard`` (.npy) and the ``.json`` beside it from the frames of its videos.

    ``frames`` are the ``.mkv`` files of stage extract, each with its record ``.json`` beside it; those
    whose record says that they are not usable are left out. The order of the videos is that of their
    ids, not of the arguments. No videos make an empty shard.
    Raises ``ValueError`` when a video's frames were not extracted, or when they are of another
    resolution.
    """
    files = {path.stem: path for path in sorted(frames, key=lambda path: path.stem)}
    check_outputs(shard, shard.with_suffix(".json"))
    lengths = _lengths(files)
    with Progress(f"writing {shard.stem}", sum(lengths.values()), "frame") as progress:

        def read(id: str) -> Iterator[np.ndarray]:
            missing = lengths[id]
            for piece in iterate_frames(files[id]):
                yield piece
                missing -= len(piece)
                progress.advance(len(piece))
            if missing > 0:
                raise ValueError(
                    f"{files[id]} lacks {missing} frames of {lengths[id]}: cut off? run stage extract again"
                )

        write_shard(shard, config.resolution, lengths, read)
    _logger.info("%s: %d videos, %d frames", shard.name, len(lengths), sum(lengths.values()))


def _lengths(files: dict[str, Path]) -> dict[str, int]:
    """The number of frames of each video that is usable."""
    lengths = {}
    for id, video in files.items():
        if video.suffix != _SUFFIX:
            raise ValueError(f"{video} holds no frames of stage extract, which are {_SUFFIX} files; give one of those")
        record = video.with_suffix(".json")
        for file in (record, video):
            if not file.is_file():
                raise ValueError(f"{file} is missing; run stage extract for video {id}, of which {video} was given")
        extracted = read_record(_Extracted, record, "record of extracted frames", "run stage extract again")
        if extracted.usable:
            lengths[id] = extracted.frames
    return lengths
