"""Measure the shift and scale that make a data set's latents zero-mean with unit variance.

Per data set, never copied: the values of another one leave latents that the noise schedule was not made for.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lvdm.data.datasets import LatentDataset
from lvdm.files import write_json
from lvdm.progress import track
from lvdm.training.config import LatentScaling

# Latents of an autoencoder that learned anything vary by far more.
_SMALLEST_STD = 1e-4

_logger = logging.getLogger(__name__)


def run(*, latents: list[Path], statistics: Path) -> None:
    """Measure the latent caches `latents` (.npy) of the training split; write `statistics` (.json).

    shift = -mean and scale = 1 / standard deviation of the posterior's samples over all windows: their
    variance is that of the means plus the mean of the posterior's variances. In float64, and independent
    of how the windows are spread over files.
    """
    windows = LatentDataset(latents)
    mean = _average(windows, lambda moments: moments[0].mean(), "mean of latents")
    # The law of total variance.
    variance = _average(
        windows, lambda moments: np.square(moments[0] - mean).mean() + np.exp(moments[1]).mean(), "variance of latents"
    )
    std = math.sqrt(variance) if math.isfinite(variance) else math.nan
    if not std >= _SMALLEST_STD:
        raise ValueError(
            f"the latents have mean {mean:.4g} and standard deviation {std:.4g}: the autoencoder learned nothing, or "
            "diverged; look at its quality table, and train it longer or with another learning rate"
        )
    scaling = LatentScaling(shift=-mean, scale=1 / std, clips=len(windows))
    write_json(statistics, scaling.model_dump(mode="json"))
    _logger.info("latents of %d windows: mean %.4g, standard deviation %.4g", len(windows), mean, std)


def _average(windows: LatentDataset, value: Callable[[np.ndarray], np.floating], what: str) -> float:
    """The mean of ``value`` over all windows; ``fsum`` is exact, so their order and grouping do not matter."""
    numbers = track(range(len(windows)), what, unit="window")
    return math.fsum(float(value(windows[number].double().numpy())) for number in numbers) / len(windows)
