"""Which clips a table was made of, as one number that two machines can compare."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from lvdm.reading import read_record, wrong_file

_WHAT, _AGAIN = "record of a shard", "delete it and run stage shard again"


@dataclass(frozen=True, order=True)
class ListedVideo:
    """What decides the clips of one video: on which side it is, and the frames of its continuous pieces, in order."""

    id: str
    group: str
    split: str
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class _Video:
    id: str
    group: str
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class _ShardRecord:
    videos: tuple[_Video, ...]


def clips_hash(videos: Iterable[ListedVideo]) -> str:
    """64 hexadecimal digits (SHA-256) that follow from the videos, in whatever order they are given.

    Of groups it counts what they hold and not how they are called: labels of patients in DICOM files have a secret.
    """
    listed = sorted(videos)
    first: dict[str, str] = {}
    for video in listed:
        first.setdefault(video.group, video.id)
    lines = (json.dumps(astuple(replace(video, group=first[video.group]))) for video in listed)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_listed(records: Iterable[Path]) -> list[ListedVideo]:
    """The videos in the records of shards, ``{split}-{index}.json``. Raises ``ValueError`` for another file."""
    found = []
    for path in records:
        split, dash, _ = path.stem.rpartition("-")
        if not dash:
            raise wrong_file(path, _WHAT, "its name is not {split}-{index}.json", _AGAIN)
        shard = read_record(_ShardRecord, path, _WHAT, _AGAIN)
        found += [ListedVideo(video.id, video.group, split, video.pieces) for video in shard.videos]
    return found
