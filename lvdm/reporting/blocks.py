"""The results table for people: a block a protocol, in it a part a detector: a row a model, a column a metric.

The Markdown, LaTeX and HTML versions lay out what is decided here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from lvdm.reporting.labels import WINDOW, column_order, is_reference, metric, model_name
from lvdm.reporting.tables import AUTOENCODER, PUBLISHED, clip_list

STAND_IN = "random3d"
COUNTS = "N"
NOTHING = "–"

# How stage score says that there are too few clips for the dimension of the features, or for a distance at all.
_TOO_FEW = re.compile(r"\d+ \w+ for \d+ feature values|no distance: ")

STAND_IN_LINE = (
    f"{STAND_IN} is a small network with seeded random weights that stands in where no trained detector is given: "
    "its distances compare rows of this table, are not FVD or KVD, and compare with no published number."
)
_INTERVAL_LINE = "In brackets: 95 percent bootstrap interval."
_SPREAD_LINE = "After ±: standard deviation over the repetitions, subsets or parts that the value is the mean of."
_INFINITY_LINE = "∞: extrapolated to infinitely many clips, by a fit in 1/N."
_REFERENCE_LINES = {
    "real": "real against real: one half of the real clips against the other, so what sampling alone makes.",
    "train": "training against held-out: real clips of the training videos against those of held-out ones.",
    "noise": "noise against real: what a generator that learned nothing would get.",
}

Kind = Literal["measured", "published", "reference"]


@dataclass(frozen=True)
class Column:
    """A metric and an arrow to where it is better, or the numbers of clips that were compared."""

    label: str
    better: str = ""


@dataclass(frozen=True)
class Cell:
    """A number as text; ``interval`` is its 95 percent interval, ``best`` marks the best of a column."""

    value: str = NOTHING
    spread: str = ""
    interval: tuple[str, str] | None = None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """The numbers of one model, a cell a column."""

    name: str
    kind: Kind
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Part:
    """The scores by one detector; ``corner`` is the heading of the names."""

    corner: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Block:
    """The scores under one protocol; ``warnings`` and ``remarks`` say what must be known of single rows."""

    protocol: str
    parts: tuple[Part, ...]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]


def blocks(rows: pd.DataFrame) -> list[Block]:
    """A block a protocol; published numbers stand in each. ``rows`` is a results table, see ``tables.join``."""
    scores = rows[(rows["model"] != AUTOENCODER) & ~rows["metric"].str.fullmatch(WINDOW)]
    published = scores[scores["protocol"] == PUBLISHED]
    measured = scores[scores["protocol"] != PUBLISHED]
    protocols = list(dict.fromkeys(measured["protocol"])) or [PUBLISHED] * bool(len(published))
    return [_block(name, measured[measured["protocol"] == name], published) for name in protocols]


def reconstructions(rows: pd.DataFrame) -> Part | None:
    """The autoencoder's quality, a row a set of clips; nothing where it was not measured."""
    own = rows[rows["model"] == AUTOENCODER]
    if not len(own):
        return None
    metrics = sorted(dict.fromkeys(own["metric"]), key=column_order)
    lines = []
    for clips_of, group in own.groupby("protocol", sort=False):
        cells = {row["metric"]: _cell(row) for _, row in group.iterrows()}
        clips = Cell(group["n_real"].iloc[0])
        lines.append(Line(clips_of, "measured", (*(cells.get(name, Cell()) for name in metrics), clips)))
    return Part("Autoencoder", (*map(_column, metrics), Column("Clips")), tuple(lines))


def legend(rows: pd.DataFrame) -> list[str]:
    """What must be known to read the blocks of a table: its signs, its reference rows, its stand-in."""
    scores = rows[rows["model"] != AUTOENCODER]
    measured = scores[scores["protocol"] != PUBLISHED]
    lines = ["↓: lower is better; ↑: higher is better. Bold: the best of the models that were measured."]
    lines += [_INTERVAL_LINE] * bool(scores["low"].any())
    lines += [_SPREAD_LINE] * bool(scores["std"].any())
    lines += [_INFINITY_LINE] * bool(scores["metric"].str.contains("_infinity").any())
    lines += [f"{COUNTS}: real clips (of a detector of frames: frames) / compared ones."] * bool(len(measured))
    lines += [line for model, line in _REFERENCE_LINES.items() if (scores["model"] == model).any()]
    for note, group in scores[scores["protocol"] == PUBLISHED].groupby("note", sort=False):
        names = ", ".join(dict.fromkeys(group["model"]))
        lines.append(f"{names}: {note}. They come from other clips, and often from another protocol.")
    if scores["metric"].str.fullmatch(WINDOW).any():
        lines.append("Longer videos were also scored window by window; these numbers are in the .csv.")
    lines += [STAND_IN_LINE] * bool((scores["detector"] == STAND_IN).any())
    return lines


