"""Gather the frames of a shard's videos in one memory-mapped file."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lvdm.data.shards import Entry, write_shard
from lvdm.data.video import iterate_frames
from lvdm.files import read_json
from lvdm.progress import Progress
from lvdm.stages.config import ShardConfig

_logger = logging.getLogger(__name__)


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
    entries = [entry for id, path in files.items() if (entry := _entry(id, path)) is not None]
    count = sum(sum(entry.pieces) for entry in entries)
    with Progress(f"writing {shard.stem}", count, "frame") as progress:

        def read(id: str) -> Iterator[np.ndarray]:
            for part in iterate_frames(files[id]):
                yield part
                progress.advance(len(part))

        write_shard(shard, config.resolution, entries, read)
    _logger.info("%s: %d videos, %d frames", shard.name, len(entries), count)


def _entry(id: str, video: Path) -> Entry | None:
    """What the record of a video says of it; None of one that is not usable."""
    record = video.with_suffix(".json")
    for file in (record, video):
        if not file.is_file():
            raise ValueError(f"{file} is missing; run stage extract for video {id}")
    extracted = read_json(record)
    try:
        lengths = _lengths(extracted) if extracted["usable"] else ()
        return Entry(id, lengths, extracted["group"]) if lengths else None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{record} does not describe the pieces of video {id} ({error}); delete it and run stage extract again"
        ) from None


def _lengths(extracted: dict[str, Any]) -> tuple[int, ...]:
    """Frames of each piece, which follow one another in the file."""
    count = 0
    for piece in extracted["pieces"]:
        if piece["first"] != count or piece["frames"] < 1:
            raise ValueError(f"{piece['frames']} frames from frame {piece['first']} on cannot follow frame {count}")
        count += piece["frames"]
    if count != extracted["frames"]:
        raise ValueError(f"the pieces have {count} frames, the video {extracted['frames']}")
    return tuple(piece["frames"] for piece in extracted["pieces"])
