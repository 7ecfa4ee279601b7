"""What jobs ask for: pure functions of a configuration and of numbers. Nothing here knows Snakemake."""

from pathlib import Path
from typing import Literal

from lvdm.stages.pipeline import PipelineConfig

# A job that failed is tried again with more, but one that meets its walltime time and again is not that much larger.
MOST_GROWTH = 4

Training = Literal["autoencoder", "diffusion"]


def grown(first: float, attempt: int) -> int:
    """What a job gets at an attempt (1, 2, ...): ``first``, twice that, ... up to ``MOST_GROWTH`` times."""
    return round(first * min(attempt, MOST_GROWTH))


def megabytes(path: str) -> float:
    """Size of a file; 0 where there is none yet."""
    file = Path(path)
    return file.stat().st_size / 1e6 if file.exists() else 0.0


def gpus(config: PipelineConfig) -> int:
    """GPUs of a job that runs a network: one, unless the CPU is asked for."""
    return 0 if config.compute.device == "cpu" else 1


def training_gpus(config: PipelineConfig, section: Training) -> int:
    """GPUs of a training, on all its nodes together."""
    training = getattr(config, section)
    return gpus(config) * training.gpus * training.nodes
