"""What is looked at in the pictures of a recording while it is decoded: planes of every frame, samples of some."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lvdm.data import overlay
from lvdm.data.pixels import Format

Size = tuple[int, int]
"""Width and height as the picture is shown upright, pixels."""

_UNSTATED = 2  # AVCOL_SPC_UNSPECIFIED

# Frames that are kept of a size while a recording is read: when there are twice as many, every other one goes. Fewer of
# pictures so large that twice as many do not fit into as many bytes.
_SAMPLES = 24
_SAMPLE_BYTES = 2**29


@dataclass(frozen=True)
class Evidence:
    """What the pictures of one size look like over a whole recording; uint8 (H, W) images, brightness max(R, G, B)."""

    low: np.ndarray
    """5th percentile over the samples."""
    peak: np.ndarray
    """95th percentile."""
    texts: overlay.Evidence


class Samples:
    """Frames spread evenly over what was seen so far, which may be any number."""

    def __init__(self, size: Size) -> None:
        self.frames: list[np.ndarray] = []
        self.greens: list[np.ndarray] = []
        self.step, self.seen = 1, 0
        self.most = max(2, min(2 * _SAMPLES, _SAMPLE_BYTES // (2 * size[0] * size[1]) // 2 * 2))

    def wants(self) -> bool:
        """Whether the next frame is one of them."""
        self.seen += 1
        return (self.seen - 1) % self.step == 0

    def add(self, brightness: np.ndarray, green: np.ndarray) -> None:
        self.frames.append(brightness)
        self.greens.append(green)
        if len(self.frames) == self.most:
            self.frames, self.greens = self.frames[::2], self.greens[::2]
            self.step *= 2

    def evidence(self) -> Evidence:
        # One flash, or one frame of a menu, shall not decide: the extremes are left out where there are enough.
        rank = round(0.05 * (len(self.frames) - 1))
        low = _ranked(self.frames, rank)
        peak = ~_ranked([~frame for frame in self.frames], rank)
        # Of a single frame nothing moves, so nothing is told.
        return Evidence(low, peak, overlay.evidence(self.greens if len(self.greens) > 1 else self.greens * 2))


def _ranked(frames: list[np.ndarray], rank: int) -> np.ndarray:
    """The value of each pixel before which ``rank`` others come; whole images are sorted at a time."""
    smallest = [np.full_like(frames[0], 255) for _ in range(rank + 1)]
    for frame in frames:
        for place, kept in enumerate(smallest):
            smallest[place], frame = np.minimum(kept, frame), np.maximum(kept, frame)
    return smallest[-1]


def planes(frame: Any) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
    """The brightness (H, W) of a frame and its chroma planes, uint8; where it can be, the decoder's own memory."""
    if frame.format.name not in _EIGHT_BITS:
        frame = _converted(frame, "yuv420p")
    views = [_plane(plane) for plane in frame.planes]
    return views[0], tuple(views[1:]) if len(views) == 3 else None


_EIGHT_BITS = frozenset(
    {"gray", "nv12", "nv21"} | {f"yuv{j}{s}p" for j in ("", "j") for s in ("420", "422", "444", "440", "411", "410")}
)


def _plane(plane: Any) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def brightness(frame: Any) -> tuple[np.ndarray, np.ndarray]:
    """max(R, G, B) and G, uint8 (H, W) each, as stored."""
    # Not by way of gbrp: libswscale leaves the last columns of some widths as they were in memory (FFmpeg 8.1).
    image = _converted(frame, "rgb24").to_ndarray()
    red, green, blue = (image[..., channel] for channel in range(3))
    return np.maximum(np.maximum(red, green), blue), np.ascontiguousarray(green)


def upright(image: np.ndarray, format: Format) -> np.ndarray:
    """An image as stored, turned as it is shown."""
    mirrored = image[:, ::-1] if format.mirrored else image
    return np.ascontiguousarray(np.rot90(mirrored, -format.rotation // 90))


def _converted(frame: Any, pixel_format: str) -> Any:
    """A frame in another format, for measuring: by the default matrix, as not every stated one is known there."""
    stated, frame.colorspace = frame.colorspace, _UNSTATED
    try:
        return frame.reformat(format=pixel_format)
    finally:
        frame.colorspace = stated
