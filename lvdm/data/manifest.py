"""The manifest: a CSV file with a row for every video of a data set, usable or not."""

import csv
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvdm.data.catalog import frame_files
from lvdm.files import publish
from lvdm.reading import read_table


@dataclass(frozen=True)
class VideoInfo:
    """What probing finds out about a video. Sizes are those of the picture as it is shown upright."""

    usable: bool = True
    reason: str = ""
    """Why the video cannot be used; empty when it can."""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    """Frames a second; of a variable rate, the mean."""
    frames: int = 0
    """Frames that were decoded, before any resampling."""
    duration: float = 0.0
    """Seconds."""
    fps_is_nominal: bool = False
    """The rate is assumed: a folder of images states none, so it is never resampled."""
    variable_rate: bool = False
    codec: str = ""
    pixel_format: str = ""
    color_space: str = ""
    """Matrix between YUV and RGB as the file states it; empty when it does not."""
    pixel_aspect: float = 1.0
    """Width of a pixel over its height."""


@dataclass(frozen=True)
class ManifestRow:
    """A video of the data set; ``modified`` (ns) and ``size`` (bytes) tell whether it was changed since."""

    id: str
    path: str
    info: VideoInfo
    sha256: str
    size: int
    modified: int
    settings: str
    """Fingerprint of the settings that decided whether the video is usable."""


def file_state(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of the last change (ns) of a file, or of the images in a folder."""
    states = [file.stat() for file in (frame_files(path) if path.is_dir() else [path])]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


_OWN = tuple(field.name for field in dataclasses.fields(ManifestRow) if field.name != "info")
_INFO = tuple(field.name for field in dataclasses.fields(VideoInfo))
COLUMNS = ("id", "path", *_INFO, *(name for name in _OWN if name not in ("id", "path")))

_READ = {
    "bool": lambda text: {"True": True, "False": False}[text],
    "int": int,
    "float": float,
    "str": str,
}
_TYPES = {
    field.name: field.type if isinstance(field.type, str) else field.type.__name__
    for cls in (ManifestRow, VideoInfo)
    for field in dataclasses.fields(cls)
}


def write_manifest(path: str | Path, rows: Iterable[ManifestRow]) -> None:
    """Publish the rows as CSV."""
    with publish(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: getattr(row, name) for name in _OWN} | dataclasses.asdict(row.info))


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """The rows of a manifest. Raises ``ValueError`` that names the file when it is not one."""
    remedy = "delete it and run `lvdm probe` again"
    rows = read_table(path, COLUMNS, "manifest of this version", remedy)
    if rows and tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{path}: is not a manifest of this version; {remedy}")
    found = []
    for number, cells in enumerate(rows, start=2):
        try:
            found.append(_row(cells))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error!r}; {remedy}") from None
    return found


def _row(cells: dict[str, str]) -> ManifestRow:
    values: dict[str, Any] = {name: _READ[_TYPES[name]](cells[name]) for name in COLUMNS}
    info = VideoInfo(**{name: values[name] for name in _INFO})
    return ManifestRow(info=info, **{name: values[name] for name in _OWN})
