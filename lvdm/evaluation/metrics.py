"""Distances between two sets of features: numpy and scipy only, in float64.

Both compare distributions, so the order of the clips does not matter; both are biased or noisy where
clips are few, which is why a table states how many there were.
"""

import numpy as np
from scipy import linalg


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray, ddof: int = 1) -> float:
    """Fréchet distance of two Gaussians that have the means and covariances of two sets of features.

    ``|mean_a - mean_b|² + tr(S_a + S_b - 2 (S_a S_b)^½)`` (Heusel et al. 2017, equation 6; Unterthiner et
    al. 2018 for video), for ``features`` of shape (N, D). With roots ``S = Rᵀ R``, ``S_a S_b`` has the
    non-zero eigenvalues of the symmetric ``M Mᵀ``, ``M = R_a R_bᵀ``; the trace of its square root is the
    sum of the singular values of ``M``. Nothing is squared and rooted again, so the result also holds
    where ``N < D`` and the covariances are singular, and is never complex.

    ``ddof`` is taken from N where a covariance is divided by it: 1 is unbiased (numpy.cov), 0 is
    StyleGAN-V's choice. Raises ``ValueError`` for features that cannot be compared.
    """
    features_a, features_b = _checked(features_a, features_b)
    offset = features_a.mean(axis=0) - features_b.mean(axis=0)
    root_a, root_b = _covariance_root(features_a, ddof), _covariance_root(features_b, ddof)
    variances = np.square(root_a).sum() + np.square(root_b).sum()
    overlap = linalg.svdvals(root_a @ root_b.T).sum()
    return float(offset @ offset + variances - 2 * overlap)


def kernel_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Squared maximum mean discrepancy under the cubic polynomial kernel ``(x·y / D + 1)³``, unbiased.

    The distance of KID (Binkowski et al. 2018, section 4) and, on features of clips, KVD. Unbiased means
    that it is near 0 for equal distributions, and may be below. Takes ``features`` of shape (N, D);
    raises ``ValueError`` for features that cannot be compared.
    """
    features_a, features_b = _checked(features_a, features_b)
    within_a, within_b = _cubic_kernel(features_a, features_a), _cubic_kernel(features_b, features_b)
    between = _cubic_kernel(features_a, features_b)
    return float(_mean_off_diagonal(within_a) + _mean_off_diagonal(within_b) - 2 * between.mean())


def kernel_distances_of_subsets(
    features_a: np.ndarray, features_b: np.ndarray, *, subsets: int, size: int, generator: np.random.Generator
) -> np.ndarray:
    """:func:`kernel_distance` of ``subsets`` random subsets, shape (subsets,).

    KID is their mean; their spread says how much single subsets differ. A subset has ``size`` clips of
    either side, or as many as the smaller side has.
    """
    features_a, features_b = _checked(features_a, features_b)
    size = min(size, len(features_a), len(features_b))

    def subset(features: np.ndarray) -> np.ndarray:
        return features[np.sort(generator.choice(len(features), size, replace=False))]

    return np.array([kernel_distance(subset(features_a), subset(features_b)) for _ in range(subsets)])


def _covariance_root(features: np.ndarray, ddof: int) -> np.ndarray:
    """R of shape (min(N, D), D) with ``Rᵀ R`` the covariance."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - ddof)
    (root,) = linalg.qr(centred, mode="r", overwrite_a=True)
    return root[: min(root.shape)]


def _cubic_kernel(features_a: np.ndarray, features_b: np.ndarray) -> np.ndarray:
    return (features_a @ features_b.T / features_a.shape[1] + 1) ** 3


def _mean_off_diagonal(kernel: np.ndarray) -> float:
    count = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (count * (count - 1))


def _checked(features_a: np.ndarray, features_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features_a, features_b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    for features in (features_a, features_b):
        if features.ndim != 2:
            raise ValueError(f"features have the shape {features.shape}, but (clips, values) is needed")
        if len(features) < 2:
            raise ValueError(f"a distance needs at least 2 clips on each side, but one side has {len(features)}")
        if not np.isfinite(features).all():
            raise ValueError("features are not finite; the detector or the clips it was given are at fault")
    if features_a.shape[1] != features_b.shape[1]:
        raise ValueError(
            f"features of {features_a.shape[1]} values cannot be compared with features of "
            f"{features_b.shape[1]}; compute both with the same detector"
        )
    return features_a, features_b
