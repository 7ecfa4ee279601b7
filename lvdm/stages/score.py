"""Compute the metrics of one set of features against another: one model's rows of the results table."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lvdm.evaluation.feature_files import FeatureSet, read_features
from lvdm.evaluation.scores import Comparison, Score, Scorer, Side
from lvdm.evaluation.uncertainty import halves
from lvdm.files import check_outputs, publish
from lvdm.stages.config import ScoreConfig

_logger = logging.getLogger(__name__)

COLUMNS = (
    "dataset",
    "model",
    "sampler",
    "protocol",
    "detector",
    "metric",
    "value",
    "n_real",
    "n_fake",
    "seed",
    "std",
    "low",
    "high",
    "note",
)
CURVE_COLUMNS = ("n", "value", "fit", "floor")


def run(
    config: ScoreConfig, *, model: str, sampler: str, real: Path, fake: Path | None = None, scores: Path, curve: Path
) -> None:
    """Compute the metrics of one set of features against another: one model's rows of the results table.

    ``real`` and ``fake`` are files of stage features. Without ``fake``, one half of the real clips is
    compared with the other: the distance that sampling alone makes. The halves share no group
    (no patient, or without groups no video) where there are two or more. ``scores`` (.csv) has a row per metric: the
    mean over the repetitions of the protocol and ``std``, their deviation, or that over the subsets of a kernel
    distance or the parts of an inception score; ``low`` and ``high``, the 95 percent interval. Where a side has fewer
    than two clips there is no distance: the rows are without a value, and the note says so. ``curve`` (.csv) has the
    Fréchet distance of n clips, its fit and its floor.

    Raises ``ValueError`` for features that cannot be compared.
    """
    check_outputs(scores, curve)
    real_set = read_features(real)
    fake_set = None if fake is None else read_features(fake)
    runs = _comparisons(real_set, fake_set, config.seed)
    scorer = Scorer(config.detector, config.metrics, config.seed)
    # Sums in another order differ in the last bit, and the table must not depend on the number of cores.
    with threadpool_limits(limits=config.threads):
        found = scorer.scores(runs)
        if fake_set is not None and config.detector.compares_clips:
            found += scorer.windows(runs[0].real, {at: _side(fake_set, rows) for at, rows in fake_set.windows.items()})
        points = scorer.curve(runs[0])
    common = {
        "dataset": config.dataset,
        "model": model,
        "sampler": sampler,
        "protocol": config.protocol_name,
        "detector": config.detector_name,
        "n_real": len(runs[0].real),
        "n_fake": len(runs[0].fake),
        "seed": config.seed,
        "note": "; ".join([*filter(None, [runs[0].note]), *_small_sample_note(runs[0])]),
    }
    with publish(scores) as temporary:
        pd.DataFrame([{**common, **vars(score)} for score in found], columns=COLUMNS).to_csv(temporary, index=False)
    with publish(curve) as temporary:
        pd.DataFrame(points, columns=CURVE_COLUMNS).to_csv(temporary, index=False)
    _logger.info("%s: %s", sampler or model, ", ".join(map(_shown, found)))


def _comparisons(real: FeatureSet, fake: FeatureSet | None, seed: int) -> list[Comparison]:
    """What each repetition compares."""
    runs = range(max(len(real.runs), len(fake.runs) if fake else 1))
    if fake is not None:
        return [
            Comparison(_side(real, real.run(run)), _side(fake, fake.run(run)), _probabilities(fake, fake.run(run)))
            for run in runs
        ]
    found = []
    for run in runs:
        rows = real.run(run)
        first, second = (rows[half] for half in halves(real.groups[rows], np.random.default_rng((seed, run))))
        sides = _side(real, first), _side(real, second)
        what = "videos" if np.array_equal(real.groups, real.videos) else "groups"
        found.append(Comparison(*sides, _probabilities(real, second), _halves_note(*sides, what)))
    return found


def _side(features: FeatureSet, rows: np.ndarray) -> Side:
    return Side(features.values[rows], features.groups[rows])


def _probabilities(features: FeatureSet, rows: np.ndarray) -> np.ndarray | None:
    return None if features.probabilities is None else features.probabilities[rows]


def _halves_note(first: Side, second: Side, what: str) -> str:
    left, right = set(first.groups), set(second.groups)
    if left & right:
        return f"halves share {len(left & right)} of {len(left | right)} {what}"
    return f"halves of {len(left)} and {len(right)} {what}, none in both"


def _small_sample_note(run: Comparison) -> list[str]:
    smallest, dimension = min(len(run.real), len(run.fake)), run.real.values.shape[1]
    if smallest > dimension:
        return []
    if smallest < 2:
        return [f"no distance: {len(run.real)} against {len(run.fake)} clips, and it takes two on each side"]
    return [f"{smallest} clips for {dimension} feature values: biased upwards, compare only at equal numbers"]


def _shown(score: Score) -> str:
    return f"{score.metric} {'–' if score.value is None else format(score.value, '.6g')}"
