"""Our samplers and schedules against those of `diffusers`, on the same noise, network and noise levels.

The network knows the answer for data that are a mixture of two Gaussians, so that it is as curved as a trained one.
Where the defaults of a scheduler differ from our sampler, each test says what was aligned.
"""

from collections.abc import Callable

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from torch import Tensor

from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.grids import log_snr_times, trailing_times, uniform_times
from lvdm.diffusion.objective import target
from lvdm.diffusion.samplers import ddim, ddpm, dpm_solver_2m, euler, heun
from lvdm.diffusion.schedule import Schedule, make_schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PREDICTION_TYPES = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
MEAN, DEVIATION = 1.0, 0.3
STEPS = 50


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return make_schedule(ScheduleConfig())


@pytest.fixture(scope="module")
def noise() -> Tensor:
    """The start, and a draw for each step."""
    return torch.randn(STEPS + 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def network(schedule: Schedule, parameter: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The best guess for data around ``MEAN`` and ``-MEAN``, equally likely."""

    def guess(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = schedule.rates(t, like=x)
        variance = alpha**2 * DEVIATION**2 + sigma**2
        gain = alpha * DEVIATION**2 / variance
        x0 = gain * x + (1 - gain * alpha) * MEAN * torch.tanh(alpha * MEAN * x / variance)
        return target(parameter, x0, (x - alpha * x0) / sigma, alpha, sigma)

    return guess


def tables(schedule: Schedule, parameter: str) -> dict:
    """What every scheduler is made with."""
    return {"trained_betas": schedule.betas.numpy(), "prediction_type": PREDICTION_TYPES[parameter]}


def run(scheduler, guess: Callable[[Tensor, Tensor], Tensor], x: Tensor, **options) -> Tensor:
    """The loop of a `diffusers` pipeline; an option that is a list has a value for each step."""
    for index, t in enumerate(scheduler.timesteps):
        output = guess(scheduler.scale_model_input(x, t), t.long().expand(len(x)))
        chosen = {name: value[index] if isinstance(value, list) else value for name, value in options.items()}
        x = scheduler.step(output, t, x, **chosen).prev_sample
    return x


def assert_agree(ours: Tensor, theirs: Tensor) -> None:
    # Their tables are float32, and Euler and DPM-Solver++ keep the sample in float32 too.
    assert (ours - theirs).norm() / theirs.norm() < 1e-4


@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_ddpm(schedule, noise, parameter):
    """Aligned: the levels, no clipping, the generator. Theirs draws a last time, with a variance of 1e-20."""
    times = uniform_times(1000, STEPS)
    scheduler = DDPMScheduler(**tables(schedule, parameter), clip_sample=False)
    scheduler.set_timesteps(timesteps=times)
    guess = network(schedule, parameter)
    theirs = run(scheduler, guess, noise[0], generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    ours = ddpm(
        Denoiser(guess, schedule, parameter),
        noise[0],
        times,
        schedule,
        lambda index: torch.randn(8, 8, generator=generator, dtype=torch.float64),
    )
    assert_agree(ours, theirs)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_ddim(schedule, noise, parameter, eta):
    """Aligned: the offset of LVDM's levels, the end at level 0, no clipping, the draws."""
    scheduler = DDIMScheduler(**tables(schedule, parameter), clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    scheduler.set_timesteps(STEPS)
    guess, times, draws = network(schedule, parameter), uniform_times(1000, STEPS), list(noise[1:])
    assert scheduler.timesteps.tolist() == times
    theirs = run(scheduler, guess, noise[0], eta=eta, variance_noise=draws)
    ours = ddim(Denoiser(guess, schedule, parameter), noise[0], times, schedule, draws.__getitem__, eta)
    assert_agree(ours, theirs)


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_dpm_solver(schedule, noise, parameter, steps):
    """Aligned: the levels, the end at level 0, and order 2 to the end also where steps are few."""
    times = log_snr_times(schedule, steps)
    scheduler = DPMSolverMultistepScheduler(
        **tables(schedule, parameter),
        algorithm_type="dpmsolver++",
        solver_order=2,
        final_sigmas_type="sigma_min",
        lower_order_final=False,
    )
    scheduler.set_timesteps(timesteps=times)
    guess = network(schedule, parameter)
    theirs = run(scheduler, guess, noise[0])
    assert_agree(dpm_solver_2m(Denoiser(guess, schedule, parameter), noise[0], times, schedule), theirs)


@pytest.mark.parametrize(
    ("sampler", "scheduler_class"), [(euler, EulerDiscreteScheduler), (heun, HeunDiscreteScheduler)]
)
@pytest.mark.parametrize("grid", ["even", "log-snr"])
@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_euler_and_heun(schedule, noise, parameter, grid, sampler, scheduler_class):
    """Aligned: the levels. Theirs keep ``x / alpha``, ours ``x``, and the end is the same."""
    times = uniform_times(1000, 20) if grid == "even" else log_snr_times(schedule, 20)
    scheduler = scheduler_class(**tables(schedule, parameter))
    scheduler.set_timesteps(timesteps=times)
    guess = network(schedule, parameter)
    theirs = run(scheduler, guess, noise[0] / schedule.level(times[0])[0])
    assert_agree(sampler(Denoiser(guess, schedule, parameter), noise[0], times, schedule), theirs)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_rescaled_betas(kind):
    plain = make_schedule(ScheduleConfig(kind=kind))
    rescaled = make_schedule(ScheduleConfig(kind=kind, zero_terminal_snr=True))
    torch.testing.assert_close(rescaled.betas, rescale_zero_terminal_snr(plain.betas), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("parameter", ["x0", "v"])
def test_ddim_from_a_level_without_signal(noise, parameter, eta):
    """Aligned: the levels ("trailing"), the end at level 0, no clipping, the draws."""
    schedule = make_schedule(ScheduleConfig(zero_terminal_snr=True))
    scheduler = DDIMScheduler(
        **tables(schedule, parameter), clip_sample=False, set_alpha_to_one=False, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(STEPS)
    guess, times, draws = network(schedule, parameter), trailing_times(1000, STEPS), list(noise[1:])
    assert scheduler.timesteps.tolist() == times
    theirs = run(scheduler, guess, noise[0], eta=eta, variance_noise=draws)
    ours = ddim(Denoiser(guess, schedule, parameter), noise[0], times, schedule, draws.__getitem__, eta)
    assert_agree(ours, theirs)
