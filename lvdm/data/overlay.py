"""Texts and logos that are burned into a recording: found, because they stay while the picture moves, and covered.

Where a text lies over a picture, half transparent or not, it adds the same edges to every frame, while the edges of
the scene come and go. Of a few dozen frames, taken evenly from a recording, each pixel's **steady edge** is kept: about
the median of its brightness gradient. It is about nothing where the picture moves.

A text is a place that is dense with steady edges which cancel out: a stroke has two sides. The rim of the endoscopic
picture, a vignette, or the shaft of an instrument at rest is one long edge, whose gradients add up; a slit has edges in
one direction only. And a place counts only if the picture around it moves, or, in a slow scene, has much weaker edges;
other places of the kind beside it are not counted as scene. The whole rectangle is covered, with the weaker letters,
changing digits and lines that go on beside it. Where the camera stands still little can be told; another recording of
the group may tell.

The idea that the gradient of a watermark survives a median over many pictures is from Dekel, Rubinstein, Liu and
Freeman, On the effectiveness of visible watermarks, CVPR 2017. The fill solves Laplace's equation, so that a covered
part is as smooth as its boundary allows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import splu

from lvdm.data.crop import Box

Place = tuple[int, int, int, int]
"""Top, bottom, left and right of a rectangle in an evidence image."""

# Evidence is kept at a shorter side of about this, pixels: letters of a fortieth of the height have 12 there.
_SHORT_SIDE = 480
# A share of the frames that may hide a text, in a highlight or behind smoke. With less, weak texts are lost.
_HIDDEN = 0.45
# Gradients are kept in halves of a level per pixel.
_SCALE = 2.0
_ZERO = 128
# A steady edge, and an edge of the scene, levels per pixel.
_STEADY = 3.0
_EDGE = 3.0
_STEADY_SHARE = 0.5
# Windows as shares of the height: about those of the letters to be found.
_WINDOWS = (0.03, 0.06, 0.12)
_DENSE = 0.2
_CANCELLED = 0.5
# Texts are looked for among all steady edges, and among the clear ones, which a resting scene has fewer of.
_LEVELS = (3.0, 9.0)
# A text has at least this many pixels of steady edges, as a share of the squared height, and at least so many; and
# covers at most this share of the picture.
_LEAST = 0.0006
_FEWEST = 16
_LARGEST = 0.4
# The share of its edges that are steady; and how much of them runs the other way, squared: a slit has none.
_INSIDE = 0.3
_BOTH = 0.08
# The median of its steady edges, levels per pixel, is at least this, and more where edges around it are steady too.
_CLEAR, _CLEARER = 6.0, 60.0
# The share of the edges that are steady around a text, at most, and how far around, as a share of the height.
_STEADY_AROUND = 0.4
_AROUND = 0.12
_FEW_AROUND = 20.0
# In a slow scene, of whose edges at least this share moves beside one that rests, a text is this often as
# clear as three in four edges around it.
_SLOW, _STANDS_OUT, _CLEAR_IN_SLOW = 0.13, 2.6, 10.0
# A text goes on where columns or rows beside it hold this share of steady edges, and as often as this as the picture.
_BESIDE, _BESIDE_AROUND = 0.08, 3.0
_GROWTHS = 6
# How often the rest is looked at again; how clear a neighbour is that may be a text too, beside a candidate.
_PASSES = 3
_AS_CLEAR = 0.6
# A line is at most this high, as a share of the height.
_LINE = 0.15
# The rim of the picture, on either side, as a share of the height.
_RIM = 0.04
_ACTIVE = 1.0
_MARGIN = 0.012
_AT_BORDER = 0.03


@dataclass(frozen=True)
class Evidence:
    """What is kept of a recording's frames; all images uint8, (H // factor, W // factor)."""

    across: np.ndarray
    """Steady gradient from left to right, 128 + 2 per level and pixel."""
    down: np.ndarray
    """The same from top to bottom."""
    activity: np.ndarray
    """Median size of the gradient, 2 per level and pixel."""
    factor: int


@dataclass(frozen=True)
class Overlay:
    """A text or logo in the picture."""

    box: Box
    """left, top, width, height in pixels of the frame."""
    mask: np.ndarray
    """bool (height, width) of ``box``: what to cover, which is all of it."""
    at_border: bool
    """It reaches the rim of the crop box, so that a smaller crop could take it away."""


