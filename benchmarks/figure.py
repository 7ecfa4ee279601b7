"""A figure of throughput against batch size, from the JSON of the benchmarks of networks.

    python benchmarks/figure.py unet.json train_diffusion.json ... --out docs/images/throughput.svg

A panel a kind of work: ours, the baseline, and the rate at which the matrix product that was measured beside it would
do the same operations. All files are of one device and one size of clips; where two hold the same row, the last
holds. The suffix of ``--out`` decides the format.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator
from table import BASELINE

from lvdm.files import publish, read_json


@dataclass(frozen=True)
class Line:
    """What a line shows: the rows of a group and a name. The label tells it from another one in its panel."""

    group: str
    name: str
    label: str = ""


@dataclass(frozen=True)
class Panel:
    """A kind of work, and the unit of its rate. ``lines`` are ours; the baseline is that of the group of each."""

    title: str
    unit: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class _End:
    """The last point of a line, and its label."""

    x: float
    y: float
    label: str
    colour: str


# Of a training the stage's own loop is shown, which contains the bare step.
PANELS = (
    Panel("UNet evaluation", "clip evaluations/s", (Line("UNet forward", "ours"),)),
    Panel("Diffusion training", "clips/s", (Line("diffusion training", "training loop"),)),
    Panel("Sampling", "videos/s", (Line("sampling", "stage"),)),
    Panel(
        "Autoencoder training",
        "clips/s",
        (
            Line("reconstruction only", "training loop", "L1"),
            Line("full loss", "training loop", "full loss"),
        ),
    ),
    Panel("Encoding", "clips/s", (Line("encode", "ours", "network"), Line("encoding", "stage", "stage"))),
    Panel("Decoding", "clips/s", (Line("decode", "ours"),)),
)

# Okabe and Ito's, which the colour-blind tell apart; what is there for comparison is grey.
_OURS, _OTHER, _TEXT, _GRID = "#0072b2", "#7a7f87", "#2b2f36", "#e3e6ea"
_QUIET_TEXT = {"color": _OTHER, "fontsize": 7.5}
# On white, over the grid and under the lines.
_GROUND = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_END_TEXT = {"textcoords": "offset points", "va": "center", "fontsize": 8, "bbox": _GROUND, "zorder": 2}
_STYLES = (("-", "o"), ("--", "s"))  # of the lines of a panel
_WIDTH, _HEIGHT = 3.5, 2.55  # inches, of a panel
_COLUMNS = 3
_ROOM = 0.65  # for the labels, as a share of the width of the lines
_GAP = 0.075  # between two labels, as a share of the panel's height
_SAME_BOUND = 0.1  # nearer bounds are one: the matrix product is measured in each benchmark, and not twice the same
_MOST_TICKS = 7


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="JSON files of the benchmarks")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "images" / "throughput.svg")
    options = parser.parse_args(arguments)
    rows, about = read_rows(options.results)
    draw(rows, about, options.out)


def read_rows(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], str]:
    """The rows that were measured in all files, and what these say of the device and the clips.

    Raises ``ValueError`` for a file that has no rows, or is of another device or of other clips than the first.
    """
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    seen: dict[str, Any] = {}
    for path in paths:
        result = read_json(path)
        if "rows" not in result:
            raise ValueError(f"{path}: is not the result of a benchmark by batch size; leave it out")
        for key in ("device", "clip"):
            if result[key] != seen.setdefault(key, result[key]):
                raise ValueError(f"{path}: {key} {result[key]}, but {paths[0]} has {seen[key]}; draw them apart")
        rows |= {(row["group"], row["name"], row["batch_size"]): row for row in result["rows"] if "seconds" in row}
    return list(rows.values()), f"{seen['device']}, clips of {'×'.join(map(str, seen['clip']))}"


def draw(rows: Sequence[dict[str, Any]], about: str, path: Path) -> None:
    """Draw the panels that there are rows for. Raises ``ValueError`` when there is none."""
    panels = [panel for panel in PANELS if any(_chosen(rows, line.group, line.name) for line in panel.lines)]
    if not panels:
        raise ValueError("there is nothing to draw; give the JSON of unet.py, sample.py, autoencoder.py, ...")
    columns = min(_COLUMNS, len(panels))
    size = (_WIDTH * columns, _HEIGHT * -(-len(panels) // columns))
    # A fixed salt makes the identifiers in the file, and so its bytes, the same in every run.
    with matplotlib.rc_context({"svg.hashsalt": "lvdm", "font.size": 8.5}):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        for number, panel in enumerate(panels, start=1):
            _panel(figure.add_subplot(-(-len(panels) // columns), columns, number), panel, rows)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        figure.supxlabel(about, x=0.99, ha="right", **_QUIET_TEXT)
        with publish(path) as temporary:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            figure.savefig(temporary, format=path.suffix[1:], dpi=200, metadata=metadata)


def _chosen(rows: Sequence[dict[str, Any]], group: str, name: str) -> list[dict[str, Any]]:
    found = [row for row in rows if (row["group"], row["name"]) == (group, name)]
    return sorted(found, key=lambda row: row["batch_size"])


def _panel(axes: Axes, panel: Panel, rows: Sequence[dict[str, Any]]) -> None:
    ends: list[_End] = []
    sizes: set[int] = set()
    rates: list[float] = []
    several = sum(bool(_chosen(rows, line.group, line.name)) for line in panel.lines) > 1
    for line, (dashes, marker) in zip(panel.lines, _STYLES, strict=False):
        for name, colour in ((line.name, _OURS), (BASELINE, _OTHER)):
            found = _chosen(rows, line.group, name)
            if not found:
                continue
            x, y = ([row[key] for row in found] for key in ("batch_size", "clips_per_second"))
            axes.plot(x, y, color=colour, linestyle=dashes, marker=marker, markersize=3.8, linewidth=1.6, zorder=3)
            whose = BASELINE if name == BASELINE else "ours"
            ends.append(_End(x[-1], y[-1], f"{whose}, {line.label}" if several else whose, colour))
            sizes |= set(x)
            rates += y
    bounds = _bounds(panel, rows)
    _scales(axes, sorted(sizes), [*rates, *bounds.values()])
    for label, bound in bounds.items():
        axes.axhline(bound, color=_OTHER, linewidth=0.8, linestyle=(0, (5, 3)))
        text = f"matrix peak, {label}" if len(bounds) > 1 else "matrix peak"
        axes.annotate(text, (0.015, bound), (0, 2.5), axes.get_yaxis_transform(), "offset points", **_QUIET_TEXT)
    _write_labels(axes, ends)
    axes.set_title(panel.title, loc="left", fontweight="bold", fontsize=9.5, color=_TEXT)
    axes.set_xlabel("batch size", color=_TEXT)
    axes.set_ylabel(panel.unit, color=_TEXT)


def _bounds(panel: Panel, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Rates of our lines at the matrix product's operations per second, by the label of the line."""
    bounds: dict[str, float] = {}
    for line in panel.lines:
        found = [row["clips_per_second"] / row["share_of_peak"] for row in _chosen(rows, line.group, line.name)]
        if found and all(abs(math.log(found[0] / other)) > _SAME_BOUND for other in bounds.values()):
            bounds[line.label] = found[0]
    return bounds


