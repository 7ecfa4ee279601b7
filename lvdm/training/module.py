"""What a model brings to :func:`lvdm.training.loop.fit`.

Subclass :class:`TrainingModule`, keep the networks (and averaged copies of them) as submodules, and write

- ``configure_optimizers()``: a list of optimisers, in a fixed order;
- ``losses(batch, generator)``: one loss for each of them, and numbers for the training curve;
- ``validate(batches)``: numbers for the table of held-out quality;
- ``picture(batch)``: an image that tells a person how it goes;
- ``run_model(item)``: a forward pass, whose operations are counted;
- ``after_step()``, where something follows an update (averaging the weights, say).

All state of a training is in the module's ``state_dict()``, in its optimisers and in ``step``; whatever is
random comes from generators that are seeded by the step. So a run resumes bit for bit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from lvdm.compute import Compute, count_flops
from lvdm.training import seeds
from lvdm.training.config import TrainingConfig
from lvdm.training.distributed import ALONE, Processes
from lvdm.training.gradients import GradientSum


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of step ``step`` (from 0): linear warm-up, then constant or cosine decay to 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.decay == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


class TrainingModule(LightningModule, ABC):
    """A model under training, in one of the ``processes`` that train it.

    ``step`` is the number of finished optimiser updates.
    """

    def __init__(self, config: TrainingConfig, compute: Compute):
        super().__init__()
        self.automatic_optimization = False
        self.config = config
        self.compute = compute
        self.processes: Processes = ALONE
        self.step = 0

    @abstractmethod
    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimisers; their learning rate is set by the loop at each step."""

    @abstractmethod
    def losses(self, batch: Tensor, generator: torch.Generator) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """A scalar loss for each optimiser, and scalars for the curve, of one batch of the training set.

        Each loss is differentiated with regard to the parameters of its own optimiser only; None leaves
        them alone in this step. The scalars have the same names in every step, and one is called ``loss``.
        Runs under autocast. ``generator`` is on the module's device and the only source of randomness.
        """

    @abstractmethod
    def validate(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """Name to value of each measure of quality, over all of ``batches``. Gradients are off, mode is eval."""

    @abstractmethod
    def picture(self, batch: Tensor) -> np.ndarray:
        """An image, uint8 (H, W, 3), made of the ``picture_clips`` items in ``batch``."""

    @abstractmethod
    def run_model(self, batch: Tensor) -> None:
        """The forward passes of the model itself in the training on ``batch``, without those of its losses."""

    def after_step(self) -> None:
        """Called after each update, with ``step`` already counting it."""

    def model_flops(self, item: Tensor) -> int:
        """Floating point operations of the model in the training on one item; nothing is computed to count them.

        A backward pass counts as two forward passes, and what is done beside the model is left out: so it is usual
        for the share of a device's peak that a model makes use of (Chowdhery et al. 2022, arXiv 2204.02311, B).
        """
        return 3 * count_flops(self.run_model, item.to(self.device)[None])

    def generator(self, *purpose: int | str) -> torch.Generator:
        """A generator on the module's device for one purpose; the same one each time it is asked for."""
        return seeds.generator(self.device, self.config.seed, *purpose)

    def on_train_start(self) -> None:
        """Lightning's hook: from here on the optimisers' gradients are those of all processes."""
        # A backward pass meets the parameters from the last to the first.
        parameters = [item for optimizer in self._optimizers() for item in reversed(_parameters(optimizer))]
        self._gradients = GradientSum(parameters, self.processes)

    def training_step(self, batch: Tensor, batch_index: int) -> dict[str, Tensor]:
        """Lightning's hook: one update; the means of the scalars over the batches of all processes."""
        return self.processes.sum(self.update(batch, self._optimizers(), self._gradients))

    def update(
        self, batch: Tensor, optimizers: Sequence[torch.optim.Optimizer], gradients: GradientSum
    ) -> dict[str, Tensor]:
        """One update, of ``accumulate`` batches of ``batch_size`` items.

        ``batch`` holds those of them that this process computes, one after another. Returns its part of the means of
        the scalars over all of them.
        """
        rate = learning_rate(self.step, self.config)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        share = self.processes.share(self.config.accumulate)
        totals: dict[str, Tensor] = {}
        for number, part in zip(share, batch.split(self.config.batch_size), strict=True):
            if number == share[-1]:
                gradients.start()
            # Layers such as dropout draw from torch's global generators.
            torch.manual_seed(seeds.derive(self.config.seed, "layers", self.step, number))
            with self.compute.autocast():
                losses, values = self.losses(part, self.generator("training", self.step, number))
            for optimizer, loss in zip(optimizers, losses, strict=True):
                if loss is not None:
                    (loss / self.config.accumulate).backward(inputs=_parameters(optimizer))
            for name, value in values.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / self.config.accumulate
        gradients.finish()
        for optimizer in optimizers:
            self._update(optimizer)
        self.step += 1
        self.after_step()
        return totals

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        optimizers = self.optimizers(use_pl_optimizer=False)
        return optimizers if isinstance(optimizers, list) else [optimizers]

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = _parameters(optimizer)
        if all(parameter.grad is None for parameter in parameters):
            return
        if self.config.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        optimizer.step()


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
