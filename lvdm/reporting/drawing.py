"""Drawing of figures as SVG: small panels, so that a page can place them to its width.

What is drawn is decided elsewhere (:class:`Panel`, plain numbers); here it is drawn in a light and a dark
theme on a transparent ground.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter, NullLocator

_THEMES = {
    "light": {"text": "#3c4450", "grid": "#d9dde3", "quiet": "#8a94a3",
              "lines": ("#2563eb", "#d9622b", "#0f8f7c", "#8b5cf6", "#b4477f")},
    "dark": {"text": "#c3cad5", "grid": "#3a4250", "quiet": "#7f8a9a",
             "lines": ("#7ba7ff", "#f0955f", "#45c4ae", "#b59bff", "#e58ab8")},
}  # fmt: skip
SUFFIXES = {"light": ".svg", "dark": "-dark.svg"}

# Above this many points a running mean is drawn over the raw values.
_MANY_POINTS = 60

_WIDTH, _HEIGHT = 3.4, 2.2  # inches
_NAME_HEIGHT = 0.24

Style = Literal["line", "markers", "points", "dashes", "histogram"]


@dataclass(frozen=True, eq=False)
class Series:
    """Points (x, y) of equal length; of a histogram, ``x`` is the edges of its bars, one more than ``y``.

    ``interval`` is the (low, high) of each y, or of each x where the vertical axis has names. ``colour`` counts
    in the theme; None is the quiet one, of what is there for comparison. Without a label it is not in the legend.
    """

    label: str
    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    style: Style = "line"
    colour: int | None = 0
    interval: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """One plot. ``names``, if any, stand at 0, 1, ... of the vertical axis, from top to bottom."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...] = field(repr=False)
    names: tuple[str, ...] = ()


def save(panel: Panel, folder: Path, name: str) -> str:
    """Draw a panel in both themes: ``folder/name.svg`` and ``folder/name-dark.svg``. Returns ``name.svg``."""
    for theme, suffix in SUFFIXES.items():
        _draw(panel, _THEMES[theme], folder / f"{name}{suffix}")
    return f"{name}{SUFFIXES['light']}"


def _draw(panel: Panel, theme: dict, path: Path) -> None:
    # A fixed salt makes the identifiers in the file, and so its bytes, the same in every run.
    with matplotlib.rc_context({"svg.hashsalt": "lvdm", "font.size": 8.5}):
        height = max(_HEIGHT, 0.8 + _NAME_HEIGHT * len(panel.names))
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        for series in panel.series:
            colour = theme["quiet"] if series.colour is None else theme["lines"][series.colour % len(theme["lines"])]
            _series(axes, series, colour, along="x" if panel.names else "y")
        axes.set_title(panel.title, loc="left", color=theme["text"], fontsize=9.5, fontweight="bold")
        axes.set_xlabel(panel.x_label, color=theme["text"])
        axes.set_ylabel(panel.y_label, color=theme["text"])
        _scales(axes, panel)
        axes.grid(color=theme["grid"], linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=theme["text"], length=0)
        axes.spines[:].set_visible(False)
        if sum(bool(series.label) for series in panel.series) > 1:
            axes.legend(frameon=False, labelcolor=theme["text"], fontsize=8)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def _series(axes: Axes, series: Series, colour: str, along: str) -> None:
    x, y, label = series.x, series.y, series.label or None
    if series.style == "histogram":
        axes.stairs(y, x, color=colour, fill=True, alpha=0.35)
        axes.stairs(y, x, color=colour, linewidth=1.2, label=label)
        return
    if series.interval is not None:
        low, high = series.interval
        # About the middle of the interval, for the value need not be within it.
        bars = {"x": x, "y": y, along: (low + high) / 2, f"{along}err": (high - low) / 2}
        axes.errorbar(**bars, fmt="none", ecolor=colour, elinewidth=1.4, capsize=2.5)
    if series.style in ("points", "dashes"):
        look = {"marker": "o", "linestyle": "none"} if series.style == "points" else {"linestyle": (0, (4, 2))}
        axes.plot(x, y, color=colour, linewidth=1.4, markersize=4, label=label, **look)
        return
    if len(x) <= _MANY_POINTS:
        marker = "o" if series.style == "markers" or len(x) == 1 else None
        axes.plot(x, y, color=colour, linewidth=1.8, marker=marker, markersize=4, label=label)
        return
    axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.35)
    mean = pd.Series(y).rolling(max(5, len(y) // 25), center=True, min_periods=1).mean()
    axes.plot(x, mean, color=colour, linewidth=1.8, label=label)


def _scales(axes: Axes, panel: Panel) -> None:
    x = np.concatenate([series.x for series in panel.series])
    y = np.concatenate([series.y for series in panel.series])
    if panel.names:
        axes.set_yticks(range(len(panel.names)), panel.names)
        axes.set_ylim(len(panel.names) - 0.5, -0.5)
        if _spans_decades(x):
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.5g}")
        return
    histogram = any(series.style == "histogram" for series in panel.series)
    if _spans_decades(y) and not histogram:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif histogram or _is_constant(y):
        axes.set_ylim(bottom=0, auto=None)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.5g}")
    if (x == np.round(x)).all():
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.5g}")


def _spans_decades(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() > 100 * values.min())


def _is_constant(values: np.ndarray) -> bool:
    return bool(values[0] > 0 and (values == values[0]).all())
