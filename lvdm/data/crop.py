"""Where the picture is: detection of black borders and burned-in side panels.

An endoscopy system draws a bright disc, octagon or rectangle on black, with text and thumbnails beside
it. What surrounds the picture stays dark, or stands still while the picture moves. A region is cropped
away only when it looks like that: the picture is one convex piece, its edge is sharp, and what lies
beyond has one colour. A dark corner of a scene is none of this, and stays.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Box = tuple[int, int, int, int]
"""left, top, width, height in pixels."""

# Brightness 0 to 255, the largest of R, G and B. Recorders write black as anything up to about 20.
_BLACK = 24
# A panel's background is dark grey or blue at most,
_PANEL = 80
# and changes by no more than compression noise,
_STILL = 8
# while the picture changes by more than this (median over its pixels).
_MOVING = 16
# Rise of brightness across the edge of a picture, against the soft fall-off of light in a scene.
_EDGE_RISE = 16
_EDGE_REACH = 4
# A border has one colour, within compression noise, in this share of it; the rest is text and thumbnails.
_FLAT = 4
_FLAT_SHARE = 0.6
# Share of its convex hull that a picture fills; dark tissue at the rim takes some away.
_CONVEX = 0.9
# A box smaller than this share of the frame is taken for a mistake.
_SMALLEST = 0.25
# Margins below this share of a side are left alone: a blurred edge row is no border.
_THINNEST = 0.004


@dataclass(frozen=True)
class Crop:
    """The part of the frame that holds the picture (left, top, width, height), and how it was found."""

    box: Box
    note: str


def find_crop(low: np.ndarray, peak: np.ndarray) -> Crop:
    """Find the picture in what pixels are at their darkest and brightest, uint8 (H, W) each, max(R, G, B).

    The whole frame is returned, with a note, wherever there is doubt.
    """
    height, width = peak.shape
    picture = _picture(low, peak)
    whole = (0, 0, width, height)
    if picture is None:
        return Crop(whole, "no crop: all of it is dark")
    box = _bounding_box(picture)
    if box == whole:
        return Crop(whole, "no crop: the picture fills the frame")
    if box[2] * box[3] < _SMALLEST * width * height:
        return Crop(whole, "no crop: what is bright is less than a quarter of the frame")
    if _convexity(picture) < _CONVEX:
        return Crop(whole, "no crop: the dark part has no regular outline, so it belongs to the scene")
    box = _bordered_sides(box, picture, peak)
    if box == whole:
        return Crop(whole, "no crop: the dark margin is not flat, or fades into the picture")
    return Crop(box, "flat dark margin with a sharp edge")


def _picture(low: np.ndarray, peak: np.ndarray) -> np.ndarray | None:
    """The largest connected piece of what is neither black nor a still panel, its holes filled."""
    bright = peak > _BLACK
    if not bright.any():
        return None
    change = peak.astype(int) - low
    if np.median(change[bright]) > _MOVING:
        bright &= ~((change <= _STILL) & (peak <= _PANEL))
    # Strokes of text are thin: an opening removes them, also where they touch the picture.
    radius = max(2, min(peak.shape) // 60)
    opened = ndimage.binary_opening(_padded(bright, radius), np.ones((3, 3)), iterations=radius)
    labels, pieces = ndimage.label(opened[radius:-radius, radius:-radius])
    if not pieces:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == sizes.argmax())


def _padded(mask: np.ndarray, radius: int) -> np.ndarray:
    # Repeated edges, so that the opening does not eat the picture away at the frame's own edge.
    return np.pad(mask, radius, mode="edge")


def _bounding_box(mask: np.ndarray) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    left, right = _snapped(columns[0], columns[-1] + 1, mask.shape[1])
    top, bottom = _snapped(rows[0], rows[-1] + 1, mask.shape[0])
    return left, top, right - left, bottom - top


def _snapped(start: int, stop: int, size: int) -> tuple[int, int]:
    thinnest = max(2, round(_THINNEST * size))
    return (int(start) if start >= thinnest else 0), (int(stop) if size - stop >= thinnest else size)


def _convexity(mask: np.ndarray) -> float:
    """Area over the area of the convex hull, counted in pixels' corners."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows][:, ::-1].argmax(axis=1)
    corners = [(x, y + d) for y, a, b in zip(rows, first, last, strict=True) for x in (a, b) for d in (0, 1)]
    try:
        return float(mask.sum() / ConvexHull(np.array(corners)).volume)
    except QhullError:
        return 0.0


def _bordered_sides(box: Box, picture: np.ndarray, peak: np.ndarray) -> Box:
    """``box`` with every side moved out to the frame's edge where what lies beyond it is no border."""
    left, top, width, height = box
    rows, columns = slice(top, top + height), slice(left, left + width)
    right, bottom = left + width, top + height
    if not _begins_after_border(picture[rows], peak[rows]):
        left = 0
    if not _begins_after_border(picture[rows, ::-1], peak[rows, ::-1]):
        right = peak.shape[1]
    if not _begins_after_border(picture[:, columns].T, peak[:, columns].T):
        top = 0
    if not _begins_after_border(picture[::-1, columns].T, peak[::-1, columns].T):
        bottom = peak.shape[0]
    return left, top, right - left, bottom - top


def _begins_after_border(picture: np.ndarray, peak: np.ndarray) -> bool:
    """Whether each row, gone along from its start, shows a flat border and then a jump to the picture."""
    begins = picture.argmax(axis=1)
    rows = np.flatnonzero(picture.any(axis=1) & (begins > 0))
    margin = peak[:, : begins[rows].min(initial=peak.shape[1])].astype(int)
    if not rows.size or not margin.size:
        return False
    flat = np.abs(margin - np.median(margin)) <= _FLAT
    inside = np.minimum(begins[rows] + _EDGE_REACH, peak.shape[1] - 1)
    outside = np.maximum(begins[rows] - _EDGE_REACH, 0)
    rise = peak[rows, inside].astype(int) - peak[rows, outside]
    return bool(flat.mean() >= _FLAT_SHARE and np.median(rise) >= _EDGE_RISE)
