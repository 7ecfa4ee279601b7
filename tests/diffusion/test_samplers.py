"""Samplers against data for which the answer is known: independent Gaussians of mean 0.3 and deviation 0.5.

The best denoiser is then linear, and the probability flow (Song et al. 2021b) carries a point along
``(x - alpha mean) / sqrt(alpha^2 deviation^2 + sigma^2) = constant``.
"""

import math

import numpy as np
import pytest
import torch

from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.grids import log_snr_times, trailing_times, uniform_times
from lvdm.diffusion.objective import Prediction, target
from lvdm.diffusion.samplers import CLEAN, ddim, ddpm, dpm_solver_2m, euler, heun, sample
from lvdm.diffusion.schedule import Schedule, make_schedule

MEAN, DEVIATION = 0.3, 0.5


def gaussian_denoiser(schedule: Schedule):
    def denoise(x, t):
        alpha, sigma = schedule.level(t)
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
        x0 = MEAN + gain * (x - alpha * MEAN)
        return Prediction(x0, (x - alpha * x0) / sigma)

    return denoise


def flow(x: torch.Tensor, start: tuple[float, float], end: tuple[float, float]) -> torch.Tensor:
    """The exact end of the probability flow between two pairs of ``alpha`` and ``sigma``."""
    (alpha, sigma), (alpha_end, sigma_end) = start, end
    width, width_end = math.hypot(alpha * DEVIATION, sigma), math.hypot(alpha_end * DEVIATION, sigma_end)
    return alpha_end * MEAN + width_end / width * (x - alpha * MEAN)


