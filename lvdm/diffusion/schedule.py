"""Noise schedules: how much of the clean latent is left at each noise level.

At level ``t`` of ``0 .. steps - 1`` a noisy latent is ``x = alpha(t) x0 + sigma(t) eps`` with
``alpha^2 + sigma^2 = 1`` and ``alpha(t)^2 = alphas_cumprod[t]``, the notation of Ho et al. 2020 with levels from 0.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from lvdm.diffusion.config import ScheduleConfig


@dataclass(frozen=True)
class Schedule:
    """The tables of one schedule, float64 ``(steps,)``; on the CPU, where samplers read them."""

    betas: Tensor
    alphas_cumprod: Tensor

    @property
    def steps(self) -> int:
        """Number of noise levels."""
        return len(self.betas)

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether nothing of the latent is left at the last level."""
        return self.alphas_cumprod[-1].item() == 0

    def to(self, device: torch.device) -> "Schedule":
        """The same on ``device``, where :meth:`rates` looks up levels that are there without waiting for it."""
        return Schedule(betas=self.betas.to(device), alphas_cumprod=self.alphas_cumprod.to(device))

    def rates(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """``alpha`` and ``sigma``, shaped to multiply ``like`` and in its precision.

        At levels ``t (B,)``, one a clip, for ``like (B, ...)``: ``(B, 1, ...)``. At levels ``t (B, T)``, one a frame,
        for ``like (B, C, T, H, W)``: ``(B, 1, T, 1, 1)``.
        """
        kept = self.alphas_cumprod.to(t.device)[t]
        kept = rearrange(kept, "b t -> b 1 t 1 1") if t.ndim == 2 else kept.reshape(-1, *[1] * (like.ndim - 1))
        return kept.sqrt().to(like), (1 - kept).sqrt().to(like)

    def level(self, t: int) -> tuple[float, float]:
        """``alpha`` and ``sigma`` at level ``t``, in double precision."""
        kept = self.alphas_cumprod[t].item()
        return math.sqrt(kept), math.sqrt(1 - kept)


def make_schedule(config: ScheduleConfig) -> Schedule:
    """The schedule of a configuration.

    ``linear``: betas whose square roots are equally spaced, as in LVDM (from latent diffusion, Rombach et al. 2022).
    ``cosine``: Nichol and Dhariwal 2021, equation 17, with offset 0.008 and betas of at most 0.999.
    ``zero_terminal_snr`` shifts and scales ``alpha`` so that it is 0 at the last level and as before at the first
    (Lin et al. 2023, algorithm 1).
    """
    if config.kind == "linear":
        start, end = math.sqrt(config.beta_start), math.sqrt(config.beta_end)
        betas = torch.linspace(start, end, config.steps, dtype=torch.float64) ** 2
    else:
        time = torch.arange(config.steps + 1, dtype=torch.float64) / config.steps
        kept = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - kept[1:] / kept[:-1]).clamp(max=0.999)
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    if config.zero_terminal_snr:
        alpha = alphas_cumprod.sqrt()
        alphas_cumprod = ((alpha - alpha[-1]) * (alpha[0] / (alpha[0] - alpha[-1]))).square()
        betas = 1 - alphas_cumprod / torch.cat([torch.ones_like(betas[:1]), alphas_cumprod[:-1]])
    return Schedule(betas=betas, alphas_cumprod=alphas_cumprod)
