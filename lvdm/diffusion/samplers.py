"""Samplers: pure functions from noise to latents over one denoiser interface.

Each walks down ``times``: noise levels, descending, from one of the grids in :mod:`lvdm.diffusion.grids`. DDIM and
DPM-Solver++ end at level 0, as LVDM does; DDPM, Euler and Heun at the clean latent, which level 0 nearly is. All of
them can start at a level without signal, where ``alpha`` is 0. Randomness comes from outside: ``noise(i)`` returns the
draw of step ``i``, shaped like ``x``, so that the caller decides what a video's noise depends on.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from lvdm.diffusion.config import SamplerConfig
from lvdm.diffusion.denoiser import Denoise
from lvdm.diffusion.grids import even_times, log_snr_times
from lvdm.diffusion.noise import Noise
from lvdm.diffusion.schedule import Schedule

CLEAN = (1.0, 0.0)
"""``alpha`` and ``sigma`` of the clean latent, below all levels."""


def ddpm(denoise: Denoise, x: Tensor, times: Sequence[int], schedule: Schedule, noise: Noise) -> Tensor:
    """Ancestral sampling with the variance of the true posterior (Ho et al. 2020, equations 6, 7 and algorithm 2).

    ``times`` may skip levels (Nichol and Dhariwal 2021, section 4). The last step goes to the clean latent and adds
    no noise. ``x (B, ...)`` is noise at ``times[0]``; returns the latents.
    """
    kept = [schedule.alphas_cumprod[t].item() for t in times] + [1.0]
    for index, t in enumerate(times):
        now, after = kept[index], kept[index + 1]
        x0 = denoise(x, t).x0
        step = now / after
        mean_x0 = math.sqrt(after) * (1 - step) / (1 - now)
        mean_x = math.sqrt(step) * (1 - after) / (1 - now)
        x = mean_x0 * x0 + mean_x * x
        if after < 1:
            x = x + math.sqrt((1 - after) / (1 - now) * (1 - step)) * noise(index)
    return x


def ddim(
    denoise: Denoise, x: Tensor, times: Sequence[int], schedule: Schedule, noise: Noise | None = None, eta: float = 0.0
) -> Tensor:
    """DDIM (Song et al. 2021, equations 12 and 16), from ``times[0]`` to level 0, as in LVDM.

    ``eta`` 0 is deterministic and needs no ``noise``; 1 has the variance of DDPM. ``x (B, ...)`` is noise at
    ``times[0]``; returns the latents. Raises ``ValueError`` for an ``eta`` without ``noise``.
    """
    if eta > 0 and noise is None:
        raise ValueError(f"DDIM with eta {eta} is stochastic; pass noise")
    for index, (t, following) in enumerate(_steps(times)):
        now, after = schedule.alphas_cumprod[t].item(), schedule.alphas_cumprod[following].item()
        variance = eta**2 * (1 - after) / (1 - now) * (1 - now / after)
        x0, eps = denoise(x, t)
        x = math.sqrt(after) * x0 + math.sqrt(1 - after - variance) * eps
        if variance > 0:
            x = x + math.sqrt(variance) * noise(index)
    return x


def dpm_solver_2m(denoise: Denoise, x: Tensor, times: Sequence[int], schedule: Schedule) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), from ``times[0]`` to level 0: order 2, deterministic.

    Works in ``lambda = log(alpha / sigma)`` and extrapolates the clean latent from this step's guess and the one
    before; the first step is of order 1. ``x (B, ...)`` is noise at ``times[0]``; returns the latents.
    """
    previous, previous_width = None, 0.0
    for t, following in _steps(times):
        alpha, sigma = schedule.level(t)
        alpha_after, sigma_after = schedule.level(following)
        # Without signal lambda is minus infinity: the step of order 1 is still defined, and the guess from there says
        # nothing about the slope that the next step extrapolates (its weight is 0).
        width = math.log(alpha_after / sigma_after) - math.log(alpha / sigma) if alpha > 0 else math.inf
        x0 = denoise(x, t).x0
        extrapolated = x0
        if previous is not None:
            weight = width / (2 * previous_width)
            extrapolated = (1 + weight) * x0 - weight * previous
        x = sigma_after / sigma * x - alpha_after * math.expm1(-width) * extrapolated
        previous, previous_width = x0, width
    return x


def euler(denoise: Denoise, x: Tensor, times: Sequence[int], schedule: Schedule) -> Tensor:
    """Euler's method in the variance-exploding coordinates ``x / alpha`` over ``sigma / alpha`` (Karras et al. 2022).

    In them its step is the one of DDIM with ``eta`` 0; it is DDIM that ends at the clean latent instead of level 0.
    ``x (B, ...)`` is noise at ``times[0]``; returns the latents.
    """
    for t, following in zip(times, [*times[1:], None], strict=True):
        alpha_after, sigma_after = schedule.level(following) if following is not None else CLEAN
        x0, eps = denoise(x, t)
        x = alpha_after * x0 + sigma_after * eps
    return x


def heun(denoise: Denoise, x: Tensor, times: Sequence[int], schedule: Schedule) -> Tensor:
    """Heun's method in the same coordinates as :func:`euler` (Karras et al. 2022, algorithm 1): order 2, deterministic.

    Each step evaluates ``denoise`` again where Euler's step ends, and takes the mean of both slopes. Steps from a level
    without signal, where the coordinates are infinite, and to the clean latent, where the slope is undefined, are
    Euler's. ``x (B, ...)`` is noise at ``times[0]``; returns the latents.
    """
    for t, following in zip(times, [*times[1:], None], strict=True):
        alpha, sigma = schedule.level(t)
        alpha_after, sigma_after = schedule.level(following) if following is not None else CLEAN
        x0, eps = denoise(x, t)
        x = alpha_after * x0 + sigma_after * eps
        if following is not None and alpha > 0:
            # Half a step of the difference of the slopes, in terms of clean latents: where sigma / alpha is large, the
            # difference of the slopes themselves would be lost in rounding.
            ratio = sigma / alpha * alpha_after / sigma_after
            x = x + alpha_after * (ratio - 1) / 2 * (denoise(x, following).x0 - x0)
    return x


def sample(config: SamplerConfig, denoise: Denoise, x: Tensor, schedule: Schedule, noise: Noise) -> Tensor:
    """The sampler of a configuration on the grid of levels that suits it. ``x (B, ...)`` is standard normal noise."""
    match config.method:
        case "ddpm":
            return ddpm(denoise, x, even_times(schedule, config.steps), schedule, noise)
        case "ddim":
            return ddim(denoise, x, even_times(schedule, config.steps), schedule, noise, config.eta)
        case "dpm-solver++":
            return dpm_solver_2m(denoise, x, log_snr_times(schedule, config.steps), schedule)
        case "euler":
            return euler(denoise, x, log_snr_times(schedule, config.steps), schedule)
        case "heun":
            return heun(denoise, x, log_snr_times(schedule, config.steps), schedule)


def _steps(times: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of a level and the one after it; the last goes to level 0."""
    pairs = list(zip(times, [*times[1:], 0], strict=True))
    return [(t, following) for t, following in pairs if t > following]
