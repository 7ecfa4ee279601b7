"""Where networks run, and what of it depends on the machine."""

import logging
import os
import signal
import subprocess
import sys

import pytest
import torch
from einops import rearrange
from torch import nn

from lvdm import compute
from lvdm.compute import Compute
from lvdm.config import ComputeConfig

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _compiler_not_asked_yet():
    compute._compiler_works.cache_clear()
    yield
    compute._compiler_works.cache_clear()


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_nothing_is_compiled_on_a_cpu():
    machine = compute.setup(ComputeConfig())
    assert machine.device == CPU
    assert machine.compiled(double) is double
    assert machine.replayed(double) is double


def test_a_compiler_that_does_not_work_is_told_of_once(monkeypatch, caplog):
    def fail(*_, **__):
        raise RuntimeError("Cannot find a working triton installation.\nmore of it")

    monkeypatch.setattr(torch, "compile", fail)
    machine = Compute(CPU, torch.float32, compiles=True)
    with caplog.at_level(logging.INFO):
        assert machine.compiled(double) is double
        assert machine.replayed(double) is double
    assert len(caplog.records) == 1
    assert "Cannot find a working triton installation.)" in caplog.text
    assert "slower" in caplog.text


def test_where_it_works_functions_are_compiled_for_one_shape(monkeypatch):
    asked = []

    def compiling(function, **options):
        asked.append(options)
        return function

    monkeypatch.setattr(torch, "compile", compiling)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "somewhere")
    machine, x = Compute(CPU, torch.float32, compiles=True), torch.ones(2)
    assert torch.equal(machine.compiled(double)(x), 2 * x)
    result = machine.replayed(lambda x: x)(x)
    assert torch.equal(result, x)
    assert result.data_ptr() != x.data_ptr()  # the next call may write there
    assert all(options["dynamic"] is False for options in asked[1:])


def test_compile_off_asks_for_no_compiler(monkeypatch):
    monkeypatch.setattr(torch, "compile", pytest.fail)
    assert Compute(CPU, torch.float32, compiles=False).compiled(double) is double


def test_the_compiler_does_not_look_into_einops():
    """Else a UNet of the published size takes minutes to trace, at each start of each job."""
    seen = []

    def backend(graph, inputs):
        seen.extend(node.target for node in graph.graph.nodes)
        return graph.forward

    compute.prepare_compiler()
    turned = torch.compile(lambda x: rearrange(x, "a (b c) -> c b a", c=2), backend=backend)
    x = torch.arange(12).view(3, 4)
    assert torch.equal(turned(x), rearrange(x, "a (b c) -> c b a", c=2))
    assert rearrange in seen


def test_a_tensor_that_is_fetched_is_a_copy_on_the_cpu():
    machine = compute.setup(ComputeConfig(device="auto"))
    x = torch.arange(6, device=machine.device)
    assert torch.equal(machine.fetch(x)(), torch.arange(6))


def test_processes_of_the_compiler_do_not_hear_requests_to_stop():
    """A child that is started meanwhile has the signals blocked, and nothing is lost for this process."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with compute._children_deaf_to_stops():
            os.kill(os.getpid(), signal.SIGTERM)
            ask = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
            answer = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "SIGTERM" in answer
    assert "SIGUSR1" in answer


def test_placing_a_network_changes_no_weight():
    network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.Linear(4, 5))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    placed = compute.setup(ComputeConfig()).place(network)
    assert placed is network
    assert all(torch.equal(value, state[name]) for name, value in placed.state_dict().items())
