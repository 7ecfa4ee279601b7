"""The distances agree with independent implementations, with closed forms, and with what they must be."""

import numpy as np
import pytest
import torch
from scipy import linalg, special
from sklearn.metrics.pairwise import polynomial_kernel
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from lvdm.evaluation.metrics import (
    Moments,
    frechet_distance,
    frechet_distance_of_moments,
    inception_score,
    jedi_distance,
    kernel_distance,
    kernel_distances_of_subsets,
)

BUFFERS = "ignore:Metric .* will save all extracted features:UserWarning"


def features(count: int, values: int, seed: int = 0) -> np.ndarray:
    """Correlated features with a mean, as detectors give them."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(values, values))
    return generator.normal(size=(count, values)) @ mixing + generator.normal(size=values)


class Given(torch.nn.Module):
    """A feature network whose images are features already."""

    num_features = 32

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


def by_square_root(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    """The textbook form, with a general matrix square root."""
    covariance_a, covariance_b = np.cov(a.T, ddof=ddof), np.cov(b.T, ddof=ddof)
    root = linalg.sqrtm(covariance_a @ covariance_b)
    offset = a.mean(axis=0) - b.mean(axis=0)
    return float(offset @ offset + np.trace(covariance_a + covariance_b - 2 * np.real(root)))


def by_symmetric_root(a: np.ndarray, b: np.ndarray, ddof: int = 1) -> float:
    """The same with symmetric eigen-decompositions alone."""
    covariance_a, covariance_b = np.cov(a.T, ddof=ddof), np.cov(b.T, ddof=ddof)
    values, vectors = np.linalg.eigh(covariance_a)
    root_a = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root_a @ covariance_b @ root_a).clip(min=0)
    offset = a.mean(axis=0) - b.mean(axis=0)
    return float(offset @ offset + np.trace(covariance_a + covariance_b) - 2 * np.sqrt(eigenvalues).sum())


@pytest.mark.parametrize("ddof", [0, 1])
def test_frechet_distance_is_that_of_scipy(ddof):
    """One function is the form with a general square root and the symmetric one: they are equal."""
    a, b = features(300, 32), features(200, 32, seed=1)
    expected = by_square_root(a, b, ddof)
    assert by_symmetric_root(a, b, ddof) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, b, ddof) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance_of_moments(Moments.of(a), Moments.of(b), ddof) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_is_that_of_torchmetrics():
    a, b = features(300, 32), features(200, 32, seed=1)
    metric = FrechetInceptionDistance(feature=Given())
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert frechet_distance(a, b) == pytest.approx(metric.compute().item(), rel=1e-6)


def test_frechet_distance_with_fewer_clips_than_values():
    """Singular covariances, where square roots of tiny negative eigenvalues spoil the textbook form."""
    a, b = features(20, 64), features(30, 64, seed=1)
    expected = by_symmetric_root(a, b)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance_of_moments(Moments.of(a), Moments.of(b)) == pytest.approx(frechet_distance(a, b), rel=1e-9)


@pytest.mark.parametrize("smallest", [1e-4, 1e-12, 1e-20])
def test_frechet_distance_where_variances_differ_by_orders(smallest):
    """Roots of the covariances, which rounding ends early, against roots of the features, which it does not."""
    sigma = np.sqrt(np.geomspace(1, smallest, 64))
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(200, 64)) * sigma, generator.normal(size=(300, 64)) * sigma[::-1]

    def root(given: np.ndarray) -> np.ndarray:
        return np.linalg.qr((given - given.mean(axis=0)) / np.sqrt(len(given) - 1), mode="r")

    offset = a.mean(axis=0) - b.mean(axis=0)
    overlap = np.linalg.svd(root(a) @ root(b).T, compute_uv=False).sum()
    expected = offset @ offset + a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum() - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [4, 40])
def test_frechet_distance_of_clips_that_are_all_the_same(count):
    a, b = np.zeros((count, 8)), np.ones((count + 1, 8))
    assert frechet_distance(a, b) == pytest.approx(8)
    assert frechet_distance(b, features(50, 8)) > 0


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
    """Equal distributions in 400 dimensions: what too few clips alone make.

    The floor depends on the spectrum of the covariance, not on its trace alone. Floors of 62, 95 and 10 at a
    trace of 242 are those of variances that fall as exp(-i / 60), i = 0 ... 399: from 4.0 to 0.005.
    """
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
    assert frechet_distance_of_moments(Moments.of(a), Moments.of(a[::-1])) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_is_symmetric():
    a, b = features(50, 16), features(70, 16, seed=1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-12)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_order_of_clips_does_not_matter(distance):
    a, b = features(90, 32), features(70, 32, seed=1)
    generator = np.random.default_rng(2)
    assert distance(generator.permutation(a), generator.permutation(b)) == pytest.approx(distance(a, b), rel=1e-12)


@pytest.mark.parametrize("sizes", [[100, 100, 100], [1, 250, 49], [300]])
def test_moments_of_batches_are_those_of_the_whole(sizes):
    whole = features(300, 16) + 1e4  # far from 0, where a sum of squares has lost the variance
    batches = np.split(whole, np.cumsum(sizes)[:-1])
    for order in (batches, batches[::-1]):
        moments = Moments.of_batches(iter(order))
        assert moments.count == 300
        np.testing.assert_allclose(moments.mean, whole.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariance(), np.cov(whole.T), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(moments.covariance(ddof=0), np.cov(whole.T, ddof=0), rtol=1e-8, atol=1e-8)
    left, right = Moments.of_batches(batches), Moments.of(whole)
    assert frechet_distance_of_moments(left, right) == pytest.approx(0, abs=1e-6)


def test_moments_that_cannot_be_compared():
    with pytest.raises(ValueError, match="at least 2 clips"):
        frechet_distance_of_moments(Moments.of(np.zeros((1, 4))), Moments.of(np.zeros((5, 4))))
    with pytest.raises(ValueError, match="same detector"):
        frechet_distance_of_moments(Moments.of(np.zeros((5, 3))), Moments.of(np.zeros((5, 4))))


@pytest.mark.filterwarnings(BUFFERS)
def test_kernel_distance_is_that_of_torchmetrics():
    a, b = features(80, 16), features(80, 16, seed=1)
    metric = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=80)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert kernel_distance(a, b) == pytest.approx(metric.compute()[0].item(), rel=1e-9)


def test_kernel_distance_is_that_of_scikit_learn():
    """LVDM's KVD: scikit-learn's default polynomial kernel, all clips at once, without the diagonals."""
    a, b = features(60, 16), features(90, 16, seed=1)
    within_a, within_b = (kernel[~np.eye(len(kernel), dtype=bool)] for kernel in map(polynomial_kernel, (a, b)))
    expected = within_a.mean() + within_b.mean() - 2 * polynomial_kernel(a, b).mean()
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings(BUFFERS)
def test_jedi_is_the_discrepancy_that_scikit_learn_gives():
    real, fake = features(50, 24), features(37, 24, seed=1)
    kernels = [polynomial_kernel(a, b, degree=2, coef0=0).mean() for a, b in ((real, real), (fake, fake), (real, fake))]
    expected = 100 * (kernels[0] + kernels[1] - 2 * kernels[2])
    assert jedi_distance(real, fake) == pytest.approx(expected, rel=1e-9)
    assert jedi_distance(real, real) == pytest.approx(0, abs=1e-12)


def test_kernel_distances_of_subsets_are_those_of_torchmetrics():
    """Which clips are in a subset is a matter of the generator; the mean over many is not."""
    a, b = features(120, 16), features(100, 16, seed=1)
    metric = KernelInceptionDistance(feature=Given(), subsets=400, subset_size=40)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    torch.manual_seed(0)
    mean, deviation = (value.item() for value in metric.compute())
    ours = kernel_distances_of_subsets(a, b, subsets=400, size=40, generator=np.random.default_rng(0))
    assert ours.mean() == pytest.approx(mean, abs=4 * deviation * np.sqrt(2 / 400))
    assert ours.std() == pytest.approx(deviation, rel=0.15)


@pytest.mark.parametrize("block", [1, 77, 1000, 10**6])
def test_kernel_distance_in_blocks(block):
    a, b = features(60, 16), features(90, 16, seed=1)
    assert kernel_distance(a, b, block=block) == pytest.approx(kernel_distance(a, b), rel=1e-12)


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


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_features_of_single_precision_are_compared_in_double(distance):
    a, b = features(50, 16).astype(np.float32), features(40, 16, seed=1).astype(np.float32)
    assert distance(a, b) == distance(a.astype(np.float64), b.astype(np.float64))


def class_probabilities(count: int, classes: int = 12) -> np.ndarray:
    return special.softmax(3 * np.random.default_rng(5).normal(size=(count, classes)), axis=1)


@pytest.mark.filterwarnings(BUFFERS)
@pytest.mark.parametrize("splits", [2, 5])
def test_inception_score_is_that_of_torchmetrics(splits):
    """torchmetrics takes logits in a random order, and divides the deviation by one less."""
    probabilities = class_probabilities(200)
    metric = InceptionScore(feature=Given(), splits=splits)
    metric.update(torch.from_numpy(np.log(probabilities)))
    torch.manual_seed(3)
    mean, deviation = metric.compute()
    torch.manual_seed(3)
    order = torch.randperm(len(probabilities)).numpy()
    ours = inception_score(probabilities[order], splits)
    assert ours[0] == pytest.approx(mean.item(), rel=1e-6)
    assert ours[1] == pytest.approx(deviation.item() * np.sqrt((splits - 1) / splits), rel=1e-6)


def test_inception_score_of_known_probabilities():
    """As many as the classes where each clip is surely of another one, and 1 where all say the same."""
    assert inception_score(np.tile(np.eye(5), (4, 1)), splits=4) == pytest.approx((5, 0))
    assert inception_score(np.full((20, 5), 0.2), splits=2) == pytest.approx((1, 0))
    assert inception_score(np.repeat(np.eye(5), 4, axis=0), splits=5) == pytest.approx((1, 0))


def test_inception_score_takes_every_row_once():
    """Parts of 3 or 4 of 10 rows: by definition, with logarithms."""
    probabilities = class_probabilities(10)
    parts = probabilities[:3], probabilities[3:6], probabilities[6:]
    scores = [np.exp(np.mean(np.sum(p * np.log(p / p.mean(axis=0)), axis=1))) for p in parts]
    assert inception_score(probabilities, splits=3) == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-9)


def test_order_of_an_inception_score_is_seeded():
    probabilities = class_probabilities(50)

    def score(seed: int, splits: int = 5) -> float:
        return inception_score(probabilities, splits, np.random.default_rng(seed))[0]

    assert score(0) == score(0)
    assert score(0) != score(1)
    assert score(0, splits=1) == pytest.approx(inception_score(probabilities, splits=1)[0], rel=1e-12)


@pytest.mark.parametrize(
    ("probabilities", "splits", "message"),
    [
        (np.full((5, 4), 0.25), 10, "lower the number of splits"),
        (np.ones((5, 4)), 1, "a softmax is missing"),
        (np.tile([1.5, -0.5], (5, 1)), 1, "a softmax is missing"),
        (np.full((5, 4), np.nan), 1, "not finite"),
    ],
)
def test_probabilities_that_have_no_score(probabilities, splits, message):
    with pytest.raises(ValueError, match=message):
        inception_score(probabilities, splits)
