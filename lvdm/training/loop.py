"""The training loop that the autoencoder and the diffusion model share.

``fit`` takes a :class:`~lvdm.training.module.TrainingModule` and leaves in ``run.folder``

- ``identity.json``: what the training is;
- ``metrics.csv``: the training curve, a row every ``log_every`` steps;
- ``quality.csv``: columns step, split, clips, metric, value;
- ``picture.png``: the module's picture after the last validation;
- ``checkpoints/``: the last two states, and those of the last two numbers of steps it was finished after;
- ``finished/{step}/``: the tables and the picture of each of these;
- ``batch_size.json``, with ``batch_size: auto``: the number that was taken;
- ``profile/trace.json``, where a profile was asked for.

and the trained weights in the module. A killed run that is started again ends with the same weights and the
same tables, bit for bit on the CPU, as one that was not disturbed.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, Dataset, Subset

from lvdm.data.datasets import collate
from lvdm.data.sampler import ShareBatchSampler, StepBatchSampler
from lvdm.files import publish, write_text
from lvdm.progress import Progress
from lvdm.training import batch_size
from lvdm.training.callbacks import Checkpoints, Curve, ProgressLines, StillOwner, Validation
from lvdm.training.checkpoint import Run
from lvdm.training.distributed import ALONE, Processes
from lvdm.training.module import TrainingModule
from lvdm.training.owner import owned
from lvdm.training.profile import Profile
from lvdm.training.stop import StopRequested, StopSignals, ignore_stop_signals
from lvdm.training.tables import GrowingTable

# EX_TEMPFAIL of sysexits.h: not done, but worth trying again.
INTERRUPTED = os.EX_TEMPFAIL

_logger = logging.getLogger(__name__)


class Replicas(DDPStrategy):
    """Lightning's distributed data parallel, but for the averaging of gradients, which is ``GradientSum``.

    torch's wrapper serves one backward pass a step. The autoencoder has two, of two optimisers, and each reaches some
    of the parameters only.
    """

    def configure_ddp(self) -> None:
        """Leaves the module as it is: it needs no wrapper."""

    @property
    def world_size(self) -> int:
        """1: Lightning would else send a flag from GPU to GPU and wait for it in every step. Ours agree on the CPU."""
        return 1


def fit(
    module: TrainingModule,
    *,
    train: Dataset,
    heldout: Dataset | None,
    run: Run,
    workers: int = 0,
    processes: Processes = ALONE,
    profile: bool = False,
) -> None:
    """Train ``module`` for ``module.config.steps`` steps, going on from the last state in ``run.folder`` before that.

    Where it was trained for that many steps before, the state is taken up, and the records stay as they are.
    Items of the data sets are tensors. Without ``heldout`` items the quality is measured on training items,
    and the column ``split`` of the table says so. ``workers`` processes load the data (0: this one). Each of
    ``processes`` calls this with the same arguments; the first one alone leaves the records and validates.
    ``profile`` looks at where the time of a few steps goes (:class:`~lvdm.training.profile.Profile`).
    Waits while another training has the folder.
    Raises ``SystemExit(75)`` after SIGTERM or SIGUSR1, once the step is finished and the state is saved, and
    ``ValueError`` when the loss is not finite, a checkpoint does not fit the module, or a batch the memory.
    """
    module.to(module.compute.device)
    module.processes = processes
    with StopSignals() as stop, ExitStack() as held:
        try:
            with processes.connected(module.compute.device):
                owner = held.enter_context(owned(run.root, stop)) if processes.first else None
                state = _resume(module, run, processes)
                if processes.any(processes.first and _done(module) and run.is_finished(module.step)):
                    if owner is not None:
                        run.keep(module.step)
                        _logger.info("it was trained for %d steps before; its records stay as they are", module.step)
                    return
                module.config = batch_size.resolve(module, train, run.folder)
                curve = Curve(GrowingTable(run.folder / "metrics.csv"))
                callbacks: list[Callback] = [Checkpoints(run, curve, stop, processes, state)]
                if owner is not None:
                    validation = _validation(module, train, heldout, GrowingTable(run.folder / "quality.csv"), stop)
                    _continue_tables(module, run, curve.table, validation.table)
                    lines = ProgressLines(held.enter_context(_progress(module)), curve, train[0])
                    profiles = [Profile(run.folder / "profile")] if profile else []
                    callbacks = [*profiles, StillOwner(owner), curve, lines, *callbacks, validation]
                if not _done(module):
                    with batch_size.naming_remedy(module.config, run.folder):
                        _train(module, train, callbacks, workers)
            if owner is not None:
                if not curve.table.path.exists():  # imported weights, taken as they are
                    write_text(curve.table.path, "step,loss\n")
                validation.validate_if_due(module)
                run.finish(module.step)
        except (StopRequested, SIGTERMException) as request:
            level = logging.WARNING if processes.first else logging.DEBUG  # said once
            _logger.log(level, "%s; run again to resume", request or "asked to stop")
            raise SystemExit(INTERRUPTED) from None


def publish_records(run: Run, steps: int, *, curve: Path, quality: Path, picture: Path) -> None:
    """Copy what ``fit`` left of a training of ``steps`` steps to where a stage publishes it."""
    for name, target in (("metrics.csv", curve), ("quality.csv", quality), ("picture.png", picture)):
        with publish(target) as temporary:
            shutil.copyfile(run.record(name, steps), temporary)


def _resume(module: TrainingModule, run: Run, processes: Processes) -> dict[str, Any] | None:
    """Make all processes' modules what the newest checkpoint says, which is returned; None when there is none."""
    state = None
    if processes.first:
        run.claim()
        state = run.load(module.config.steps)
    step = processes.tell(-1 if state is None else state["step"])
    if step >= 0:
        state = state or run.load_step(step)
        _restore(module, state, run)
    processes.align(module)
    return state


