"""The manifest: a CSV file with one row per recording of a data set, usable or not. For people and for the page."""

import csv
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lvdm.data.catalog import frame_files
from lvdm.files import publish
from lvdm.reading import read_table


@dataclass(frozen=True)
class ManifestRow:
    """A recording: what it is, what of it is used, and what was done to its picture.

    Sizes are those of the picture as it is shown upright; of what varies within a recording, what most frames have.
    """

    id: str
    path: str
    group: str = ""
    split: str = ""
    usable: bool = True
    reason: str = ""
    """Why it cannot be used; empty when it can."""
    frames: int = 0
    """Frames that decoded."""
    kept: int = 0
    """Frames that are used, before any resampling; the others are in ``left_out``."""
    pieces: int = 0
    """Continuous pieces that the used frames are in."""
    left_out: str = ""
    """Frames by the reason: ``12 black; 3 damaged``."""
    lost: str = ""
    """What could not be decoded."""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    """Frames/s as a rule."""
    variable_rate: bool = False
    duration: float = 0.0
    """From the first frame to the end of the last, s."""
    repeats: int = 0
    """Frames that repeat the one before."""
    true_fps: float = 0.0
    """Frames/s without repeats, where they come in a regular pattern; else 0."""
    interlaced: int = 0
    """Frames that are flagged as interlaced."""
    combs: float = 0.0
    """Comb ratio that a tenth of the other frames exceed; above 0.75 they are interlaced all the same."""
    codec: str = ""
    container: str = ""
    pixel_format: str = ""
    matrix: str = ""
    range: str = ""
    transfer: str = ""
    primaries: str = ""
    pixel_aspect: str = ""
    """Width of a pixel over its height."""
    rotation: int = 0
    crop: str = ""
    """left, top, width, height in pixels."""
    texts: int = 0
    """Burned-in texts and logos within the crop."""
    treatment: str = ""
    """What was done to the picture."""
    sha256: str = ""
    bytes: int = 0


def file_state(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of the last change (ns) of a file, or of the images in a folder."""
    states = [file.stat() for file in (frame_files(path) if path.is_dir() else [path])]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


_FIELDS = {field.name: getattr(field.type, "__name__", field.type) for field in dataclasses.fields(ManifestRow)}
COLUMNS = tuple(_FIELDS)

_READ = {
    "bool": lambda text: {"True": True, "False": False}[text],
    "int": int,
    "float": float,
    "str": str,
}


def write_manifest(path: str | Path, rows: Iterable[ManifestRow]) -> None:
    """Publish the rows as CSV."""
    with publish(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in rows)


def read_manifest(path: str | Path) -> list[ManifestRow]:
    """The rows of a manifest. Raises ``ValueError`` that names the file when it is not one."""
    remedy = "delete it and run `lvdm probe` again"
    rows = read_table(path, COLUMNS, "manifest of this version", remedy)
    if rows and tuple(rows[0]) != COLUMNS:
        raise ValueError(f"{path}: is not a manifest of this version; {remedy}")
    found = []
    for number, cells in enumerate(rows, start=2):
        try:
            found.append(ManifestRow(**{name: _READ[kind](cells[name]) for name, kind in _FIELDS.items()}))
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error!r}; {remedy}") from None
    return found
