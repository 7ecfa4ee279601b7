"""What is drawn of the scores: intervals, distance against the number of clips, against sampler steps, over time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lvdm.reporting.drawing import Panel, Series
from lvdm.reporting.labels import INFINITY, WINDOW, column_order, is_reference, metric, model_name

# Points of the smooth line of a fit.
_SMOOTH = 200
_BARS = 30


@dataclass(frozen=True)
class SamplerSteps:
    """How a sampler draws: what a metric is shown against."""

    method: str
    steps: int


def score_panels(rows: pd.DataFrame, samplers: Mapping[str, SamplerSteps]) -> list[Panel]:
    """Panels of the scores of one detector under one protocol; ``rows`` are those of a results table.

    ``samplers`` has what is known of the samplers, by name.
    """
    rows = rows[rows["value"] != ""]
    windows = rows["metric"].str.fullmatch(WINDOW).astype(bool)
    whole = rows[~windows]
    panels = []
    for name in sorted(dict.fromkeys(whole["metric"]), key=column_order):
        of_metric = whole[whole["metric"] == name]
        panels += _interval_panel(name, of_metric)
        if not name.endswith(INFINITY):
            panels += _step_panel(name, of_metric, samplers)
    return [*panels, *_window_panels(rows[windows])]


def curve_panel(curves: Mapping[str, pd.DataFrame], name: str) -> Iterator[Panel]:
    """The Fréchet distance ``name`` of n generated clips, its fit in 1/n, and the floor; no panel without points.

    ``curves`` maps a model to its curve: columns n, value, fit, floor.
    """
    label = metric(name).label
    series = []
    floor: tuple[np.ndarray, np.ndarray] = (np.array([]), np.array([]))
    for number, (model, curve) in enumerate(curves.items()):
        sizes = curve["n"].to_numpy(float)
        if len(sizes):
            series.append(Series(model, sizes, curve["value"].to_numpy(float), "points", number))
            series.append(Series("fit in 1/N" if not number else "", *_smooth(curve), "dashes", number))
        known = curve.dropna(subset="floor")
        if len(known) > len(floor[0]):
            floor = known["n"].to_numpy(float), known["floor"].to_numpy(float)
    if series:
        if len(floor[0]):
            series.append(Series("floor: real against real", *floor, "markers", None))
        yield Panel(f"{label} against N", "generated clips, N", label, tuple(series))


def nearest_panel(distances: pd.DataFrame) -> Iterator[Panel]:
    """How far clips are from the nearest training clip; ``distances`` has the columns distance and kind."""
    values = distances["distance"].to_numpy(float)
    if not len(values):
        return
    edges = np.histogram_bin_edges(values, bins=min(_BARS, max(5, len(values) // 4)))
    series = [
        Series(label, edges, 100 * np.histogram(group, edges)[0] / len(group), "histogram", colour)
        for kind, label, colour in (("heldout", "held-out", None), ("generated", "generated", 0))
        if len(group := values[(distances["kind"] == kind).to_numpy()])
    ]
    yield Panel("Distance to the nearest training clip", "distance of features", "clips (percent)", tuple(series))


def _interval_panel(name: str, rows: pd.DataFrame) -> Iterator[Panel]:
    """The values of all models with their 95 percent intervals, references in the quiet colour."""
    if not ((rows["low"] != "") & (rows["high"] != "")).any():
        return
    low, high = (rows[side].where(rows[side] != "", rows["value"]).astype(float).to_numpy() for side in ("low", "high"))
    values, places = rows["value"].astype(float).to_numpy(), np.arange(len(rows), dtype=float)
    references = rows["model"].map(is_reference).to_numpy(bool)
    series = [
        Series("", values[chosen], places[chosen], "points", colour, (low[chosen], high[chosen]))
        for chosen, colour in ((~references, 0), (references, None))
        if chosen.any()
    ]
    names = tuple(model_name(row) for _, row in rows.iterrows())
    found = metric(name)
    yield Panel(f"{found.label} {found.better}", "value and 95 percent interval", "", tuple(series), names)


def _step_panel(name: str, rows: pd.DataFrame, samplers: Mapping[str, SamplerSteps]) -> Iterator[Panel]:
    """A metric over the steps of the samplers, a line a method; no panel of a single number of steps."""
    rows = rows[rows["sampler"].isin(samplers)]
    steps = np.array([samplers[sampler].steps for sampler in rows["sampler"]], dtype=float)
    if len(set(steps)) < 2:
        return
    methods = np.array([samplers[sampler].method for sampler in rows["sampler"]])
    values = rows["value"].astype(float).to_numpy()
    low, high = (rows[side].where(rows[side] != "", rows["value"]).astype(float).to_numpy() for side in ("low", "high"))
    series = []
    for number, method in enumerate(dict.fromkeys(methods)):
        order = [place for place in np.argsort(steps, kind="stable") if methods[place] == method]
        points = steps[order], values[order]
        series.append(Series(method, *points, "markers", number, (low[order], high[order])))
    label = metric(name).label
    yield Panel(f"{label} against steps", "steps of the sampler", label, tuple(series))


def _window_panels(rows: pd.DataFrame) -> Iterator[Panel]:
    """A distance over the time of longer videos: of the clips that begin at a frame, a line a model."""
    parts = rows["metric"].str.extract(WINDOW)
    for name in dict.fromkeys(parts["name"]):
        label = metric(name).label
        of_metric = rows[parts["name"] == name]
        series = []
        for number, (_, group) in enumerate(of_metric.groupby(["model", "sampler"], sort=False)):
            first = parts.loc[group.index, "first"].astype(float).to_numpy()
            order = np.argsort(first)
            values = group["value"].astype(float).to_numpy()
            series.append(Series(model_name(group.iloc[0]), first[order], values[order], "markers", number))
        yield Panel(f"{label} over time", "first frame of the clips", label, tuple(series))


def _smooth(curve: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The fit between the sizes of a curve; it is linear in 1/n."""
    curve = curve.sort_values("n", ascending=False)
    inverse, fit = 1 / curve["n"].to_numpy(float), curve["fit"].to_numpy(float)
    sizes = np.linspace(curve["n"].min(), curve["n"].max(), _SMOOTH)
    return sizes, np.interp(1 / sizes, inverse, fit)
