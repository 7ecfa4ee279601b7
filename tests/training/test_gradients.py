"""The sum of gradients, among processes that are all like this one: their sum is a multiple of each."""

import pytest
import torch
from torch import nn

from lvdm.training import gradients
from lvdm.training.distributed import ALONE, Processes
from lvdm.training.gradients import GradientSum


class Work:
    def wait(self) -> None:
        """Done already."""


class Alike(Processes):
    """Two processes with the same gradients; remembers when how much was sent."""

    def __init__(self):
        super().__init__(gpus=2)
        self.sent: list[int] = []

    def reduce(self, tensor: torch.Tensor) -> Work:
        self.sent.append(tensor.numel())
        tensor.mul_(2)
        return Work()


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(4 * 4 * 4, 2))


def backward(network: nn.Module) -> None:
    network(torch.ones(2, 3, 8, 8)).square().sum().backward()


def reference(network: nn.Module) -> list[torch.Tensor]:
    backward(network)
    found = [parameter.grad for parameter in network.parameters()]
    network.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("bucket", [1, 1000, 2**20])
@pytest.mark.parametrize("batches", [1, 3])
def test_gradients_of_all_batches_are_summed_over_the_processes(network, monkeypatch, bucket, batches):
    monkeypatch.setattr(gradients, "_BUCKET_BYTES", bucket)
    expected = reference(network)
    processes = Alike()
    total = GradientSum(list(reversed(list(network.parameters()))), processes)
    for step in range(2):
        network.zero_grad(set_to_none=True)
        for batch in range(batches):
            if batch == batches - 1:
                total.start()
            backward(network)
            sent = sum(processes.sent)
            assert (sent > step * sum(p.numel() for p in network.parameters())) == (batch == batches - 1)
        total.finish()
        for parameter, gradient in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, 2 * batches * gradient)
    assert len(processes.sent) == 2 * {1: 6, 1000: 3, 2**20: 1}[bucket]


def test_they_are_sent_while_others_are_computed(network, monkeypatch):
    monkeypatch.setattr(gradients, "_BUCKET_BYTES", 1)
    processes = Alike()
    seen = []
    network[0].weight.register_hook(lambda gradient: seen.append(len(processes.sent)))
    total = GradientSum(list(reversed(list(network.parameters()))), processes)
    total.start()
    backward(network)
    assert seen[0] >= 4  # weights and biases of the layers above
    total.finish()


def test_two_passes_and_parameters_without_a_gradient(network):
    """As the autoencoder and its discriminator, which does not train at first."""
    expected = reference(network)
    total = GradientSum(list(network.parameters()), Alike())
    layers = list(network[0].parameters()), list(network[3].parameters())
    total.start()
    loss = network(torch.ones(2, 3, 8, 8)).square().sum()
    loss.backward(inputs=layers[1], retain_graph=True)
    loss.backward(inputs=layers[0])
    total.finish()
    torch.testing.assert_close([p.grad for p in layers[0]], [2 * gradient for gradient in expected[:2]])
    torch.testing.assert_close([p.grad for p in layers[1]], [2 * gradient for gradient in expected[4:]])
    assert all(parameter.grad is None for parameter in network[1].parameters())


def test_the_layout_of_a_gradient_stays():
    """A fused optimiser takes a gradient in the layout of its parameter only."""
    convolution = nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)
    total = GradientSum(list(convolution.parameters()), Alike())
    optimizer = torch.optim.AdamW(convolution.parameters(), fused=True)
    total.start()
    convolution(torch.ones(1, 3, 5, 5).to(memory_format=torch.channels_last)).sum().backward()
    total.finish()
    assert convolution.weight.grad.stride() == convolution.weight.stride()
    optimizer.step()


def test_one_process_keeps_its_gradients_as_they_are(network):
    total = GradientSum(list(network.parameters()), ALONE)
    total.start()
    backward(network)
    before = [parameter.grad for parameter in network.parameters()]
    total.finish()
    assert all(parameter.grad is gradient for parameter, gradient in zip(network.parameters(), before, strict=True))
