"""What is made of a recording: its pieces, cropped, treated and scaled, as lossless frames. Frames are uint8 RGB."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from lvdm.data.config import Deinterlace
from lvdm.data.crop import Box
from lvdm.data.evidence import Size
from lvdm.data.inspection import Inspection
from lvdm.data.overlay import cover
from lvdm.data.picture import Filter, Treatment, centre_part
from lvdm.data.pieces import Piece, resample
from lvdm.data.pixels import Format
from lvdm.data.process import VideoError
from lvdm.data.recording import Decoded, opened
from lvdm.data.video import write_ffv1
from lvdm.progress import Progress
from lvdm.read_ahead import read_ahead

# Frames that are decoded while earlier ones are filtered and written.
_AHEAD = 4

# Frames are counted within a graph of filters, so its unit of time is any.
_TICK = Fraction(1, 25)


@dataclass(frozen=True)
class Extraction:
    """What is made of a recording."""

    pieces: Sequence[Piece]
    crops: dict[Size, Box]
    """The part of the picture that is kept, of each size; of what is kept, the centred part of the target's shape."""
    size: tuple[int, int]
    """Height and width of the frames that are made, pixels."""
    deinterlace: Deinterlace = "auto"
    texts: dict[Size, Sequence[Box]] = field(default_factory=dict)
    """Burned-in texts that are covered, of each size."""
    fps: float | None = None
    """Frames/s that every piece is resampled to in time; None leaves its frames as they are."""


def extract_frames(path: Path, found: Inspection, extraction: Extraction, rate: float, target: Path) -> None:
    """Write the pieces of a recording, one after another, as lossless, all-intra FFV1 at ``rate`` frames/s.

    ``found`` is what inspecting it gave. Raises :class:`VideoError` when the recording does not decode as it did
    then, or when ffmpeg fails; ``OSError`` on a full disk.
    """
    lengths = [piece.frames for piece in extraction.pieces]
    with Progress(f"extract {path.name}", sum(lengths), "frame") as progress:
        write_ffv1(_treated(path, found, extraction, progress), target, rate)


def read_recording(path: Path) -> Iterator[np.ndarray]:
    """All frames of a recording as they are shown, uint8 (H, W, 3), at full size; of one size and undamaged.

    Raises :class:`VideoError`.
    """
    graph, expected = None, None
    with opened(path) as recording:
        for decoded in recording.frames():
            format = Format.of(decoded.frame, recording.stream)
            if graph is None:
                expected = format
                graph = Filter(format, Treatment(deinterlace="auto", flagged=decoded.frame.interlaced_frame), _TICK)
            if format != expected or decoded.damaged:
                raise VideoError(f"{path}: its picture changes or is damaged")
            yield from graph.push(decoded.frame)
        yield from graph.flush() if graph else ()
    if recording.lost:
        raise VideoError(f"{path}: {recording.lost[0]}")


def _treated(path: Path, found: Inspection, extraction: Extraction, progress: Progress) -> Iterator[np.ndarray]:
    """The frames that are written, uint8 (H, W, 3)."""
    with opened(path, found.threads) as recording:
        checked = _checked(path, recording.frames(), found, recording.stream)
        # Closed before the recording is: its thread decodes.
        with closing(read_ahead(checked, _AHEAD)) as decoded:
            frames = enumerate(decoded)
            for piece in extraction.pieces:
                format = found.formats[found.format_of[piece.first]]
                repeats = _repeats(found.times[piece.first : piece.stop], extraction.fps)
                treatment = _treatment(piece, format, found, extraction)
                # A deinterlacer needs the frames around those that are wanted.
                pushed = repeats >= 0 if treatment.deinterlaces(format) else repeats > 0
                hide = _hider(extraction, format)
                pictures = _filtered(piece, frames, Filter(format, treatment, _TICK), pushed, progress)
                for picture, count in zip(pictures, repeats[pushed], strict=True):
                    yield from repeat(hide(picture), count)


def _treatment(piece: Piece, format: Format, found: Inspection, extraction: Extraction) -> Treatment:
    flagged = bool(found.interlaced[piece.first : piece.stop].any())
    return Treatment(extraction.crops[format.upright], extraction.size, extraction.deinterlace, flagged)


def _filtered(
    piece: Piece, frames: Iterator[tuple[int, Decoded]], graph: Filter, pushed: np.ndarray, progress: Progress
) -> Iterator[np.ndarray]:
    """One picture for each frame of a piece that is pushed through its filters."""
    for number, decoded in frames:
        if number >= piece.first:
            if pushed[number - piece.first]:
                yield from graph.push(decoded.frame)
            progress.advance(1)
        if number == piece.stop - 1:
            break
    yield from graph.flush()


def _checked(path: Path, frames: Iterator[Decoded], found: Inspection, stream: Any) -> Iterator[Decoded]:
    """The frames, as long as they are what inspecting the recording found."""
    number = -1
    for number, decoded in enumerate(frames):
        if number >= found.frames or Format.of(decoded.frame, stream) != found.formats[found.format_of[number]]:
            raise _changed(path, number)
        yield decoded
    if number + 1 < found.frames:
        raise _changed(path, number + 1)


def _changed(path: Path, number: int) -> VideoError:
    return VideoError(f"{path}: frame {number} is not the one that was inspected; run `lvdm inspect` again")


def _repeats(times: np.ndarray, fps: float | None) -> np.ndarray:
    """(frames,) how often each frame of a piece is written."""
    if fps is None:
        return np.ones(len(times), int)
    return np.bincount(resample(times, fps), minlength=len(times))


def _hider(extraction: Extraction, format: Format) -> Callable[[np.ndarray], np.ndarray]:
    """What covers the burned-in texts of a picture that was made."""
    texts = extraction.texts.get(format.upright, ())
    part = centre_part(extraction.crops[format.upright], format.upright_aspect, extraction.size)
    mask = np.zeros(extraction.size, bool)
    for box in texts:
        mask[_scaled(box, part, extraction.size)] = True
    return (lambda picture: cover(picture[None], mask)[0]) if mask.any() else (lambda picture: picture)


def _scaled(box: Box, part: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns of a made picture that show any of ``box``, of whose source ``part`` was kept."""

    def span(start: int, length: int, begin: int, whole: int, made: int) -> slice:
        scale = made / whole
        # One pixel more on each side: scaling spreads an edge.
        first, last = np.floor((start - begin) * scale) - 1, np.ceil((start + length - begin) * scale) + 1
        return slice(int(np.clip(first, 0, made)), int(np.clip(last, 0, made)))

    return span(box[1], box[3], part[1], part[3], size[0]), span(box[0], box[2], part[0], part[2], size[1])
