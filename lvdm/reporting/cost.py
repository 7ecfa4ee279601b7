"""What the stages of a data set cost, as a table for people."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lvdm.reporting.blocks import NOTHING
from lvdm.reporting.frames import read_frame

TOTAL = "total"

_NOTES = {
    "sacct": "sacct: SLURM's accounting, attempts that failed included. CPUs and GPUs count for as long as a job kept "
    "them.",
    "benchmark": "benchmark: what Snakemake measured of the last success of each job. CPU time is what was used.",
}


@dataclass(frozen=True)
class Costs:
    """``rows`` are texts, a row a stage and at last the total; ``notes`` say how they were measured."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def read_costs(path: Path, dataset: str) -> Costs | None:
    """The costs of a data set from the table of stage cost; None where nothing was measured.

    Columns of which nothing is known are left out. Raises ``ValueError`` for another file.
    """
    columns = ("dataset", "stage", "source", *_COLUMNS)
    table = read_frame(path, columns, "table of costs", "run stage cost again", numbers=tuple(_COLUMNS))
    rows = table[table["dataset"] == dataset]
    if rows.empty:
        return None
    shown = [name for name in _COLUMNS if rows[name].notna().any()]
    total = rows[shown].sum()
    if "memory_mb" in shown:
        total["memory_mb"] = rows["memory_mb"].max()  # of jobs that ran at different times
    lines = [(row["stage"], *_texts(row[shown]), row["source"]) for _, row in rows.iterrows()]
    return Costs(
        columns=("Stage", *(_COLUMNS[name][0] for name in shown), "From"),
        rows=(*lines, (TOTAL, *_texts(total), "")),
        notes=tuple(note for source, note in _NOTES.items() if (rows["source"] == source).any()),
    )


def _texts(row: pd.Series) -> list[str]:
    return [NOTHING if pd.isna(value) else _COLUMNS[name][1](value) for name, value in row.items()]


def _count(value: float) -> str:
    return f"{int(value):,}"


def _duration(hours: float) -> str:
    """Hours to three digits, in the unit that suits them."""
    if hours >= 1:
        return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.3g} h"
    return f"{60 * hours:.3g} min" if 60 * hours >= 1 else f"{3600 * hours:.2g} s"


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1000:.3g} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


_COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "jobs": ("Jobs", _count),
    "hours": ("Time", _duration),
    "queue_hours": ("Waiting", _duration),
    "cpu_hours": ("CPU time", _duration),
    "gpu_hours": ("GPU time", _duration),
    "memory_mb": ("Largest memory", _memory),
}
