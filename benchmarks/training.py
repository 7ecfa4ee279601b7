"""Trainings by the loop of the training stages, and the bare steps of the same: what their benchmarks share."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from baseline_steps import as_shipped
from measure import BASELINE, Benchmark, Case, Clock
from torch import Tensor
from torch.utils.data import Dataset

from lvdm.data.datasets import collate
from lvdm.training.autoencoder import AutoencoderTraining
from lvdm.training.checkpoint import Run
from lvdm.training.config import TrainingConfig
from lvdm.training.diffusion import DiffusionTraining
from lvdm.training.distributed import ALONE, Processes
from lvdm.training.loop import fit
from lvdm.training.module import TrainingModule

Training = TypeVar("Training", bound=TrainingConfig)

_BARE, _LOOP = "bare step", "training loop"

# Its steps are long, and all alike: without an end, most of the time of a benchmark would be theirs.
_BASELINE_REPEATS = 8


class Timed(TrainingModule):
    """Marks on the device's clock when step ``warmup``, and each one after it, is done."""

    warmup = 0
    clock: Clock | None = None

    def on_train_start(self) -> None:
        super().on_train_start()
        self.clock = Clock(self.device)

    def after_step(self) -> None:
        super().after_step()
        if self.clock is not None and self.step >= self.warmup:
            self.clock.mark()


class TimedDiffusion(Timed, DiffusionTraining):
    """The diffusion model's training."""


class TimedAutoencoder(Timed, AutoencoderTraining):
    """The autoencoder's training."""


class Unsaved(Run):
    """A run that leaves no checkpoint of gigabytes after its last step, which is no part of what is timed."""

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Nothing."""


def short(training: Training, steps: int, batch_size: int | None, **changes: Any) -> Training:
    """A training of some steps, with one short validation, at its end."""
    fixed = {"steps": steps, "validate_every": 10**9, "validate_clips": 1, "picture_clips": 1, "checkpoint_every": 1e9}
    return training.replace(**fixed, batch_size=batch_size or training.batch_size, **changes)


def fit_seconds(
    module: Timed, dataset: Dataset, folder: Path, workers: int, processes: Processes = ALONE
) -> list[float]:
    """Seconds of each step after the warm-up, in the loop of the stage. Leaves the records of the run in ``folder``."""
    fit(module, train=dataset, heldout=None, run=Unsaved(folder, "benchmark"), workers=workers, processes=processes)
    return module.clock.intervals()


def bare_step(module: TrainingModule, batch: Tensor) -> Callable[[], None]:
    """The step of ``module`` on a batch that is there already: without loader, Lightning, curve and progress."""
    module.to(module.compute.device).train()
    optimizers, batch = module.configure_optimizers(), batch.to(module.compute.device)
    generator = module.generator("benchmark")

    def step() -> None:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        with module.compute.autocast():
            losses, _ = module.losses(batch, generator)
        for optimizer, loss in zip(optimizers, losses, strict=True):
            if loss is not None:
                loss.backward(inputs=optimizer.param_groups[0]["params"])
        for optimizer, loss in zip(optimizers, losses, strict=True):
            if loss is not None:
                optimizer.step()
        module.step += 1
        module.after_step()

    return step


def training_cases(
    benchmark: Benchmark,
    group: str,
    make: Callable[[int, int], Timed],
    dataset: Dataset,
    plain: Callable[[int], Callable[[], None]],
    flops: float,
) -> list[Case]:
    """The loop, the bare step and the baseline's step of a training.

    ``make(batch_size, steps)`` is the module, ``plain(batch_size)`` the baseline's step, ``flops`` those of a clip.
    """
    options = benchmark.options

    def loop(batch_size: int) -> float:
        module = make(batch_size, options.warmup + options.repeats)
        module.warmup = options.warmup
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            # All steps count, also those that wait for the loader or write a row of the curve.
            return statistics.fmean(fit_seconds(module, dataset, Path(folder) / "run", options.workers))

    def bare(batch_size: int) -> float:
        batch = collate(dataset.__getitems__([number % len(dataset) for number in range(batch_size)]))
        return benchmark.seconds(bare_step(make(batch_size, 1), batch))

    def baseline(batch_size: int) -> float:
        return benchmark.seconds(plain(batch_size), most=_BASELINE_REPEATS)

    return [
        Case(group, BASELINE, baseline, flops, torch.float32, context=as_shipped),
        Case(group, _BARE, bare, flops, benchmark.machine.dtype),
        Case(group, _LOOP, loop, flops, benchmark.machine.dtype),
    ]


def compare_loops(rows: list[dict[str, Any]]) -> None:
    """Add to the rows of training loops what share of the bare step's rate they reach."""
    bare = {(row["group"], row["batch_size"]): row for row in rows if row["name"] == _BARE and "error" not in row}
    for row in rows:
        other = bare.get((row["group"], row["batch_size"]))
        if row["name"] == _LOOP and "error" not in row and other is not None:
            row["share_of_bare_step"] = row["clips_per_second"] / other["clips_per_second"]
            row["note"] = f"{row['share_of_bare_step']:.1%} of the bare step"
