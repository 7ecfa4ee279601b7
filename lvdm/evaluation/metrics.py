"""Distances between two sets of features, and the inception score: numpy and scipy only, in float64.

All compare distributions, so the order of the clips does not matter; all are biased or noisy where clips
are few, which is why a table states how many there were, and what lvdm.evaluation.uncertainty measures.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
from scipy import linalg, special
from scipy.linalg import lapack

from lvdm.evaluation.arrays import BLOCK, checked, row_blocks


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of a set of features, without the features.

    The sum of two is that of both sets together, so that a set of any size is read in batches; their order
    and sizes matter to rounding only (Chan, Golub and LeVeque 1979: deviations are summed about the mean,
    and so do not cancel as sums of squares do).
    """

    count: int
    mean: np.ndarray
    """(D,)"""
    scatter: np.ndarray
    """(D, D): the sum over the set of ``(x - mean) (x - mean)ᵀ``."""

    @classmethod
    def of(cls, features: np.ndarray) -> "Moments":
        """Of features (N, D), N at least 1. Raises ``ValueError`` for others."""
        (features,) = checked(features, least=1)
        mean = features.mean(axis=0)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred)

    @classmethod
    def of_batches(cls, batches: Iterable[np.ndarray]) -> "Moments":
        """Of all batches (n, D) together, of which one is held at a time. At least one batch is needed."""
        return reduce(operator.add, map(cls.of, batches))

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        offset = other.mean - self.mean
        mean = self.mean + offset * (other.count / count)
        between = np.outer(offset, offset) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    def covariance(self, ddof: int = 1) -> np.ndarray:
        """(D, D)."""
        return self.scatter / (self.count - ddof)


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray, ddof: int = 1) -> float:
    """Fréchet distance of two Gaussians that have the means and covariances of two sets of features.

    ``|mean_a - mean_b|² + tr(S_a + S_b - 2 (S_a S_b)^½)`` (Heusel et al. 2017, equation 6; Unterthiner et
    al. 2018 for video), for ``features`` of shape (N, D). With roots ``S = Rᵀ R``, ``S_a S_b`` has the
    non-zero eigenvalues of the symmetric ``M Mᵀ``, ``M = R_a R_bᵀ``; the trace of its square root is the
    sum of the singular values of ``M``. Nothing is squared and rooted again, so the result also holds
    where ``N < D`` and the covariances are singular, and is never complex. It equals the general square
    root of StyleGAN-V (scipy's ``sqrtm``) and the symmetric one of LVDM, which is why there is one function.

    ``ddof`` is taken from N where a covariance is divided by it: 1 is unbiased (numpy.cov, LVDM), 0 is
    StyleGAN-V's choice. Raises ``ValueError`` for features that cannot be compared.
    """
    features_a, features_b = checked(features_a, features_b)
    offset = features_a.mean(axis=0) - features_b.mean(axis=0)
    return _frechet(offset, _root_of_features(features_a, ddof), _root_of_features(features_b, ddof))


def frechet_distance_of_moments(a: Moments, b: Moments, ddof: int = 1) -> float:
    """:func:`frechet_distance` of sets of which the moments are known.

    Raises ``ValueError`` for moments of fewer than two clips, and of different D.
    """
    if min(a.count, b.count) < 2:
        raise ValueError(f"a metric needs at least 2 clips on each side, but one side has {min(a.count, b.count)}")
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"features of {len(a.mean)} values cannot be compared with features of {len(b.mean)}; "
            "compute both with the same detector"
        )
    return _frechet(a.mean - b.mean, _root_of_covariance(a.covariance(ddof)), _root_of_covariance(b.covariance(ddof)))


def kernel_distance(features_a: np.ndarray, features_b: np.ndarray, block: int = BLOCK) -> float:
    """Squared maximum mean discrepancy under the cubic polynomial kernel ``(x·y / D + 1)³``, unbiased.

    The distance of KID (Binkowski et al. 2018, section 4) and, on features of clips, KVD. LVDM's KVD is
    this of all clips at once; KID is the mean of :func:`kernel_distances_of_subsets`. Unbiased means that
    it is near 0 for equal distributions, and may be below. Takes ``features`` of shape (N, D), of which
    ``block`` pairs are compared at a time; raises ``ValueError`` for features that cannot be compared.
    """
    features_a, features_b = checked(features_a, features_b)
    between = _kernel_sum(features_a, features_b, block) / (len(features_a) * len(features_b))
    return float(_mean_of_others(features_a, block) + _mean_of_others(features_b, block) - 2 * between)


