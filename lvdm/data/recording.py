"""Recordings as they come: files of any container and codec, and folders of images, decoded frame by frame.

The only module that opens recordings, through PyAV. What it says of a frame comes from the container and the
decoder: time stamp, size, pixel format, interlacing, damage. Decoding the same file twice gives the same frames.
"""

import logging
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import EOFError as EndOfFile
from av.error import FFmpegError
from PIL import Image, UnidentifiedImageError

from lvdm.data.catalog import frame_files
from lvdm.data.damage import Checksums, with_hindsight
from lvdm.data.dicom import Images, is_dicom, opened_dicom
from lvdm.data.frame_folder import MOST_PIXELS, NOMINAL_FPS, TOO_LARGE, read_image
from lvdm.data.isolation import alive
from lvdm.data.process import VideoError

# Threads of a decoder. Few, because the workflow reads several recordings at a time. Their number changes no bit of
# an undamaged recording; what several make of a damaged one depends on which of them comes first.
THREADS = 2

# A smaller picture is no recording, but a damaged header.
_LEAST_SIDE = 16

# Decoders that draw text files: what they show is no recording.
_DRAWN_TEXT = frozenset({"ansi", "bintext", "xbin", "idf"})

# Decoders look at the checksums and the ends of bit streams, which costs little. The default is not to.
_CODEC_OPTIONS = {"err_detect": "crccheck+bitstream+buffer", "max_pixels": str(MOST_PIXELS)}

# A play list that is named .mp4 shall not reach out to the network.
_OPTIONS = {"protocol_whitelist": "file"}

# Images that cannot be read in a row, after which a folder is not looked at any further.
_IMAGE_ERRORS = (
    OSError, UnidentifiedImageError, SyntaxError, ValueError, MemoryError, zlib.error, Image.DecompressionBombError,
)  # fmt: skip

av.logging.set_level(None)  # what went wrong is in the errors; the messages are for people at a terminal
logging.getLogger("libav").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Decoded:
    """A decoded frame."""

    frame: av.VideoFrame
    times: tuple[float | None, float | None]
    """Seconds, as the frame states it, and as its packet does; either may be missing."""
    damaged: bool
    """Not what the camera saw, or not all of it: damage in the frame itself, or in one that it was predicted from."""
    broken: bool
    """Something is lost between the frame before and this one."""


@dataclass
class Recording:
    """An open recording. ``lost`` grows while its frames are read: what could not be decoded."""

    path: Path
    codec: str
    container: str
    stated_frames: int
    """By the index of the container; 0 where it has none."""
    rate: float
    """Frames/s that the container states; 0 where it states none."""
    stated_seconds: float = 0.0
    """By the container; 0 where it states none."""
    stream: Any = None
    images: Images | None = None
    nominal_rate: bool = False
    """The rate is assumed: a folder of images states none."""
    lost: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[Decoded]:
        """All frames, in the order in which they are shown. Never raises for damage."""
        if self.stream is not None:
            return with_hindsight(_file_frames(self))
        return _folder_frames(self) if self.images is None else _image_frames(self, self.images)


@contextmanager
def opened(path: Path, threads: int = THREADS) -> Iterator[Recording]:
    """Open a file, or a folder of images. Raises :class:`VideoError` that says why there is nothing to decode.

    With one thread a damaged recording, too, gives the same frames each time.
    """
    if path.is_dir():
        yield _folder(path)
        return
    try:
        empty = path.stat().st_size == 0
        if not os.access(path, os.R_OK):
            raise VideoError(f"{path}: cannot be read: Permission denied")
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise VideoError(f"{path}: the file is empty")
    if is_dicom(path):
        with opened_dicom(path) as (stream, images):
            if images is not None:
                yield _images(path, images)
            else:
                with _container(path, stream) as container:
                    yield _file(path, container, threads)
        return
    with _container(path, f"file:{path.resolve()}", _OPTIONS) as container:
        yield _file(path, container, threads)


def _container(path: Path, source: Any, options: dict[str, str] | None = None) -> Any:
    alive()
    try:
        return av.open(source, options=options, metadata_errors="ignore")
    except (FFmpegError, ValueError, MemoryError) as error:
        raise VideoError(f"{path}: is not a video, or is cut off before its index ({_text(error)})") from None


def stated_frames(path: Path, fps: float | None) -> int:
    """Frames after extraction, by what a file's header says: quick, and not always right.

    Raises :class:`VideoError` when there is no video in it.
    """
    with opened(path) as recording:
        if recording.nominal_rate or (recording.stated_frames and fps is None):
            return recording.stated_frames
        return round(recording.stated_seconds * (fps or recording.rate))


def decoder_version() -> str:
    """Versions of the library that reads recordings, and of what it was built with."""
    return f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"


# -------------------------------------------------------------------------------------------- files


