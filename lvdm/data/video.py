"""Videos out and in again: extraction to lossless frames, reading them, previews.

The only module that runs ffmpeg, which writes (the binary of the package imageio-ffmpeg, through ffmpeg-python), and
the only one that imports decord, which reads what was written. Frames are uint8 RGB, (T, H, W, 3) or (H, W, 3).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Literal

import decord
import ffmpeg
import imageio_ffmpeg
import numpy as np

from lvdm.data import process
from lvdm.data.crop import Box
from lvdm.data.inspection import Inspection, Size
from lvdm.data.overlay import cover
from lvdm.data.picture import SCALE_FLAGS, Filter, Format, Treatment, centre_part
from lvdm.data.pieces import Piece, resample
from lvdm.data.process import VideoError
from lvdm.data.recording import Decoded, opened
from lvdm.files import publish
from lvdm.progress import Progress

# Threads of the encoder. Few, because the workflow extracts several videos at a time; their number changes no bit.
_THREADS = 2

# No time, version or random identifier in the file: the same frames make the same bytes.
_BITEXACT = {"fflags": "+bitexact", "flags:v": "+bitexact", "map_metadata": -1}

_FFV1 = {
    "c:v": "ffv1", "level": 3, "coder": "rice", "g": 1, "slices": 4, "slicecrc": 1, "pix_fmt": "bgr0",
    "fps_mode": "passthrough", "threads": _THREADS, "format": "matroska", **_BITEXACT,
}  # fmt: skip


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
    deinterlace: Literal["auto", "on", "off"] = "auto"
    texts: dict[Size, Sequence[Box]] = field(default_factory=dict)
    """Burned-in texts that are covered, of each size."""
    fps: float | None = None
    """Frames/s that every piece is resampled to in time; None leaves its frames as they are."""


# ------------------------------------------------------------------------------------------ reading


def frame_count(path: str | Path) -> int:
    """Frames in a video written by this module. Raises :class:`VideoError` when it cannot be read."""
    return len(_reader(path))


def read_frames(path: str | Path, indices: Sequence[int] | None = None) -> np.ndarray:
    """Frames of a video written by this module, uint8 (T, H, W, 3); all of them, or those at ``indices``."""
    reader = _reader(path)
    chosen = list(range(len(reader)) if indices is None else indices)
    if chosen and not -len(reader) <= min(chosen) <= max(chosen) < len(reader):
        raise VideoError(f"{path} has {len(reader)} frames, but frame {max(chosen)} was asked for")
    return _stack(reader, chosen)


def iterate_frames(path: str | Path, batch: int = 64) -> Iterator[np.ndarray]:
    """All frames of a video written by this module, uint8 (up to ``batch``, H, W, 3) at a time."""
    reader = _reader(path)
    for start in range(0, len(reader), batch):
        yield _stack(reader, range(start, min(start + batch, len(reader))))


# ------------------------------------------------------------------------------------------ writing


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
                raise VideoError(f"{path}: its picture changes or is damaged; make it again")
            yield from graph.push(decoded.frame)
        yield from graph.flush() if graph else ()
    if recording.lost:
        raise VideoError(f"{path}: {recording.lost[0]}; make it again")


def _treated(path: Path, found: Inspection, extraction: Extraction, progress: Progress) -> Iterator[np.ndarray]:
    """The frames that are written, uint8 (H, W, 3)."""
    with opened(path) as recording:
        frames = enumerate(_checked(path, recording.frames(), found, recording.stream))
        for piece in extraction.pieces:
            format = found.formats[found.format_of[piece.first]]
            repeats = _repeats(found.times[piece.first : piece.stop], extraction.fps)
            treatment = _treatment(piece, format, found, extraction)
            # A deinterlacer looks at the frames around.
            pushed = repeats >= 0 if treatment.bwdif else repeats > 0
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


def write_ffv1(frames: Iterable[np.ndarray], path: str | Path, fps: float) -> None:
    """Publish frames, each uint8 (H, W, 3), as lossless all-intra FFV1 in Matroska."""
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write")
    rate = str(Fraction(fps).limit_denominator(1_000_000))
    with publish(path) as temporary:
        spec = _raw(first.shape[1], first.shape[0], rate).output(_url(temporary), **_FFV1)
        process.encode_frames(_command(spec), Path(path), chain([first], frames), advance=_ignore)


def write_h264(frames: np.ndarray, path: str | Path, fps: float, crf: int = 18) -> None:
    """Publish uint8 (T, H, W, 3) as an MP4 that browsers play: H.264, yuv420p, BT.709.

    Odd heights and widths are made even by repeating the last row and column.
    """
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    rate = str(Fraction(fps).limit_denominator(1_000_000))
    stream = _raw(frames.shape[2], frames.shape[1], rate).filter(
        "scale", out_color_matrix="bt709", out_range="tv", flags=SCALE_FLAGS
    )
    with publish(path) as temporary:
        spec = stream.output(
            _url(temporary), format="mp4", crf=crf, pix_fmt="yuv420p", movflags="+faststart", threads=1,
            color_primaries="bt709", color_trc="bt709", colorspace="bt709", color_range="tv",
            **{"c:v": "libx264"}, **_BITEXACT,
        )  # fmt: skip
        process.encode_frames(_command(spec), Path(path), frames, advance=_ignore)


# ---------------------------------------------------------------------------------- ffmpeg and decord


def _ignore(units: int) -> None:
    """Progress that no one looks at."""


def _url(path: Path) -> str:
    # With the protocol spelled out, a name may open with a dash or hold a colon.
    return f"file:{path}"


def _raw(width: int, height: int, rate: str) -> Any:
    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", video_size=(width, height), framerate=rate)


def _command(spec: Any) -> list[str]:
    command = ffmpeg.compile(spec, cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True)
    return [command[0], "-hide_banner", "-nostats", "-v", "error", "-filter_complex_threads", "1", *command[1:]]


def _stack(reader: decord.VideoReader, indices: Sequence[int]) -> np.ndarray:
    """The frames at ``indices``, uint8 (T, H, W, 3).

    decord pads the rows of some widths (16, 24, 48, 72, ...) and then takes the padding for more channels;
    its own batches fail on these.
    """
    height, width = reader[0].shape[:2]
    stack = np.empty((len(indices), height, width, 3), np.uint8)
    for frame, index in zip(stack, indices, strict=True):
        rows = reader[index].asnumpy().reshape(height, -1)
        frame[:] = rows[:, : 3 * width].reshape(height, width, 3)
    return stack


def _reader(path: str | Path) -> decord.VideoReader:
    path = Path(path).resolve()
    if not path.is_file() or path.stat().st_size == 0:
        raise VideoError(f"{path}: no such video, or the empty file of one that was left out; see the manifest")
    try:
        return decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    except (decord.DECORDError, RuntimeError) as error:
        raise VideoError(f"{path}: cannot be read: {str(error).strip().splitlines()[-1]}") from None