def jedi_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """JEDi (Luo et al. 2025, arXiv:2410.05203): 100 times the squared maximum mean discrepancy under ``(x·y / D)²``.

    Biased, as its authors compute it: pairs of a clip with itself count, so it is never negative and falls with N.
    The mean of that kernel over all pairs of two sets is the inner product of their second moments, over D². Takes
    ``features`` of shape (N, D); raises ``ValueError`` for features that cannot be compared.
    """
    features_a, features_b = checked(features_a, features_b)
    second_a, second_b = (features.T @ features / len(features) for features in (features_a, features_b))
    return float(100 * np.square(second_a - second_b).sum() / features_a.shape[1] ** 2)


def kernel_distances_of_subsets(
    features_a: np.ndarray, features_b: np.ndarray, *, subsets: int, size: int, generator: np.random.Generator
) -> np.ndarray:
    """:func:`kernel_distance` of ``subsets`` random subsets, shape (subsets,).

    KID is their mean (100 subsets of 1000, as StyleGAN computes it); their spread says how much single
    subsets differ. A subset has ``size`` clips of either side, or as many as the smaller side has.
    """
    features_a, features_b = checked(features_a, features_b)
    size = min(size, len(features_a), len(features_b))

    def subset(features: np.ndarray) -> np.ndarray:
        return features[np.sort(generator.choice(len(features), size, replace=False))]

    return np.array([kernel_distance(subset(features_a), subset(features_b)) for _ in range(subsets)])


def inception_score(
    probabilities: np.ndarray, splits: int = 10, generator: np.random.Generator | None = None
) -> tuple[float, float]:
    """Inception score: mean over ``splits`` parts, and their standard deviation.

    ``exp(E KL(p(y|x) ‖ p(y)))`` of each part (Salimans et al. 2016), for ``probabilities`` (N, classes) of
    frames, or of clips for the video inception score. Parts are consecutive rows in the order given, as
    StyleGAN takes them, or in that of ``generator``; part i is of the rows from ``i N // splits``, and the
    deviation is that of the parts themselves (``ddof`` 0). Raises ``ValueError`` for fewer rows than
    parts, and for what is not a probability.
    """
    (probabilities,) = checked(probabilities, least=1)
    count = len(probabilities)
    if not 1 <= splits <= count:
        raise ValueError(f"{count} clips or frames cannot be split in {splits} parts; lower the number of splits")
    if probabilities.min() < 0 or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise ValueError("class probabilities are not positive with a sum of 1; a softmax is missing")
    if generator is not None:
        probabilities = probabilities[generator.permutation(count)]
    edges = [index * count // splits for index in range(splits + 1)]
    scores = [_inception_score(probabilities[first:last]) for first, last in pairwise(edges)]
    return float(np.mean(scores)), float(np.std(scores))


def _frechet(offset: np.ndarray, root_a: np.ndarray, root_b: np.ndarray) -> float:
    variances = np.square(root_a).sum() + np.square(root_b).sum()
    overlap = linalg.svdvals(root_a @ root_b.T).sum()
    return float(offset @ offset + variances - 2 * overlap)


def _root_of_features(features: np.ndarray, ddof: int) -> np.ndarray:
    """R of shape (min(N, rank), D) with ``Rᵀ R`` the covariance."""
    if len(features) > features.shape[1]:
        return _root_of_covariance(Moments.of(features).covariance(ddof))
    return (features - features.mean(axis=0)) / np.sqrt(len(features) - ddof)


def _root_of_covariance(covariance: np.ndarray) -> np.ndarray:
    """R of shape (rank, D) with ``Rᵀ R`` the covariance, which may be singular.

    A Cholesky factor with pivots: a twentieth of the time of an eigen-decomposition in 2048 dimensions, and
    it ends at the numerical rank, where rounding alone is left (a zero that became 1e-16 has a root of 1e-8).
    """
    factor, pivots, rank, _ = lapack.dpstrf(covariance)
    root = np.empty((rank, len(covariance)))
    root[:, pivots - 1] = np.triu(factor)[:rank]
    return root


def _mean_of_others(features: np.ndarray, block: int) -> float:
    """Mean of the kernel over pairs of two different clips of one set."""
    count = len(features)
    own = ((np.square(features).sum(axis=1) / features.shape[1] + 1) ** 3).sum()
    return (_kernel_sum(features, features, block) - own) / (count * (count - 1))


def _kernel_sum(features_a: np.ndarray, features_b: np.ndarray, block: int) -> float:
    width = features_a.shape[1]
    rows = row_blocks(len(features_a), len(features_b), block)
    return sum(float(((features_a[part] @ features_b.T / width + 1) ** 3).sum()) for part in rows)


def _inception_score(probabilities: np.ndarray) -> float:
    """Of one part: the entropy of the mean less the mean entropy is the mean divergence."""
    gain = special.entr(probabilities.mean(axis=0)).sum() - special.entr(probabilities).sum(axis=1).mean()
    return np.exp(gain)
