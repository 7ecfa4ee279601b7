"""Samplers against data for which the answer is known: independent Gaussians of mean 0.3 and deviation 0.5.

The best denoiser is then linear, and the probability flow (Song et al. 2021b) carries a point along
``(x - alpha mean) / sqrt(alpha^2 deviation^2 + sigma^2) = constant``.
"""

import math

import numpy as np
import pytest
import torch

from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.grids import log_snr_times, uniform_times
from lvdm.diffusion.objective import Prediction
from lvdm.diffusion.samplers import ddim, ddpm, dpm_solver_2m, sample
from lvdm.diffusion.schedule import Schedule, make_schedule

MEAN, DEVIATION = 0.3, 0.5


def gaussian_denoiser(schedule: Schedule):
    def denoise(x, t):
        alpha, sigma = schedule.level(t)
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
        x0 = MEAN + gain * (x - alpha * MEAN)
        return Prediction(x0, (x - alpha * x0) / sigma)

    return denoise


def flow(x: torch.Tensor, start: int, end: int, schedule: Schedule) -> torch.Tensor:
    """The exact end of the probability flow from level ``start`` to ``end``."""

    def spread(t):
        alpha, sigma = schedule.level(t)
        return alpha, math.sqrt(alpha**2 * DEVIATION**2 + sigma**2)

    (alpha, width), (alpha_end, width_end) = spread(start), spread(end)
    return alpha_end * MEAN + width_end / width * (x - alpha * MEAN)


def measured_order(solver) -> float:
    """Slope of log(error) over log(step), on grids of equal steps in the logarithm of alpha / sigma."""
    # A hundred times finer than LVDM's schedule, so that a grid of whole levels is nearly the one asked for.
    schedule = make_schedule(ScheduleConfig(steps=100_000, beta_start=1.5e-5, beta_end=1.55e-4))
    kept = schedule.alphas_cumprod
    half_log_ratio = 0.5 * torch.log(kept / (1 - kept)).numpy()
    start = 95_000
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    exact = flow(x, start, 0, schedule)
    counts, errors = [20, 40, 80, 160], []
    for count in counts:
        wanted = np.linspace(half_log_ratio[start], half_log_ratio[0], count + 1)[:-1]
        times = [int(np.abs(half_log_ratio - value).argmin()) for value in wanted]
        errors.append((solver(gaussian_denoiser(schedule), x, times, schedule) - exact).abs().max().item())
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


def test_ddim_is_of_order_1():
    assert measured_order(ddim) == pytest.approx(1, abs=0.15)


def test_dpm_solver_is_of_order_2():
    assert measured_order(dpm_solver_2m) == pytest.approx(2, abs=0.25)


@pytest.fixture(scope="module")
def schedule():
    return make_schedule(ScheduleConfig())


@pytest.mark.parametrize(
    "config",
    [
        SamplerConfig(method="ddpm", steps=1000),
        SamplerConfig(method="ddim", steps=250),
        SamplerConfig(method="ddim", steps=250, eta=1.0),
        SamplerConfig(method="dpm-solver++", steps=20),
    ],
    ids=lambda config: f"{config.method}-{config.steps}-{config.eta}",
)
def test_every_sampler_draws_from_the_data(schedule, config):
    generator = torch.Generator().manual_seed(0)

    def noise(index):
        return torch.randn(20_000, generator=generator, dtype=torch.float64)

    drawn = sample(config, gaussian_denoiser(schedule), noise(0), schedule, noise)
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert drawn.std().item() == pytest.approx(DEVIATION, abs=0.02)


def test_ddpm_is_ddim_with_eta_1_but_for_the_end(schedule):
    """The two are written in different terms; down to the level before the last they are the same process."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(50, 16, generator=generator, dtype=torch.float64)
    x = torch.randn(16, generator=generator, dtype=torch.float64)
    times = uniform_times(1000, 50)
    visited = {"ddpm": [], "ddim": []}

    def recording(name):
        denoise = gaussian_denoiser(schedule)

        def wrapped(x, t):
            visited[name].append(x)
            return denoise(x, t)

        return wrapped

    ddpm(recording("ddpm"), x, times, schedule, draws.__getitem__)
    ddim(recording("ddim"), x, times, schedule, draws.__getitem__, eta=1.0)
    torch.testing.assert_close(torch.stack(visited["ddpm"]), torch.stack(visited["ddim"]), rtol=1e-9, atol=1e-9)


def test_ddpm_ends_at_the_guess_of_the_clean_latent(schedule):
    clean = torch.full((4,), 7.0, dtype=torch.float64)
    result = ddpm(lambda x, t: Prediction(clean, x), torch.zeros(4).double(), [500, 1], schedule, lambda i: clean)
    torch.testing.assert_close(result, clean)


def test_samplers_evaluate_the_network_once_a_step(schedule):
    grids = {
        "ddpm": uniform_times(1000, 7),
        "ddim": uniform_times(1000, 7),
        "dpm-solver++": log_snr_times(schedule, 7),
    }
    for method, grid in grids.items():
        levels = []

        def denoise(x, t, levels=levels):
            levels.append(t)
            return gaussian_denoiser(schedule)(x, t)

        sample(SamplerConfig(method=method, steps=7), denoise, torch.zeros(2), schedule, lambda i: torch.zeros(2))
        assert levels == grid


def test_stochastic_ddim_without_noise_is_refused(schedule):
    with pytest.raises(ValueError, match="pass noise"):
        ddim(gaussian_denoiser(schedule), torch.zeros(2), [500, 1], schedule, eta=0.5)
