import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lvdm import compute
from lvdm.config import ComputeConfig

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
    return lambda actual, expected: ((actual.cpu() - expected).norm() / expected.norm()).item()


@dataclass(frozen=True)
class Form:
    """How a network runs: ``form(network.method)`` is called as the method is."""

    deploy: Callable[[Callable], Callable]
    tolerance: float
    """Of the relative error."""

    def __call__(self, method: Callable) -> Callable:
        torch.compiler.reset()
        compute.prepare_compiler()
        return self.deploy(method)


def _on_gpu(method: Callable) -> Callable:
    """As the stages run networks on a GPU: compiled, in bfloat16."""
    machine = compute.setup(ComputeConfig(device="cuda", threads=torch.get_num_threads()))
    network = machine.place(copy.deepcopy(method.__self__))
    function = machine.compiled(getattr(network, method.__name__))

    def run(*inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        with machine.autocast():
            return function(
                *(tensor.to(machine.device) for tensor in inputs),
                **{name: tensor.to(machine.device) for name, tensor in named.items()},
            )

    return run


_NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="networks are compiled for a GPU")
_FORMS = {
    "plain": Form(lambda method: method, 1e-5),
    # The form that the compiler is given, by torch's own kernels.
    "compiled": Form(lambda method: torch.compile(method, backend="eager", dynamic=False), 1e-5),
    "gpu": Form(_on_gpu, 0.02),
}


@pytest.fixture(params=["plain", "compiled", pytest.param("gpu", marks=_NO_GPU)])
def form(request) -> Form:
    """A network as it is written, as the compiler sees it, and as it runs on a GPU."""
    return _FORMS[request.param]
