"""Training of the latent diffusion model on cached moments (LVDM, section 3.2; Ho et al. 2020, algorithm 1)."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from lvdm.compute import Compute
from lvdm.diffusion.masks import draw_masks
from lvdm.diffusion.objective import diffuse, error, target, weight
from lvdm.diffusion.schedule import make_schedule
from lvdm.models.autoencoder import Posterior
from lvdm.models.unet import UNet
from lvdm.training.config import DiffusionModelConfig, DiffusionTrainingConfig
from lvdm.training.ema import AveragedModel
from lvdm.training.module import TrainingModule
from lvdm.training.pictures import film_strips

HELDOUT_BINS = 10

Preview = Callable[[nn.Module, Tensor], Tensor]
"""From a UNet and normalised latents ``(B, C, T, H, W)`` to as many clips ``(B, 3, T', H', W')``, the same ones for the
same weights. The latents are those of real clips, from which frames may be given."""


class DiffusionTraining(TrainingModule):
    """The UNet, its average, and how they are trained and looked at.

    An item of the data sets is ``(2, C, T, H, W)``, as cached: mean and log-variance of a clip's latent.
    The initial weights are drawn from torch's global generator.
    """

    def __init__(
        self,
        model: DiffusionModelConfig,
        config: DiffusionTrainingConfig,
        compute: Compute,
        preview: Preview,
    ):
        super().__init__(config, compute)
        self.model, self.preview = model, preview
        self.schedule = make_schedule(model.schedule).to(compute.device)
        self.unet = compute.place(UNet(model.model))
        self.predict = compute.compiled(self.unet.forward)
        self.averaged = AveragedModel(self.unet, config.ema_decay)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW over the UNet."""
        return [
            torch.optim.AdamW(
                self.unet.parameters(),
                lr=self.config.learning_rate,
                betas=self.config.betas,
                weight_decay=self.config.weight_decay,
                fused=True,
            )
        ]

    def losses(self, batch: Tensor, generator: torch.Generator) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        """The mean error at noise levels drawn uniformly; ``batch (B, 2, C, T, H, W)``."""
        t = torch.randint(self.schedule.steps, (len(batch),), generator=generator, device=generator.device)
        loss = self._errors(self.predict, batch, t, generator).mean()
        return [loss], {"loss": loss}

    def after_step(self) -> None:
        """The average follows."""
        self.averaged.update(self.unet, self.step)

    def validate(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """The averaged network's error: ``loss``, and ``loss 0-99`` for noise levels 0 to 99, and so on.

        Each clip meets one level of each bin, with the same draws in every validation.
        """
        edges = np.linspace(0, self.schedule.steps, min(HELDOUT_BINS, self.schedule.steps) + 1).astype(int).tolist()
        bins = list(pairwise(edges))
        sums, clips = torch.zeros(len(bins), dtype=torch.float64), 0
        for number, batch in enumerate(batches):
            for index, (low, high) in enumerate(bins):
                generator = self.generator("heldout", number, index)
                t = torch.randint(low, high, (len(batch),), generator=generator, device=generator.device)
                sums[index] += self._errors(self.averaged, batch, t, generator).double().sum().cpu()
            clips += len(batch)
        means = (sums / clips).tolist()
        by_level = {f"loss {low}-{high - 1}": mean for (low, high), mean in zip(bins, means, strict=True)}
        return {"loss": float(np.mean(means)), **by_level}

    def picture(self, batch: Tensor) -> np.ndarray:
        """Clips that the averaged network draws, one a row, their frames from left to right."""
        return film_strips(self.preview(self.averaged, self.model.scaling.normalise(batch[:, 0].float())))

    def run_model(self, batch: Tensor) -> None:
        x = batch[:, 0].float()
        levels = torch.zeros(len(x), dtype=torch.long, device=x.device)
        told = {"mask": torch.zeros_like(x[:, :1]), "noise_level": levels} if self.model.task != "unconditional" else {}
        self.unet(x, levels, **told)

    def _errors(self, network: Callable[..., Tensor], moments: Tensor, t: Tensor, generator: torch.Generator) -> Tensor:
        """The error of each clip at level ``t (B,)``: ``(B,)``.

        Given frames are perturbed to a level of their own, and count like the others, as in LVDM: the network
        learns to clean them too.
        """
        posterior = Posterior(mean=moments[:, 0].float(), logvar=moments[:, 1].float())
        x0 = self.model.scaling.normalise(posterior.sample(generator))
        eps = torch.randn(x0.shape, generator=generator, device=x0.device)
        levels, told = t, {}
        if self.model.task != "unconditional":
            condition, shape = self.model.condition, x0.shape
            mask = draw_masks(condition, self.model.task, shape[0], shape[2], generator)
            level = torch.randint(condition.max_noise_level, t.shape, generator=generator, device=t.device)
            levels = torch.where(mask.flatten(1) > 0, level[:, None], t[:, None])
            told = {"mask": mask, "noise_level": level}
        alpha, sigma = self.schedule.rates(levels, like=x0)
        output = network(diffuse(x0, eps, alpha, sigma), t, **told)
        objective = self.model.objective
        wanted = target(objective.prediction, x0, eps, alpha, sigma)
        return error(
            objective.loss, output, wanted, weight(objective.prediction, alpha, sigma, objective.min_snr_gamma)
        )
