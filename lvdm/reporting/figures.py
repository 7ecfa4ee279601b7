"""Figures of a training, as SVG: a small panel a quantity, so that a page can place them to its width.

What is drawn is decided first (:class:`Panel`, plain numbers), then drawn in a light and a dark theme
on a transparent ground.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

Series = dict[str, tuple[np.ndarray, np.ndarray]]

# Title, and label of the vertical axis with its unit; other numeric columns are shown by their name.
_QUANTITIES = {
    "loss": ("Loss", "loss"),
    "l1": ("L1", "L1, of values in [-1, 1]"),
    "lpips": ("LPIPS", "LPIPS"),
    "kl": ("KL divergence", "KL (nats a clip)"),
    "adversarial": ("Adversarial loss", "loss"),
    "adaptive_weight": ("Adversarial weight", "weight"),
    "discriminator": ("Discriminator loss", "loss"),
    "learning_rate": ("Learning rate", "learning rate"),
    "gradient_norm": ("Gradient norm", "L2 norm"),
    "clips_per_second": ("Speed", "clips/s"),
    "psnr": ("PSNR", "PSNR (dB)"),
    "ssim": ("SSIM", "SSIM"),
}
_SPLIT_WORDS = {"heldout": "Held-out", "train": "Training clips"}
_NOT_QUANTITIES = ("step", "epoch", "clips")

# A metric of a range of noise levels is named by it: "loss 0-99".
_LEVELS = re.compile(r"(?P<name>.+) (?P<low>\d+)-(?P<high>\d+)")

_THEMES = {
    "light": {"text": "#3c4450", "grid": "#d9dde3", "lines": ("#2563eb", "#d9622b", "#0f8f7c", "#8b5cf6", "#b4477f")},
    "dark": {"text": "#c3cad5", "grid": "#3a4250", "lines": ("#7ba7ff", "#f0955f", "#45c4ae", "#b59bff", "#e58ab8")},
}
SUFFIXES = {"light": ".svg", "dark": "-dark.svg"}

# Above this many points a running mean is drawn over the raw values.
_MANY_POINTS = 60


@dataclass(frozen=True)
class Panel:
    """One plot: ``series`` maps a legend entry to (x, y), of equal length."""

    title: str
    x_label: str
    y_label: str
    series: Series = field(repr=False)
    markers: bool = False


def curve_panels(curve: pd.DataFrame) -> list[Panel]:
    """A panel for every numeric column of a training curve that is not 0 throughout; ``step`` is the x axis."""
    panels = []
    for column in curve.columns:
        if column in _NOT_QUANTITIES or not pd.api.types.is_numeric_dtype(curve[column]):
            continue
        values = curve[["step", column]].replace([np.inf, -np.inf], np.nan).dropna()
        if len(values) and values[column].any():
            title, label = _title(column)
            panels.append(Panel(title, "step", label, {label: _points(values, "step", column)}))
    return panels


def quality_panels(quality: pd.DataFrame) -> list[Panel]:
    """Panels of quality (columns step, split, clips, metric, value): one a metric, over the steps, a line a split.

    Metrics that are named by a range of noise levels share one panel, over the levels, with a line for the
    first, the middle and the last step.
    """
    quality = quality[np.isfinite(quality["value"])]  # the PSNR of equal clips is infinite
    panels = []
    levels: dict[str, list[tuple[float, str]]] = {}
    for metric in dict.fromkeys(quality["metric"]):
        match = _LEVELS.fullmatch(metric)
        if match:
            middle = (float(match["low"]) + float(match["high"])) / 2
            levels.setdefault(match["name"], []).append((middle, metric))
            continue
        rows = quality[quality["metric"] == metric]
        title, label = _title(metric)
        series = {split: _points(group, "step", "value") for split, group in rows.groupby("split", sort=False)}
        panels.append(Panel(f"{_splits(rows)}: {title}", "step", label, series, markers=True))
    for name, metrics in levels.items():
        panels.append(_level_panel(quality, name, sorted(metrics)))
    return panels


def _level_panel(quality: pd.DataFrame, name: str, metrics: list[tuple[float, str]]) -> Panel:
    steps = sorted(quality["step"].unique())
    shown = dict.fromkeys([steps[0], steps[len(steps) // 2], steps[-1]])
    series = {}
    for step in shown:
        at_step = quality[quality["step"] == step].drop_duplicates("metric").set_index("metric")["value"]
        points = [(level, at_step[metric]) for level, metric in metrics if metric in at_step]
        series[f"step {step}"] = tuple(np.array(points, dtype=float).T)
    title, label = _title(name)
    title = f"{_splits(quality)}: {title} by noise level"
    return Panel(title, "noise level (0: clean)", label, series, markers=True)


def _splits(rows: pd.DataFrame) -> str:
    return ", ".join(_SPLIT_WORDS.get(split, split) for split in rows["split"].unique())


def save(panel: Panel, folder: Path, name: str) -> str:
    """Draw a panel in both themes: ``folder/name.svg`` and ``folder/name-dark.svg``. Returns ``name.svg``."""
    for theme, suffix in SUFFIXES.items():
        _draw(panel, theme, folder / f"{name}{suffix}")
    return f"{name}{SUFFIXES['light']}"


def _draw(panel: Panel, theme: str, path: Path) -> None:
    colours = _THEMES[theme]
    # A fixed salt makes the identifiers in the file, and so its bytes, the same in every run.
    with matplotlib.rc_context({"svg.hashsalt": "lvdm", "font.size": 8.5}):
        figure = Figure(figsize=(3.4, 2.2), layout="constrained")
        axes = figure.add_subplot()
        for colour, (label, (x, y)) in zip(_cycle(colours["lines"]), panel.series.items(), strict=False):
            _line(axes, x, y, colour, label, panel.markers)
        axes.set_title(panel.title, loc="left", color=colours["text"], fontsize=9.5, fontweight="bold")
        axes.set_xlabel(panel.x_label, color=colours["text"])
        axes.set_ylabel(panel.y_label, color=colours["text"])
        if _spans_decades(panel):
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        elif _is_constant(panel):
            axes.set_ylim(bottom=0, auto=None)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.5g}")
        axes.grid(color=colours["grid"], linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=colours["text"], length=0)
        axes.spines[:].set_visible(False)
        if len(panel.series) > 1:
            axes.legend(frameon=False, labelcolor=colours["text"], fontsize=8)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def _line(axes, x: np.ndarray, y: np.ndarray, colour: str, label: str, markers: bool) -> None:
    if len(x) <= _MANY_POINTS:
        marker = "o" if markers or len(x) == 1 else None
        axes.plot(x, y, color=colour, linewidth=1.8, marker=marker, markersize=4, label=label)
        return
    axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.35)
    mean = pd.Series(y).rolling(max(5, len(y) // 25), center=True, min_periods=1).mean()
    axes.plot(x, mean, color=colour, linewidth=1.8, label=label)


def _cycle(colours: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from colours


def _spans_decades(panel: Panel) -> bool:
    values = np.concatenate([y for _, y in panel.series.values()])
    return bool(values.min() > 0 and values.max() > 100 * values.min())


def _is_constant(panel: Panel) -> bool:
    values = np.concatenate([y for _, y in panel.series.values()])
    return bool(values[0] > 0 and (values == values[0]).all())


def _points(rows: pd.DataFrame, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    rows = rows.sort_values(x, kind="stable")
    return rows[x].to_numpy(float), rows[y].to_numpy(float)


def _title(column: str) -> tuple[str, str]:
    """Title and label of the vertical axis of a quantity."""
    words = column.replace("_", " ")
    return _QUANTITIES.get(column, (words[:1].upper() + words[1:], words))
