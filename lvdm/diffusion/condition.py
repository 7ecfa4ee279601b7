"""Sampling with given frames: prediction and interpolation (LVDM, section 3.3).

The network sees the given frames perturbed to a small noise level, whatever the level of the others, so that a frame
which is generated itself, and not quite right, is still a frame as it knows them (conditional latent perturbation,
section 3.3.2). The sampler sees them noisy like all others, on the way to exactly what was given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lvdm.diffusion.denoiser import Denoise
from lvdm.diffusion.objective import Parameter, Prediction, diffuse, predict
from lvdm.diffusion.schedule import Schedule


@dataclass(frozen=True)
class FrameCondition:
    """Given frames.

    ``mask (B, 1, T, 1, 1)`` is 1 where a frame is given, else 0. Only there do ``frames (B, C, T, H, W)``, the clean
    latents, and ``perturbed (B, C, T, H, W)``, the same at ``noise_level`` of the schedule, mean anything.
    """

    mask: Tensor
    frames: Tensor
    perturbed: Tensor
    noise_level: int

    def restore(self, latents: Tensor) -> Tensor:
        """``latents (B, C, T, H, W)`` with the given frames as given: some samplers end at level 0, not quite clean."""
        return torch.where(self.mask > 0, self.frames, latents)

    def correct(self, guess: Prediction, x: Tensor, alpha: float, sigma: float) -> Prediction:
        """``guess`` for ``x (B, C, T, H, W)``, but the truth about the given frames."""
        given = self.mask > 0
        return Prediction(
            x0=torch.where(given, self.frames, guess.x0),
            eps=torch.where(given, (x - alpha * self.frames) / sigma, guess.eps),
        )


def given(mask: Tensor, frames: Tensor, noise_level: int, schedule: Schedule, noise: Tensor) -> FrameCondition:
    """The condition for ``frames (B, C, T, H, W)`` where ``mask (B, 1, T, 1, 1)`` is 1.

    ``noise_level`` of ``schedule`` is what the network is told and the frames are perturbed to, with the standard
    normal ``noise (B, C, T, H, W)``. Raises ``ValueError`` for a level that the schedule does not have.
    """
    if not 0 <= noise_level < schedule.steps:
        raise ValueError(f"noise_level is {noise_level}, but the schedule has levels 0 to {schedule.steps - 1}")
    return FrameCondition(mask, frames, diffuse(frames, noise, *schedule.level(noise_level)), noise_level)


def unconditional(like: Tensor, noise_level: int) -> FrameCondition:
    """The condition without a given frame, for latents like ``like (B, C, T, H, W)``.

    In training a network is told a noise level for these clips too, so it is told one here: in guidance, that of the
    condition.
    """
    nothing = torch.zeros_like(like)
    return FrameCondition(nothing[:, :1, :, :1, :1], nothing, nothing, noise_level)


@dataclass(frozen=True)
class ConditionedDenoiser:
    """A network that takes given frames, and a condition, as a :data:`Denoise`.

    ``network(x (B, C, T, H, W), t (B,), mask=(B, 1, T, 1, 1), noise_level=(B,))`` returns what ``parameter`` says. The
    guess for given frames is the truth: so the sampler leads them to what was given.
    """

    network: Callable[..., Tensor]
    schedule: Schedule
    parameter: Parameter
    condition: FrameCondition

    def __call__(self, x: Tensor, t: int) -> Prediction:
        """``x (B, C, T, H, W)``, all its frames at noise level ``t``."""
        condition, clips = self.condition, len(x)
        seen = torch.where(condition.mask > 0, condition.perturbed, x)
        times = torch.full((clips,), t, dtype=torch.long, device=x.device)
        levels = torch.full((clips,), condition.noise_level, dtype=torch.long, device=x.device)
        output = self.network(seen, times, mask=condition.mask, noise_level=levels).to(x.dtype)
        alpha, sigma = self.schedule.level(t)
        return condition.correct(predict(self.parameter, output, x, alpha, sigma), x, alpha, sigma)


def corrected(denoise: Denoise, condition: FrameCondition, schedule: Schedule) -> Denoise:
    """``denoise`` with the truth about the given frames.

    To be put around :func:`lvdm.diffusion.guidance.guided`, which would overshoot the given frames as it does
    everything that the condition says.
    """

    def wrapped(x: Tensor, t: int) -> Prediction:
        return condition.correct(denoise(x, t), x, *schedule.level(t))

    return wrapped
