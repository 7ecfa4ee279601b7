"""The listing of a data set: a CSV file with one row per recording, its group and its split, as planned."""

import csv
import dataclasses
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Listed:
    """A recording of a data set."""

    id: str
    path: Path
    group: str = ""
    split: str = ""
    left_out: str = ""
    """Why it is not even opened: its content is that of another one, say."""


_COLUMNS = tuple(field.name for field in dataclasses.fields(Listed))


def listing_text(listed: Iterable[Listed]) -> str:
    """The rows as CSV, in the order of their identifiers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(dataclasses.astuple(entry) for entry in sorted(listed, key=lambda entry: entry.id))
    return text.getvalue()


def read_listing(path: str | Path) -> list[Listed]:
    """The rows of a listing. Raises ``ValueError`` that names the file when it is not one."""
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if tuple(reader.fieldnames or ()) != _COLUMNS:
                raise ValueError(f"{path}: is no listing of recordings; delete it and run again")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is no listing of recordings ({error}); delete it and run again") from None
    if not all(isinstance(row[name], str) for row in rows for name in _COLUMNS):
        raise ValueError(f"{path}: a row is not whole; delete it and run again")
    return [Listed(**{**row, "path": Path(row["path"])}) for row in rows]
