"""The scores of one model: intervals that cover, and numbers that do not depend on each other."""

import numpy as np
import pytest

from lvdm.evaluation.config import DetectorConfig, MetricsConfig
from lvdm.evaluation.metrics import kernel_distance
from lvdm.evaluation.scores import Comparison, Scorer, Side

METRICS = MetricsConfig(bootstrap=50, curve_points=3, kernel={"subsets": 3})


def scorer(**metrics) -> Scorer:
    return Scorer(DetectorConfig(features=6), METRICS.replace(**metrics), seed=0)


def side(count: int, seed: int, shift: float = 0.0, videos: int | None = None) -> Side:
    values = (np.random.default_rng(seed).normal(size=(count, 6)) + shift).astype(np.float32)
    return Side(values, np.arange(count) % (videos or count))


def by_name(scores):
    return {score.metric: score for score in scores}


def test_the_interval_of_the_kernel_distance_is_about_its_value():
    found = by_name(scorer().scores([Comparison(side(60, 0), side(50, 1, shift=0.5))]))["kernel_distance"]
    assert found.low < found.value < found.high
    whole = by_name(scorer(kernel={"subsets": None}).scores([Comparison(side(60, 0), side(50, 1, shift=0.5))]))
    assert whole["kernel_distance"].value == pytest.approx(
        kernel_distance(side(60, 0).values, side(50, 1, 0.5).values), rel=1e-12
    )
    # Another centre, the same width: the interval is of all clips, whatever subsets the value is of.
    width = whole["kernel_distance"].high - whole["kernel_distance"].low
    assert found.high - found.low == pytest.approx(width, rel=1e-9)


def test_intervals_of_few_videos_are_wider():
    """60 clips of 6 videos say less than 60 of 60, where the clips of a video are alike."""
    many, few = side(60, 0), side(60, 0, videos=6)
    alike = Side(np.repeat(many.values[:6], 10, axis=0), np.repeat(np.arange(6), 10))
    fake = side(60, 1, shift=0.5)
    widths = []
    for real in (many, few, alike):
        score = by_name(scorer().scores([Comparison(real, fake)]))["frechet_distance"]
        widths.append(score.high - score.low)
    assert widths[2] > 1.5 * widths[0]


def test_no_number_depends_on_which_others_are_computed():
    run = Comparison(side(60, 0), side(50, 1))
    one, other = by_name(scorer().scores([run])), by_name(scorer(bootstrap=0).scores([run]))
    assert {name: score.value for name, score in one.items()} == {name: score.value for name, score in other.items()}
    assert repr(scorer().curve(run)) == repr(scorer(bootstrap=7).curve(run))  # with nan


def test_precision_and_coverage_tell_a_shifted_set():
    near = by_name(scorer().scores([Comparison(side(200, 0), side(200, 1))]))
    far = by_name(scorer().scores([Comparison(side(200, 0), side(200, 1, shift=9.0))]))
    for name in ("precision", "recall", "density", "coverage"):
        assert near[name].value > 0.5
        assert far[name].value == 0


def test_at_most_so_many_rows_of_a_manifold():
    run = Comparison(side(200, 0), side(200, 1))
    few = {"samples": 50}
    part = by_name(scorer(manifold=few).scores([run]))["coverage"]
    assert part.value != by_name(scorer().scores([run]))["coverage"].value
    assert part == by_name(scorer(manifold=few).scores([run]))["coverage"]
