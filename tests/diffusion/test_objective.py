import pytest
import torch

from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.objective import diffuse, error, predict, target
from lvdm.diffusion.schedule import make_schedule


@pytest.mark.parametrize("parameter", ["eps", "x0", "v"])
def test_target_and_prediction_are_inverse(parameter):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 8, 4, 2, 4, 4, generator=generator, dtype=torch.float64)
    schedule = make_schedule(ScheduleConfig())
    alpha, sigma = schedule.rates(torch.tensor([0, 1, 50, 300, 500, 800, 998, 999]), like=x0)
    x = diffuse(x0, eps, alpha, sigma)
    guess = predict(parameter, target(parameter, x0, eps, alpha, sigma), x, alpha, sigma)
    torch.testing.assert_close(guess.x0, x0, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(guess.eps, eps, rtol=1e-9, atol=1e-9)


def test_errors_are_means_over_each_clip():
    output, wanted = torch.zeros(2, 1, 2), torch.tensor([[[1.0, -3.0]], [[2.0, 2.0]]])
    assert error("l1", output, wanted).tolist() == [2.0, 2.0]
    assert error("l2", output, wanted).tolist() == [5.0, 4.0]


def test_denoiser_tells_the_network_the_level_and_keeps_the_precision():
    schedule = make_schedule(ScheduleConfig())
    seen = []

    def network(x, t):
        seen.append(t.tolist())
        return torch.ones_like(x, dtype=torch.bfloat16)

    x = torch.full((3, 1), 2.0, dtype=torch.float64)
    guess = Denoiser(network, schedule, "eps")(x, 250)
    alpha, sigma = schedule.level(250)
    assert seen == [[250, 250, 250]]
    assert guess.eps.dtype == torch.float64
    torch.testing.assert_close(alpha * guess.x0 + sigma * guess.eps, x)
