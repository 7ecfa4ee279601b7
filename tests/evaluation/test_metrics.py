"""The distances agree with independent implementations, with closed forms, and with what they must be."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_kernel, poly_mmd

from lvdm.evaluation.metrics import frechet_distance, kernel_distance, kernel_distances_of_subsets


def features(count: int, values: int, seed: int = 0) -> np.ndarray:
    """Correlated features with a mean, as detectors give them."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(values, values))
    return generator.normal(size=(count, values)) @ mixing + generator.normal(size=values)


def by_square_root(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    """The textbook form, with a general matrix square root."""
    covariance_a, covariance_b = np.cov(a.T, ddof=ddof), np.cov(b.T, ddof=ddof)
    root = linalg.sqrtm(covariance_a @ covariance_b)
    offset = a.mean(axis=0) - b.mean(axis=0)
    return float(offset @ offset + np.trace(covariance_a + covariance_b - 2 * np.real(root)))


@pytest.mark.parametrize("ddof", [0, 1])
def test_frechet_distance_is_that_of_scipy(ddof):
    a, b = features(300, 32), features(200, 32, seed=1)
    assert frechet_distance(a, b, ddof) == pytest.approx(by_square_root(a, b, ddof), rel=1e-9)


def test_frechet_distance_is_that_of_torchmetrics():
    a, b = (torch.from_numpy(features(300, 32, seed)) for seed in (0, 1))
    expected = _compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T))
    assert frechet_distance(a.numpy(), b.numpy()) == pytest.approx(expected.item(), rel=1e-6)


def test_frechet_distance_with_fewer_clips_than_values():
    """Singular covariances, where square roots of tiny negative eigenvalues spoil the textbook form."""
    a, b = features(20, 64), features(30, 64, seed=1)
    covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(covariance_a)
    root_a = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root_a @ covariance_b @ root_a).clip(min=0)
    offset = a.mean(axis=0) - b.mean(axis=0)
    expected = offset @ offset + np.trace(covariance_a + covariance_b) - 2 * np.sqrt(eigenvalues).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_of_known_gaussians():
    """Diagonal covariances: |offset|² + sum of (sigma_a - sigma_b)²."""
    generator = np.random.default_rng(0)
    sigma_a, sigma_b, offset = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5]), np.array([1.0, 0.0, -1.0])
    a = generator.normal(size=(200_000, 3)) * sigma_a
    b = generator.normal(size=(200_000, 3)) * sigma_b + offset
    expected = np.square(offset).sum() + np.square(sigma_a - sigma_b).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("count_a", "count_b", "expected"), [(210, 2048, 62), (210, 210, 95), (2048, 2048, 10)])
def test_floor_of_few_clips(count_a, count_b, expected):
    """Equal distributions in 400 dimensions, exponentially falling eigenvalues: what too few clips alone make."""
    eigenvalues = np.exp(-np.arange(400) / 60)
    sigma = np.sqrt(242 * eigenvalues / eigenvalues.sum())
    generator = np.random.default_rng(0)
    a, b = (generator.normal(size=(count, 400)) * sigma for count in (count_a, count_b))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("count", [20, 300])
def test_distance_of_a_set_to_itself(count):
    a = features(count, 64)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_is_symmetric():
    a, b = features(50, 16), features(70, 16, seed=1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


def test_kernel_distance_is_that_of_torchmetrics():
    a, b = (torch.from_numpy(features(80, 16, seed)) for seed in (0, 1))
    expected = poly_mmd(a, b)
    assert kernel_distance(a.numpy(), b.numpy()) == pytest.approx(expected.item(), rel=1e-9)


def test_kernel_distance_by_definition():
    a, b = features(5, 3), features(7, 3, seed=1)

    def kernel(x, y):
        return (np.dot(x, y) / 3 + 1) ** 3

    within_a = np.mean([kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(7) for j in range(7) if i != j])
    between = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * between, rel=1e-9)


def test_kernel_distance_is_unbiased():
    """Over many draws of equal distributions the mean is 0 within its error, so some are below."""
    generator = np.random.default_rng(0)
    values = np.array([kernel_distance(*generator.normal(size=(2, 20, 8))) for _ in range(300)])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert values.min() < 0


def test_subsets_are_seeded_and_of_the_size_asked_for():
    a, b = features(60, 8), features(40, 8, seed=1)

    def subsets(seed: int, size: int = 25) -> np.ndarray:
        return kernel_distances_of_subsets(a, b, subsets=6, size=size, generator=np.random.default_rng(seed))

    assert subsets(0).tolist() == subsets(0).tolist()
    assert subsets(0).tolist() != subsets(1).tolist()
    assert subsets(0).std() > 0
    # As many as the smaller side has; all of that side, and a choice of the other.
    assert subsets(0, size=1000).shape == (6,)
    same = kernel_distances_of_subsets(b, b[::-1], subsets=2, size=1000, generator=np.random.default_rng(0))
    assert same == pytest.approx(kernel_distance(b, b))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), "at least 2 clips"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "same detector"),
        (np.zeros((5, 4)), np.full((5, 4), np.nan), "not finite"),
        (np.zeros(4), np.zeros((5, 4)), "shape"),
    ],
)
def test_features_that_cannot_be_compared(distance, a, b, message):
    with pytest.raises(ValueError, match=message):
        distance(a, b)


def test_kernel_of_torchmetrics_is_the_cubic_one():
    """The comparison above rests on torchmetrics' defaults: degree 3, 1/D, 1."""
    a = torch.tensor([[1.0, 2.0]])
    assert poly_kernel(a, a).item() == pytest.approx((5 / 2 + 1) ** 3)
