"""Fidelity and diversity apart: precision and recall, density and coverage. numpy only, in float64.

A set of features stands for the balls around its members, each as wide as the distance to its own k-th
nearest neighbour. Distances are computed in blocks, so that memory does not grow with the number of pairs.
"""

from collections.abc import Iterator

import numpy as np

from lvdm.evaluation.arrays import BLOCK, checked, row_blocks

ROUNDING = 1e-10
"""Of the largest squared norm: below this, two squared distances count as equal. They are computed as
``|x|² + |y|² - 2 x·y``, and a matrix product rounds differently in another block."""


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 3, block: int = BLOCK) -> tuple[float, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, equations 1 and 2; k = 3 there).

    Precision is the share of ``fake`` (M, D) that lies in a ball of ``real`` (N, D), recall the share of
    ``real`` in a ball of ``fake``. A clip on the surface of a ball is inside. ``block`` pairs are compared
    at a time. Raises ``ValueError`` for features that cannot be compared, and for k or fewer clips.
    """
    real, fake, rounding = _prepared(real, fake, k)
    real_radii, fake_radii = _radii(real, k, block), _radii(fake, k, block)
    in_real = np.zeros(len(fake), dtype=bool)
    in_fake = np.zeros(len(real), dtype=bool)
    for rows, distances in _squared_distances(real, fake, block):
        in_real |= (distances <= real_radii[rows, None] + rounding).any(axis=0)
        in_fake[rows] = (distances <= fake_radii + rounding).any(axis=1)
    return float(in_real.mean()), float(in_fake.mean())


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5, block: int = BLOCK) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, equations 4 and 5; k = 5 there).

    Density is the mean number of balls of ``real`` (N, D) that a clip of ``fake`` (M, D) lies in, over k: 1
    for equal distributions, and above it where clips crowd around the real. Coverage is the share of the
    balls of ``real`` that have a clip of ``fake``. A clip on the surface of a ball is inside. ``block`` pairs
    are compared at a time. Raises ``ValueError`` as :func:`precision_recall` does.
    """
    real, fake, rounding = _prepared(real, fake, k)
    radii = _radii(real, k, block)
    pairs = 0
    covered = np.zeros(len(real), dtype=bool)
    for rows, distances in _squared_distances(real, fake, block):
        inside = distances <= radii[rows, None] + rounding
        pairs += int(inside.sum())
        covered[rows] = inside.any(axis=1)
    return pairs / (k * len(fake)), float(covered.mean())


def _prepared(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Both sets about the mean of the real one, where norms are small, and the rounding to expect."""
    real, fake = checked(real, fake)
    fewest = min(len(real), len(fake))
    if fewest <= k:
        raise ValueError(f"{fewest} clips have no {k}-th nearest neighbour each; lower k or take more clips")
    centre = real.mean(axis=0)
    real, fake = real - centre, fake - centre
    largest = max(np.square(features).sum(axis=1).max() for features in (real, fake))
    return real, fake, ROUNDING * float(largest)


def _radii(features: np.ndarray, k: int, block: int) -> np.ndarray:
    """Squared distance of each to the k-th nearest of the others, (N,)."""
    radii = np.empty(len(features))
    for rows, distances in _squared_distances(features, features, block):
        own = np.arange(rows.start, rows.stop)
        distances[own - rows.start, own] = np.inf
        radii[rows] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


def _squared_distances(features: np.ndarray, others: np.ndarray, block: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of ``features`` at a time, and their squared distances to all ``others`` (rows, M)."""
    norms, other_norms = (np.square(array).sum(axis=1) for array in (features, others))
    for rows in row_blocks(len(features), len(others), block):
        yield rows, norms[rows, None] + other_norms - 2 * features[rows] @ others.T
