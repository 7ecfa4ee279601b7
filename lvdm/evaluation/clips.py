"""Which clips of which videos are compared: decisions in integers, before any frame is read.

A video consists of continuous pieces, and every clip lies within one of them; frames are counted from the start of
the video, over all of its pieces.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from lvdm.evaluation.config import SelectionConfig


class Clip(NamedTuple):
    """A clip of a collection of videos: the number of its video there, and its first frame."""

    video: int
    first: int


@dataclass(frozen=True)
class Videos:
    """The videos that clips are taken from: of each an id, and the numbers of frames of its pieces, in order."""

    ids: Sequence[str]
    pieces: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Geometry:
    """What a clip is: ``length`` frames, ``stride`` apart; of all windows, one begins every ``step`` frames."""

    length: int
    stride: int = 1
    step: int = 1

    @property
    def span(self) -> int:
        """Frames from the first to the last of a clip."""
        return (self.length - 1) * self.stride + 1

    def frames(self, first: int) -> range:
        """The frames of the clip that begins at ``first``."""
        return range(first, first + self.span, self.stride)

    def starts(self, pieces: Sequence[int]) -> list[range]:
        """Of each piece that is long enough for a clip, the frames at which one can begin."""
        begins = accumulate(pieces, initial=0)
        return [
            range(begin, begin + length - self.span + 1)
            for begin, length in zip(begins, pieces, strict=False)
            if length >= self.span
        ]


@dataclass(frozen=True)
class Selection:
    """The clips whose features are needed, each once, and which of them are compared.

    ``runs`` (R, n) are indices into ``clips``: a row is what one repetition compares. ``windows`` is the
    same for each first frame that generated videos are scored from again.
    """

    clips: list[Clip]
    runs: np.ndarray
    windows: dict[int, np.ndarray] = field(default_factory=dict)


def select_clips(
    videos: Videos, geometry: Geometry, config: SelectionConfig, runs: int, seed: int, everything: bool = False
) -> Selection:
    """The clips of a protocol, for detectors that see clips.

    With ``everything`` all windows come first, chosen or not, as the nearest clip is looked for among all.
    Where no chance is involved, the ``runs`` are one. A choice depends on the seed, the run and the ids of
    the videos. Raises ``ValueError`` when there is no clip.
    """
    if not any(map(geometry.starts, videos.pieces)):
        raise ValueError(
            f"none of {len(videos.ids)} videos has the {geometry.span} continuous frames that a clip spans; "
            "lower the protocol's `length` or `stride`, or give longer videos"
        )
    chosen = [_chosen(videos, geometry, config, run, seed) for run in range(runs)]
    if all(clips == chosen[0] for clips in chosen):
        chosen = chosen[:1]
    windows = _windows(videos, geometry, config)
    first = _candidates(videos, geometry, "all", 0, 0) if everything else []
    others = {clip for clips in [*chosen, *windows.values()] for clip in clips} - set(first)
    clips = [*first, *sorted(others)]
    row = {clip: number for number, clip in enumerate(clips)}

    def rows(some: Iterable[Clip]) -> np.ndarray:
        return np.array([row[clip] for clip in some], dtype=np.int64)

    return Selection(clips, np.stack([rows(run) for run in chosen]), {at: rows(part) for at, part in windows.items()})


def select_frames(videos: Videos, geometry: Geometry, config: SelectionConfig, seed: int) -> Selection:
    """The same for detectors that see frames: clips of one frame, each once, in one run."""
    if config.frames == "all":
        found = [Clip(video, frame) for video, pieces in enumerate(videos.pieces) for frame in range(sum(pieces))]
    else:
        clips = select_clips(videos, geometry, config, 1, seed).clips
        found = sorted({Clip(clip.video, frame) for clip in clips for frame in geometry.frames(clip.first)})
    found = _at_most(found, config.max_frames, config.choice, np.random.default_rng((seed, 0)))
    return Selection(found, np.arange(len(found), dtype=np.int64)[None])


def check_lengths(videos: Videos, geometry: Geometry, what: str) -> None:
    """Raise ``ValueError`` for a video that is shorter than a clip: none is left out, or stretched, in silence."""
    for name, pieces in zip(videos.ids, videos.pieces, strict=True):
        if not geometry.starts(pieces):
            raise ValueError(
                f"{what} {name} has {max(pieces)} frames, but a clip of the protocol spans {geometry.span}; "
                "lower the protocol's `length` or `stride`, or make longer videos"
            )


def _chosen(videos: Videos, geometry: Geometry, config: SelectionConfig, run: int, seed: int) -> list[Clip]:
    candidates = _candidates(videos, geometry, config.starts, run, seed)
    return _at_most(candidates, config.clips, config.choice, np.random.default_rng((seed, run)))


def _candidates(videos: Videos, geometry: Geometry, starts: str, run: int, seed: int) -> list[Clip]:
    firsts: dict[str, Callable[[str, list[range]], Iterable[int]]] = {
        "first": lambda id, found: (found[0].start,),
        "random": lambda id, found: (_nth(found, _hash(f"{seed}:{run}:{id}") % sum(map(len, found))),),
        "all": lambda id, found: (first for piece in found for first in piece[:: geometry.step]),
    }
    return [
        Clip(video, first)
        for video, (id, pieces) in enumerate(zip(videos.ids, videos.pieces, strict=True))
        if (found := geometry.starts(pieces))
        for first in firsts[starts](id, found)
    ]


def _nth(ranges: list[range], number: int) -> int:
    """The ``number``-th of the values of all ``ranges``, in their order."""
    for some in ranges:
        if number < len(some):
            return some[number]
        number -= len(some)
    raise IndexError(f"there are {number} values too few")


def _windows(videos: Videos, geometry: Geometry, config: SelectionConfig) -> dict[int, list[Clip]]:
    """The clips from each further start of the same videos, of one piece each; none where they are a clip long."""
    if config.window_step is None:
        return {}
    last = min(pieces[0] for pieces in videos.pieces) - geometry.span
    count = len(videos.ids) if config.clips is None else min(config.clips, len(videos.ids))
    starts = range(0, last + 1, config.window_step)
    return {} if last < config.window_step else {at: [Clip(video, at) for video in range(count)] for at in starts}


def _at_most(clips: list[Clip], most: int | None, choice: str, generator: np.random.Generator) -> list[Clip]:
    if most is None or len(clips) <= most:
        return clips
    if choice == "first":
        return clips[:most]
    return [clips[index] for index in np.sort(generator.choice(len(clips), most, replace=False))]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
