"""What is drawn of a training: a panel a quantity, over the steps."""

import re

import numpy as np
import pandas as pd

from lvdm.reporting.drawing import Panel, Series

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


def curve_panels(curve: pd.DataFrame) -> list[Panel]:
    """A panel for every numeric column of a training curve that is not 0 throughout; ``step`` is the x axis."""
    panels = []
    for column in curve.columns:
        if column in _NOT_QUANTITIES or not pd.api.types.is_numeric_dtype(curve[column]):
            continue
        values = curve[["step", column]].replace([np.inf, -np.inf], np.nan).dropna()
        if len(values) and values[column].any():
            title, label = _title(column)
            panels.append(Panel(title, "step", label, (Series(label, *_points(values, "step", column)),)))
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
        series = tuple(
            Series(split, *_points(group, "step", "value"), style="markers", colour=number)
            for number, (split, group) in enumerate(rows.groupby("split", sort=False))
        )
        panels.append(Panel(f"{_splits(rows)}: {title}", "step", label, series))
    for name, metrics in levels.items():
        panels.append(_level_panel(quality, name, sorted(metrics)))
    return panels


def _level_panel(quality: pd.DataFrame, name: str, metrics: list[tuple[float, str]]) -> Panel:
    steps = sorted(quality["step"].unique())
    shown = dict.fromkeys([steps[0], steps[len(steps) // 2], steps[-1]])
    series = []
    for number, step in enumerate(shown):
        at_step = quality[quality["step"] == step].drop_duplicates("metric").set_index("metric")["value"]
        points = [(level, at_step[metric]) for level, metric in metrics if metric in at_step]
        series.append(Series(f"step {step}", *np.array(points, dtype=float).T, style="markers", colour=number))
    title, label = _title(name)
    title = f"{_splits(quality)}: {title} by noise level"
    return Panel(title, "noise level (0: clean)", label, tuple(series))


def _splits(rows: pd.DataFrame) -> str:
    return ", ".join(_SPLIT_WORDS.get(split, split) for split in rows["split"].unique())


def _points(rows: pd.DataFrame, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    rows = rows.sort_values(x, kind="stable")
    return rows[x].to_numpy(float), rows[y].to_numpy(float)


def _title(column: str) -> tuple[str, str]:
    """Title and label of the vertical axis of a quantity."""
    words = column.replace("_", " ")
    return _QUANTITIES.get(column, (words[:1].upper() + words[1:], words))
