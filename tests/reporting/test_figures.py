"""Figures: what is drawn, and that it is drawn the same twice."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd

from lvdm.reporting.figures import Panel, curve_panels, quality_panels, save


def test_curve_has_a_panel_for_each_quantity_that_says_something():
    curve = pd.DataFrame(
        {"step": [1, 2, 3], "loss": [3.0, np.nan, 1.0], "lpips": 0.0, "new_term": [1, 2, 3], "name": "x"}
    )
    panels = curve_panels(curve)
    assert [panel.title for panel in panels] == ["Loss", "New term"]
    x, y = panels[0].series["loss"]
    assert (x.tolist(), y.tolist()) == ([1, 3], [3, 1])


def quality(metrics: dict[str, float], splits=("heldout",)) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"step": step, "split": split, "clips": 4, "metric": metric, "value": value * step}
            for step in (300, 100, 200)
            for split in splits
            for metric, value in metrics.items()
        ]
    )


def test_quality_is_drawn_over_steps_with_a_line_a_split():
    (panel,) = quality_panels(quality({"psnr": 0.1}, splits=("heldout", "train")))
    assert panel.y_label == "PSNR (dB)"
    assert panel.series.keys() == {"heldout", "train"}
    assert panel.series["train"][0].tolist() == [100, 200, 300]
    assert quality_panels(quality({"psnr": 0.1}))[0].title == "Held-out: PSNR"
    # Without held-out videos a training measures itself on training clips, and must not say otherwise.
    assert quality_panels(quality({"psnr": 0.1}, splits=("train",)))[0].title == "Training clips: PSNR"


def test_loss_by_noise_level_shares_one_panel():
    panels = quality_panels(quality({"loss": 1.0, "loss 0-99": 3.0, "loss 100-199": 2.0}))
    assert [panel.title for panel in panels] == ["Held-out: Loss", "Held-out: Loss by noise level"]
    assert list(panels[1].series) == ["step 100", "step 200", "step 300"]
    x, y = panels[1].series["step 200"]
    assert (x.tolist(), y.tolist()) == ([49.5, 149.5], [600, 400])


def test_infinite_quality_is_left_out():
    rows = quality({"psnr": 0.1})
    rows.loc[0, "value"] = np.inf
    assert quality_panels(rows)[0].series["heldout"][0].tolist() == [100, 200]


def test_figures_are_whole_and_the_same_twice(tmp_path):
    x = np.arange(500.0)
    panel = Panel("Loss", "step", "loss", {"loss": (x, 1000 * np.exp(-x / 50) + 0.1)})
    (tmp_path / "again").mkdir()
    for folder in (tmp_path, tmp_path / "again"):
        assert save(panel, folder, "loss") == "loss.svg"
    for name in ("loss.svg", "loss-dark.svg"):
        assert ElementTree.parse(tmp_path / name).getroot().tag.endswith("svg")
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (tmp_path / "loss.svg").read_bytes() != (tmp_path / "loss-dark.svg").read_bytes()
