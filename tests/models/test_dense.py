"""The compiled form of layers against their plain form."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lvdm.compute import prepare_compiler
from lvdm.models import dense
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, UNetConfig
from lvdm.models.layers import SameConv3d, SameConvTranspose3d, same_padding
from lvdm.models.unet import Convolution, UNet

PADDINGS = [((0, 0), (0, 0), (0, 0)), ((1, 1), (1, 1), (1, 1)), ((2, 1), (0, 0), (1, 0)), ((0, 3), (2, 2), (0, 1))]
STRIDES = [(1, 1, 1), (2, 2, 2), (1, 2, 2), (2, 1, 2)]


def compiled(function):
    """Traced as for machine code, gradients too, and run by torch's own kernels: no compiler is needed."""
    torch.compiler.reset()
    prepare_compiler()
    return torch.compile(function, backend="aot_eager", dynamic=False)


def assert_same_function(ours, theirs, *inputs):
    """Values and gradients, in float64."""
    inputs = [part.detach().double().requires_grad_() for part in inputs]
    found, expected = ours(*inputs), theirs(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad(result, inputs, weights) for result in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(4, 5, 6), (1, 1, 1), (1, 3, 2)])
def test_padding(padding, size):
    sides = [side for axis in reversed(padding) for side in axis]
    assert_same_function(
        lambda clip: dense.replicate_pad(clip, padding),
        lambda clip: functional.pad(clip, sides, mode="replicate"),
        torch.randn(2, 3, *size),
    )


@pytest.mark.parametrize("channels", [(3, 16), (3, 5), (16, 3), (8, 16)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_convolutions_from_few_and_to_few_channels(channels, kernel):
    inputs, outputs = channels
    clip, weight = torch.randn(2, inputs, 4, 5, 6), torch.randn(outputs, inputs, kernel, kernel, kernel)
    assert_same_function(lambda x, w: dense.convolution(x, w, (1, 1, 1)), functional.conv3d, clip, weight)


@pytest.mark.parametrize("outputs", [3, 9])
@pytest.mark.parametrize("stride", STRIDES)
def test_strided_convolutions(stride, outputs):
    sizes = [2 + 2 * step for step in stride]
    padded = [size + sum(pads) for size, pads in zip(sizes, same_padding((4, 4, 4), stride), strict=True)]
    assert_same_function(
        lambda x, w: dense.convolution(x, w, stride),
        lambda x, w: functional.conv3d(x, w, stride=stride),
        torch.randn(2, 5, *padded),
        torch.randn(outputs, 5, 4, 4, 4),
    )


@pytest.mark.parametrize("stride", STRIDES)
def test_transposed_convolutions(stride):
    padded = [size + sum(pads) for size, pads in zip((3, 2, 4), same_padding((4, 4, 4), stride), strict=True)]
    assert_same_function(
        lambda x, w: dense.transposed_convolution(x, w, stride),
        lambda x, w: functional.conv_transpose3d(x, w, stride=stride, padding=3),
        torch.randn(2, 5, *padded),
        torch.randn(5, 9, 4, 4, 4),
    )


def test_normalisation():
    norm = nn.GroupNorm(4, 12, eps=1e-6).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    # Groups whose mean is far from 0, next to their spread: sums of squares would lose digits.
    clip = torch.randn(3, 12, 2, 3, 4) + 100 * torch.arange(12)[:, None, None, None]
    assert_same_function(lambda x: dense.group_norm(x, norm), norm, clip)


def test_normalisation_computes_in_single_precision():
    norm, clip = nn.GroupNorm(2, 4), torch.randn(2, 4, 8, 8, 8).bfloat16()
    torch.testing.assert_close(dense.group_norm(clip, norm), norm(clip.float()))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("kind", [SameConv3d, SameConvTranspose3d])
def test_a_compiled_layer_is_the_layer(kind, stride):
    layer, clip = kind(9, 8, kernel=4, stride=stride), torch.randn(2, 9, 4, 4, 4)
    torch.testing.assert_close(compiled(layer)(clip), layer(clip), rtol=1e-4, atol=1e-5)


def assert_compiled_agrees(network, function, *inputs, tolerance):
    """Values of ``function`` and gradients of ``network``."""
    parameters, results = list(network.parameters()), []
    for made in (compiled(function), function):
        result = made(*inputs)
        results.append([result.detach(), *torch.autograd.grad(result.square().sum(), parameters)])
    largest = max(expected.norm() for expected in results[1])
    for found, expected in zip(*results, strict=True):  # some gradients are 0, but for rounding
        assert (found - expected).norm() <= tolerance * (expected.norm() + 0.01 * largest)


def test_a_compiled_autoencoder_has_the_values_and_gradients_of_the_plain_one():
    torch.manual_seed(0)
    autoencoder = VideoAutoencoder(AutoencoderConfig(hidden_channels=4, norm_groups=2, downsample=(1, 2, 2))).double()
    clip = torch.randn(2, 3, 4, 8, 12, dtype=torch.float64)

    def reconstruct(clip):
        return autoencoder.decode(autoencoder.encode(clip).mean)

    assert_compiled_agrees(autoencoder, reconstruct, clip, tolerance=1e-8)


def test_a_compiled_unet_has_the_values_and_gradients_of_the_plain_one():
    torch.manual_seed(0)
    config = UNetConfig(model_channels=32, channel_mult=(1, 2), residual_blocks=1, attention_downsampling=(2,), heads=2)
    unet = UNet(config)
    randomise(unet)
    assert_compiled_agrees(unet, unet, torch.randn(2, 4, 4, 8, 8), torch.tensor([3, 700]), tolerance=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("temporal", [1, 3])
def test_a_compiled_convolution_of_the_unet_has_the_values_and_gradients_of_the_plain_one(temporal, stride):
    layer = Convolution(9, 5, temporal, stride=stride).double()
    clip = torch.randn(2, 9, 4, 6, 6, dtype=torch.float64)
    assert_compiled_agrees(layer, layer, clip, tolerance=1e-10)


def randomise(network):
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


def test_a_compiled_autoencoder_follows_autocast():
    torch.manual_seed(0)
    autoencoder = VideoAutoencoder(AutoencoderConfig(hidden_channels=8, norm_groups=4, downsample=(1, 2, 2)))
    clip = torch.rand(2, 3, 8, 32, 32) * 2 - 1
    encode = compiled(lambda clip: autoencoder.encode(clip).mean)
    with torch.no_grad():
        expected = autoencoder.encode(clip).mean
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = encode(clip)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).norm() < 0.02 * expected.norm()
