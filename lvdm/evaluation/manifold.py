"""Fidelity and diversity apart: precision and recall, density and coverage. numpy only, in float64.

A set of features stands for the balls around its members, each as wide as the distance to its own k-th
nearest neighbour. Distances are computed in blocks, so that memory does not grow with the number of pairs.
"""

import numpy as np

from lvdm.evaluation.arrays import BLOCK, ROUNDING, checked, squared_distances


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3, block: int = BLOCK) -> tuple[float, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, equations 1 and 2; k = 3 there).

    Precision is the share of ``fake`` (M, D) that lies in a ball of ``real`` (N, D), recall the share of
    ``real`` in a ball of ``fake``. A clip on the surface of a ball is inside. ``block`` pairs are compared
    at a time. Raises ``ValueError`` for features that cannot be compared, and for k or fewer clips.
    """
    real, fake = _prepared(real, fake, k)
    real_radii, fake_radii = _radii(real, k, block), _radii(fake, k, block)
    in_real = np.zeros(len(fake), dtype=bool)
    in_fake = np.zeros(len(real), dtype=bool)
    for rows, distances in squared_distances(real, fake, block, slack=ROUNDING):
        in_real |= (distances <= real_radii[rows, None]).any(axis=0)
        in_fake[rows] = (distances <= fake_radii).any(axis=1)
    return float(in_real.mean()), float(in_fake.mean())


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5, block: int = BLOCK) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, equations 4 and 5; k = 5 there).

    Density is the mean number of balls of ``real`` (N, D) that a clip of ``fake`` (M, D) lies in, over k: 1
    for equal distributions, and above it where clips crowd around the real. Coverage is the share of the
    balls of ``real`` that have a clip of ``fake``. A clip on the surface of a ball is inside. ``block`` pairs
    are compared at a time. Raises ``ValueError`` as :func:`precision_recall` does.
    """
    real, fake = _prepared(real, fake, k)
    radii = _radii(real, k, block)
    pairs = 0
    covered = np.zeros(len(real), dtype=bool)
    for rows, distances in squared_distances(real, fake, block, slack=ROUNDING):
        inside = distances <= radii[rows, None]
        pairs += int(inside.sum())
        covered[rows] = inside.any(axis=1)
    return pairs / (k * len(fake)), float(covered.mean())


def _prepared(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Both sets about the mean of the real one, where norms are small, and little is lost to rounding."""
    real, fake = checked(real, fake)
    fewest = min(len(real), len(fake))
    if fewest <= k:
        raise ValueError(f"{fewest} clips have no {k}-th nearest neighbour each; lower k or take more clips")
    centre = real.mean(axis=0)
    return real - centre, fake - centre


def _radii(features: np.ndarray, k: int, block: int) -> np.ndarray:
    """Squared distance of each to the k-th nearest of the others, (N,)."""
    radii = np.empty(len(features))
    for rows, distances in squared_distances(features, features, block):
        own = np.arange(rows.start, rows.stop)
        distances[own - rows.start, own] = np.inf
        radii[rows] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii
