"""Gather the frames of a shard's videos in one memory-mapped file."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lvdm.data.catalog import shard_members
from lvdm.data.manifest import read_manifest
from lvdm.data.shards import write_shard
from lvdm.data.video import iterate_frames
from lvdm.files import read_json
from lvdm.progress import Progress
from lvdm.stages.config import ShardConfig

_logger = logging.getLogger(__name__)


def run(config: ShardConfig, *, manifest: Path, frames: Path, split: str, index: int, shard: Path) -> None:
    """Write the shard ``index`` of ``split``: ``shard`` (.npy) and the ``.json`` beside it.

    Its videos follow from the ids of the whole ``manifest``, usable or not, so that a video that is
    found broken moves no other. ``frames`` is the folder with a ``.mkv`` and a record ``.json`` for each
    video; those whose record says that they are not usable are left out.
    Raises ``ValueError`` when there is no such shard, when a video's frames were not extracted, or when
    they are of another resolution.
    """
    members = shard_members([row.id for row in read_manifest(manifest)], config.split)
    if (split, index) not in members:
        raise ValueError(
            f"there is no shard {index} of split {split!r}: data.split has {config.split.train_shards} of train and "
            f"{config.split.heldout_shards} of heldout, counted from 0"
        )
    lengths = _lengths(members[split, index], frames)
    with Progress(f"writing {shard.stem}", sum(lengths.values()), "frame") as progress:

        def read(id: str) -> Iterator[np.ndarray]:
            for piece in iterate_frames(frames / f"{id}.mkv"):
                yield piece
                progress.advance(len(piece))

        write_shard(shard, config.resolution, lengths, read)
    _logger.info("%s: %d videos, %d frames", shard.name, len(lengths), sum(lengths.values()))


def _lengths(ids: list[str], frames: Path) -> dict[str, int]:
    """The number of frames of each video that is usable."""
    lengths = {}
    for id in ids:
        record, video = frames / f"{id}.json", frames / f"{id}.mkv"
        for file in (record, video):
            if not file.is_file():
                raise ValueError(f"{file} is missing; run stage extract for video {id}")
        extracted = read_json(record)
        if extracted["usable"]:
            lengths[id] = extracted["frames"]
    return lengths
