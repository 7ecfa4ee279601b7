"""Panels: drawn whole, in every style, and the same twice."""

from xml.etree import ElementTree

import numpy as np
import pytest

from lvdm.reporting.drawing import Panel, Series, save

X = np.arange(500.0)
INTERVAL = (X[:4] - 0.5, X[:4] + 1.5)

PANELS = {
    "curve": Panel("Loss", "step", "loss", (Series("loss", X, 1000 * np.exp(-X / 50) + 0.1),)),
    "fit": Panel("a", "x", "y", (Series("a", X[1:5], X[:4], "points"), Series("", X[1:5], X[:4], "dashes", None))),
    "intervals": Panel("a", "x", "", (Series("", X[:4], X[:4], "points", 0, INTERVAL),), names=("a", "b", "c", "d")),
    "errors": Panel("a", "x", "y", (Series("a", X[:4], X[:4], "markers", 7, INTERVAL),)),
    "histogram": Panel("a", "x", "y", (Series("a", X[:5] / 3, X[:4], "histogram"),)),
}


@pytest.mark.parametrize("name", PANELS)
def test_figures_are_whole_and_the_same_twice(name, tmp_path):
    (tmp_path / "again").mkdir()
    for folder in (tmp_path, tmp_path / "again"):
        assert save(PANELS[name], folder, "plot") == "plot.svg"
    for file in ("plot.svg", "plot-dark.svg"):
        assert ElementTree.parse(tmp_path / file).getroot().tag.endswith("svg")
        assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    assert (tmp_path / "plot.svg").read_bytes() != (tmp_path / "plot-dark.svg").read_bytes()