def _done(module: TrainingModule) -> bool:
    return module.step == module.config.steps


def _continue_tables(module: TrainingModule, run: Run, curve: GrowingTable, quality: GrowingTable) -> None:
    """Drop the rows that the present state does not know, and those that only the end of a training calls for."""
    run.go_on(module.step)
    ended, config = _done(module), module.config
    curve.cut(module.step, None if ended else config.log_every)
    quality.cut(module.step, None if ended else config.validate_every)


def _progress(module: TrainingModule) -> Progress:
    return Progress("training", module.config.steps, "step", done=module.step)


def _train(module: TrainingModule, train: Dataset, callbacks: list[Callback], workers: int) -> None:
    config, processes = module.config, module.processes
    items_per_step = config.batch_size * config.accumulate
    share = processes.share(config.accumulate)
    _logger.info(
        "a step is of %d clips: %d processes x %d batches x %d clips; learning rate %g",
        items_per_step, processes.size, len(share), config.batch_size, config.learning_rate,
    )  # fmt: skip
    steps = StepBatchSampler(len(train), items_per_step, config.seed, module.step, config.steps)
    loader = DataLoader(
        train,
        batch_sampler=ShareBatchSampler(steps, config.batch_size, share),
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=ignore_stop_signals,
        pin_memory=module.compute.device.type == "cuda",
        # Lest the loader draws its workers' seeds from the global generator.
        generator=torch.Generator().manual_seed(config.seed),
    )
    with _quiet_lightning():
        trainer = Trainer(
            accelerator="gpu" if module.compute.device.type == "cuda" else "cpu",
            devices=processes.gpus,
            num_nodes=processes.nodes,
            strategy=Replicas() if processes.size > 1 else "auto",
            use_distributed_sampler=False,
            max_epochs=1,  # the sampler's "epoch" is the whole training
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            # Not SLURM's: that one requeues jobs by itself, and insists on srun.
            plugins=[LightningEnvironment()],
        )
        module.train()
        trainer.fit(module, loader)
    module.to(module.compute.device)  # Lightning's teardown moves it to the CPU


def _validation(
    module: TrainingModule, train: Dataset, heldout: Dataset | None, table: GrowingTable, stop: StopSignals
) -> Validation:
    source, split = (heldout, "heldout") if heldout is not None and len(heldout) else (train, "train")
    config = module.config
    looked_at = Subset(source, spread(len(source), config.validate_clips))
    loader = DataLoader(looked_at, batch_size=config.batch_size, collate_fn=collate)
    pictured = torch.stack([source[index] for index in spread(len(source), config.picture_clips)])
    return Validation(table, loader, pictured, split, stop)


def spread(size: int, count: int) -> list[int]:
    """At most ``count`` indices below ``size``, as far apart as can be."""
    return np.linspace(0, size - 1, min(size, count)).round().astype(int).tolist()


def _restore(module: TrainingModule, state: dict[str, Any], run: Run) -> None:
    try:
        module.load_state_dict(state["module"])
    except RuntimeError as error:
        raise ValueError(f"{run.folder}/checkpoints do not fit the model ({error}); move the folder away") from None
    module.step = state["step"]
    _logger.info("going on after step %d of %d", module.step, module.config.steps)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's remarks on hardware and loaders; progress and results are logged by ours."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*does not have many workers.*",
                ".*LeafSpec.* is deprecated.*",
                ".*`srun` command is available.*",
            ):
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
