"""The UNet computes what the original computes (numbers made with the original modules)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvdm.models.config import UNetConfig
from lvdm.models.unet import UNet
from lvdm.original.unet import from_original, original_names, to_original

FOLDER = Path(__file__).parent
TINY = UNetConfig(
    model_channels=32,
    channel_mult=(1, 2),
    residual_blocks=1,
    attention_downsampling=(1, 2),
    heads=4,
    temporal_length=4,
)


@pytest.fixture(scope="module")
def shapes() -> dict[str, dict[str, list[int]]]:
    return json.loads((FOLDER / "state_dict_shapes.json").read_text())


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "golden.safetensors")


@pytest.fixture(scope="module")
def original(shapes) -> dict[str, torch.Tensor]:
    """The original's state, filled as the reference was: 0.05 * randn in the sorted order of the names."""
    generator = torch.Generator().manual_seed(2)
    tiny = shapes["unet_tiny"]
    return {name: 0.05 * torch.randn(tiny[name], generator=generator) for name in sorted(tiny)}


@pytest.fixture(scope="module")
def unet(original) -> UNet:
    model = UNet(TINY).eval()
    model.load_state_dict(from_original(original, model.state_dict()))
    return model


@torch.no_grad()
def test_prediction(unet, golden):
    output = unet(golden["unet_x"], golden["unet_t"])
    assert (output - golden["unet_out"]).norm() / golden["unet_out"].norm() < 1e-5


def test_export_gives_back_what_was_imported(unet, original):
    exported = to_original(unet.state_dict())
    assert exported.keys() == original.keys()
    assert all(torch.equal(exported[name], original[name]) for name in original)


def test_defaults_are_the_released_short_model(shapes):
    with torch.device("meta"):
        state = UNet(UNetConfig()).state_dict()
    assert {name: list(value.shape) for name, value in to_original(state).items()} == shapes["unet_short"]


def test_another_configuration_is_refused_with_the_missing_names(original):
    with torch.device("meta"):
        names = UNet(TINY.replace(residual_blocks=2)).state_dict()
    with pytest.raises(KeyError, match=r"lacks .*input_blocks\.2\.0\.in_layers"):
        from_original(original, names)


def test_unknown_parameters_have_no_original_name():
    with pytest.raises(KeyError):
        original_names(["encoder.0.residual.conv_middle.weight"])