def measured_order(solver, ends_clean: bool) -> float:
    """Slope of log(error) over log(steps), on grids of equal steps in the logarithm of alpha / sigma."""
    # Levels so fine that a grid of whole levels is the one asked for, down to so little noise that the step from the
    # last of them to the clean latent, which is of order 1, does not count.
    half_log_snr = torch.linspace(12, -4, 96_001, dtype=torch.float64)
    kept = torch.sigmoid(2 * half_log_snr)
    schedule = Schedule(betas=1 - kept / torch.cat([torch.ones(1).double(), kept[:-1]]), alphas_cumprod=kept)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    exact = flow(x, schedule.level(96_000), CLEAN if ends_clean else schedule.level(0))
    counts, errors = [80, 160, 320], []
    for count in counts:
        times = list(range(96_000, 0, -96_000 // count)) + [0] * ends_clean
        errors.append((solver(gaussian_denoiser(schedule), x, times, schedule) - exact).abs().max().item())
    return -np.polyfit(np.log(counts), np.log(errors), 1)[0]


@pytest.mark.parametrize(
    ("solver", "ends_clean", "order"), [(ddim, False, 1), (euler, True, 1), (dpm_solver_2m, False, 2), (heun, True, 2)]
)
def test_order_of_convergence(solver, ends_clean, order):
    assert measured_order(solver, ends_clean) == pytest.approx(order, abs=0.1)


@pytest.fixture(scope="module")
def schedule():
    return make_schedule(ScheduleConfig())


@pytest.mark.parametrize(
    "config",
    [
        SamplerConfig(method="ddpm", steps=500),
        SamplerConfig(method="ddim", steps=250),
        SamplerConfig(method="ddim", steps=250, eta=1.0),
        SamplerConfig(method="dpm-solver++", steps=20),
        SamplerConfig(method="euler", steps=100),
        SamplerConfig(method="heun", steps=20),
    ],
    ids=lambda config: f"{config.method}-{config.steps}-{config.eta}",
)
@pytest.mark.parametrize(
    ("parameter", "zero_terminal_snr"), [("eps", False), ("x0", False), ("v", False), ("x0", True), ("v", True)]
)
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_every_sampler_draws_from_the_data(config, kind, parameter, zero_terminal_snr):
    schedule = make_schedule(ScheduleConfig(kind=kind, zero_terminal_snr=zero_terminal_snr))
    generator = torch.Generator().manual_seed(0)

    def noise(index):
        return torch.randn(10_000, generator=generator, dtype=torch.float64)

    def network(x, t):
        alpha, sigma = schedule.rates(t, like=x)
        return target(parameter, *gaussian_denoiser(schedule)(x, t[0].item()), alpha, sigma)

    drawn = sample(config, Denoiser(network, schedule, parameter), noise(0), schedule, noise)
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


@pytest.mark.parametrize("solver", [euler, heun])
def test_euler_and_heun_end_at_the_guess_of_the_clean_latent(schedule, solver):
    clean = torch.full((4,), 7.0, dtype=torch.float64)

    def denoise(x, t):
        alpha, sigma = schedule.level(t)
        return Prediction(clean, (x - alpha * clean) / sigma)

    result = solver(denoise, torch.zeros(4).double(), [900, 500, 1], schedule)
    torch.testing.assert_close(result, clean, rtol=0, atol=0)


def test_euler_is_ddim_but_for_the_end(schedule):
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    denoise, times = gaussian_denoiser(schedule), uniform_times(1000, 20)
    torch.testing.assert_close(
        euler(denoise, x, times, schedule),
        denoise(ddim(denoise, x, [*times[:-1], 0], schedule), 0).x0,
        rtol=0,
        atol=0.02,
    )


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpm-solver++", "euler", "heun"])
def test_levels_at_which_the_network_is_evaluated(method, zero_terminal_snr):
    schedule = make_schedule(ScheduleConfig(zero_terminal_snr=zero_terminal_snr))
    even = trailing_times(1000, 7) if zero_terminal_snr else uniform_times(1000, 7)
    expected = even if method in ("ddpm", "ddim") else log_snr_times(schedule, 7)
    if method == "heun":
        # Twice a step, at its start and at its end; but for steps from infinite sigma / alpha, and to the clean latent.
        corrected = expected[2:] if zero_terminal_snr else expected[1:]
        expected = sorted(expected + corrected, reverse=True)
    levels = []

    def denoise(x, t):
        levels.append(t)
        return gaussian_denoiser(schedule)(x, t)

    sample(SamplerConfig(method=method, steps=7), denoise, torch.zeros(2), schedule, lambda index: torch.zeros(2))
    assert levels == expected
    assert not zero_terminal_snr or levels[0] == 999


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpm-solver++", "euler", "heun"])
def test_evaluations_are_counted_beforehand(method, steps):
    config, schedule, asked = SamplerConfig(method=method, steps=steps), make_schedule(ScheduleConfig()), []
    denoise = gaussian_denoiser(schedule)

    def counting(x, t):
        asked.append(t)
        return denoise(x, t)

    x = torch.randn(2, 3, dtype=torch.float64)
    sample(config, counting, x, schedule, lambda index: torch.randn_like(x))
    assert config.evaluations == len(asked)


def test_heun_keeps_its_digits_where_nearly_all_is_noise():
    """In float32, from a level where sigma / alpha is 6000."""
    schedule = make_schedule(ScheduleConfig(zero_terminal_snr=True))
    denoise, times = gaussian_denoiser(schedule), [998, 900, 700, 400, 100, 1]
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    single = heun(denoise, x.float(), times, schedule)
    torch.testing.assert_close(single.double(), heun(denoise, x, times, schedule), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpm-solver++", "euler", "heun"])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_few_steps_and_few_levels_without_signal_at_the_last(method, steps):
    schedule = make_schedule(ScheduleConfig(steps=10, beta_end=0.2, zero_terminal_snr=True))
    x = torch.linspace(-2, 2, 9)
    result = sample(
        SamplerConfig(method=method, steps=steps), gaussian_denoiser(schedule), x, schedule, lambda index: x.clone()
    )
    assert result.isfinite().all()
    assert (result - MEAN).abs().max() < 3


def test_stochastic_ddim_without_noise_is_refused(schedule):
    with pytest.raises(ValueError, match="pass noise"):
        ddim(gaussian_denoiser(schedule), torch.zeros(2), [500, 1], schedule, eta=0.5)
