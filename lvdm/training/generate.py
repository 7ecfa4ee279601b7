"""From noise to clips: denoiser, sampler and decoder put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lvdm.config import parse
from lvdm.diffusion.config import SamplerConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.samplers import sample
from lvdm.diffusion.schedule import make_schedule
from lvdm.models.unet import UNet
from lvdm.models.weights import fill, load_model
from lvdm.training.config import DiffusionModelConfig, LatentScaling


@dataclass(frozen=True)
class ClipGenerator:
    """Draws clips.

    ``network(x (B, C, T, H, W), t (B,))`` is the trained UNet of ``model``; ``decode`` turns latents
    ``(B, C, T/4, H/8, W/8)`` of the autoencoder, which ``scaling`` leads to and from, into clips.
    """

    network: Callable[[Tensor, Tensor], Tensor]
    model: DiffusionModelConfig
    scaling: LatentScaling
    decode: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def __call__(
        self, sampler: SamplerConfig, generators: Sequence[torch.Generator | None], device: torch.device
    ) -> Tensor:
        """A clip for each of ``generators``, float ``(B, 3, T, H, W)``, about [-1, 1] but not clamped.

        All the randomness of a clip comes from its own generator, which is on the CPU: so it does not depend on
        the rest of the batch or on the device. None fills a row that nobody looks at.
        """
        shape = self.model.latent_shape

        def noise(_: int = 0) -> Tensor:
            draws = [torch.zeros(shape) if one is None else torch.randn(shape, generator=one) for one in generators]
            return torch.stack(draws).to(device)

        schedule = make_schedule(self.model.schedule)
        denoise = Denoiser(self.network, schedule, self.model.objective.prediction)
        latents = sample(sampler, denoise, noise(), schedule, noise)
        return self.decode(self.scaling.restore(latents)).float()


def load_diffusion(path: Path, device: torch.device) -> tuple[UNet, DiffusionModelConfig]:
    """The UNet saved at ``path``, on ``device``, in evaluation mode and without gradients, and its model's record."""
    state, record = load_model(path)
    model = parse(DiffusionModelConfig, record, source=str(path.with_suffix(".json")))
    unet = UNet(model.model)
    fill(unet, state, path)
    return unet.eval().requires_grad_(False).to(device), model
