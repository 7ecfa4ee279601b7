"""The results table: joining the rows of its parts, and the readable version.

In a tidy table a row is one number. All values are kept as the text that they were written as, so that
joining changes no digit.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

COLUMNS = ("dataset", "model", "sampler", "protocol", "detector", "metric", "value", "n_real", "n_fake", "seed")

AUTOENCODER = "autoencoder"
STAND_IN = "random3d"

# Rows of other models (ours) come before these.
_ORDER = {"real": 1, "noise": 2, AUTOENCODER: 3}

_METRIC_LABELS = {
    "fvd": "FVD",
    "kvd": "KVD",
    "frechet_distance": "Fréchet distance",
    "kernel_distance": "Kernel distance",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
}

_SPLIT_WORDS = {"heldout": "held-out", "train": "training"}

REFERENCE_LINE = (
    "Lower is nearer to the real clips. Two rows are for reference: “real against real” compares one half of the "
    "real clips with the other, so it is what sampling alone makes; “noise against real” is what a generator that "
    "learned nothing would get."
)
STAND_IN_LINE = (
    f"{STAND_IN} is a small network with seeded random weights that stands in where no trained detector is given: "
    "its distances compare rows of this table, are not FVD or KVD, and compare with no published number."
)


def read_rows(path: Path) -> pd.DataFrame:
    """Rows of a tidy table, every value as the text in the file. Raises ``ValueError`` for another file."""
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty; delete it and run stage score again") from None
    missing = [column for column in COLUMNS if column not in rows.columns]
    if missing:
        raise ValueError(f"{path} is no table of scores: column {missing[0]!r} is missing; run stage score again")
    return rows


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
    """All rows in a fixed order: ours, real, noise, autoencoder; the files' order of metrics within a model."""
    rows = pd.concat(parts, ignore_index=True).fillna("")
    extra = [column for column in rows.columns if column not in COLUMNS]
    for column in COLUMNS:
        if column not in rows:
            rows[column] = ""
    rows["order"] = rows["model"].map(_ORDER).fillna(0)
    rows = rows.sort_values(["order", "model", "sampler", "protocol", "detector"], kind="stable", ignore_index=True)
    return rows[[*COLUMNS, *extra]]


def distances(rows: pd.DataFrame) -> pd.DataFrame:
    """The distances for people: a row a model, a column a metric, rounded; the index is the row's name."""
    rows = rows[rows["model"] != AUTOENCODER]
    names = rows.apply(_row_name, axis=1) if len(rows) else pd.Series(dtype=str)
    table: dict[str, dict[str, str]] = {}
    for name, (_, row) in zip(names, rows.iterrows(), strict=True):
        cells = table.setdefault(name, {})
        cells[_column_name(row)] = rounded(row["value"], row.get("value_std", ""))
        cells["Real clips"] = row["n_real"]
        cells["Compared clips"] = row["n_fake"]
    return _counts_last(table, ["Real clips", "Compared clips"]).rename_axis("Model")


def reconstructions(rows: pd.DataFrame) -> pd.DataFrame:
    """The autoencoder's quality for people: a row a set of clips, a column a metric."""
    table: dict[str, dict[str, str]] = {}
    for _, row in rows[rows["model"] == AUTOENCODER].iterrows():
        cells = table.setdefault(row["protocol"], {})
        cells[_METRIC_LABELS.get(row["metric"], row["metric"])] = rounded(row["value"])
        cells["Clips"] = row["n_real"]
    return _counts_last(table, ["Clips"]).rename_axis("Autoencoder")


def notes(rows: pd.DataFrame) -> list[str]:
    """What must be known to read the distances: the reference rows, the stand-in, remarks of single rows."""
    lines = [REFERENCE_LINE]
    scores = rows[rows["model"] != AUTOENCODER]
    if scores["metric"].str.contains(f"({STAND_IN})", regex=False).any():
        lines.append(STAND_IN_LINE)
    if "note" in scores:
        rows_of: dict[str, dict[str, None]] = {}
        for _, row in scores.iterrows():
            for note in filter(None, row["note"].split("; ")):
                rows_of.setdefault(note, {})[_row_name(row)] = None
        lines += [f"{', '.join(names)}: {note}." for note, names in rows_of.items()]
    return lines


def markdown_page(rows: pd.DataFrame, dataset: str) -> str:
    """The readable version of a results table."""
    parts = [f"# {dataset}", _markdown(distances(rows))]
    parts.append("\n".join(f"- {line}" for line in notes(rows)))
    quality = reconstructions(rows)
    if len(quality):
        parts.append(_markdown(quality))
    return "\n\n".join(parts) + "\n"


def _markdown(table: pd.DataFrame) -> str:
    return table.to_markdown(disable_numparse=True, colalign=["left"] + ["right"] * len(table.columns))


def rounded(value: str, deviation: str = "") -> str:
    """Four significant digits, and the standard deviation where there is one; a dash for no value."""
    if not value:
        return "–"
    text = f"{float(value):.4g}"
    return f"{text} ± {float(deviation):.2g}" if deviation else text


def _counts_last(table: dict[str, dict[str, str]], counts: list[str]) -> pd.DataFrame:
    wide = pd.DataFrame.from_dict(table, orient="index").fillna("–")
    values = [column for column in wide.columns if column not in counts]
    return wide[values + [column for column in counts if column in wide]]


def _row_name(row: pd.Series) -> str:
    if row["model"] in ("real", "noise"):
        return f"{row['model']} against real"
    return f"{row['model']}, {row['sampler']}" if row["sampler"] else row["model"]


def _column_name(row: pd.Series) -> str:
    """Metric and detector; the stand-in's metrics bear its kind already."""
    metric, _, kind = row["metric"].partition(" ")
    label = _METRIC_LABELS.get(metric, metric)
    detector = kind.strip("()") or row["detector"]
    return f"{label} ({detector})" if detector == row["detector"] else f"{label} ({detector}, {row['detector']})"
