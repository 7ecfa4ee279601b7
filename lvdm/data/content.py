"""Frames that show nothing that a camera saw: black, blank and frozen ones; and repeats.

A few numbers are measured per frame while it is decoded, and kept. What is left out is decided from them later, so
that another configuration needs no second decoding.

The luma plane is sampled at about 144 x 256 points, in cells of 6 x 8 of them (about 24 x 32 cells). All figures come
from the means of cells: the noise of a camera and of lossy coding averages out there, and the means of a picture that
moves change all the same.

**Plain** is a cell whose mean lies on a plateau of the histogram of means: at least 2 % of the cells within 3 levels of
each other, and next to nothing in the 4 levels on either side. One colour makes one plateau, a test pattern several. A
lit scene has gradients and no plateaus, be it dark, red or in smoke.

**Black** is a frame whose cells are plain but for a logo or a text (4 % of them anywhere, or 15 % outside the middle
quarter of the frame), with neutral colour and a luma of at most 36 (recorders write black as RGB 0 to about 20, which
is at most 34 in limited range). **Blank** is a frame of plain cells (85 %) on one other plateau, or two with a text, or
a test pattern that stands still: at least five plateaus that cover 65 % (bars, the rest being cells across an edge).

**Frozen**: between two frames the picture *stands still* if 93 % of the cells change by at most 0.5 levels, and *pops*
if they change by at most 4: lossy coding that sends a picture anew at a key frame. The smaller part may do what it
likes: a clock, a blinking sign. A frozen stretch goes on as long as the picture stands still, or pops for at most three
frames in succession; it stands still in at least 70 % of the steps, the median step is at most 0.3 levels (a resting
camera whose noise the encoder took away has more), and a slow drift of 4 levels ends it. At either end it takes in up
to three steps of at most 1.5 levels if the step beyond is half as large again: a picture that froze is refined by the
encoder in the first frames. It counts if it is on show for at least ``frozen`` seconds and holds at least five
repeats, since a capsule at 2 frames/s that rests for a second has shown nothing wrong. Its first frame is a true one
and stays. A shorter repeat stays, and is counted by ``repeats``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lvdm.data.config import CutConfig

REASONS = ("", "black", "blank", "frozen")
"""What the codes of ``left_out`` mean; 0 is kept."""

MEASURES = ("plain", "plain_middle", "plateaus", "level", "colour", "equal", "change", "drift")
"""The columns of the measures, in order: see ``measure``."""

# Sampled rows and columns, and how many of each make a cell.
_ROWS, _COLUMNS = 144, 256
_CELL = (6, 8)
# Half widths of a plateau and of the window that must hold little else, levels.
_ON, _AROUND = 3, 7
_PLATEAU = 0.02
_LITTLE_ELSE = 0.92
_SAME_COLOUR = 8
# Black.
_BLACK_LEVEL = 36
_NEUTRAL = 10
_BLACK = 0.96
_BLACK_BUT_FOR_LOGO = 0.85
_MIDDLE = 0.985
# Blank.
_BLANK = 0.85
_BARS, _BARS_SHARE = 5, 0.65
_ONE_COLOUR = 2
# Frozen.
_BULK = 0.93
_MANY_CELLS = 400
_FEW_CELLS = 100
_QUIET = 0.5
_POP = 4.0
_POPS_IN_SUCCESSION = 3
_QUIET_SHARE = 0.7
_MEDIAN_STEP = 0.3
_REFINED, _REFINED_STEPS, _STEP_BEYOND = 1.5, 3, 1.5
# A step of more than this is none of a slow drift, and the drift is counted anew.
_NO_DRIFT = 1.0
_FEWEST_REPEATS = 5
_CLOCK = 1e-3
# Repeats.
_REPEATED = 1.0
_CLEAR = 0.25
_LONGEST_PERIOD = 30
_REGULAR = 0.8
_FEWEST_PERIODS = 4


class Seen(NamedTuple):
    """What ``measure`` keeps of a frame for the next one."""

    samples: np.ndarray
    """(R * 6, C * 8) uint8: the sampled luma."""
    cells: np.ndarray
    """(R, C) float32: means of cells, levels."""
    anchor: np.ndarray
    """The cells of the frame that a slow drift is counted from."""


@dataclass(frozen=True)
class Repeats:
    """Frames that repeat the one before, and the pattern that they make."""

    frames: int
    share: float
    """Of all frames."""
    pattern: tuple[int, int] | None
    """(a, b): a of b frames are new, again and again."""
    rate: float | None
    """The true rate where there is a pattern, frames/s."""


def measure(luma: np.ndarray, chroma: tuple[np.ndarray, ...] | None, previous: Seen | None) -> tuple[np.ndarray, Seen]:
    """The measures of a frame, float32 (len(MEASURES),), and what the next call wants as ``previous``.

    ``luma`` is uint8 (H, W), at least 6 x 8; ``chroma`` its two planes, uint8 around 128, of any size; both may be
    views. ``previous`` is None for the first frame, and ignored where the size has changed.

    ``plain`` and ``plain_middle``: share of plain cells, of all and of the middle quarter. ``plateaus``: how many.
    ``level`` and ``colour``: luma of the largest plateau and its distance from neutral (0 without chroma), or -1
    without a plateau. ``equal``: share of samples equal to the frame before. ``change`` and ``drift``: how far 93 % of
    the cells are at most from the frame before and from an earlier one, the anchor, levels; inf without a frame before.
    A drift of more than 4, or a change of more than 1, makes the frame the new anchor. Raises ``ValueError``.
    """
    if luma.ndim != 2 or luma.dtype != np.uint8 or luma.shape[0] < _CELL[0] or luma.shape[1] < _CELL[1]:
        raise ValueError(f"luma must be uint8 (H, W) of at least 6 x 8, got {luma.dtype} {luma.shape}")
    samples = _sampled(luma)
    cells = _cell_means(samples)
    equal, change, drift, anchor = 0.0, np.inf, np.inf, cells
    if previous is not None and previous.samples.shape == samples.shape:
        equal = np.count_nonzero(samples == previous.samples) / samples.size
        change = _change(samples, cells, previous) if equal < 1 else 0.0
        drift = _bulk(cells, previous.anchor)
        anchor = previous.anchor if drift <= _POP and change <= _NO_DRIFT else cells
    values = (*_plainness(cells, chroma), equal, change, drift)
    return np.array(values, np.float32), Seen(samples, cells, anchor)


def left_out(measures: np.ndarray, times: np.ndarray, cut: CutConfig) -> np.ndarray:
    """Which frames to leave out, and why: int8 (T,), 0 or an index of ``REASONS``.

    ``measures`` is (T, len(MEASURES)) of consecutive frames, ``times`` (T,) in seconds. Raises ``ValueError``.
    """
    _check(measures, times)
    reasons = np.zeros(len(measures), np.int8)
    if cut.frozen is not None:
        for first, last in _still_stretches(measures, times, cut.frozen):
            reasons[first + 1 : last + 1] = REASONS.index("frozen")
    black, blank = _black_and_blank(measures)
    if cut.blank:
        reasons[blank] = REASONS.index("blank")
    if cut.black:
        reasons[black] = REASONS.index("black")
    return reasons


def repeats(measures: np.ndarray, times: np.ndarray, frozen: float | None = 0.5) -> Repeats:
    """Frames that repeat the one before, outside stretches of ``frozen`` seconds and black or blank frames.

    A repeat changes by at most 1 level and by less than a quarter of what one of the two steps on either side does.
    A pattern is the shortest period of at most 30 frames after which four in five repeats are repeats again.
    ``measures`` and ``times`` as in ``left_out``. Raises ``ValueError``.
    """
    _check(measures, times)
    count = len(measures)
    kept = left_out(measures, times, CutConfig(frozen=frozen)) == 0
    kept[1:] &= kept[:-1].copy()
    change = measures[:, MEASURES.index("change")]
    around = np.pad(np.where(np.isfinite(change), change, 0), 2)
    clear = change <= _CLEAR * sliding_window_view(around, 5).max(axis=-1)
    repeated = kept & (change <= _REPEATED) & clear
    found = int(repeated.sum())
    pattern = _pattern(repeated, kept)
    if pattern is None:
        return Repeats(found, found / max(count, 1), None, None)
    rate = pattern[0] / pattern[1] / _interval(times)
    return Repeats(found, found / count, pattern, rate)


def _sampled(luma: np.ndarray) -> np.ndarray:
    rows, columns = (max(1, side // wanted) for side, wanted in zip(luma.shape, (_ROWS, _COLUMNS), strict=True))
    samples = luma[rows // 2 :: rows, columns // 2 :: columns]
    height, width = (side // cell * cell for side, cell in zip(samples.shape, _CELL, strict=True))
    top, left = (samples.shape[0] - height) // 2, (samples.shape[1] - width) // 2
    return np.ascontiguousarray(samples[top : top + height, left : left + width])


def _cell_means(samples: np.ndarray) -> np.ndarray:
    height, width = _CELL
    rows = samples.reshape(-1, height, samples.shape[1]).sum(axis=1, dtype=np.uint16)
    sums = rows.reshape(len(rows), -1, width).sum(axis=2, dtype=np.uint16)
    return sums.astype(np.float32) / (height * width)


def _change(samples: np.ndarray, cells: np.ndarray, previous: "Seen") -> float:
    if cells.size >= _FEW_CELLS:
        return _bulk(cells, previous.cells)
    # What moves in a tiny picture is smaller than a cell: every sample counts.
    return float(np.abs(samples.astype(np.int16) - previous.samples).max())


def _bulk(cells: np.ndarray, others: np.ndarray) -> float:
    distances = np.abs(cells - others).ravel()
    # Of a small picture's few cells a moving part may be no more than a clock is elsewhere.
    bulk = 1 - (1 - _BULK) * min(1.0, distances.size / _MANY_CELLS)
    rank = min(int(bulk * distances.size), distances.size - 1)
    return float(np.partition(distances, rank)[rank])


def _plainness(cells: np.ndarray, chroma: tuple[np.ndarray, ...] | None) -> tuple[float, float, int, int, float]:
    """plain, plain_middle, plateaus, level, colour."""
    levels = np.rint(cells).astype(np.intp)
    histogram = np.bincount(levels.ravel(), minlength=256)
    on, around = (_windowed(histogram, half) for half in (_ON, _AROUND))
    centres = (on >= _PLATEAU * cells.size) & (on >= _LITTLE_ELSE * around)
    if not centres.any():
        return 0.0, 0.0, 0, -1, -1.0
    covered = _windowed(centres, _ON) > 0
    plain = covered[levels]
    level = int(np.argmax(np.where(centres, on, 0)))
    # Of equal sums the middle one is the level.
    best = np.flatnonzero(centres & (on == on[level]))
    level = int(best[np.abs(best - level) <= 2 * _ON].mean())
    colour = 0.0
    if chroma is not None:
        largest = np.abs(levels - level) <= _ON
        for plane in chroma:
            hues = _at_cells(plane, cells.shape)
            hue = float(np.median(hues[largest]))
            colour = max(colour, abs(hue - 128))
            plain &= ~largest | (np.abs(hues - hue) <= _SAME_COLOUR)
    rows, columns = (slice(side // 4, side - side // 4) for side in cells.shape)
    plateaus = np.count_nonzero(covered[1:] & ~covered[:-1]) + int(covered[0])
    return float(plain.mean()), float(plain[rows, columns].mean()), plateaus, level, colour


def _windowed(values: np.ndarray, half: int) -> np.ndarray:
    """Sums over ``half`` levels on either side."""
    total = np.cumsum(np.pad(values.astype(np.intp), (half + 1, half)))
    return total[2 * half + 1 :] - total[: -2 * half - 1]


def _at_cells(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """One value per cell, from its middle, float32."""
    rows, columns = ((2 * np.arange(n) + 1) * side // (2 * n) for n, side in zip(shape, plane.shape, strict=True))
    return plane[rows[:, None], columns].astype(np.float32)


def _check(measures: np.ndarray, times: np.ndarray) -> None:
    if measures.ndim != 2 or measures.shape[1] != len(MEASURES) or times.shape != measures.shape[:1]:
        raise ValueError(
            f"measures must be (T, {len(MEASURES)}) and times (T,), got {measures.shape} and {times.shape}: "
            "inspect the recording again"
        )


def _black_and_blank(measures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    plain, middle, plateaus, level, colour = measures[:, :5].T
    dark = (level >= 0) & (level <= _BLACK_LEVEL) & (colour <= _NEUTRAL)
    bars = (plateaus >= _BARS) & (plain >= _BARS_SHARE)
    black = dark & ~bars & ((plain >= _BLACK) | ((plain >= _BLACK_BUT_FOR_LOGO) & (middle >= _MIDDLE)))
    one_colour = (plain >= _BLANK) & (plateaus <= _ONE_COLOUR) & ~dark
    return black, one_colour | (bars & _still(measures))


def _still(measures: np.ndarray) -> np.ndarray:
    """Whether a frame is as the one before it, or as the one after."""
    same = measures[:, MEASURES.index("change")] <= _QUIET
    return same | np.append(same[1:], False)


def _interval(times: np.ndarray) -> float:
    """The usual time from frame to frame, s."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _still_stretches(measures: np.ndarray, times: np.ndarray, frozen: float) -> list[tuple[int, int]]:
    """First and last frame of each frozen stretch."""
    change, drift = (measures[:, MEASURES.index(name)] for name in ("change", "drift"))
    broken = (change > _POP) | ((drift > _POP) & (change <= _NO_DRIFT))
    interval = _interval(times)
    stretches = []
    for begin, end in _runs(~broken):
        for first, last in _joined(change[begin:end] <= _QUIET):
            first, last = _with_refined(change, begin + first, begin + last)
            steps = change[first : last + 1]
            shown = times[last] - times[first - 1] + interval
            long_enough = len(steps) >= _FEWEST_REPEATS and shown >= frozen - _CLOCK
            if long_enough and np.median(steps) <= _MEDIAN_STEP:
                stretches.append((first - 1, last))
    return stretches


