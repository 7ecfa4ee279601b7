import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Inputs and outputs of the original modules, float32 on the CPU."""
    return load_file(FOLDER / "golden.safetensors")


@pytest.fixture(scope="session")
def shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of the tensors of each model of the original."""
    record = json.loads((FOLDER / "state_dict_shapes.json").read_text())
    return {model: {name: tuple(shape) for name, shape in tensors.items()} for model, tensors in record.items()}


@pytest.fixture(scope="session")
def original(shapes) -> Callable[[str, int], dict[str, torch.Tensor]]:
    """``original(model, seed)``: the state dictionary that the golden numbers were made with.

    0.05 * randn in the sorted order of the names; the weight that a convolution registered twice is one draw.
    """

    def fill(model: str, seed: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        state: dict[str, torch.Tensor] = {}
        for name, shape in sorted(shapes[model].items()):
            alias_of = name.removesuffix("weight") + "conv.weight"
            state[name] = state[alias_of] if alias_of in state else 0.05 * torch.randn(shape, generator=generator)
        return state

    return fill


@pytest.fixture(scope="session")
def relative_error() -> Callable[[torch.Tensor, torch.Tensor], float]:
    """Norm of the difference over norm of the reference."""
    return lambda actual, expected: ((actual - expected).norm() / expected.norm()).item()


@pytest.fixture(params=["plain", "compiled"])
def form(request) -> Callable[[Callable], Callable]:
    """A network as it is written, and in the form that the compiler is given; torch's own kernels run both."""
    if request.param == "plain":
        return lambda function: function
    torch.compiler.reset()
    return lambda function: torch.compile(function, backend="eager", dynamic=False)
