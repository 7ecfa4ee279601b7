import pytest
import torch

from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.guidance import guided
from lvdm.diffusion.objective import Prediction
from lvdm.diffusion.samplers import sample
from lvdm.diffusion.schedule import make_schedule

DEVIATION = 0.5


@pytest.fixture(scope="module")
def schedule():
    # From pure noise on, so that the mean is reached exactly.
    return make_schedule(ScheduleConfig(zero_terminal_snr=True))


@pytest.fixture(scope="module")
def gaussian(schedule):
    """Denoisers for Gaussian data by their mean."""

    def make(mean):
        def denoise(x, t):
            alpha, sigma = schedule.level(t)
            gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
            x0 = mean + gain * (x - alpha * mean)
            return Prediction(x0, (x - alpha * x0) / sigma)

        return denoise

    return make


def test_scale_1_is_the_conditional_and_0_the_unconditional_model(gaussian):
    conditional, unconditional = gaussian(1.0), gaussian(0.0)
    assert guided(conditional, unconditional, 1.0) is conditional
    assert guided(conditional, unconditional, 0.0) is unconditional


def test_the_guess_is_linear_in_the_scale(schedule):
    generator = torch.Generator().manual_seed(0)
    guesses = torch.randn(2, 2, 4, generator=generator, dtype=torch.float64)
    conditional, unconditional = (lambda x, t, guess=guess: Prediction(*guess) for guess in guesses)
    x = torch.zeros(4)
    for scale in (-0.5, 0.5, 2.0, 7.5):
        for view in (0, 1):
            expected = guesses[1, view] + scale * (guesses[0, view] - guesses[1, view])
            torch.testing.assert_close(guided(conditional, unconditional, scale)(x, 500)[view], expected)


def test_both_views_stay_views_of_one_guess(schedule, gaussian):
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    alpha, sigma = schedule.level(700)
    guess = guided(gaussian(1.0), gaussian(0.2), 3.0)(x, 700)
    torch.testing.assert_close(alpha * guess.x0 + sigma * guess.eps, x)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_guidance_moves_the_mean_and_keeps_the_deviation(schedule, gaussian, scale):
    """Of Gaussians of one deviation, the guess is that for ``unconditional + scale (conditional - unconditional)``."""
    conditional, unconditional = 0.6, -0.2
    noise = torch.linspace(-3, 3, 25, dtype=torch.float64)
    denoise = guided(gaussian(conditional), gaussian(unconditional), scale)
    drawn = sample(SamplerConfig(method="heun", steps=50), denoise, noise, schedule, lambda index: noise)
    mean = unconditional + scale * (conditional - unconditional)
    # Heun's last step leaves 0.005 at three deviations, whatever the scale.
    torch.testing.assert_close(drawn, mean + DEVIATION * noise, rtol=0, atol=0.01)


def test_one_evaluation_of_each_model_a_step(schedule, gaussian):
    calls = []

    def counted(name, denoise):
        def wrapped(x, t):
            calls.append(name)
            return denoise(x, t)

        return wrapped

    denoise = guided(counted("conditional", gaussian(1.0)), counted("unconditional", gaussian(0.0)), 2.0)
    denoise(torch.zeros(2), 10)
    assert sorted(calls) == ["conditional", "unconditional"]
