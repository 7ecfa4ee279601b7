"""Precision, recall, density and coverage agree with a computation by brute force, and with what they must be."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from lvdm.evaluation.manifold import density_coverage, precision_recall


def features(count: int, values: int = 12, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(count, values)) + 5


def by_brute_force(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """By definition, pair by pair; scikit-learn finds the radii."""

    def radii(given: np.ndarray) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(given).kneighbors()[0][:, -1]

    distances = np.array([[np.linalg.norm(x - y) for y in fake] for x in real])
    in_real_ball = distances <= radii(real)[:, None]
    in_fake_ball = distances <= radii(fake)
    return {
        "precision": in_real_ball.any(axis=0).mean(),
        "recall": in_fake_ball.any(axis=1).mean(),
        "density": in_real_ball.sum(axis=0).mean() / k,
        "coverage": in_real_ball.any(axis=1).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("count_real", "count_fake", "scale"), [(60, 80, 1.0), (90, 30, 0.7), (50, 50, 1.3)])
def test_agreement_with_brute_force(k, count_real, count_fake, scale):
    real, fake = features(count_real), features(count_fake, seed=1, scale=scale)
    expected = by_brute_force(real, fake, k)
    precision, recall = precision_recall(real, fake, k)
    density, coverage = density_coverage(real, fake, k)
    found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 < coverage < 1  # the cases say something


@pytest.mark.parametrize("block", [1, 130, 10**6])
def test_blocks_and_order_do_not_matter(block):
    """Also where distances tie: half of the fakes are real clips, and lie on the surface of other balls.

    A block of 130 is one row of 70 and two of 60: the products of radii and of pairs are rounded differently.
    """
    real = features(70, 401)
    fake = np.concatenate([features(30, 401, seed=1), real[:30]])
    generator = np.random.default_rng(3)
    for metric in (precision_recall, density_coverage):
        expected = metric(real, fake)
        assert metric(real, fake, block=block) == pytest.approx(expected, rel=1e-12)
        shuffled = metric(generator.permutation(real), generator.permutation(fake), block=block)
        assert shuffled == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("values", [12, 400])
def test_a_set_against_itself(values):
    """Each ball holds its centre and k neighbours, those on the surface too, whatever rounding says."""
    real = features(200, values)
    assert precision_recall(real, real, k=3) == (1, 1)
    density, coverage = density_coverage(real, real[::-1], k=5)
    assert coverage == 1
    assert density == pytest.approx(6 / 5)


def test_repeated_real_clips_have_balls_without_width():
    real = np.repeat(features(10), 6, axis=0)
    assert precision_recall(real, real[:6], k=3)[0] == 1
    assert precision_recall(real, real[:6] + 1e-3, k=3)[0] == 0
    assert density_coverage(real, real[:6], k=5)[1] == pytest.approx(1 / 10)


def test_sets_apart():
    real, fake = features(40), features(40, seed=1) + 100
    assert precision_recall(real, fake) == (0, 0)
    assert density_coverage(real, fake) == (0, 0)


def test_a_generator_that_dropped_half_of_what_is_real():
    """Realistic but not diverse: precision and density stay, recall and coverage halve."""
    here, there = features(100), features(100, seed=1) + 100
    real, fake = np.concatenate([here, there]), features(200, seed=2)
    precision, recall = precision_recall(real, fake, k=5)
    density, coverage = density_coverage(real, fake, k=5)
    assert precision > 0.8
    assert 0.4 < recall <= 0.5
    assert density > 0.8
    assert 0.4 < coverage <= 0.5


def test_one_far_clip_does_not_blur_the_others():
    """What counts as rounding is a matter of the two clips compared, not of the farthest one."""
    real, fake = features(60), features(60, seed=1)
    far = np.full((1, 12), 1e6)
    expected = by_brute_force(real, np.concatenate([fake, far]), k=3)
    assert precision_recall(real, np.concatenate([fake, far]), k=3)[0] == pytest.approx(expected["precision"])


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (features(5), features(20), "lower k"),
        (features(20), features(5), "lower k"),
        (features(20), features(20, 7), "same detector"),
        (features(20), np.full((20, 12), np.inf), "not finite"),
    ],
)
def test_features_that_have_no_neighbours(metric, real, fake, message):
    with pytest.raises(ValueError, match=message):
        metric(real, fake, k=5)
