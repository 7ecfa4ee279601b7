"""Are generated clips copies of training clips? Nearest neighbours in feature space. numpy and scipy, in float64.

A generated clip that shows a patient of the training set is nearer to it than a clip of another patient is.
So its distance says little, and its distance beside those of held-out real clips much.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from lvdm.evaluation.arrays import BLOCK, ROUNDING, checked, squared_distances


def nearest(queries: np.ndarray, references: np.ndarray, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of ``references`` (M, D) to each of ``queries`` (N, D): row numbers (N,) and distances (N,).

    Euclidean distances, exact to the last digits: 0 for a copy. Of equally near references it is the
    first. ``block`` pairs are compared at a time. Raises ``ValueError`` for features that cannot be compared.
    """
    queries, references = checked(queries, references, least=1)
    centre = references.mean(axis=0)
    queries, references = queries - centre, references - centre
    indices = np.empty(len(queries), dtype=np.int64)
    distances = np.empty(len(queries))
    # A matrix product cancels where two are close; it chooses candidates, and differences decide.
    largest = np.square(references).sum(axis=1).max()
    for rows, block_distances in squared_distances(queries, references, block):
        for query, found in zip(range(rows.start, rows.stop), block_distances, strict=True):
            margin = ROUNDING * (np.square(queries[query]).sum() + largest)
            candidates = np.flatnonzero(found <= found.min() + margin)
            exact = np.square(references[candidates] - queries[query]).sum(axis=1)
            indices[query] = candidates[exact.argmin()]
            distances[query] = np.sqrt(exact.min())
    return indices, distances


@dataclass(frozen=True)
class Memorisation:
    """Distances of generated clips to their nearest training clips, beside those of held-out real clips."""

    median_generated: float
    median_heldout: float
    threshold: float
    """The ``quantile`` of the distances of held-out clips."""
    quantile: float
    share_nearer: float
    """Share of generated clips that are nearer than the threshold: ``quantile`` if they were held-out ones."""
    probability_nearer: float
    """That a generated clip is nearer to training than a held-out one: 0.5 if they were the same."""
    p_value: float
    """Of a probability as large as this or larger if they were the same."""


def compare_distances(generated: np.ndarray, heldout: np.ndarray, quantile: float = 0.05) -> Memorisation:
    """Compare nearest distances, (N,) of generated and (M,) of held-out clips, to the same training clips.

    The test is the one-sided test of ranks by Mann and Whitney, as Meehan et al. 2020 ask whether a
    generator copies. It takes clips as independent, which windows of one video are not: with few held-out
    videos its probability is too small. Raises ``ValueError`` where one side has no distances.
    """
    generated, heldout = np.asarray(generated, np.float64), np.asarray(heldout, np.float64)
    if min(len(generated), len(heldout)) == 0:
        raise ValueError(f"{len(generated)} generated and {len(heldout)} held-out distances; one each is the least")
    threshold = np.quantile(heldout, quantile)
    ranks = stats.mannwhitneyu(generated, heldout, alternative="less", method="asymptotic")
    return Memorisation(
        median_generated=float(np.median(generated)),
        median_heldout=float(np.median(heldout)),
        threshold=float(threshold),
        quantile=quantile,
        share_nearer=float((generated < threshold).mean()),
        probability_nearer=float(1 - ranks.statistic / (len(generated) * len(heldout))),
        p_value=float(ranks.pvalue),
    )
