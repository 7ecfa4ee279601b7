"""What happens between two steps of a training: the curve, progress, checkpoints and validation."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from lvdm.files import publish
from lvdm.progress import Progress, track
from lvdm.training.checkpoint import Run
from lvdm.training.distributed import Processes
from lvdm.training.module import TrainingModule
from lvdm.training.owner import Owner
from lvdm.training.stop import StopRequested, StopSignals
from lvdm.training.tables import GrowingTable

_logger = logging.getLogger(__name__)


class Curve(Callback):
    """Rows of ``metrics.csv``: means of what ``losses`` returned, over the ``log_every`` steps that end at ``step``."""

    def __init__(self, table: GrowingTable):
        self.table = table
        self.latest: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def state(self) -> dict[str, Any]:
        """The sums since the last row, for a checkpoint."""
        return {"sums": self._sums, "count": self._count}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from sums that a checkpoint kept."""
        self._sums, self._count = state["sums"], state["count"]

    def on_train_batch_end(
        self, trainer: Trainer, module: TrainingModule, outputs: dict[str, Tensor], batch: Tensor, batch_idx: int
    ) -> None:
        self._sums = {name: self._sums.get(name, 0.0) + value.double() for name, value in outputs.items()}
        self._count += 1
        due = module.step % module.config.log_every == 0
        if not due and module.step != module.config.steps:
            return
        self.latest = {name: (total / self._count).item() for name, total in self._sums.items()}
        if due:  # else more steps may follow one day, of which the next row is too
            self._sums, self._count = {}, 0
        if not math.isfinite(self.latest["loss"]):
            raise ValueError(
                f"the loss is {self.latest['loss']} at step {module.step}; lower training.learning_rate, or set "
                "training.gradient_clip; a run that is started again resumes before this step"
            )
        self.table.append({"step": module.step, **self.latest})


class ProgressLines(Callback):
    """A bar on a terminal, and a line in the log every few seconds: clips/s, and what the device makes of its peak."""

    def __init__(self, progress: Progress, curve: Curve, item: Tensor):
        self.progress, self.curve, self.item = progress, curve, item

    def on_train_start(self, trainer: Trainer, module: TrainingModule) -> None:
        clips = module.config.batch_size * module.config.accumulate
        # Of all devices: each of the processes has one.
        peak = module.compute.measure_peak() * module.processes.size
        terms = {"clips/s": clips, "% of peak": 100 * clips * module.model_flops(self.item) / peak}
        self.progress.terms = lambda: terms

    def on_train_batch_end(
        self, trainer: Trainer, module: TrainingModule, outputs: dict[str, Tensor], batch: Tensor, batch_idx: int
    ) -> None:
        self.progress.advance(1, **({"loss": self.curve.latest["loss"]} if self.curve.latest else {}))


class StillOwner(Callback):
    """Ends the training when the run folder has another owner by now, before anything more is written there."""

    def __init__(self, owner: Owner):
        self.owner = owner

    def on_train_batch_end(
        self, trainer: Trainer, module: TrainingModule, outputs: dict[str, Tensor], batch: Tensor, batch_idx: int
    ) -> None:
        self.owner.check()


class Checkpoints(Callback):
    """Saves the state every ``checkpoint_every`` minutes, at the end, and when any process is asked to stop.

    All processes then stop after the same step. The first one saves.
    """

    def __init__(self, run: Run, curve: Curve, stop: StopSignals, processes: Processes, resumed: dict[str, Any] | None):
        self.run, self.curve, self.stop, self.processes = run, curve, stop, processes
        self._resumed = resumed

    def on_train_start(self, trainer: Trainer, module: TrainingModule) -> None:
        self.stop.install()
        self._last, self._saved_step = time.monotonic(), module.step
        if self._resumed is not None:
            for optimizer, state in zip(trainer.optimizers, self._resumed["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.curve.load_state(self._resumed["curve"])
            self._resumed = None

    def on_train_batch_start(self, trainer: Trainer, module: TrainingModule, batch: Tensor, batch_idx: int) -> None:
        # Here, because the first process comes late when it has saved or validated: the others wait on the CPU.
        self._stop_together(trainer, module)

    def on_train_end(self, trainer: Trainer, module: TrainingModule) -> None:
        self._stop_together(trainer, module)

    def on_train_batch_end(
        self, trainer: Trainer, module: TrainingModule, outputs: dict[str, Tensor], batch: Tensor, batch_idx: int
    ) -> None:
        due = time.monotonic() - self._last >= 60 * module.config.checkpoint_every
        if due or module.step == module.config.steps:
            self._save(trainer, module)

    def _stop_together(self, trainer: Trainer, module: TrainingModule) -> None:
        if not self.processes.any(self.stop.received):
            return
        self._save(trainer, module)
        self.processes.any(True)  # nobody leaves before it is saved
        raise StopRequested(f"asked to stop; saved after step {module.step} of {module.config.steps}")

    def _save(self, trainer: Trainer, module: TrainingModule) -> None:
        if not self.processes.first or module.step == self._saved_step:
            return
        self.run.save(
            module.step,
            {
                "module": module.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
                "curve": self.curve.state(),
            },
        )
        self._last, self._saved_step = time.monotonic(), module.step


class Validation(Callback):
    """Rows of ``quality.csv`` and ``picture.png``, every ``validate_every`` steps and at the end.

    It comes after the checkpoint of its step and is repeated when it did not finish: a run that was killed
    or asked to stop in between validates when it resumes.
    """

    def __init__(self, table: GrowingTable, loader: DataLoader, pictured: Tensor, split: str, stop: StopSignals):
        self.table, self.loader, self.pictured, self.split, self.stop = table, loader, pictured, split, stop

    def on_train_start(self, trainer: Trainer, module: TrainingModule) -> None:
        self._validate_unless_stopped(module)

    def on_train_batch_end(
        self, trainer: Trainer, module: TrainingModule, outputs: dict[str, Tensor], batch: Tensor, batch_idx: int
    ) -> None:
        self._validate_unless_stopped(module)

    @torch.no_grad()
    def validate_if_due(self, module: TrainingModule) -> None:
        """Validate when the present step calls for it and the table lacks it. Raises ``StopRequested``."""
        step = module.step
        due = step == module.config.steps or (step > 0 and step % module.config.validate_every == 0)
        if not due or step in self.table.steps():
            return
        self._check_stop(module)
        module.eval()
        try:
            with module.compute.autocast():
                self._draw(module)
                quality = module.validate(self._batches(module))
        finally:
            module.train()
        row = {"step": step, "split": self.split, "clips": len(self.loader.dataset)}
        self.table.append(*({**row, "metric": metric, "value": value} for metric, value in quality.items()))
        _logger.info(
            "step %d, %s: %s", step, self.split, ", ".join(f"{name} {value:.4g}" for name, value in quality.items())
        )

    def _validate_unless_stopped(self, module: TrainingModule) -> None:
        with suppress(StopRequested):  # the checkpoints see to it that all processes stop together
            self.validate_if_due(module)

    def _check_stop(self, module: TrainingModule) -> None:
        if self.stop.received:
            raise StopRequested(f"asked to stop while validating after step {module.step}")

    def _batches(self, module: TrainingModule) -> Iterator[Tensor]:
        for batch in track(self.loader, "validation", unit="batch"):
            self._check_stop(module)
            yield batch.to(module.device)

    def _draw(self, module: TrainingModule) -> None:
        image = Image.fromarray(module.picture(self.pictured.to(module.device)))
        with publish(self.table.path.with_name("picture.png")) as temporary:
            image.save(temporary)
