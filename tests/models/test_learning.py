"""What training relies on: gradients reach every parameter, and mixed precision computes the same function."""

from types import SimpleNamespace

import pytest
import torch

from lvdm.compute import setup
from lvdm.config import ComputeConfig
from lvdm.models.config import UNetConfig
from lvdm.models.unet import UNet

FORMS = {
    "plain": {},
    "given frames": {"noise_levels": 3},
    "text": {"context_channels": 6, "scale_shift_norm": False},
    "text and given frames": {"context_channels": 6, "noise_levels": 3},
}


def inputs(config: UNetConfig, size: int, device: torch.device | str = "cpu") -> SimpleNamespace:
    """Two clips and all the conditions that a network of ``config`` needs."""
    generator = torch.Generator().manual_seed(0)
    conditions = {}
    if config.noise_levels:
        mask = torch.zeros(2, 1, config.temporal_length, 1, 1)
        mask[:, :, 0] = 1
        conditions |= {"mask": mask.to(device), "noise_level": torch.tensor([0, 2], device=device)}
    if config.context_channels is not None:
        conditions["context"] = torch.randn(2, 7, config.context_channels, generator=generator).to(device)
    x = torch.randn(2, config.in_channels, config.temporal_length, size, size, generator=generator).to(device)
    return SimpleNamespace(x=x, t=torch.tensor([10, 900], device=device), conditions=conditions)


def with_all_layers_awake(network: UNet) -> UNet:
    """Layers that start at 0 drawn as their kind usually is: the size of activations that training leads to."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv3d) and not layer.weight.any():
            layer.reset_parameters()
    return network.eval()


@torch.no_grad()
def bfloat16_error(config: UNetConfig, size: int, device: str) -> float:
    """Norm of the difference that bfloat16 makes to the prediction, over the norm of that in float32."""
    torch.manual_seed(0)
    network = with_all_layers_awake(UNet(config)).to(device)
    given = inputs(config, size, device)
    predictions = []
    for precision in ("float32", "bfloat16"):
        compute = setup(ComputeConfig(device=device, precision=precision, threads=torch.get_num_threads()))
        with compute.autocast():
            predictions.append(network(given.x, given.t, **given.conditions).float())
    float32, bfloat16 = predictions
    assert not torch.equal(float32, bfloat16)
    return ((bfloat16 - float32).norm() / float32.norm()).item()


@pytest.mark.parametrize("form", FORMS)
def test_gradients_reach_every_parameter(tiny_unet, form):
    """A branch that starts at 0 gets no gradient but at its last layer; three of them are nested at most."""
    torch.manual_seed(0)
    network = UNet(tiny_unet.replace(**FORMS[form]))
    given = inputs(network.config, size=8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(4):
        optimiser.zero_grad()
        (network(given.x, given.t, **given.conditions) - given.x.roll(1, dims=2)).square().mean().backward()
        optimiser.step()
    untouched = [name for name, parameter in network.named_parameters() if not parameter.grad.any()]
    assert untouched == []


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_is_close_to_float32(tiny_unet, form):
    """Within 3 percent: roundings average out less than at full size (1.8 percent was measured here, 1.0 there)."""
    assert bfloat16_error(tiny_unet.replace(**FORMS[form]), size=8, device="cpu") < 0.03


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="the full-size network is compared on a GPU")
@pytest.mark.parametrize("model", ["unet_short", "unet_pred", "unet_text2video"])
def test_bfloat16_is_close_to_float32_at_full_size(published_unets, model):
    assert bfloat16_error(published_unets[model], size=32, device="cuda") < 0.02