def _joined(quiet: np.ndarray) -> list[tuple[int, int]]:
    """First and last step of runs that are quiet but for pops, which are short and few."""
    joined: list[list[int]] = []
    for begin, end in _runs(quiet):
        if joined and begin - joined[-1][1] - 1 <= _POPS_IN_SUCCESSION:
            joined[-1][1] = end - 1
        else:
            joined.append([begin, end - 1])
    return [(first, last) for first, last in joined if quiet[first : last + 1].mean() >= _QUIET_SHARE]


def _with_refined(change: np.ndarray, first: int, last: int) -> tuple[int, int]:
    """The steps ``first`` to ``last``, and those at either end by which an encoder refined a still picture."""
    before, after = change[:first][::-1], np.append(change[last + 1 :], np.inf)
    return first - _refined(before), last + _refined(after)


def _refined(outwards: np.ndarray) -> int:
    """How many of the steps that lead away from a still picture belong to it."""
    largest, found = 0.0, 0
    for number, step in enumerate(outwards[: _REFINED_STEPS + 1]):
        if number and step >= _STEP_BEYOND * largest:
            found = number
        largest = max(largest, float(step))
        if largest > _REFINED:
            break
    return found


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of true values."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _pattern(repeated: np.ndarray, kept: np.ndarray) -> tuple[int, int] | None:
    for period in range(2, min(_LONGEST_PERIOD, len(repeated) // _FEWEST_PERIODS) + 1):
        both = kept[:-period] & kept[period:]
        first, second = repeated[:-period][both], repeated[period:][both]
        if first.sum() < _FEWEST_PERIODS or second.sum() < _FEWEST_PERIODS:
            continue
        again = np.count_nonzero(first & second)
        new = period - round(repeated[kept].mean() * period)
        if again >= _REGULAR * max(first.sum(), second.sum()) and 0 < new < period:
            return new, period
    return None