def _scales(axes: Axes, sizes: Sequence[int], rates: Sequence[float]) -> None:
    """Logarithmic axes with the measured batch sizes, and room for labels to the right of the lines."""
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    octaves = max(1.0, math.log2(sizes[-1] / sizes[0]))
    axes.set_xlim(sizes[0] / 2 ** (0.06 * octaves), sizes[-1] * 2 ** (_ROOM * octaves))
    axes.xaxis.set_major_locator(FixedLocator(sizes[:: -(-len(sizes) // _MOST_TICKS)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    decades = math.log10(max(rates) / min(rates))
    margin = 10 ** max(0.09 * decades, 0.06)
    axes.set_ylim(min(rates) / margin, max(rates) * margin**1.6)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 1.7 else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_TEXT, length=0)
    axes.spines[:].set_visible(False)
    axes.spines[["left", "bottom"]].set(visible=True, color=_OTHER, linewidth=0.7)


def _write_labels(axes: Axes, ends: Sequence[_End]) -> None:
    """To the right of each end; those that would touch are moved upwards."""
    low, high = map(math.log, axes.get_ylim())
    lowest = 0.0
    for end in sorted(ends, key=lambda end: end.y):
        height = max((math.log(end.y) - low) / (high - low), lowest)
        lowest = height + _GAP
        label = axes.annotate(end.label, (end.x, math.exp(low + height * (high - low))), (6, 0), **_END_TEXT)
        label.set(color=end.colour, in_layout=False)  # the room for it is in the panel, and all panels are equally wide


if __name__ == "__main__":
    main()
