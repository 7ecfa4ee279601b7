"""Layers that the convolutional networks on clips share.

Clips are ``(B, C, T, H, W)``. Every convolution keeps ``size / stride`` ("same" padding) and extends its
input by repeating the values on the border, in time as in space: zeros would darken the border of a frame
and the first and last frames of a clip. Compiled, a layer takes its form in :mod:`lvdm.models.dense`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from lvdm.models import dense
from lvdm.models.dense import Padding, Triple

_NORM_EPS = 1e-6


class _ReplicatePad(torch.autograd.Function):
    """Replication padding of the last three axes as plain copies.

    ``torch.nn.functional.pad`` has the same values, but its backward pass on CUDA adds with atomics, in no
    fixed order, and on the CPU both passes take three times as long.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, clip: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        sizes = clip.shape[2:]
        padded = clip.new_empty(*clip.shape[:2], *(sum(pads) + size for pads, size in zip(padding, sizes, strict=True)))
        # The box that holds values already; it grows by one axis at a time, so that corners are copies of edges.
        box = padded
        for axis, ((before, _), size) in enumerate(zip(padding, sizes, strict=True), start=2):
            box = box.narrow(axis, before, size)
        box.copy_(clip)
        for axis, ((before, after), size) in enumerate(zip(padding, sizes, strict=True), start=2):
            grown = padded
            for later in range(axis + 1, 5):
                grown = grown.narrow(later, padding[later - 2][0], sizes[later - 2])
            if before:
                grown.narrow(axis, 0, before).copy_(grown.narrow(axis, before, 1))
            if after:
                grown.narrow(axis, before + size, after).copy_(grown.narrow(axis, before + size - 1, 1))
        return padded

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone()
        for axis in (4, 3, 2):
            before, after = ctx.padding[axis - 2]
            size = gradient.shape[axis] - before - after
            if before:
                gradient.narrow(axis, before, 1).add_(gradient.narrow(axis, 0, before).sum(axis, keepdim=True))
            if after:
                edge = gradient.narrow(axis, before + size - 1, 1)
                edge.add_(gradient.narrow(axis, before + size, after).sum(axis, keepdim=True))
            gradient = gradient.narrow(axis, before, size)
        return gradient, None


def replicate_pad(clip: Tensor, padding: Padding) -> Tensor:
    """``clip`` (B, C, T, H, W) with (before, after) border values repeated along time, height and width."""
    return _ReplicatePad.apply(clip, padding) if any(map(any, padding)) else clip


def same_padding(kernel: Triple, stride: Triple) -> Padding:
    """(before, after) along each axis, so that a convolution returns ``size / stride``; odd rests go before."""
    totals = [size - step for size, step in zip(kernel, stride, strict=True)]
    return tuple((total - total // 2, total // 2) for total in totals)


class SameConv3d(nn.Conv3d):
    """3D convolution that returns ``size / stride``; sizes must be multiples of the stride."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: Triple = (1, 1, 1)):
        super().__init__(in_channels, out_channels, kernel, stride)
        self.border = same_padding(self.kernel_size, self.stride)

    def forward(self, clip: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return _compiled(dense.convolution, self, clip)
        return super().forward(replicate_pad(clip, self.border))


class SameConvTranspose3d(nn.ConvTranspose3d):
    """Transposed 3D convolution that returns ``size * stride``."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: Triple):
        # Cutting kernel - 1 at both ends leaves the outputs that only see the extended input.
        super().__init__(in_channels, out_channels, kernel, stride, padding=kernel - 1)
        self.border = same_padding(self.kernel_size, self.stride)

    def forward(self, clip: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return _compiled(dense.transposed_convolution, self, clip)
        return super().forward(replicate_pad(clip, self.border))


def _compiled(
    convolution: Callable[[Tensor, Tensor, Triple], Tensor], layer: SameConv3d | SameConvTranspose3d, clip: Tensor
) -> Tensor:
    """``layer`` in the form of :mod:`lvdm.models.dense`."""
    clip, weight, bias = map(dense.in_working_precision, (clip, layer.weight, layer.bias))
    with torch.autocast(clip.device.type, enabled=False):
        # In the lower precision already when it is padded: copies of fewer bytes.
        return convolution(dense.replicate_pad(clip, layer.border), weight, layer.stride) + bias[:, None, None, None]


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """Group normalisation with the epsilon of the released weights (1e-6)."""
    return nn.GroupNorm(groups, channels, eps=_NORM_EPS)


def norm_silu(norm: nn.GroupNorm, clip: Tensor) -> Tensor:
    """``norm`` of ``clip``, then SiLU."""
    return functional.silu(dense.group_norm(clip, norm) if torch.compiler.is_compiling() else norm(clip))


class ResidualBlock(nn.Module):
    """Twice norm, SiLU and 3x3x3 convolution, added to the input; shape is kept."""

    def __init__(self, channels: int, norm_groups: int):
        super().__init__()
        self.norm1 = group_norm(channels, norm_groups)
        self.conv1 = SameConv3d(channels, channels, kernel=3)
        self.norm2 = group_norm(channels, norm_groups)
        self.conv2 = SameConv3d(channels, channels, kernel=3)

    def forward(self, clip: Tensor) -> Tensor:
        hidden = self.conv1(norm_silu(self.norm1, clip))
        hidden = self.conv2(norm_silu(self.norm2, hidden))
        return clip + hidden
