"""The tables of the benchmarks of networks, in Markdown."""

from collections.abc import Sequence
from typing import Any

from memory import CARDS

BASELINE = "baseline"
"""The name of a row that the others of its group are compared with."""

_COLUMNS = "| work | | precision | batch | ms | clips/s | TFLOP/s | share of peak | GiB allocated | times baseline |\n"


def head_line(result: dict[str, Any]) -> str:
    """What was measured, where and when."""
    clip = "x".join(map(str, result["clip"]))
    about = [result["config"], f"clips of {clip}", result["device"], f"torch {result['torch']}", result["date"]]
    return f"{result['benchmark']}: {', '.join(about)}\n"


def rows_table(rows: Sequence[dict[str, Any]]) -> str:
    """All that was measured."""
    return f"{_COLUMNS}|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n{''.join(map(row_line, rows))}"


def row_line(row: dict[str, Any]) -> str:
    """One row of it, also for the terminal while the next one is measured."""
    start = [row["group"], _name(row), row["precision"], str(row["batch_size"])]
    if "error" in row:
        return f"| {' | '.join(start)} | {row['error']} | | | | | |\n"
    memory = f"{row['gibibytes']:.1f}" if row["gibibytes"] is not None else ""
    ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
    if ratio and row["baseline_batch_size"] != row["batch_size"]:
        ratio += f" (at batch {row['baseline_batch_size']})"
    numbers = [f"{1000 * row['seconds']:.2f}", f"{row['clips_per_second']:.2f}"]
    numbers += [f"{row['flops_per_second'] / 1e12:.3f}", f"{row['share_of_peak']:.1%}", memory, ratio]
    return f"| {' | '.join(start + numbers)} |\n"


def largest_table(fits: Sequence[dict[str, Any]]) -> str:
    """The largest batches of ``memory.largest_batches``."""
    said = "Largest batch that leaves a tenth of the memory free; ~ where it is beyond the batches measured:\n\n"
    cards = " | ".join(f"{card} GiB" for card in CARDS)
    head = f"| work | | precision | fixed GiB | MiB a clip | {cards} |\n|---|---|---|--:|--:|{'--:|' * len(CARDS)}\n"
    return said + head + "".join(map(_largest_line, fits))


def _largest_line(fit: dict[str, Any]) -> str:
    cells = [fit["group"], _name(fit), fit["precision"], f"{fit['fixed_gibibytes']:.2f}"]
    cells.append(f"{1024 * fit['gibibytes_per_clip']:.1f}")
    for batch in fit["largest"].values():
        cells.append(f"{'~' if batch > fit['largest_measured'] else ''}{batch}" if batch else "none")
    return f"| {' | '.join(cells)} |\n"


def _name(row: dict[str, Any]) -> str:
    return f"{row['name']} ({row['note']})" if row["note"] else row["name"]
