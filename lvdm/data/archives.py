"""Videos in one .npz or .npy file, the layout that generators of LVDM's line write: uint8 (n, T, H, W, 3)."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np


def archive_shape(path: Path) -> tuple[int, ...]:
    """(n, T, H, W, 3). Raises ``ValueError`` for a file that holds no such videos."""
    with _opened(path) as (_, shape):
        return shape


def archive_videos(path: Path) -> Iterator[np.ndarray]:
    """The videos of a file, uint8 (T, H, W, 3), one after the other: a file may be larger than the memory."""
    with _opened(path) as (stream, shape):
        size = int(np.prod(shape[1:]))
        for number in range(shape[0]):
            content = stream.read(size)
            if len(content) < size:
                raise ValueError(f"{path} ends within video {number} of {shape[0]}; get a whole copy of it")
            yield np.frombuffer(content, np.uint8).reshape(shape[1:])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, tuple[int, ...]]]:
    """The bytes of the one array in a file, and its shape."""
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                yield file, _header(file, path)
                return
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
                if len(names) != 1:
                    raise ValueError(f"{path} holds {len(names)} arrays, {', '.join(names)}, but one is needed")
                with archive.open(names[0]) as stream:
                    yield stream, _header(stream, path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no whole .npz file ({error}); get a whole copy of it") from None


def _header(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    try:
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is no .npz or .npy file of one array ({error})") from None
    if dtype != np.uint8 or len(shape) != 5 or shape[4] != 3 or fortran or not shape[0]:
        order = ", Fortran order" if fortran else ""
        raise ValueError(f"{path} holds {dtype} {shape}{order}, but videos are uint8 (n, T, H, W, 3)")
    return shape