def provenance(rows: pd.DataFrame) -> list[str]:
    """On which clips the numbers were measured, where that is known."""
    if not (digest := clip_list(rows)):
        return []
    return [
        f"List of clips: {digest}, a hash of the videos with their groups, splits and continuous pieces. Tables with "
        "the same hash are of the same videos, cut in the same way."
    ]


def rounded(value: str) -> str:
    """Four significant digits, or all before the point; a dash for no value."""
    if not value:
        return NOTHING
    number = float(value)
    return f"{number:.0f}" if 1e4 <= abs(number) < 1e9 else f"{number:.4g}"


def _block(protocol: str, measured: pd.DataFrame, published: pd.DataFrame) -> Block:
    parts = [
        _part(f"Model, by {detector}", group, published) for detector, group in measured.groupby("detector", sort=False)
    ]
    alone = published[~published["metric"].isin(measured["metric"])]
    if len(alone):
        parts.append(_part("Model", measured.iloc[:0], alone))
    warnings, remarks = _remarks(measured)
    return Block(protocol, tuple(parts), tuple(warnings), tuple(remarks))


def _part(corner: str, measured: pd.DataFrame, published: pd.DataFrame) -> Part:
    names = sorted(set((measured if len(measured) else published)["metric"]), key=column_order)
    counts = [Column(COUNTS)] if len(measured) else []
    lines = [
        *_lines(measured, names, "measured", counted=bool(counts)),
        *_lines(published[published["metric"].isin(names)], names, "published", counted=bool(counts)),
        *_lines(measured, names, "reference", counted=bool(counts)),
    ]
    return Part(corner, (*map(_column, names), *counts), tuple(lines))


def _column(name: str) -> Column:
    return Column(metric(name).label, metric(name).better)


def _lines(rows: pd.DataFrame, names: list[str], kind: Kind, *, counted: bool) -> Iterator[Line]:
    if kind != "published":
        rows = rows[_are_references(rows) == (kind == "reference")]
    best = _best(rows) if kind == "measured" else set()
    for _, group in rows.groupby(["model", "sampler"], sort=False):
        found = {
            row["metric"]: _cell(row, best=index in best, exact=kind == "published") for index, row in group.iterrows()
        }
        first = group.iloc[0]
        counts = [Cell(f"{first['n_real']} / {first['n_fake']}" if first["n_real"] else NOTHING)] * counted
        yield Line(model_name(first), kind, (*(found.get(name, Cell()) for name in names), *counts))


def _best(rows: pd.DataFrame) -> set[int]:
    """Indices of the best rows of each metric, where there is another to be better than."""
    found: set[int] = set()
    for name, group in rows[rows["value"] != ""].groupby("metric"):
        values = group["value"].astype(float) * metric(name).sign
        if len(values) > 1 and metric(name).sign:
            found |= set(values.index[values == values.min()])
    return found


def _cell(row: pd.Series, *, best: bool = False, exact: bool = False) -> Cell:
    """``exact`` keeps the digits as they were printed."""
    interval = (rounded(row["low"]), rounded(row["high"])) if row["low"] and row["high"] else None
    spread = f"{float(row['std']):.2g}" if row["std"] else ""
    return Cell(row["value"] if exact else rounded(row["value"]), spread, interval, best)


def _remarks(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Warnings and other remarks, each with the rows that it is about."""
    about: dict[str, dict[str, None]] = {}
    for _, row in rows.iterrows():
        for note in filter(None, row["note"].split("; ")):
            about.setdefault(note, {})[f"{model_name(row)} ({row['detector']})"] = None
    warnings = [note for note in about if _TOO_FEW.match(note)]
    remarks = [note for note in about if note not in warnings]
    return _sentences(warnings, about), [*_sentences(remarks, about), *_sizes(rows)]


def _sentences(notes: Iterable[str], about: dict[str, dict[str, None]]) -> list[str]:
    return [f"{'; '.join(about[note])}: {note}." for note in notes]


def _sizes(rows: pd.DataFrame) -> Iterator[str]:
    """Distances depend on the number of clips, so rows that differ in it must not be compared as they are."""
    generators = rows[~_are_references(rows)]
    for detector, group in generators.groupby("detector", sort=False):
        sizes = dict.fromkeys(group["n_fake"])
        if len(sizes) > 1:
            yield (
                f"{detector}: models were compared with different numbers of clips ({', '.join(sizes)}); distances "
                "fall with their number."
            )


def _are_references(rows: pd.DataFrame) -> pd.Series:
    return rows["model"].map(is_reference).astype(bool)  # also where there are no rows
