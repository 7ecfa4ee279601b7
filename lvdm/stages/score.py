"""Compute the distances between two sets of features: one model's rows of the results table."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lvdm.evaluation.config import ProtocolConfig
from lvdm.evaluation.metrics import frechet_distance, kernel_distances_of_subsets
from lvdm.files import publish
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
    "value_std",
    "note",
)


def run(config: ScoreConfig, *, model: str, sampler: str, real: Path, fake: Path | None = None, scores: Path) -> None:
    """Compute the distances between two sets of features: one model's rows of the results table.

    ``real`` and ``fake`` are files of stage features. Without ``fake``, one half of the real clips is
    compared with the other: the distance that sampling alone makes. The halves share no video where
    there are two or more. ``scores`` (.csv) has a row a metric; ``value_std`` is the standard deviation
    over the subsets of the kernel distance. Where a side has fewer than two clips there is no distance: the
    rows are without a value, and the note says so. Only a detector that is a file gives ``fvd`` and ``kvd``;
    with the random stand-in the metrics bear its name. Raises ``ValueError`` for features that cannot
    be compared.
    """
    features, videos = _read(real)
    if fake is None:
        first = _first_half(videos, np.random.default_rng(config.protocol.seed))
        left, right = features[first], features[~first]
        notes = [_halves_note(videos, first)]
    else:
        left, right = features, _read(fake)[0]
        notes = []
    notes += _small_sample_note(left, right)
    distance, kernel_mean, spread = _distances(left, right, config.protocol)
    frechet, kernel = _metric_names(config)
    common = {
        "dataset": config.dataset,
        "model": model,
        "sampler": sampler,
        "protocol": config.protocol_name,
        "detector": config.detector_name,
        "n_real": len(left),
        "n_fake": len(right),
        "seed": config.protocol.seed,
        "note": "; ".join(notes),
    }
    rows = [
        {**common, "metric": frechet, "value": distance, "value_std": None},
        {**common, "metric": kernel, "value": kernel_mean, "value_std": spread},
    ]
    with publish(scores) as temporary:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(temporary, index=False)
    if distance is None:
        _logger.warning("%s: no distances: %s", model, common["note"])
    else:
        _logger.info("%s: %s %.6g, %s %.6g", model, frechet, distance, kernel, kernel_mean)


def _distances(
    left: np.ndarray, right: np.ndarray, protocol: ProtocolConfig
) -> tuple[float, float, float | None] | tuple[None, None, None]:
    """Fréchet distance, kernel distance and its spread over subsets; nothing of fewer than two clips a side."""
    if min(len(left), len(right)) < 2:
        return None, None, None
    generator = np.random.default_rng(protocol.seed)
    # Sums in another order differ in the last bit, and the table must not depend on the number of cores.
    with threadpool_limits(limits=1):
        distance = frechet_distance(left, right)
        subsets = kernel_distances_of_subsets(
            left, right, subsets=protocol.kernel_subsets, size=protocol.kernel_subset_size, generator=generator
        )
    # Where a subset is everything, all are the same and their spread says nothing.
    whole = max(len(left), len(right)) <= protocol.kernel_subset_size and len(left) == len(right)
    return distance, float(subsets.mean()), None if whole else float(subsets.std())


def _metric_names(config: ScoreConfig) -> tuple[str, str]:
    if config.detector.kind == "torchscript":
        return "fvd", "kvd"
    return f"frechet_distance ({config.detector.kind})", f"kernel_distance ({config.detector.kind})"


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and the id of the video of each clip (N,); a generated clip is a video of its own."""
    with np.load(path, allow_pickle=False) as arrays:
        features = arrays["features"]
        videos = arrays["videos"] if "videos" in arrays else np.arange(len(features)).astype(str)
    return features, videos


def _first_half(videos: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Which clips are in the first of two halves, bool (N,).

    Halves share no video where that leaves each at least two clips: videos in random order, but those
    with the most clips first, each go to the half that is smaller.
    """
    names, owner, clips = np.unique(videos, return_inverse=True, return_counts=True)
    order = generator.permutation(len(names))
    in_first = np.zeros(len(names), dtype=bool)
    sizes = [0, 0]
    for video in order[np.argsort(-clips[order], kind="stable")]:
        half = int(sizes[1] < sizes[0])
        in_first[video] = half == 0
        sizes[half] += clips[video]
    if min(sizes) >= 2:
        return in_first[owner]
    first = np.zeros(len(videos), dtype=bool)
    first[generator.permutation(len(videos))[: len(videos) // 2]] = True
    return first


def _halves_note(videos: np.ndarray, first: np.ndarray) -> str:
    left, right = set(videos[first]), set(videos[~first])
    if left & right:
        return f"halves share {len(left & right)} of {len(left | right)} videos"
    return f"halves of {len(left)} and {len(right)} videos, none in both"


def _small_sample_note(left: np.ndarray, right: np.ndarray) -> list[str]:
    smallest, dimension = min(len(left), len(right)), left.shape[1]
    if smallest > dimension:
        return []
    if smallest < 2:
        return [f"no distance: {len(left)} against {len(right)} clips, and it takes two on each side"]
    return [f"{smallest} clips for {dimension} feature values: biased upwards, compare only at equal numbers"]
