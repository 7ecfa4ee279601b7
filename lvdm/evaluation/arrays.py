"""Sets of features as the metrics take them: checked, in float64, and in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np

BLOCK = 2**24
"""Entries of a matrix of pairs that are held at once: 128 MiB of float64."""

ROUNDING = 1e-10
"""Of two squared norms: squared distances that differ by less count as equal. A matrix product rounds
differently in another block, by some 1e-14 of the norms."""


def checked(*sets: np.ndarray, least: int = 2) -> list[np.ndarray]:
    """Each set of features (N, D) in float64.

    Raises ``ValueError`` for features that are not of shape (N, D) with ``N >= least``, not finite, or of
    different D.
    """
    arrays = [np.asarray(features, np.float64) for features in sets]
    for features in arrays:
        if features.ndim != 2:
            raise ValueError(f"features have the shape {features.shape}, but (clips, values) is needed")
        if len(features) < least:
            raise ValueError(f"a metric needs at least {least} clips on each side, but one side has {len(features)}")
        if not np.isfinite(features).all():
            raise ValueError("features are not finite; the detector or the clips it was given are at fault")
    widths = sorted({features.shape[1] for features in arrays})
    if len(widths) > 1:
        raise ValueError(
            f"features of {widths[0]} values cannot be compared with features of {widths[1]}; "
            "compute both with the same detector"
        )
    return arrays


def row_blocks(rows: int, columns: int, block: int = BLOCK) -> Iterator[slice]:
    """Slices that cover ``rows`` in order, each of at most ``block`` pairs with ``columns``, at least one row."""
    step = max(1, block // columns)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def squared_distances(
    features: np.ndarray, others: np.ndarray, block: int = BLOCK, slack: float = 0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of ``features`` (N, D) at a time, and their squared distances to all ``others`` (M, D): (rows, M).

    A distance is a little less than it should be by ``slack`` times the squared norms of the two, so that
    rounding does not decide what is within a radius that another member of the same set lies on.
    """
    norms, other_norms = (np.square(array).sum(axis=1) for array in (features, others))
    for rows in row_blocks(len(features), len(others), block):
        scale = norms[rows, None] + other_norms
        yield rows, (1 - slack) * scale - 2 * features[rows] @ others.T
