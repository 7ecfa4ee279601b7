"""Strict readers of the files that stages hand on, one per kind of file.

Each takes ``what`` the file should be and the ``remedy``, and turns all that can be wrong with a file into a
``ValueError`` that names the file, says what was wrong with it and what to do. A file that is missing or may not be
read stays an ``OSError``, which names it too. Nothing in a file is executed.
"""

import csv
import io
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

RecordT = TypeVar("RecordT")

# What numpy and the zip module raise for damaged files: of a header that is no Python, for one.
_DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_record(kind: type[RecordT], path: str | Path, what: str, remedy: str) -> RecordT:
    """The value of a JSON file as ``kind``, a dataclass or a configuration, whose types must be those of the file."""
    content = Path(path).read_bytes()
    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        problem = f"{place}: {first['msg']}" if place else first["msg"]
        raise wrong_file(path, what, problem, remedy) from None


def open_array(path: str | Path, what: str, remedy: str, *, shape: str, dtype: str) -> np.ndarray:
    """The array in a .npy file, which stays on the disk: read-only.

    ``shape`` has a letter for any size and a digit for itself, "nHW3" say; ``dtype`` is numpy's name. No objects.
    """
    if not (found := Path(path)).exists():
        raise FileNotFoundError(f"{path} is missing, the {what}; {remedy}")
    if not found.is_file():
        raise wrong_file(path, what, "it is no file", remedy)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _DAMAGE as error:
        raise wrong_file(path, what, f"not a whole .npy file of numbers: {_reason(error)}", remedy) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise wrong_file(path, what, "it is an archive of several arrays", remedy)
    fits = len(array.shape) == len(shape) and all(
        not sign.isdigit() or size == int(sign) for size, sign in zip(array.shape, shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits:
        wanted = f"{dtype} ({', '.join(shape)})"
        raise wrong_file(path, what, f"it holds {array.dtype} {array.shape} and not {wanted}", remedy)
    return array


def read_archive(path: str | Path, what: str, remedy: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name. No objects."""
    if not Path(path).is_file() and Path(path).exists():
        raise wrong_file(path, what, "it is no file", remedy)
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds one array without a name")
        with archive:
            return dict(archive)
    except _DAMAGE as error:
        raise wrong_file(path, what, f"not a whole .npz file of numbers: {_reason(error)}", remedy) from None


def read_table(
    path: str | Path, columns: Sequence[str], what: str, remedy: str, *, delimiter: str = ","
) -> list[dict[str, str]]:
    """The rows of a CSV file in UTF-8 as texts by column; each has all cells, and ``columns`` are among them."""
    if Path(path).is_dir():
        raise wrong_file(path, what, "it is a folder", remedy)
    try:
        text = Path(path).read_text(encoding="utf-8")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        raise wrong_file(path, what, "it is no text in UTF-8", remedy) from None
    except csv.Error as error:
        raise wrong_file(path, what, f"it is no CSV: {error}", remedy) from None
    header, *rows = [line for line in lines if line] or [[]]
    if missing := [column for column in columns if column not in header]:
        found = "it is empty" if not header else f"column {missing[0]!r} is missing"
        raise wrong_file(path, what, found, remedy)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise wrong_file(path, what, f"row {number} has {len(row)} cells of {len(header)}: cut off?", remedy)
    return [dict(zip(header, row, strict=True)) for row in rows]


def wrong_file(path: str | Path, what: str, problem: str, remedy: str) -> ValueError:
    """The error for a file that is not ``what`` it should be."""
    return ValueError(f"{path} is no {what}: {problem}; {remedy}")


def _reason(error: BaseException) -> str:
    text: Any = str(error).strip().partition("\n")[0]
    return text[:200] or type(error).__name__
