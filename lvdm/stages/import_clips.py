"""Bring the videos of another generator into the form of our own."""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lvdm.data.archives import archive_shape, archive_videos
from lvdm.data.catalog import EmptyDatasetError, list_videos
from lvdm.data.extraction import read_recording
from lvdm.data.process import VideoError
from lvdm.files import publish
from lvdm.progress import track
from lvdm.stages.config import ImportClipsConfig

_logger = logging.getLogger(__name__)


def run(
    config: ImportClipsConfig,
    *,
    videos: list[str] = [],  # noqa: B006 (read only)
    frames: str | None = None,
    npz: Path | None = None,
    clips: Path,
) -> None:
    """Bring the videos of another generator into the form of our own.

    One source is given: ``videos``, globs of video files; ``frames``, a folder with a folder of images for
    each video; ``npz``, a file with one array, uint8 (n, T, H, W, 3). Writes ``clips`` (.npy), as stage
    sample does: uint8 (n, T, H, W, 3), in the order of the videos' names. T is ``config.length``, first
    frames, or that of all videos. Nothing is resampled: frames keep their size and their rate.

    Raises ``ValueError`` for no source or several, when there is no video, when one cannot be read, is too
    short, or differs from the first in size or, without ``config.length``, in length.
    """
    if sum(map(bool, (videos, frames, npz))) != 1:
        raise ValueError("give one of --videos (globs), --frames (a folder of folders) and --npz (a file)")
    count, source = _archive(npz, config) if npz else _files(videos, frames, config)
    shape: tuple[int, ...] = ()
    with publish(clips) as temporary, temporary.open("wb") as file:
        for name, video in track(source, f"importing {clips.stem}", total=count, unit="video"):
            if not shape:
                shape = video.shape
                header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            _check(name, video, shape)
            file.write(video.tobytes())
    _logger.info("%s: %d videos of %d frames, %dx%d", clips, count, shape[0], shape[2], shape[1])


def _files(
    globs: list[str], frames: str | None, config: ImportClipsConfig
) -> tuple[int, Iterator[tuple[str, np.ndarray]]]:
    try:
        found = [video.path for video in list_videos(globs, frames)]
    except EmptyDatasetError:
        raise ValueError(
            f"there is no video in {frames or ' '.join(globs)}; check the path of this generator"
        ) from None
    return len(found), ((str(path), _read(path, config.length)) for path in found)


def _archive(path: Path, config: ImportClipsConfig) -> tuple[int, Iterator[tuple[str, np.ndarray]]]:
    count, length = archive_shape(path)[:2]
    if config.length is not None and length < config.length:
        raise _too_short(str(path), length, config.length)
    return count, ((f"{path}, video {n}", video[: config.length]) for n, video in enumerate(archive_videos(path)))


def _read(path: Path, length: int | None) -> np.ndarray:
    """The first ``length`` frames of a video, or all, uint8 (T, H, W, 3)."""
    try:
        frames = list(islice(read_recording(path), length))
    except VideoError as error:
        raise ValueError(f"{error}; take it out or make it again") from None
    if not frames:
        raise ValueError(f"{path}: no frame can be decoded; take it out or make it again")
    if length is not None and len(frames) < length:
        raise _too_short(str(path), len(frames), length)
    return np.stack(frames)


def _check(name: str, video: np.ndarray, shape: tuple[int, ...]) -> None:
    if video.shape[1:] != shape[1:]:
        sizes = " and those before ".join(f"{width}x{height}" for _, height, width, _ in (video.shape, shape))
        raise ValueError(f"{name} has frames of {sizes}; nothing is resampled here: give videos of one size")
    if len(video) != shape[0]:
        raise ValueError(
            f"{name} has {len(video)} frames and those before {shape[0]}; give videos of one length, or set `length` "
            "of this generator to the first frames that are kept of each"
        )


def _too_short(name: str, frames: int, length: int) -> ValueError:
    return ValueError(f"{name} has {frames} frames, but `length` of this generator is {length}; lower it")
