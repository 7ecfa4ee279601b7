import pytest
import torch
from torch.nn import functional

from lvdm.models.layers import SameConv3d, SameConvTranspose3d, replicate_pad, same_padding

PADDINGS = [((1, 1), (1, 1), (1, 1)), ((2, 1), (0, 0), (1, 0)), ((0, 3), (2, 2), (0, 1))]


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(4, 5, 6), (1, 1, 1), (1, 3, 2)])
def test_replicate_pad_has_the_values_and_gradients_of_torch(padding, size):
    clip = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    flat = [amount for pads in reversed(padding) for amount in pads]
    ours, theirs = replicate_pad(clip, padding), functional.pad(clip, flat, mode="replicate")
    assert torch.equal(ours, theirs)
    weights = torch.randn_like(ours)
    (ours_gradient,) = torch.autograd.grad(ours, clip, weights)
    (theirs_gradient,) = torch.autograd.grad(theirs, clip, weights)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-12, atol=1e-12)


def test_replicate_pad_of_nothing_is_the_input():
    clip = torch.randn(1, 1, 2, 2, 2)
    assert replicate_pad(clip, ((0, 0), (0, 0), (0, 0))) is clip


def test_an_odd_amount_of_padding_goes_before():
    assert same_padding((4, 4, 3), (1, 2, 1)) == ((2, 1), (1, 1), (1, 1))


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 2, 2), (1, 2, 2)])
def test_convolutions_divide_and_multiply_sizes_by_the_stride(stride):
    clip = torch.randn(1, 2, 4, 8, 6)
    divided = SameConv3d(2, 3, 4, stride)(clip)
    multiplied = SameConvTranspose3d(2, 3, 4, stride)(clip)
    assert divided.shape == (1, 3, *(size // step for size, step in zip(clip.shape[2:], stride, strict=True)))
    assert multiplied.shape == (1, 3, *(size * step for size, step in zip(clip.shape[2:], stride, strict=True)))


def test_a_constant_clip_stays_constant_to_its_border():
    torch.manual_seed(0)
    with torch.no_grad():
        out = SameConv3d(1, 1, 3)(torch.ones(1, 1, 4, 6, 6))
    torch.testing.assert_close(out, out[..., :1, :1, :1].expand_as(out))
