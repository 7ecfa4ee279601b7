"""The shapes and counts in docs/model.md are those of the networks."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lvdm.models.config import AutoencoderConfig, FrameAutoencoderConfig
from lvdm.models.factory import make_autoencoder
from lvdm.models.unet import UNet

PAGE = (Path(__file__).parents[1] / "docs" / "model.md").read_text()
SIZES = (128, 256)


@pytest.fixture(scope="module")
def networks(published_unets) -> dict[str, nn.Module]:
    """By the name that stands in the head of a table; on the meta device."""
    with torch.device("meta"):
        return {
            "video autoencoder": make_autoencoder(AutoencoderConfig()),
            "frame autoencoder": make_autoencoder(FrameAutoencoderConfig()),
            "UNet": UNet(published_unets["unet_short"]),
            "UNet with given frames": UNet(published_unets["unet_pred"]),
            "UNet with text": UNet(published_unets["unet_text2video"]),
        }


def tables() -> dict[str, list[list[str]]]:
    """The rows of each table, by its first heading."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        heading, _, *rows = ([cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines())
        found[heading[0]] = rows
    return found


def run(network: nn.Module, size: int) -> None:
    """A clip of 16 frames, or its latents, through a network on the meta device."""
    if not isinstance(network, UNet):
        network.decode(network.encode(torch.empty(1, 3, 16, size, size)).mode())
        return
    config, one = network.config, torch.empty(1, dtype=torch.long)
    length = 16 if config.context_channels else 4
    conditions: dict[str, Tensor] = {}
    if config.noise_levels:
        conditions = {"mask": torch.empty(1, 1, length, 1, 1), "noise_level": one}
    if config.context_channels:
        conditions["context"] = torch.empty(1, 77, config.context_channels)
    network(torch.empty(1, 4, length, size // 8, size // 8), one, **conditions)


def traced(network: nn.Module, size: int) -> dict[str, tuple[str, str]]:
    """Channels in and shape out, as the page writes them, of each module that takes feature maps, by name."""
    found = {}

    def record(name: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        if isinstance(inputs[0], Tensor) and inputs[0].ndim > 3:
            found[name] = (str(inputs[0].shape[1]), "×".join(map(str, output.shape[1:])))

    hooks = [module.register_forward_hook(partial(record, name)) for name, module in network.named_modules()]
    with torch.device("meta"):
        run(network, size)
    for hook in hooks:
        hook.remove()
    return found


def modules(cell: str) -> list[str]:
    """`encoder.4` to `encoder.6` are three modules."""
    first, last = re.findall(r"`([\w.]+)`", cell)[0], re.findall(r"`([\w.]+)`", cell)[-1]
    if first == last:
        return [first]
    stem, start = first.rsplit(".", 1)
    return [f"{stem}.{number}" for number in range(int(start), int(last.rsplit(".", 1)[1]) + 1)]


@pytest.mark.parametrize(
    "name", ["video autoencoder", "frame autoencoder", "UNet", "UNet with given frames", "UNet with text"]
)
def test_shapes(networks, name):
    rows = tables()[name]
    for size, column in zip(SIZES, (3, 4), strict=True):
        trace = traced(networks[name], size)
        for row in rows:
            entries = [trace[module] for module in modules(row[0])]
            assert row[2] == ", ".join(channels for channels, _ in entries), row
            assert {row[column]} == {shape for _, shape in entries}, row


def test_parameters(networks):
    found = {row[0]: row[1] for row in tables()["network"]}
    assert found == {name: f"{sum(map(Tensor.numel, network.parameters())):,}" for name, network in networks.items()}