def _file(path: Path, container: Any, threads: int) -> Recording:
    # The cover picture of a sound file is no video.
    videos = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not videos:
        kinds = {stream.type for stream in container.streams} - {"video"}
        raise VideoError(f"{path}: holds no video" + (f" ({', '.join(sorted(kinds))} only)" if kinds else ""))
    stream = videos[0]
    context = stream.codec_context
    if context is None:
        raise VideoError(f"{path}: no decoder here reads its codec; convert it, to H.264 for example")
    if context.name in _DRAWN_TEXT:
        raise VideoError(f"{path}: is not a video (text)")
    if context.width * context.height > MOST_PIXELS:
        raise VideoError(f"{path}: its header states {context.width}x{context.height} pixels; {TOO_LARGE}")
    context.thread_count, context.thread_type = threads, "AUTO"
    context.options = _CODEC_OPTIONS
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    seconds = (container.duration or 0) / av.time_base
    return Recording(path, context.name, container.format.name, stream.frames, float(rate), seconds, stream)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _file_frames(recording: Recording) -> Iterator[Decoded]:
    """Damage spreads by prediction, so after it all frames up to the next key frame count as damaged."""
    context, base = recording.stream.codec_context, recording.stream.time_base
    damaged = broken = False
    for frame in _frames(recording, context):
        alive()
        if frame is None or min(frame.width, frame.height) < _LEAST_SIDE:
            if frame is not None:
                _note(recording, f"a frame has {frame.width}x{frame.height} pixels")
            damaged = broken = True
            continue
        if frame.is_corrupt:
            _note(recording, "a frame is damaged")
            damaged = True
        elif frame.key_frame:
            damaged = False
        stamps = (frame.pts, frame.dts)
        times = tuple(None if stamp is None else float(stamp * (frame.time_base or base)) for stamp in stamps)
        yield Decoded(frame, times, damaged, broken)
        broken = False


def _frames(recording: Recording, context: Any) -> Iterator[Any]:
    """The frames of the stream, and None wherever something is lost."""
    checksums = Checksums() if context.name == "ffv1" else None
    for packet in _packets(recording):
        alive()
        if packet is not None and packet.is_corrupt:
            # The decoder hands the mark on to the frame.
            _note(recording, "a packet is damaged")
        if packet is not None and checksums and not checksums.hold(memoryview(packet)):
            # The decoder fills in what the checksum tells is wrong, and gives no sign of it.
            _note(recording, "a packet is damaged (checksum)")
            yield None
            continue
        try:
            yield from context.decode(packet)
        except EndOfFile:
            continue
        except (FFmpegError, ValueError, MemoryError) as error:
            _note(recording, f"a packet cannot be decoded ({_text(error)})")
            yield None


def _packets(recording: Recording) -> Iterator[Any]:
    """The packets of the stream, and None to flush the decoder."""
    stream, count = recording.stream, 0
    try:
        for packet in stream.container.demux(stream):
            if packet.dts is None and packet.size == 0:
                continue  # what PyAV puts at the end
            count += 1
            yield packet
    except (FFmpegError, ValueError, MemoryError) as error:
        _note(recording, f"the file cannot be read on ({_text(error)})")
    if count < recording.stated_frames:
        _note(recording, f"the index lists {recording.stated_frames} frames, and {count} are there")
    yield None


def _note(recording: Recording, what: str) -> None:
    recording.lost.append(what)


def _text(error: BaseException) -> str:
    return re.sub(r"^\[Errno [-\d]+\] |: '.*'$", "", str(error)).strip() or type(error).__name__


# ------------------------------------------------------------------------------------------ folders


def _folder(path: Path) -> Recording:
    files = frame_files(path)
    if not files:
        raise VideoError(f"{path}: the folder holds no images")
    codec = files[0].suffix[1:].lower()
    return Recording(path, codec, "images", len(files), NOMINAL_FPS, len(files) / NOMINAL_FPS, nominal_rate=True)


def _folder_frames(recording: Recording) -> Iterator[Decoded]:
    broken = False
    files = frame_files(recording.path)
    for file, number in zip(files, _numbers([file.stem for file in files]), strict=True):
        alive()
        try:
            image = read_image(file)
            if min(image.shape[:2]) < _LEAST_SIDE:
                raise ValueError(f"{image.shape[1]}x{image.shape[0]} pixels")
        except _IMAGE_ERRORS as error:
            _note(recording, f"{file.name} cannot be decoded ({error})")
            broken = True
            continue
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        seconds = number / NOMINAL_FPS
        yield Decoded(frame, (seconds, seconds), damaged=False, broken=broken)
        broken = False


def _numbers(names: list[str]) -> list[float]:
    """What images are numbered, in usual steps: the last number of their names where these grow, else their places."""
    found = [re.findall(r"\d{1,15}", name) for name in names]
    if all(found):
        numbers = [int(digits[-1]) for digits in found]
        steps = sorted(later - earlier for earlier, later in pairwise(numbers))
        if not steps or steps[0] > 0:
            usual = steps[len(steps) // 2] if steps else 1
            return [number / usual for number in numbers]
    return [float(place) for place in range(len(names))]


# -------------------------------------------------------------------------------------------- DICOM


def _images(path: Path, images: Images) -> Recording:
    interval = float(np.median(np.diff(images.times))) if images.count > 1 else 0.0
    rate = 1 / interval if interval else NOMINAL_FPS
    return Recording(
        path,
        images.codec,
        "dicom",
        images.count,
        rate,
        images.count / rate,
        images=images,
        nominal_rate=not images.stated,
    )


def _image_frames(recording: Recording, images: Images) -> Iterator[Decoded]:
    broken = False
    if images.count < images.stated_count:
        _note(recording, f"the header states {images.stated_count} images, and there are data for {images.count}")
    for index in range(images.count):
        alive()
        try:
            image = images.read(index)
            if min(image.shape[:2]) < _LEAST_SIDE:
                raise VideoError(f"images have {image.shape[1]}x{image.shape[0]} pixels")
        except VideoError as error:
            _note(recording, str(error).removeprefix(f"{recording.path}: "))
            broken = True
            continue
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        seconds = float(images.times[index])
        yield Decoded(frame, (seconds, seconds), damaged=False, broken=broken)
        broken = False
