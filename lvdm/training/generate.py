"""From noise to clips: denoiser, sampler and decoder put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from lvdm.config import parse
from lvdm.diffusion.condition import ConditionedDenoiser, FrameCondition, given, unconditional
from lvdm.diffusion.config import SamplerConfig
from lvdm.diffusion.denoiser import Denoise, Denoiser
from lvdm.diffusion.masks import draw_masks
from lvdm.diffusion.noise import batch_noise
from lvdm.diffusion.samplers import sample
from lvdm.diffusion.schedule import Schedule, make_schedule
from lvdm.models.unet import UNet
from lvdm.models.weights import fill, load_model
from lvdm.training.config import DiffusionModelConfig


@dataclass(frozen=True)
class ClipGenerator:
    """Draws clips.

    ``network`` is the trained UNet of ``model``: ``network(x (B, C, T, H, W), t (B,))``, and for the tasks prediction
    and interpolation also with ``mask`` and ``noise_level``. ``decode`` turns latents ``(B, C, T/4, H/8, W/8)`` of
    the autoencoder into clips.
    """

    network: Callable[..., Tensor]
    model: DiffusionModelConfig
    decode: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def __call__(
        self,
        sampler: SamplerConfig,
        generators: Sequence[torch.Generator | None],
        device: torch.device,
        condition: FrameCondition | None = None,
    ) -> Tensor:
        """A clip for each of ``generators``, float ``(B, 3, T, H, W)``, about [-1, 1] but not clamped.

        All the randomness of a clip comes from its own generator, which is on the CPU: so it does not depend on
        the rest of the batch or on the device. None fills a row that nobody looks at. ``condition`` gives frames to
        a model that takes them; without one it draws whole clips.
        """
        noise = batch_noise(generators, self.model.latent_shape, device)
        schedule, x = make_schedule(self.model.schedule), noise(0)
        latents = sample(sampler, self._denoiser(schedule, x, condition), x, schedule, noise)
        if condition is not None:
            latents = condition.restore(latents)
        return self.decode(self.model.scaling.restore(latents)).float()

    def _denoiser(self, schedule: Schedule, x: Tensor, condition: FrameCondition | None) -> Denoise:
        prediction = self.model.objective.prediction
        if self.model.task == "unconditional":
            return Denoiser(self.network, schedule, prediction)
        # The level is of no account without given frames: in training it was any.
        return ConditionedDenoiser(self.network, schedule, prediction, condition or unconditional(x, noise_level=0))


def task_condition(
    model: DiffusionModelConfig, latents: Tensor, generators: Sequence[torch.Generator]
) -> FrameCondition | None:
    """The frames of ``latents (B, C, T, H, W)``, normalised and of real clips, that the model's task gives it.

    Perturbed to the lowest noise level, each clip with its own of ``generators``. None for an unconditional model.
    """
    if model.task == "unconditional":
        return None
    every = model.condition.replace(share=1.0, given=[max(model.condition.given)])
    mask = draw_masks(every, model.task, len(latents), latents.shape[2], torch.Generator()).to(latents.device)
    noise = batch_noise(generators, latents.shape[1:], latents.device)
    return given(mask, latents, 0, make_schedule(model.schedule), noise(0))


def one_by_one(decode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``decode`` for key frames: each latent frame ``(B, C, T, H, W)`` by itself, because it has no neighbours."""

    def decoded(latents: Tensor) -> Tensor:
        clips = decode(rearrange(latents, "b c t h w -> (b t) c 1 h w"))
        return rearrange(clips, "(b t) c f h w -> b c (t f) h w", b=len(latents))

    return decoded


def load_diffusion(path: Path, device: torch.device) -> tuple[UNet, DiffusionModelConfig]:
    """The UNet saved at ``path``, on ``device``, in evaluation mode and without gradients, and its model's record."""
    state, record = load_model(path)
    model = parse(DiffusionModelConfig, record, source=f"{path.with_suffix('.json')} (beside {path})")
    unet = UNet(model.model)
    fill(unet, state, path)
    return unet.eval().requires_grad_(False).to(device), model
