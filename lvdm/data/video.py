"""Videos in and out: probing, sampling, extraction, lossless frames, previews.

The only module that runs ffmpeg (the binary of the package imageio-ffmpeg, through ffmpeg-python) and
the only one that imports decord. Frames are uint8 RGB, (T, H, W, 3) or (H, W, 3).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import decord
import ffmpeg
import imageio_ffmpeg
import numpy as np

from lvdm.data import process
from lvdm.data.catalog import frame_files
from lvdm.data.config import ClipConfig
from lvdm.data.crop import Box
from lvdm.data.ffmpeg_report import read_report
from lvdm.data.frame_folder import folder_frames, probe_folder
from lvdm.data.manifest import VideoInfo
from lvdm.data.process import VideoError
from lvdm.files import publish
from lvdm.progress import Progress

# Threads of the decoder and of the encoder, each. Few, because the workflow runs several videos at a
# time; their number changes no bit of the result.
_THREADS = 2

# Exact in the last bit on any machine, chroma interpolated at full resolution.
_SCALE_FLAGS = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"

# No time, version or random identifier in the file: the same frames make the same bytes.
_BITEXACT = {"fflags": "+bitexact", "flags:v": "+bitexact", "map_metadata": -1}

_FFV1 = {
    "c:v": "ffv1", "level": 3, "coder": "rice", "g": 1, "slices": 4, "slicecrc": 1, "pix_fmt": "bgr0",
    "fps_mode": "passthrough", "threads": _THREADS, "format": "matroska", **_BITEXACT,
}  # fmt: skip

# Up to this many frames for each one wanted, reading all of them is faster than seeking to each.
_SEEK_BEYOND = 32


@dataclass(frozen=True)
class Extraction:
    """What is made of a video: the part `box` of the picture, centre-cropped to a square of `resolution`."""

    box: Box
    resolution: int
    fps: float | None = None
    """Frames/s to resample to; None keeps the rate, but a variable one becomes its mean."""


# ------------------------------------------------------------------------------------------ reading


def decoder_version() -> str:
    """Version of the ffmpeg that reads videos here."""
    return imageio_ffmpeg.get_ffmpeg_version()


def probe(path: Path, clip: ClipConfig) -> VideoInfo:
    """Decode all of a video file, or folder of images, and say whether clips can be taken from it.

    Never raises for a bad video: ``usable`` is false then, and ``reason`` says why.
    """
    try:
        info = probe_folder(path) if path.is_dir() else _probe_file(path)
    except OSError as error:
        return VideoInfo(usable=False, reason=f"cannot be read: {error.strerror}")
    frames = output_frames(info, clip.fps)
    if info.usable and frames < clip.span:
        rate, resampled = output_rate(info, clip.fps)
        found = f"{frames} frames" + (f" at {rate:g} frames/s" if resampled else "")
        reason = f"has {found}, but a clip spans {clip.span}; lower data.length or data.stride"
        return dataclasses.replace(info, usable=False, reason=reason)
    return info


def output_rate(info: VideoInfo, fps: float | None) -> tuple[float, bool]:
    """Frames/s after extraction, and whether frames are dropped or repeated for it."""
    if info.fps_is_nominal:
        return fps or info.fps, False
    rate = fps or info.fps
    return rate, info.variable_rate or abs(rate - info.fps) > 1e-3 * info.fps


def output_frames(info: VideoInfo, fps: float | None) -> int:
    """Frames after extraction; of a resampled video at least this number."""
    rate, resampled = output_rate(info, fps)
    return int(info.frames * rate / info.fps) if resampled and info.fps else info.frames


def stated_frames(path: Path, fps: float | None) -> int:
    """Frames after extraction, by what a file's header says: quick, and not always right.

    Raises :class:`VideoError` when there is no video in it.
    """
    if path.is_dir():
        return len(frame_files(path))
    reader = imageio_ffmpeg.read_frames(str(path.resolve()))
    try:
        header = next(reader)
    except (OSError, IndexError, RuntimeError, StopIteration):
        raise VideoError(f"{path}: there is no video in it; see what `lvdm probe` says") from None
    finally:
        reader.close()
    return round(header["duration"] * (fps or header["fps"]))


def sample_frames(path: Path, info: VideoInfo, count: int) -> Iterator[np.ndarray]:
    """About ``count`` frames, (H, W, 3) at full size, spread evenly over the video."""
    step = max(1, info.frames // count)
    if path.is_dir():
        yield from folder_frames(path, step)
    elif info.frames <= _SEEK_BEYOND * count:
        chosen = _file(path)["V:0"].filter("select", f"not(mod(n,{step}))")
        yield from _decode(path, chosen, info, fps_mode="passthrough")
    else:
        for index in range(count):
            seconds = info.duration * (index + 0.5) / count
            yield from _decode(path, _file(path, ss=f"{seconds:.3f}")["V:0"], info, vframes=1)


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


def extract_frames(path: Path, info: VideoInfo, extraction: Extraction, target: Path) -> int:
    """Write a square, lossless, all-intra FFV1 of ``path`` to ``target``; returns its number of frames.

    The picture is cropped to the box and to the centred square in it, then scaled once (Lanczos), by
    the same factor in both directions of the picture as it is shown. Raises :class:`VideoError` when
    ffmpeg fails or the file does not hold the frames that it should, ``OSError`` on a full disk.
    """
    rate, resampled = output_rate(info, extraction.fps)
    exact = str(Fraction(rate).limit_denominator(1_000_000))
    stream = _raw(info.width, info.height, exact) if path.is_dir() else _file(path)["V:0"]
    if resampled:
        stream = stream.filter("fps", exact)
    left, top, width, height = centre_square(extraction.box, info.pixel_aspect)
    stream = stream.filter("crop", width, height, left, top, exact=1)
    stream = stream.filter("scale", extraction.resolution, extraction.resolution, **_scaling(info))
    stream = stream.filter("setsar", 1).filter("settb", f"1/({exact})").filter("setpts", "N")
    expected = output_frames(info, extraction.fps)
    with publish(target) as temporary:
        spec = stream.output(_url(temporary), **_FFV1)
        with Progress(f"extract {path.name}", expected, "frame") as progress:
            if path.is_dir():
                process.encode_frames(_command(spec), target, folder_frames(path), progress.advance)
            else:
                process.encode(_command(spec), target, progress.advance)
        written = frame_count(temporary)
        # The first and the last frame of a resampled video may fall on either side of a rounding.
        if not expected <= written <= expected + (2 if resampled else 0):
            raise VideoError(f"{path}: {written} frames were extracted where {expected} were expected; probe it again")
    return written


def centre_square(box: Box, pixel_aspect: float) -> Box:
    """The largest part of ``box``, at its centre, that is square as it is shown."""
    left, top, width, height = box
    square_width = min(width, max(1, round(height / pixel_aspect)))
    square_height = min(height, max(1, round(width * pixel_aspect)))
    return left + (width - square_width) // 2, top + (height - square_height) // 2, square_width, square_height


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


def _probe_file(path: Path) -> VideoInfo:
    if path.stat().st_size == 0:
        return VideoInfo(usable=False, reason="the file is empty")
    source = _file(path)
    # V, not v: the cover picture of a sound file is no video. Sound is copied, which tells its length.
    spec = ffmpeg.output(
        source["V:0"], source["a?"], "pipe:", format="framecrc", fps_mode="passthrough", enc_time_base="demux",
        **{"c:v": "rawvideo", "c:a": "copy"},
    )  # fmt: skip
    return read_report(*process.report(_command(spec, "verbose")))


def _ignore(units: int) -> None:
    """Progress that no one looks at."""


def _url(path: Path) -> str:
    # With the protocol spelled out, a name may open with a dash or hold a colon.
    return f"file:{path}"


def _file(path: Path, **options: Any) -> Any:
    # Files only: a play list that is named .mp4 shall not reach out to the network.
    return ffmpeg.input(_url(path), protocol_whitelist="file", threads=_THREADS, **options)


def _raw(width: int, height: int, rate: str) -> Any:
    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", video_size=(width, height), framerate=rate)


def _scaling(info: VideoInfo) -> dict[str, str]:
    """Options of the filter `scale`. Where a file does not state its matrix, it is that of its size."""
    unstated = not info.color_space and info.pixel_format.startswith(("yuv", "nv", "p0"))
    high_definition = info.width >= 1280 or info.height > 576
    return {"flags": _SCALE_FLAGS} | ({"in_color_matrix": "bt709"} if unstated and high_definition else {})


def _command(spec: Any, level: str = "error") -> list[str]:
    command = ffmpeg.compile(spec, cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True)
    return [command[0], "-hide_banner", "-nostats", "-v", level, "-filter_complex_threads", "1", *command[1:]]


def _decode(path: Path, stream: Any, info: VideoInfo, **options: Any) -> Iterator[np.ndarray]:
    stream = stream.filter("scale", info.width, info.height, **_scaling(info))
    spec = stream.output("pipe:", format="rawvideo", pix_fmt="rgb24", **options)
    return process.decode(_command(spec), path, info.height, info.width)


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