def evidence(frames: Iterable[np.ndarray]) -> Evidence:
    """Evidence of frames of one size, uint8 (H, W, 3) or (H, W), about 24 taken evenly from a recording.

    Raises ``ValueError`` for fewer than two.
    """
    # Red tissue is dark and steady in the green channel; white, yellow, green and black texts differ from it there.
    greys = [frame[..., 1] if frame.ndim == 3 else frame for frame in frames]
    if len(greys) < 2:
        raise ValueError(f"overlays are looked for in at least two frames, got {len(greys)}")
    factor = max(1, round(min(greys[0].shape) / _SHORT_SIDE))
    stack = np.stack([_reduced(grey, factor) for grey in greys])
    across, down = (np.gradient(stack, axis=axis) for axis in (2, 1))
    activity = np.sort(np.hypot(across, down), axis=0)[len(stack) // 2]
    return Evidence(*(_stored(_steady(gradient), _ZERO) for gradient in (across, down)), _stored(activity, 0), factor)


def combined(several: Sequence[Evidence]) -> Evidence:
    """Evidence of recordings of one size: the edges that are steady in all of them.

    A fixed logo is left, also over recordings in which little moves; a text that differs between them is not, so look
    for overlays in each of them as well. Raises ``ValueError`` without any, or for different sizes.
    """
    if len({(one.across.shape, one.factor) for one in several}) != 1:
        raise ValueError("evidence of recordings of one size is wanted, and of at least one recording")
    edges = []
    for name in ("across", "down"):
        signed = np.stack([getattr(one, name) for one in several]).astype(np.int16) - _ZERO
        edges.append((_weakest(signed.min(axis=0), signed.max(axis=0)) + _ZERO).astype(np.uint8))
    activity = np.median([one.activity for one in several], axis=0).astype(np.uint8)
    return Evidence(*edges, activity, several[0].factor)


def find_overlays(found: Evidence, box: Box) -> list[Overlay]:
    """Texts and logos inside the crop ``box`` (left, top, width, height in pixels), from the top down."""
    across, down = (_levels(image) for image in (found.across, found.down))
    steady = np.hypot(across, down)
    activity = found.activity / np.float32(_SCALE)
    inside = np.zeros(steady.shape, bool)
    left, top, width, height = (round(value / found.factor) for value in box)
    inside[top : top + height, left : left + width] = True
    stays = (steady >= _STEADY) & (steady >= _STEADY_SHARE * activity)
    moves = (activity >= _EDGE) & ~stays
    rim = _rim(activity)
    candidates = []
    for level in _LEVELS:
        resting = stays & (steady >= level) & ~rim
        dense = _dense(across * resting, down * resting, resting)
        labels, _ = ndimage.label(ndimage.binary_closing(dense, iterations=max(1, len(dense) // 60)) | dense)
        for number, place in enumerate(ndimage.find_objects(labels), start=1):
            piece = labels[place] == number
            if (piece & inside[place]).any() and _may_be(piece, place, across, down, resting, moves & ~rim):
                candidates.append((piece, place, float(np.median(steady[place][piece & resting[place]]))))
    places: list[Place] = []
    stays_around, moves_around = stays & ~rim, moves & ~rim
    # One text beside another is no still scene: others as clear, and what was found, are taken away.
    for _ in range(_PASSES):
        rest = []
        for piece, place, strength in candidates:
            own_stays = stays_around.copy()
            for other, there, clear in candidates:
                if there != place and clear >= _AS_CLEAR * strength and clear >= _LEVELS[-1]:
                    own_stays[there] &= ~ndimage.binary_dilation(other, iterations=2)
            if _stands_out(piece, place, strength, steady, own_stays, moves_around):
                places.append(_completed(place, stays, activity))
            else:
                rest.append((piece, place, strength))
        if len(rest) == len(candidates):
            break
        candidates = rest
        for top, bottom, left, right in places:
            stays_around[top:bottom, left:right] = moves_around[top:bottom, left:right] = False
    return _overlays(places, inside, found.factor)


def cover(frames: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of ``frames`` uint8 (T, H, W, 3) in which ``mask``, bool (H, W), is filled smoothly from its boundary.

    Raises ``ValueError`` if sizes differ, or if the mask leaves nothing to fill from.
    """
    if mask.shape != frames.shape[1:3] or mask.dtype != bool:
        raise ValueError(f"the mask must be bool {frames.shape[1:3]}, got {mask.dtype} {mask.shape}")
    if mask.all():
        raise ValueError("the mask covers all of the picture, and nothing is left to fill it from")
    filled = frames.copy()
    if not mask.any():
        return filled
    inner, outer = _laplace(mask)
    solve = splu(inner)
    rows, columns = np.nonzero(mask)
    for frame in filled:
        known = outer @ frame.reshape(-1, frame.shape[-1]).astype(np.float64)
        frame[rows, columns] = np.clip(np.rint(solve.solve(known)), 0, 255).astype(np.uint8)
    return filled


def _reduced(grey: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks, float32."""
    height, width = (side // factor * factor for side in grey.shape)
    blocks = grey[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _steady(gradient: np.ndarray) -> np.ndarray:
    hidden = int(_HIDDEN * (len(gradient) - 1))
    ordered = np.sort(gradient, axis=0)
    return _weakest(ordered[hidden], ordered[-1 - hidden])


def _weakest(least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Of values between ``least`` and ``most`` the one nearest to 0."""
    return np.maximum(least, 0) + np.minimum(most, 0)


def _stored(levels: np.ndarray, zero: int) -> np.ndarray:
    return np.clip(np.rint(levels * _SCALE) + zero, 0, 255).astype(np.uint8)


def _levels(stored: np.ndarray) -> np.ndarray:
    return (stored.astype(np.float32) - _ZERO) / np.float32(_SCALE)


def _dense(across: np.ndarray, down: np.ndarray, resting: np.ndarray) -> np.ndarray:
    """Where steady edges are dense and cancel out, in a window of some size."""
    dense = np.zeros(resting.shape, bool)
    size = np.hypot(across, down)
    for share in _WINDOWS:
        window = max(5, round(share * len(resting)))
        density, total, right, below = (
            ndimage.uniform_filter(image.astype(np.float32), window, mode="constant")
            for image in (resting, size, across, down)
        )
        dense |= (density >= _DENSE) & (np.hypot(right, below) <= _CANCELLED * total)
    return dense


def _rim(activity: np.ndarray) -> np.ndarray:
    """A band along the outline of the picture, where black or a panel surrounds it: nothing ever moves there."""
    height = len(activity)
    active = ndimage.uniform_filter((activity >= _ACTIVE).astype(np.float32), max(3, height // 60)) > 0.3
    # What is thinner than text in a panel, or a gap in the picture, is none of its outline.
    reach = max(2, height // 25)
    padded = np.pad(active, 2 * reach, mode="edge")
    padded = ndimage.binary_closing(padded, iterations=max(1, height // 100))
    padded = ndimage.binary_opening(padded, iterations=reach)
    labels, count = ndimage.label(padded[2 * reach : -2 * reach, 2 * reach : -2 * reach])
    if not count:
        return np.zeros(active.shape, bool)
    sizes = np.bincount(labels.ravel())
    picture = ndimage.binary_fill_holes(labels == sizes[1:].argmax() + 1)
    width = max(3, round(_RIM * height))
    grown = ndimage.binary_dilation(picture, iterations=width)
    return grown & ~ndimage.binary_erosion(picture, iterations=width, border_value=1)


def _may_be(
    piece: np.ndarray,
    place: tuple[slice, ...],
    across: np.ndarray,
    down: np.ndarray,
    resting: np.ndarray,
    moves: np.ndarray,
) -> bool:
    """Whether a piece, bool of the size of ``place``, has as many steady edges as a text, in all directions."""
    own = piece & resting[place]
    count, height = int(own.sum()), len(across)
    if count < max(_FEWEST, _LEAST * height**2) or piece.sum() > _LARGEST * across.size:
        return False
    if count < _INSIDE * (piece & (moves[place] | resting[place])).sum():
        return False
    both = [float((gradient[place][own] ** 2).sum()) for gradient in (across, down)]
    return min(both) >= _BOTH * max(both)


def _stands_out(
    piece: np.ndarray,
    place: tuple[slice, ...],
    strength: float,
    steady: np.ndarray,
    stays: np.ndarray,
    moves: np.ndarray,
) -> bool:
    """Whether the picture moves around a piece, or rests, but with much weaker edges."""
    height, width = stays.shape
    reach = max(4, round(_AROUND * height))
    beside = tuple(
        slice(max(0, part.start - reach), min(side, part.stop + reach))
        for part, side in zip(place, (height, width), strict=True)
    )
    own = np.zeros((beside[0].stop - beside[0].start, beside[1].stop - beside[1].start), bool)
    inner = tuple(slice(p.start - o.start, p.stop - o.start) for p, o in zip(place, beside, strict=True))
    own[inner] = piece
    around = ~ndimage.binary_dilation(own, iterations=max(2, reach // 6))
    still, moving = (int((edges[beside] & around).sum()) for edges in (stays, moves))
    # Of few edges around it nothing can be told: some may be its own.
    share = min(still / max(still + moving, 1), _FEW_AROUND * still / max(int(around.sum()), 1))
    if share <= _STEADY_AROUND and strength >= _CLEAR + _CLEARER * share:
        return True
    # Much of a slow scene rests as well, but few of its edges are as clear as a text.
    if moving < _SLOW * still or strength < _CLEAR_IN_SLOW:
        return False
    return strength >= _STANDS_OUT * float(np.percentile(steady[beside][stays[beside] & around], 75))


def _completed(place: tuple[slice, ...], stays: np.ndarray, activity: np.ndarray) -> Place:
    """Top, bottom, left and right of a text, with the letters and lines beside it that are weaker, or change."""
    height = len(stays)
    top, bottom, left, right = place[0].start, place[0].stop, place[1].start, place[1].stop
    least = max(_BESIDE, _BESIDE_AROUND * float(stays.mean()))
    for _ in range(_GROWTHS):
        before = (top, bottom, left, right)
        line = min(bottom - top, round(_LINE * height))
        columns = stays[top:bottom].mean(axis=0) >= least
        left, right = _grown(left, right, columns, line)
        left, right = _grown(left, right, _busy(activity[top:bottom], left, right), line // 2, 3 * line)
        rows = stays[:, left:right].mean(axis=1) >= least
        top, bottom = _grown(top, bottom, rows, line * 2 // 3)
        if before == (top, bottom, left, right):
            break
    margin = max(2, round(_MARGIN * height))
    return max(0, top - margin), bottom + margin, max(0, left - margin), right + margin


def _busy(line: np.ndarray, left: int, right: int) -> np.ndarray:
    """Columns with edges half as dense as in a text: letters that change, as those of a clock do."""
    density = ndimage.uniform_filter1d(line.mean(axis=0), max(3, len(line) // 2))
    return density >= max(0.6 * float(density[left:right].mean()), 1.5 * float(np.median(density)))


def _grown(first: int, stop: int, flags: np.ndarray, gap: int, furthest: int | None = None) -> tuple[int, int]:
    """The range ``first`` to ``stop`` with flags on either side that follow within ``gap``."""
    least, most = (0, len(flags)) if furthest is None else (first - furthest, stop + furthest)
    while (near := np.flatnonzero(flags[max(0, first - gap, least) : first])).size:
        first = max(0, first - gap, least) + int(near[0])
    while (near := np.flatnonzero(flags[stop : min(stop + gap, most)])).size:
        stop += int(near[-1]) + 1
    return first, stop


def _overlays(places: list[Place], inside: np.ndarray, factor: int) -> list[Overlay]:
    """Overlays of rectangles (top, bottom, left, right), those that touch put together."""
    covered = np.zeros(inside.shape, bool)
    for _ in range(len(places)):
        for top, bottom, left, right in places:
            covered[top:bottom, left:right] = True
        joined = [(r.start, r.stop, c.start, c.stop) for r, c in ndimage.find_objects(ndimage.label(covered)[0])]
        if joined == places:
            break
        places = joined
    rim = inside & ~ndimage.binary_erosion(inside, iterations=max(2, round(_AT_BORDER * len(inside))))
    overlays = []
    for rows, columns in ndimage.find_objects(ndimage.label(covered & inside)[0]):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        box = tuple(int(value) * factor for value in (columns.start, rows.start, width, height))
        mask = np.ones((height * factor, width * factor), bool)
        overlays.append(Overlay(box, mask, bool(rim[rows, columns].any())))
    return overlays


def _laplace(mask: np.ndarray) -> tuple[sparse.csc_matrix, sparse.csr_matrix]:
    """Laplace's equation on the mask: matrices of the unknown pixels (N, N) and of all known ones (N, H * W)."""
    numbers = np.full(mask.shape, -1)
    numbers[mask] = np.arange(mask.sum())
    rows, columns = np.nonzero(mask)
    own = numbers[mask]
    neighbours = np.zeros(len(own))
    inner, outer = [], []
    for step_down, step_right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        y, x = rows + step_down, columns + step_right
        exists = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
        neighbours += exists
        there, y, x = own[exists], y[exists], x[exists]
        unknown = mask[y, x]
        inner.append((there[unknown], numbers[y, x][unknown]))
        outer.append((there[~unknown], (y * mask.shape[1] + x)[~unknown]))
    size = len(own)
    links = sparse.coo_matrix(_ones(inner), shape=(size, size))
    return (sparse.diags(neighbours) - links).tocsc(), sparse.coo_matrix(_ones(outer), shape=(size, mask.size)).tocsr()


def _ones(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    first, second = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return np.ones(len(first)), (first, second)
