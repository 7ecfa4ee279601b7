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


# What a training asks for by the names that the SLURM executor knows; `processes` are those on each node.
TRAINING = ("gpu", "nodes", "processes", "mpi", "tasks_per_node", "tasks", "tasks_per_gpu")


def training(config: PipelineConfig, section: Training) -> dict[str, int | str | None]:
    """What a training asks for, by the names of :data:`TRAINING`; None where it does not ask.

    On one node the training starts its processes itself. On several, SLURM does: a task for each.
    """
    here, nodes = getattr(config, section).gpus, getattr(config, section).nodes
    asked = {"gpu": gpus(config) * here * nodes, "nodes": nodes, "processes": here}
    if nodes > 1:
        # The executor takes no `tasks_per_node` of 1, and without the 0 it takes `tasks` for those of each GPU.
        asked |= {"mpi": "srun"} | ({"tasks_per_node": here} if here > 1 else {"tasks": nodes, "tasks_per_gpu": 0})
    return {name: asked.get(name) for name in TRAINING}


def training_threads(config: PipelineConfig, section: Training) -> int:
    """CPUs of each task of a training: of all processes on the node, or of one where SLURM starts them."""
    training = getattr(config, section)
    threads = config.compute.threads + config.compute.workers
    return threads * (training.gpus if training.nodes == 1 else 1)


def steps(config: PipelineConfig, section: Training) -> list[str]:
    """The command that starts a training's processes where SLURM does; else none."""
    here, nodes = getattr(config, section).gpus, getattr(config, section).nodes
    if nodes == 1:
        return []
    # In full, because a job of the executor's hides its size from its steps.
    return [
        "srun",
        f"--nodes={nodes}",
        f"--ntasks={here * nodes}",
        f"--ntasks-per-node={here}",
        f"--cpus-per-task={training_threads(config, section)}",
        "--kill-on-bad-exit",
    ]
