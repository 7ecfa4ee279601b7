"""Training of the video autoencoder."""

import logging
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lvdm.compute import Compute
from lvdm.data.datasets import to_float
from lvdm.models.config import AnyAutoencoderConfig, DiscriminatorConfig
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.factory import make_autoencoder
from lvdm.models.perceptual import PerceptualDistance
from lvdm.training.config import AutoencoderLossConfig, TrainingConfig
from lvdm.training.losses import AutoencoderLoss
from lvdm.training.module import TrainingModule
from lvdm.training.pictures import film_strips
from lvdm.training.quality import psnr, ssim

_logger = logging.getLogger(__name__)


class AutoencoderTraining(TrainingModule):
    """The autoencoder and its discriminator; items of the data set are clips as on disk, uint8 (T, H, W, 3).

    Both networks learn from one and the same reconstruction. (LVDM reconstructs again, after the
    autoencoder's update, for the discriminator: a forward pass more, for a clip one update newer.)
    The initial weights are drawn from torch's global generator.
    """

    def __init__(
        self,
        model: AnyAutoencoderConfig,
        discriminator: DiscriminatorConfig,
        loss: AutoencoderLossConfig,
        training: TrainingConfig,
        compute: Compute,
        perceptual: PerceptualDistance | None = None,
    ):
        super().__init__(training, compute)
        self.autoencoder = autoencoder = make_autoencoder(model).to(compute.device)
        # In three parts: gradients are also taken at the last layer alone, and sampling is no part of a network.
        parts = (autoencoder.encode, autoencoder.features, autoencoder.clip)
        self.encode, self.features, self.clip = map(compute.compiled, parts)
        if perceptual is None or loss.perceptual_weight == 0:
            _logger.info("the perceptual loss (LPIPS) is off: loss.perceptual names no network, or its weight is 0")
        self.loss = AutoencoderLoss(loss, PatchDiscriminator(discriminator), perceptual)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self._adam(self.autoencoder), self._adam(self.loss.discriminator)]

    def losses(self, batch: Tensor, generator: torch.Generator) -> tuple[list[Tensor | None], dict[str, Tensor]]:
        clips = to_float(batch)
        posterior = self.encode(clips)
        reconstruction = self.clip(self.features(posterior.sample(generator)))
        last_layer = self.autoencoder.last_layer
        loss, values = self.loss.autoencoder(clips, reconstruction, posterior, self.step, last_layer)
        discrimination = self.loss.discrimination(clips, reconstruction) if self.loss.adversarial(self.step) else None
        values["discriminator"] = torch.zeros_like(loss) if discrimination is None else discrimination
        return [loss, discrimination], values

    def validate(self, batches: Iterable[Tensor]) -> dict[str, float]:
        """Means over clips: PSNR in dB, SSIM, L1 in units of [-1, 1], and LPIPS where there is a network for it.

        Of the posterior's mode.
        """
        sums: dict[str, float] = {}
        count = 0
        for batch in batches:
            clips = to_float(batch)
            reconstruction = self._reconstruct(clips)
            difference = reconstruction.double() - clips.double()
            values = {
                "psnr": psnr(reconstruction, clips),
                "ssim": ssim(reconstruction, clips),
                "l1": difference.abs().flatten(start_dim=1).mean(dim=1),
            }
            if self.loss.perceptual is not None:
                values["lpips"] = self.loss.perceptual.of_clips(reconstruction, clips)
            sums = {name: sums.get(name, 0.0) + value.double().sum().item() for name, value in values.items()}
            count += len(clips)
        return {name: total / count for name, total in sums.items()}

    def picture(self, batch: Tensor) -> np.ndarray:
        """Originals on the left, their reconstructions on the right, a row a clip."""
        clips = to_float(batch)
        return film_strips(clips, self._reconstruct(clips))

    def run_model(self, batch: Tensor) -> None:
        self._reconstruct(to_float(batch))

    def _reconstruct(self, clips: Tensor) -> Tensor:
        return self.autoencoder.decode(self.autoencoder.encode(clips).mode())

    def _adam(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
