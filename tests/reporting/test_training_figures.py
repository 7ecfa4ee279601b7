"""What is drawn of a training."""

import numpy as np
import pandas as pd

from lvdm.reporting.drawing import Panel, Series
from lvdm.reporting.training_figures import curve_panels, quality_panels


def of(panel: Panel) -> dict[str, Series]:
    return {series.label: series for series in panel.series}


def test_curve_has_a_panel_for_each_quantity_that_says_something():
    curve = pd.DataFrame(
        {"step": [1, 2, 3], "loss": [3.0, np.nan, 1.0], "lpips": 0.0, "new_term": [1, 2, 3], "name": "x"}
    )
    panels = curve_panels(curve)
    assert [panel.title for panel in panels] == ["Loss", "New term"]
    (loss,) = panels[0].series
    assert (loss.x.tolist(), loss.y.tolist()) == ([1, 3], [3, 1])


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
    assert of(panel).keys() == {"heldout", "train"}
    assert of(panel)["train"].x.tolist() == [100, 200, 300]
    assert quality_panels(quality({"psnr": 0.1}))[0].title == "Held-out: PSNR"
    # Without held-out videos a training measures itself on training clips, and must not say otherwise.
    assert quality_panels(quality({"psnr": 0.1}, splits=("train",)))[0].title == "Training clips: PSNR"


def test_loss_by_noise_level_shares_one_panel():
    panels = quality_panels(quality({"loss": 1.0, "loss 0-99": 3.0, "loss 100-199": 2.0}))
    assert [panel.title for panel in panels] == ["Held-out: Loss", "Held-out: Loss by noise level"]
    assert list(of(panels[1])) == ["step 100", "step 200", "step 300"]
    middle = of(panels[1])["step 200"]
    assert (middle.x.tolist(), middle.y.tolist()) == ([49.5, 149.5], [600, 400])


def test_infinite_quality_is_left_out():
    rows = quality({"psnr": 0.1})
    rows.loc[0, "value"] = np.inf
    assert of(quality_panels(rows)[0])["heldout"].x.tolist() == [100, 200]
