"""What is drawn of the scores."""

import numpy as np
import pandas as pd
import pytest

from lvdm.reporting.score_figures import SamplerSteps, curve_panel, nearest_panel, score_panels
from lvdm.reporting.scores import side_by_side

SAMPLERS = {"ddim-50": SamplerSteps("ddim", 50), "ddim-20": SamplerSteps("ddim", 20), "dpm": SamplerSteps("dpm", 20)}


def rows(*rows: dict[str, str]) -> pd.DataFrame:
    common = {"model": "lvdm", "sampler": "", "metric": "fvd", "value": "1", "low": "", "high": ""}
    return pd.DataFrame([{**common, **row} for row in rows])


def test_intervals_are_drawn_about_their_values_and_references_are_quiet():
    (panel,) = score_panels(
        rows({"sampler": "ddim-50", "value": "10", "low": "8", "high": "13"}, {"model": "real", "value": "2"}), SAMPLERS
    )
    assert panel.title == "FVD ↓"
    assert panel.names == ("lvdm, ddim-50", "real against real")
    ours, real = panel.series
    assert (ours.x.tolist(), [side.tolist() for side in ours.interval]) == ([10], [[8], [13]])
    assert (real.colour, real.y.tolist(), [side.tolist() for side in real.interval]) == (None, [1], [[2], [2]])


def test_metric_against_sampler_steps_has_a_line_a_method():
    given = [
        {"sampler": "ddim-50", "value": "1"},
        {"sampler": "dpm", "value": "3"},
        {"sampler": "ddim-20", "value": "2"},
    ]
    (panel,) = score_panels(rows(*given, {"model": "other", "value": "9"}), SAMPLERS)
    assert {series.label: (series.x.tolist(), series.y.tolist()) for series in panel.series} == {
        "ddim": ([20, 50], [2, 1]),
        "dpm": ([20], [3]),
    }


def test_one_number_of_steps_is_no_panel():
    assert score_panels(rows({"sampler": "ddim-20"}, {"sampler": "dpm"}), SAMPLERS) == []


def test_windows_are_drawn_over_time():
    (panel,) = score_panels(rows(*({"metric": f"fvd@{at}", "value": str(at)} for at in (0, 32, 16))), {})
    assert panel.title == "FVD over time"
    assert panel.series[0].x.tolist() == panel.series[0].y.tolist() == [0, 16, 32]


def test_rows_without_a_value_are_left_out():
    assert score_panels(rows({"value": ""}, {"value": "", "metric": "fvd@16"}), SAMPLERS) == []


@pytest.fixture
def curve() -> pd.DataFrame:
    n = np.array([10, 20, 40])
    return pd.DataFrame({"n": n, "value": 5 + 100 / n, "fit": 4 + 120 / n, "floor": [9.0, 5.0, np.nan]})


def test_curve_with_its_fit_and_floor(curve):
    (panel,) = curve_panel({"ddim-50": curve, "other": curve.assign(value=1.0), "none": curve.iloc[:0]}, "fid")
    assert panel.title == "FID against N"
    assert [series.label for series in panel.series] == [
        "ddim-50",
        "fit in 1/N",
        "other",
        "",
        "floor: real against real",
    ]
    points, fit, *_, floor = panel.series
    assert points.y.tolist() == [15, 10, 7.5]
    np.testing.assert_allclose(fit.y, 4 + 120 / fit.x)  # straight in 1/N, so not between its points
    assert floor.x.tolist() == [10, 20]


def test_no_curve_is_no_panel(curve):
    assert list(curve_panel({"a": curve.iloc[:0]}, "fvd")) == []


def test_nearest_distances_are_shares_over_common_bars():
    kinds = ["generated"] * 40 + ["heldout"] * 20
    (panel,) = nearest_panel(pd.DataFrame({"distance": np.linspace(1, 7, 60), "kind": kinds}))
    heldout, generated = panel.series
    assert heldout.colour is None
    assert heldout.x.tolist() == generated.x.tolist()
    assert [series.y.sum() for series in panel.series] == pytest.approx([100, 100])
    assert list(nearest_panel(pd.DataFrame({"distance": [], "kind": []}))) == []
    (panel,) = nearest_panel(pd.DataFrame({"distance": [1.0, 2.0], "kind": "generated"}))
    assert [series.label for series in panel.series] == ["generated"]


def test_pairs_of_any_sizes_stand_side_by_side():
    left, right = np.full((8, 16, 24, 3), 9, np.uint8), np.full((6, 32, 32, 3), 200, np.uint8)
    frames = side_by_side(left, right, 32)
    assert (frames.shape, frames.dtype) == ((6, 32, 48 + 4 + 32, 3), np.uint8)
    assert (frames[:, :, :48] == 9).all()
    assert not frames[:, :, 48:52].any()
    assert (frames[:, :, 52:] == 200).all()
