"""Videos that the pipeline writes, and reads again: lossless frames, previews.

The only module that runs ffmpeg, which writes (the binary of the package imageio-ffmpeg, through ffmpeg-python), and
the only one that imports decord, which reads what was written. Frames are uint8 RGB, (T, H, W, 3) or (H, W, 3).
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import decord
import ffmpeg
import imageio_ffmpeg
import numpy as np

from lvdm.data import process
from lvdm.data.process import VideoError
from lvdm.files import publish

# Threads of the encoder. Few, because the workflow extracts several videos at a time; their number changes no bit.
_THREADS = 2

# Exact in the last bit on any machine, chroma interpolated at full resolution.
_SCALE_FLAGS = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"

# No time, version or random identifier in the file: the same frames make the same bytes.
_BITEXACT = {"fflags": "+bitexact", "flags:v": "+bitexact", "map_metadata": -1}

_FFV1 = {
    "c:v": "ffv1", "level": 3, "coder": "rice", "g": 1, "slices": 4, "slicecrc": 1, "pix_fmt": "bgr0",
    "fps_mode": "passthrough", "threads": _THREADS, "format": "matroska", **_BITEXACT,
}  # fmt: skip


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
        "scale", out_color_matrix="bt709", out_range="tv", flags=_SCALE_FLAGS
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
