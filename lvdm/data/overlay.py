"""Texts and logos that are burned into a recording: found, because they stay while the picture moves, and covered.

Where a text lies over a picture, half transparent or not, it adds the same edges to every frame, while the edges of
the scene come and go. Of a few dozen frames, taken evenly from a recording, each pixel's **steady edge** is kept: the
part of its brightness gradient that four in five frames have at least. It is about nothing where the picture moves.

A text is a place that is dense with steady edges which cancel out: a stroke has two sides. The rim of the endoscopic
picture, a vignette, or the shaft of an instrument at rest is one long edge, whose gradients add up. And a place counts
only if the picture around it moves: of its own edges most are steady, of those around it few are. Where the camera
stands still nothing can be told, and nothing is said; another recording of the group may tell.

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

# Evidence is kept at a shorter side of about this, pixels: letters of a fortieth of the height have 12 there.
_SHORT_SIDE = 480
# A share of the frames that may hide a text: in a highlight, behind smoke.
_HIDDEN = 0.2
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
# A text has at least this many pixels of steady edges, as a share of the squared height, and at least so many.
_LEAST = 0.0006
_FEWEST = 16
# The median of its steady edges, levels per pixel; and the share of its edges that are steady: more if they are weak.
_CLEAR = 7.0
_INSIDE, _INSIDE_STRONG, _STRONG = 0.4, 0.3, 14.0
# Shares of the edges that are steady around a text, and how far around, as a share of the height.
_STEADY_AROUND = 0.4
_AROUND = 0.12
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
    """bool (height, width) of ``box``: what to cover."""
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
    edges = (activity >= _EDGE) & ~_rim(activity)
    resting = (steady >= _STEADY) & (steady >= _STEADY_SHARE * activity) & ~_rim(activity)
    dense = _dense(across * resting, down * resting, resting)
    labels, _ = ndimage.label(ndimage.binary_closing(dense, iterations=max(1, len(dense) // 60)) | dense)
    masks = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        piece = labels == number
        if (piece & inside).any() and _is_overlay(piece, place, steady, resting, edges):
            masks.append(_completed(piece, activity))
    return _overlays(masks, inside, found.factor)


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


def _is_overlay(
    piece: np.ndarray, place: tuple[slice, ...], steady: np.ndarray, resting: np.ndarray, edges: np.ndarray
) -> bool:
    height = len(piece)
    own = piece & resting
    if own.sum() < max(_FEWEST, _LEAST * height**2):
        return False
    strength = np.median(steady[own])
    share = own.sum() / (piece & (edges | resting)).sum()
    if strength < _CLEAR or share < (_INSIDE_STRONG if strength >= _STRONG else _INSIDE):
        return False
    reach = max(4, round(_AROUND * height))
    rows, columns = (slice(max(0, part.start - reach), part.stop + reach) for part in place)
    gap = ndimage.binary_dilation(piece[rows, columns], iterations=max(2, reach // 6))
    around = edges[rows, columns] & ~gap
    return bool(not around.any() or resting[rows, columns][around].mean() <= _STEADY_AROUND)


def _completed(piece: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """The piece with the letters beside it that change, as those of a clock do, and with a margin."""
    rows = np.flatnonzero(piece.any(axis=1))
    columns = np.flatnonzero(piece.any(axis=0))
    height = rows[-1] + 1 - rows[0]
    line = slice(rows[0], rows[-1] + 1)
    # A letter that changes has edges half as dense as its neighbours at least, in the mean over the line's height.
    density = ndimage.uniform_filter1d(activity[line].mean(axis=0), max(3, height // 2))
    busy = density >= 0.6 * density[columns].mean()
    first, last = columns[0], columns[-1]
    furthest = 3 * height
    while first > 0 and busy[first - 1] and columns[0] - first < furthest:
        first -= 1
    while last + 1 < len(busy) and busy[last + 1] and last - columns[-1] < furthest:
        last += 1
    whole = piece.copy()
    whole[line, first : last + 1] = True
    return ndimage.binary_dilation(whole, iterations=max(2, round(_MARGIN * len(piece))))


def _overlays(masks: list[np.ndarray], inside: np.ndarray, factor: int) -> list[Overlay]:
    """Overlays of masks, those that touch put together."""
    if not masks:
        return []
    labels, _ = ndimage.label(np.logical_or.reduce(masks) & inside)
    rim = inside & ~ndimage.binary_erosion(inside, iterations=max(2, round(_AT_BORDER * len(inside))))
    overlays = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[rows, columns] == number
        box = tuple(int(value) * factor for value in (columns.start, rows.start, mask.shape[1], mask.shape[0]))
        full = np.kron(mask, np.ones((factor, factor), bool)) if factor > 1 else mask
        overlays.append(Overlay(box, full, bool((mask & rim[rows, columns]).any())))
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
