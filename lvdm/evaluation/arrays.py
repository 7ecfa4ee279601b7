"""Sets of features as the metrics take them: checked, in float64, and in blocks of bounded memory."""

from collections.abc import Iterator

import numpy as np

BLOCK = 2**24
"""Entries of a matrix of pairs that are held at once: 128 MiB of float64."""


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
