"""The I3D of our own computes what the public PyTorch port does (numbers made with LVDM's copy of it)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvdm.evaluation.i3d import InceptionI3D, preprocess

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def shapes() -> dict[str, list[int]]:
    return json.loads((FOLDER / "i3d_shapes.json").read_text())


@pytest.fixture(scope="module")
def state(shapes) -> dict[str, torch.Tensor]:
    """The weights that the numbers were made with: drawn in the sorted order of their names, on sensible scales."""
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        drawn = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            state[name] = 0.5 + drawn.abs()
        elif name.endswith("bn.weight"):
            state[name] = 1 + 0.1 * drawn
        elif drawn.dim() == 5:
            state[name] = drawn * (2 / drawn[0].numel()) ** 0.5
        else:
            state[name] = 0.1 * drawn
    return state


def test_names_and_shapes_are_the_originals(shapes):
    with torch.device("meta"):
        network = InceptionI3D()
    assert {name: list(tensor.shape) for name, tensor in network.state_dict().items()} == shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == 12_697_264


@torch.no_grad()
def test_logits_of_clips_are_the_originals(state, relative_error):
    golden = load_file(FOLDER / "i3d.safetensors")
    network = InceptionI3D().eval()
    network.load_state_dict(state)
    assert relative_error(network(preprocess(golden["clips"])), golden["logits"]) < 1e-5
