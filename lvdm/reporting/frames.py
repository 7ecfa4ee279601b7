"""Readers of what the page and the tables are made of: CSV files as data frames, and pictures and videos to copy."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from lvdm.reading import read_table, wrong_file

# Of the boxes that an MP4 file may begin with: ISO/IEC 14496-12, section 4.3.
_MP4_MARK = b"ftyp"


def read_frame(
    path: Path, columns: Sequence[str], what: str, remedy: str, numbers: Sequence[str] = (), texts: Sequence[str] = ()
) -> pd.DataFrame:
    """A CSV file with at least ``columns``, of which ``numbers`` hold numbers or nothing; ``texts`` stay as written.

    Raises ``ValueError`` that names the file and the column for another file.
    """
    read_table(path, columns, what, remedy)
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
    except ValueError as error:
        raise wrong_file(path, what, str(error).strip(), remedy) from None
    for column in numbers:
        try:
            pd.to_numeric(frame[column])
        except (ValueError, TypeError) as error:
            raise wrong_file(path, what, f"column {column!r}: {error}", remedy) from None
    return frame


def read_quality(path: Path) -> pd.DataFrame:
    """The held-out quality of a training: step, split, clips, metric, and value as the text that it was written as."""
    what, remedy = "table of quality", "run the training again"
    columns, numbers = ("step", "split", "clips", "metric", "value"), ("step", "clips", "value")
    frame = read_frame(path, columns, what, remedy, numbers, texts=("value", "metric", "split"))
    if frame[[*columns]].isna().any(axis=None):
        raise wrong_file(path, what, "some of its cells are empty", remedy)
    return frame


def check_picture(path: Path) -> Path:
    """``path``, if it holds a whole picture. Raises ``ValueError`` that names it when it does not."""
    try:
        with Image.open(path) as image:
            image.verify()
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise wrong_file(path, "picture", str(error), "run the stage that makes it again") from None
    return path


def check_latex(path: Path) -> Path:
    """``path``, if it holds a table in LaTeX. Raises ``ValueError`` that names it when it does not."""
    what, remedy = "results table in LaTeX", "run stage table again"
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise wrong_file(path, what, "it is no text in UTF-8", remedy) from None
    opened, closed = (text.count(rf"\{word}{{table}}") for word in ("begin", "end"))
    if not opened or opened != closed:
        raise wrong_file(path, what, f"{opened} tables begin in it and {closed} end", remedy)
    return path


def check_video(path: Path) -> Path:
    """``path``, if it begins as an MP4 file does and its index is there. Raises ``ValueError`` that names it if not."""
    content = path.read_bytes()
    if content[4:8] != _MP4_MARK or not _whole(content):
        raise wrong_file(path, "whole MP4 video", f"{len(content)} bytes", "run stage preview again")
    return path


def _whole(content: bytes) -> bool:
    """Whether the boxes of an MP4 file end where it ends; each says its size first, in 4 bytes."""
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4])
        place += int.from_bytes(content[place + 8 : place + 16]) if size == 1 else size or len(content) - place
    return place == len(content)
