"""Nearest references are those of scikit-learn, copies are found, and chance is not taken for memory."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from lvdm.evaluation.memorisation import compare_distances, nearest


def features(count: int, values: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, values)) + 5


@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_agreement_with_scikit_learn(block):
    queries, references = features(40), features(90, seed=1)
    expected = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(references).kneighbors(queries)
    indices, distances = nearest(queries, references, block=block)
    assert indices.tolist() == expected[1][:, 0].tolist()
    np.testing.assert_allclose(distances, expected[0][:, 0], rtol=1e-9)


def test_order_does_not_matter():
    queries, references = features(40), features(90, seed=1)
    indices, distances = nearest(queries, references)
    order = np.random.default_rng(0).permutation(90)
    other_indices, other_distances = nearest(queries, references[order])
    assert order[other_indices].tolist() == indices.tolist()
    np.testing.assert_allclose(other_distances, distances, rtol=1e-12)


def test_a_copy_is_at_distance_0():
    """Exactly, although a matrix product of features far from 0 would leave 1e-6; the first copy is named."""
    references = features(50) * 1e3
    references[30] = references[20]
    indices, distances = nearest(references[[7, 20, 30]], references)
    assert indices.tolist() == [7, 20, 20]
    assert distances.tolist() == [0, 0, 0]


def test_a_near_copy_keeps_its_distance():
    references = features(50) * 1e3
    query = references[[7]].copy()
    query[0, 0] += 1e-5
    indices, distances = nearest(query, references)
    assert indices.tolist() == [7]
    assert distances == pytest.approx(1e-5, rel=1e-6)


def test_the_nearest_of_near_copies():
    """Their distances are too small for a matrix product of such features to order them."""
    query, others = features(1) * 1e3, features(8, seed=1) * 1e3
    near = np.repeat(query, 8, axis=0)
    near[:, 0] += 1e-6 * np.array([8, 7, 6, 5, 1, 2, 3, 4])
    indices, distances = nearest(query, np.concatenate([others, near]))
    assert indices.tolist() == [12]
    assert distances == pytest.approx(1e-6, rel=1e-3)


def test_one_query_and_one_reference_are_enough():
    indices, distances = nearest(np.zeros((1, 4)), np.ones((1, 4)))
    assert indices.tolist() == [0]
    assert distances == pytest.approx(2)


def test_features_of_another_detector():
    with pytest.raises(ValueError, match="same detector"):
        nearest(features(3), features(3, 5))


def test_a_generator_that_copies_is_found():
    """One generated clip in four is a training clip with noise."""
    train = features(200, seed=1)
    heldout, generated = features(150, seed=2), features(120, seed=3)
    generated[:30] = train[:30] + 0.01 * generated[:30]
    result = compare_distances(nearest(generated, train)[1], nearest(heldout, train)[1], quantile=0.05)
    assert 0.25 <= result.share_nearer < 0.4
    assert result.median_generated < result.median_heldout
    assert result.probability_nearer > 0.55
    assert result.p_value < 0.001


def test_fresh_clips_are_not_taken_for_copies():
    """Over many draws the p value is uniform, the share that of the quantile, and the probability a half."""
    train = features(100, seed=1)
    results = []
    for seed in range(60):
        heldout, generated = features(80, seed=100 + seed), features(80, seed=200 + seed)
        results.append(compare_distances(nearest(generated, train)[1], nearest(heldout, train)[1], quantile=0.1))
    assert np.mean([result.share_nearer for result in results]) == pytest.approx(0.1, abs=0.03)
    assert np.mean([result.probability_nearer for result in results]) == pytest.approx(0.5, abs=0.02)
    assert stats.kstest([result.p_value for result in results], "uniform").pvalue > 0.01


def test_comparison_by_definition():
    generated, heldout = np.array([1.0, 2.0, 5.0]), np.array([2.0, 3.0, 4.0, 6.0])
    result = compare_distances(generated, heldout, quantile=0.5)
    assert (result.median_generated, result.median_heldout, result.threshold) == (2, 3.5, 3.5)
    assert result.share_nearer == pytest.approx(2 / 3)
    # Of twelve pairs: all four for 1, three and a tie for 2, one for 5.
    assert result.probability_nearer == pytest.approx((4 + 3.5 + 1) / 12)


def test_distances_that_are_all_the_same():
    result = compare_distances(np.zeros(4), np.zeros(5))
    assert (result.share_nearer, result.probability_nearer, result.p_value) == (0, 0.5, 1)


def test_no_heldout_clips():
    with pytest.raises(ValueError, match="one each is the least"):
        compare_distances(np.ones(4), np.ones(0))
