"""The results table as data: a row a number, joined from the files of the scores.

All values are kept as the text that they were written as, so that joining changes no digit.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lvdm.reading import read_table

COLUMNS = ("dataset", "model", "sampler", "protocol", "detector", "metric", "value", "n_real", "n_fake", "seed")
DETAILS = ("std", "low", "high", "note")
"""Standard deviation over repetitions, subsets or parts; 95 percent interval; what must be known of the row."""

CLIPS = "clips"
"""A last column: the hash of the list of clips that a number was measured on; empty where none is known."""

# So many digits of it tell lists apart, as they do for stamps of code.
_DIGITS = 16

AUTOENCODER = "autoencoder"
PUBLISHED = "published"
"""Protocol of numbers that were not measured here."""

_PUBLISHED_COLUMNS = ("model", "metric", "value", "source")

# Ours come first, then other generators, published rows and references.
_ORDER = {"lvdm": 0, "real": 3, "train": 4, "noise": 5, AUTOENCODER: 6}

_SPLIT_WORDS = {"heldout": "held-out", "train": "training"}


def read_rows(path: Path) -> pd.DataFrame:
    """Rows of a tidy table, every value as the text in the file. Raises ``ValueError`` for another file."""
    rows = _read(path, COLUMNS, "table of scores; run stage score again")
    for column in (*DETAILS, CLIPS):
        if column not in rows:
            rows[column] = ""
    _check_numbers(path, rows, ("value", "std", "low", "high"), "run stage score again")
    return rows


def published_rows(path: Path, dataset: str) -> pd.DataFrame:
    """Numbers of papers, as rows of the results table.

    The file has the columns model, metric, value and source; a note says where each row is from. Raises
    ``ValueError`` for another file, and for a value that is no number.
    """
    read = _read(path, _PUBLISHED_COLUMNS, "table of published numbers; correct it")
    if (read["value"] == "").any():
        raise ValueError(f"{path}: a value is missing; correct it")
    _check_numbers(path, read, ("value",), "correct it")
    note = "published, not measured: " + read["source"]
    return read[["model", "metric", "value"]].assign(dataset=dataset, protocol=PUBLISHED, note=note)


def autoencoder_rows(quality: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The quality of reconstructions at the last step, as rows of the results table.

    ``quality`` has the columns step, split, clips, metric, value.
    """
    last = quality[quality["step"] == quality["step"].max()]
    rows = pd.DataFrame(
        {
            "model": AUTOENCODER,
            "protocol": ["reconstruction of " + _SPLIT_WORDS.get(split, split) + " clips" for split in last["split"]],
            "metric": last["metric"],
            "value": [repr(float(value)) for value in last["value"]],
            "n_real": last["clips"].astype(int).astype(str),
            "n_fake": last["clips"].astype(int).astype(str),
            "note": "step " + last["step"].astype(int).astype(str),
        }
    )
    rows.insert(0, "dataset", dataset)
    return rows


def join(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows in a fixed order: ours, other generators, published numbers, references, autoencoder.

    Within a model, a protocol and a detector the metrics keep the order of their file.
    """
    rows = pd.concat(parts, ignore_index=True).fillna("")
    for column in (*COLUMNS, *DETAILS):
        if column not in rows:
            rows[column] = ""
    keys = rows[["model", "sampler", "protocol", "detector"]].copy()
    keys.insert(0, "order", rows["model"].map(_ORDER).fillna(1))
    # Published numbers keep the order of their file, which is that of the paper.
    keys.loc[rows["protocol"] == PUBLISHED, ["order", "model"]] = [2, ""]
    order = keys.sort_values(list(keys.columns), kind="stable").index
    return rows.loc[order, [*COLUMNS, *DETAILS]].reset_index(drop=True)


def with_clips(rows: pd.DataFrame, digest: str) -> pd.DataFrame:
    """Joined rows with what they were measured on in the last column; published numbers were on other clips."""
    return rows.assign(**{CLIPS: np.where(rows["protocol"] == PUBLISHED, "", digest[:_DIGITS])})


def clip_list(rows: pd.DataFrame) -> str:
    """The hash of the list of clips of a table; empty where it is not known."""
    return max(rows[CLIPS], default="") if CLIPS in rows else ""


def _read(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    rows = read_table(path, columns, *what.split("; "))
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else list(columns), dtype=str)


def _check_numbers(path: Path, rows: pd.DataFrame, columns: Sequence[str], remedy: str) -> None:
    for value in (text for column in columns for text in rows[column] if text):
        try:
            float(value)
        except ValueError:
            raise ValueError(f"{path}: {value!r} is no number; {remedy}") from None
