"""Which clips a table was made of, as one number that two machines can compare."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass


@dataclass(frozen=True, order=True)
class ListedVideo:
    """What decides the clips of one video: on which side it is, and the frames of its continuous pieces, in order."""

    id: str
    group: str
    split: str
    pieces: tuple[int, ...]


def clips_hash(videos: Iterable[ListedVideo]) -> str:
    """64 hexadecimal digits (SHA-256) that follow from the videos, in whatever order they are given."""
    lines = (json.dumps(astuple(video)) for video in sorted(videos))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
