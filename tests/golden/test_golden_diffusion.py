"""Schedule tables and a whole deterministic sampling run agree with the original's."""

import pytest
import torch

from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.grids import uniform_times
from lvdm.diffusion.samplers import ddim, sample
from lvdm.diffusion.schedule import make_schedule
from lvdm.models.unet import UNet
from lvdm.original.unet import from_original


@pytest.fixture(scope="module")
def schedule():
    return make_schedule(ScheduleConfig())


def test_betas(golden, schedule):
    torch.testing.assert_close(schedule.betas, golden["betas"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("steps", [50, 200])
def test_grid_of_levels(golden, steps):
    assert uniform_times(1000, steps) == golden[f"ddim_timesteps_{steps}"].flip(0).tolist()


def test_signal_kept_at_each_step(golden, schedule):
    times = uniform_times(1000, 50)[::-1]
    kept, kept_before = schedule.alphas_cumprod[times], schedule.alphas_cumprod[[0, *times[:-1]]]
    torch.testing.assert_close(kept, golden["ddim_alphas"].double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(kept_before, golden["ddim_alphas_prev"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("eta", [0, 1])
def test_noise_that_a_step_adds(golden, schedule, eta):
    """Where the guess is 0 for latent and noise, what a step leaves is its deviation times the draw."""
    left = []
    zero = torch.zeros(1, dtype=torch.float64)

    def denoise(x, t):
        left.append(x)
        return zero, zero

    left.append(ddim(denoise, zero, uniform_times(1000, 50), schedule, lambda index: zero + 1, eta=float(eta)))
    # Absolute, as the original computes 1 - alpha^2 from a float32 table.
    torch.testing.assert_close(torch.cat(left[1:]), golden[f"ddim_sigmas_eta{eta}"].flip(0), rtol=0, atol=1e-6)


@torch.no_grad()
def test_fifty_steps(tiny_unet, original, golden, schedule, relative_error):
    model = UNet(tiny_unet).eval()
    model.load_state_dict(from_original(original("unet_tiny", 2), model))
    denoise = Denoiser(model, schedule, "eps")
    result = sample(SamplerConfig(method="ddim", steps=50), denoise, golden["ddim_noise"], schedule, noise=None)
    assert relative_error(result, golden["ddim_result"]) < 1e-4
