"""Schedule tables and a whole deterministic sampling run agree with the original's."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvdm.diffusion.config import SamplerConfig, ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.samplers import ddim, sample, uniform_times
from lvdm.diffusion.schedule import make_schedule
from lvdm.models.config import UNetConfig
from lvdm.models.unet import UNet
from lvdm.original.unet import from_original

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "golden.safetensors")


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
def test_fifty_steps(golden, schedule):
    shapes = json.loads((FOLDER / "state_dict_shapes.json").read_text())["unet_tiny"]
    generator = torch.Generator().manual_seed(2)
    original = {name: 0.05 * torch.randn(shapes[name], generator=generator) for name in sorted(shapes)}
    config = UNetConfig(model_channels=32, channel_mult=(1, 2), residual_blocks=1, attention_downsampling=(1, 2))
    model = UNet(config).eval()
    model.load_state_dict(from_original(original, model.state_dict()))
    denoise = Denoiser(model, schedule, "eps")
    result = sample(SamplerConfig(method="ddim", steps=50), denoise, golden["ddim_noise"], schedule, noise=None)
    assert (result - golden["ddim_result"]).norm() / golden["ddim_result"].norm() < 1e-4
