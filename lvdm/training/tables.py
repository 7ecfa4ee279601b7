"""Tables that grow while a training runs, and stay one table when it is killed and resumed."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from lvdm.files import write_text


class GrowingTable:
    """A CSV with a column ``step``; rows are appended in one write."""

    def __init__(self, path: Path):
        self.path = path

    def append(self, *rows: Mapping[str, object]) -> None:
        """Add rows, all or none. The first row ever decides the columns; others must have them (``ValueError``)."""
        columns = self._columns() or list(rows[0])
        lines = [] if self.path.exists() else [_line(columns)]
        for row in rows:
            if set(columns) != set(row):
                raise ValueError(f"{self.path} has columns {columns}, but a row has {list(row)}; move the file away")
            lines.append(_line([row[column] for column in columns]))
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write("".join(lines))

    def steps(self) -> set[int]:
        """The steps that there are rows of."""
        return {int(row["step"]) for row in self._rows()}

    def cut(self, step: int, every: int | None = None) -> None:
        """Drop what a killed run wrote after ``step``, and a last row that it did not finish.

        With ``every`` drop also the rows of ``step`` itself where it is no multiple of it, or 0: those of an end that
        is one no longer.
        """
        columns = self._columns()
        kept = step if every is None or (step and step % every == 0) else step - 1
        rows = [row for row in self._rows() if int(row["step"]) <= kept]
        if rows:
            lines = [columns, *([row[column] for column in columns] for row in rows)]
            write_text(self.path, "".join(map(_line, lines)))
        else:
            self.path.unlink(missing_ok=True)

    def _columns(self) -> list[str]:
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8", newline="") as file:
            return next(csv.reader(file), [])

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return list(csv.DictReader(io.StringIO(whole)))


def _line(values: list[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
