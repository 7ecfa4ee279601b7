"""The layers of the video autoencoder in the form that matrix units compute fastest: what the compiler is given.

The same functions as in :mod:`lvdm.models.layers`, up to rounding, in four other forms. Clips are laid out with their
channels last, whatever the compiler would choose. Strided and transposed convolutions become dense ones: a stride is
folded into channels, on the way in or on the way out. Convolutions from or to the three channels of a clip, which leave
matrix units nearly empty, become matrix products. Statistics of a normalisation are taken channel by channel.

Clips are ``(B, C, T, H, W)``. Nothing here depends on a device, but only on CUDA is it faster.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.nn.grad import conv3d_input, conv3d_weight

Triple = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# Matrix units read eight numbers of 16 bits at a time.
_UNIT = 8
_NEITHER = ((0, 0), (0, 0), (0, 0))


def channels_last(clip: Tensor) -> Tensor:
    """``clip`` with the channels of a position next to one another in memory."""
    return clip.contiguous(memory_format=torch.channels_last_3d)


def group_norm(clip: Tensor, norm: nn.GroupNorm) -> Tensor:
    """``norm`` of ``clip``, in float32 or what is above it."""
    clip = clip.to(torch.promote_types(clip.dtype, torch.float32))
    # Of each channel first: memory is read in one piece. Then those of a group together, which loses no digits.
    variance, mean = torch.var_mean(clip, dim=(2, 3, 4), correction=0)
    variances, means = (rearrange(part, "b (g c) -> b g c", g=norm.num_groups) for part in (variance, mean))
    centre = means.mean(dim=2, keepdim=True)
    spread = variances.mean(dim=2, keepdim=True) + (means - centre).square().mean(dim=2, keepdim=True)
    scale = (spread + norm.eps).rsqrt().expand_as(means).flatten(1) * norm.weight
    shift = norm.bias - centre.expand_as(means).flatten(1) * scale
    return clip * scale[:, :, None, None, None] + shift[:, :, None, None, None]


def replicate_pad(clip: Tensor, padding: Padding) -> Tensor:
    """``clip`` with (before, after) border values repeated along time, height and width; channels last."""
    return channels_last(clip) if padding == _NEITHER else _ReplicatePad.apply(clip, padding)


def convolution(clip: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    """``clip`` (padded, sizes multiples of the stride) and ``weight (O, C, ...)``: what ``conv3d`` gives.

    The kernel's sizes are multiples of the stride. The steps of a stride become channels of one position.
    """
    if clip.shape[1] < _UNIT and stride == (1, 1, 1):
        return _product(clip, weight)
    folding = dict(zip(("st", "sh", "sw"), stride, strict=True))
    clip = rearrange(clip, "b c (t st) (h sh) (w sw) -> b (st sh sw c) t h w", **folding)
    weight = rearrange(weight, "o c (t st) (h sh) (w sw) -> o (st sh sw c) t h w", **folding)
    return _Convolution.apply(channels_last(clip), channels_last(weight))


def transposed_convolution(clip: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    """``clip`` (padded) and ``weight (C, O, ...)``: ``conv_transpose3d`` that cuts ``kernel - 1`` at both ends.

    The positions between two of the input are channels of a dense convolution before they are put in their places.
    """
    folding = dict(zip(("st", "sh", "sw"), stride, strict=True))
    sizes = [
        step * (size - 1) + kernel - 2 * (kernel - 1)
        for step, size, kernel in zip(stride, clip.shape[2:], weight.shape[2:], strict=True)
    ]
    weight = rearrange(weight, "c o (t st) (h sh) (w sw) -> (st sh sw o) c t h w", **folding).flip(2, 3, 4)
    folded = _Convolution.apply(channels_last(clip), channels_last(weight))
    clip = rearrange(folded, "b (st sh sw o) t h w -> b o (t st) (h sh) (w sw)", **folding)
    for axis, (step, size) in enumerate(zip(stride, sizes, strict=True), start=2):
        clip = clip.narrow(axis, step - 1, size)
    return channels_last(clip)


class _ReplicatePad(torch.autograd.Function):
    """Reads each value where it is wanted. The gradient of a border is a sum in a fixed order."""

    @staticmethod
    def forward(ctx: FunctionCtx, clip: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        sides = [side for axis in reversed(padding) for side in axis]
        return channels_last(functional.pad(clip, sides, mode="replicate"))

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        for axis, (before, after) in enumerate(ctx.padding, start=2):
            size = gradient.shape[axis] - before - after
            inner, others = gradient.narrow(axis, before, size), [0, 0] * (4 - axis)
            if before:
                first = gradient.narrow(axis, 0, before).sum(axis, keepdim=True)
                inner = inner + functional.pad(first, [*others, 0, size - 1])
            if after:
                last = gradient.narrow(axis, before + size, after).sum(axis, keepdim=True)
                inner = inner + functional.pad(last, [*others, size - 1, 0])
            gradient = inner
        return channels_last(gradient), None


class _Convolution(torch.autograd.Function):
    """Dense convolution without padding. Where it has few outputs, its gradients are matrix products."""

    @staticmethod
    def forward(ctx: FunctionCtx, clip: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(clip, weight)
        return _convolve(clip, weight)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        clip, weight = ctx.saved_tensors
        wanted, gradient = ctx.needs_input_grad, channels_last(gradient)
        if len(weight) >= _UNIT:
            return (
                _convolve_input(gradient, weight, list(clip.shape)) if wanted[0] else None,
                _convolve_weight(gradient, clip, list(weight.shape)) if wanted[1] else None,
            )
        kernel = weight.shape[2:]
        columns = _columns(functional.pad(gradient, [size - 1 for size in reversed(kernel) for _ in range(2)]), kernel)
        inputs = outputs = None
        if wanted[0]:
            product = columns @ _rows(weight.flip(2, 3, 4), "o c t h w -> (t h w o) c")
            inputs = rearrange(product, "(b t h w) c -> b c t h w", **_sizes(clip))
        if wanted[1]:
            product = columns.T @ rearrange(clip, "b c t h w -> (b t h w) c")
            outputs = rearrange(product[: weight[:, 0].numel()], "(t h w o) c -> o c t h w", **_sizes(weight))
            outputs = outputs.flip(2, 3, 4)
        return inputs, outputs


def _product(clip: Tensor, weight: Tensor) -> Tensor:
    """The same convolution of few channels, as one product of all that each output sees with the weights."""
    product = _columns(clip, weight.shape[2:]) @ _rows(weight, "o c t h w -> (t h w c) o")
    sizes = [size - kernel + 1 for size, kernel in zip(clip.shape[2:], weight.shape[2:], strict=True)]
    return rearrange(product, "(b t h w) o -> b o t h w", b=len(clip), t=sizes[0], h=sizes[1], w=sizes[2])


def _columns(clip: Tensor, kernel: Triple) -> Tensor:
    """What a kernel sees at each of its places, ``(B T H W, t h w C)``, filled up with zeros for the matrix units."""
    windows = clip
    for axis, size in enumerate(kernel, start=2):
        windows = windows.unfold(axis, size, 1)
    windows = rearrange(windows, "b c t h w i j k -> b t h w (i j k c)")
    return functional.pad(windows, [0, -windows.shape[-1] % _UNIT]).flatten(0, 3)


def _rows(weight: Tensor, pattern: str) -> Tensor:
    """``weight`` as the matrix that goes with :func:`_columns`."""
    rows = rearrange(weight, pattern)
    return functional.pad(rows, [0, 0, 0, -len(rows) % _UNIT])


def _sizes(clip: Tensor) -> dict[str, int]:
    return dict(zip("thw", clip.shape[2:], strict=True))


def _empty(shape: list[int], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last_3d)


# Operators of their own, which the compiler calls as they are: of a 3D convolution it would change the layout.


@torch.library.custom_op("lvdm::convolve", mutates_args=())
def _convolve(clip: Tensor, weight: Tensor) -> Tensor:
    return channels_last(functional.conv3d(clip, weight))


@_convolve.register_fake
def _(clip: Tensor, weight: Tensor) -> Tensor:
    sizes = [size - kernel + 1 for size, kernel in zip(clip.shape[2:], weight.shape[2:], strict=True)]
    return _empty([clip.shape[0], weight.shape[0], *sizes], clip)


@torch.library.custom_op("lvdm::convolve_input", mutates_args=())
def _convolve_input(gradient: Tensor, weight: Tensor, shape: list[int]) -> Tensor:
    return channels_last(conv3d_input(shape, weight, gradient))


@_convolve_input.register_fake
def _(gradient: Tensor, weight: Tensor, shape: list[int]) -> Tensor:
    return _empty(shape, gradient)


@torch.library.custom_op("lvdm::convolve_weight", mutates_args=())
def _convolve_weight(gradient: Tensor, clip: Tensor, shape: list[int]) -> Tensor:
    return channels_last(conv3d_weight(clip, shape, gradient))


@_convolve_weight.register_fake
def _(gradient: Tensor, clip: Tensor, shape: list[int]) -> Tensor:
    return _empty(shape, gradient)
