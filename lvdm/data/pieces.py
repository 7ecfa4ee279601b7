"""Which frames of a recording are kept, in which continuous pieces, and at which rate: decisions on numbers alone.

A recording pauses, loses frames, changes its size and is damaged. What is left is a list of pieces, in each of which
one frame follows the other as the camera saw them. No clip spans two pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A gap is longer than this many usual intervals: one or two lost frames are none.
_GAP_INTERVALS = 3

# An interval this close to the median, as a share of it, is a usual one.
_JITTER = 0.25

# A rate that changes slowly, as a capsule's does, is judged among this many intervals around.
_AROUND = 9

# Containers store rates as times rounded to milliseconds, say; a rate this close to a usual one is it.
_RATE_SLACK = 4e-4


@dataclass(frozen=True)
class Piece:
    """A continuous run: ``frames`` frames from number ``first`` of the recording on, which is shown at ``start`` s."""

    first: int
    frames: int
    start: float

    @property
    def stop(self) -> int:
        """The frame after the last one."""
        return self.first + self.frames


def choose_times(stated: np.ndarray, packets: np.ndarray) -> np.ndarray:
    """Seconds of each frame (T,), from the times that frames state and those of their packets (NaN: missing).

    Some containers state one, some the other, and some a nonsense in one of them: the one with fewer faults is
    taken. What it lacks is filled in at the usual interval.
    """
    times = stated if _faults(stated) <= _faults(packets) else packets
    if np.isnan(times).all():
        return np.arange(len(times), dtype=float)
    usual = usual_interval(times[~np.isnan(times)])
    filled = times.copy()
    for index in np.flatnonzero(np.isnan(times)):
        filled[index] = filled[index - 1] + usual if index else np.nan
    known = np.flatnonzero(~np.isnan(filled))[0]
    filled[:known] = filled[known] - usual * np.arange(known, 0, -1)
    return filled


def usual_interval(times: np.ndarray) -> float:
    """Seconds from one frame to the next as a rule: the mean of those about the median; 0 of a single frame.

    A mean over all would follow pauses and lost frames; the median alone is a tick of a coarse clock off.
    """
    intervals = np.diff(times)
    intervals = intervals[intervals > 0]
    if not len(intervals):
        return 0.0
    median = np.percentile(intervals, 50, method="lower")
    return float(intervals[np.abs(intervals - median) <= _JITTER * median].mean())


def usual_rate(times: np.ndarray) -> float:
    """Frames/s as a rule; a rate next to a whole one, or to one of NTSC, is it. 0 of a single frame."""
    interval = usual_interval(times)
    if not interval:
        return 0.0
    rate = 1 / interval
    whole = max(round(rate), 1)
    ntsc = max(round(rate * 1.001), 1) * 1000 / 1001
    for candidate in (float(whole), ntsc):
        if abs(rate - candidate) <= _RATE_SLACK * candidate:
            return candidate
    return round(rate, 4)


def varies(times: np.ndarray) -> bool:
    """Whether the intervals within a recording differ by more than a coarse clock makes them."""
    usual = usual_interval(times)
    intervals = np.diff(times)
    return bool(len(intervals) and usual and (np.abs(intervals - usual) > _JITTER * usual + 1e-3).any())


def gaps(times: np.ndarray, longest: float | None) -> np.ndarray:
    """(T,) whether time jumps, forwards or backwards, right before a frame.

    Forwards, by more than ``longest`` seconds and three usual intervals, those of the whole recording and those
    around; ``None`` where a unit of time is not known, so that intervals alone count.
    """
    found = np.zeros(len(times), bool)
    intervals = np.diff(times)
    if not len(intervals):
        return found
    around = _running_median(np.abs(intervals), _AROUND)
    usual = np.maximum(around, usual_interval(times))
    found[1:] = (intervals > _GAP_INTERVALS * usual + 1e-9) & (intervals > (longest or 0.0))
    # Two frames of one time are jitter; one before the frame before it by more than that is a jump.
    found[1:] |= intervals < -0.5 * usual
    return found


def cut(times: np.ndarray, breaks: np.ndarray, keep: np.ndarray, longest_gap: float | None) -> list[Piece]:
    """The pieces of a recording.

    ``times`` (T,) seconds; ``breaks`` (T,) whether something changes or is missing right before a frame; ``keep``
    (T,) which frames stay. Every frame that stays is in exactly one piece.
    """
    begins = breaks | gaps(times, longest_gap)
    begins[:1] = True
    begins |= keep & ~np.concatenate([[False], keep[:-1]])
    starts = np.flatnonzero(begins & keep)
    run = np.cumsum(begins)
    counts = {number: int(count) for number, count in zip(*np.unique(run[keep], return_counts=True), strict=True)}
    return [Piece(int(first), counts[run[first]], float(times[first])) for first in starts]


def resample(times: np.ndarray, fps: float) -> np.ndarray:
    """Which frame of a piece is shown at each tick of another rate: indices (n,), repeated and left out as needed.

    A tick shows the last frame whose time, rounded to a tick, is not after it; the last frame lasts as long as a
    usual one.
    """
    ticks = np.floor((times - times[0]) * fps + 0.5).astype(int)
    end = int(np.floor((times[-1] - times[0] + usual_interval(times)) * fps + 0.5))
    return np.searchsorted(np.maximum.accumulate(ticks), np.arange(max(end, 1)), side="right") - 1


def extracted_lengths(times: np.ndarray, pieces: Sequence[Piece], fps: float | None) -> list[int]:
    """Frames of each piece after extraction."""
    if fps is None:
        return [piece.frames for piece in pieces]
    return [len(resample(times[piece.first : piece.stop], fps)) for piece in pieces]


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(values, width // 2, mode="reflect" if len(values) > width // 2 else "edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def _faults(times: np.ndarray) -> float:
    """Times that are missing, or not after the one before. The last ones out of a decoder lack their packets' times."""
    known = times[~np.isnan(times)]
    if not len(known):
        return np.inf
    last = np.flatnonzero(~np.isnan(times))[-1]
    return float(np.isnan(times[:last]).sum() + (np.diff(known) <= 0).sum())
