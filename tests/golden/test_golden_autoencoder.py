"""The 3D autoencoder computes what the original computes (numbers made with the original modules)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig
from lvdm.original.autoencoder import original_names

FOLDER = Path(__file__).parent
LEVELS = 3


@pytest.fixture(scope="module")
def shapes() -> dict[str, list[int]]:
    return json.loads((FOLDER / "state_dict_shapes.json").read_text())["autoencoder_3d"]


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "golden.safetensors")


@pytest.fixture(scope="module")
def autoencoder(shapes) -> VideoAutoencoder:
    """Filled as the reference was: 0.05 * randn in the sorted order of the original names, aliases skipped."""
    generator = torch.Generator().manual_seed(1)
    names = original_names(LEVELS)
    state: dict[str, torch.Tensor] = {}
    for original in sorted(shapes):
        if names[original] not in state:
            state[names[original]] = 0.05 * torch.randn(shapes[original], generator=generator)
    model = VideoAutoencoder(AutoencoderConfig()).eval()
    model.load_state_dict(state)
    return model


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def test_every_name_of_the_original_has_a_tensor_of_its_shape_here(shapes):
    names = original_names(LEVELS)
    ours = {name: list(tensor.shape) for name, tensor in VideoAutoencoder(AutoencoderConfig()).state_dict().items()}
    assert names.keys() == shapes.keys()
    assert set(names.values()) == ours.keys()
    assert {original: ours[name] for original, name in names.items()} == shapes


@torch.no_grad()
def test_encode(autoencoder, golden):
    posterior = autoencoder.encode(golden["ae_video"])
    moments = torch.cat([posterior.mean, posterior.logvar], dim=1)
    assert relative_error(moments, golden["ae_moments"]) < 1e-5


@torch.no_grad()
def test_decode(autoencoder, golden):
    assert relative_error(autoencoder.decode(golden["ae_latent"]), golden["ae_reconstruction"]) < 1e-5
