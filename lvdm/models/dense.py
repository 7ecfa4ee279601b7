"""Convolutions and normalisations in the form that matrix units compute fastest: what the compiler is given.

The same functions as those of the layers, up to rounding, in other forms. Clips are laid out with their channels last,
whatever the compiler would choose. Strided and transposed convolutions become dense ones: a stride is folded into
channels, on the way in or on the way out. Convolutions from or to the three channels of a clip, which leave matrix
units nearly empty, take the neighbours of a position as channels. Statistics of a normalisation are taken channel by
channel.

Clips are ``(B, C, T, H, W)``. Nothing here depends on a device, but only on CUDA is it faster.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

Triple = tuple[int, int, int]
Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# Matrix units read eight numbers of 16 bits at a time.
_UNIT = 8
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(clip: Tensor) -> Tensor:
    """``clip`` with the channels of a position next to one another in memory."""
    return clip.contiguous(memory_format=_LAYOUTS[clip.dim()])


def in_working_precision(clip: Tensor) -> Tensor:
    """``clip`` in the precision that convolutions have under autocast, and else as it is."""
    device = clip.device.type
    return clip.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else clip


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
    scale, shift = _Kept.apply(torch.stack([scale, shift]))
    return clip * scale[:, :, None, None, None] + shift[:, :, None, None, None]


def replicate_pad(clip: Tensor, padding: Padding) -> Tensor:
    """``clip`` with (before, after) border values repeated along time, height and width; channels last."""
    return _ReplicatePad.apply(clip, padding) if any(map(any, padding)) else channels_last(clip)


def convolution(clip: Tensor, weight: Tensor, stride: Triple) -> Tensor:
    """``clip`` (padded, sizes multiples of the stride) and ``weight (O, C, ...)``: what ``conv3d`` gives.

    The kernel's sizes are multiples of the stride. The steps of a stride become channels of one position.
    """
    if clip.shape[1] < _UNIT and stride == (1, 1, 1):
        return convolve(_widened(clip, weight.shape), _widened_weight(weight))
    folding = dict(zip(("st", "sh", "sw"), stride, strict=True))
    clip = rearrange(clip, "b c (t st) (h sh) (w sw) -> b (st sh sw c) t h w", **folding)
    weight = rearrange(weight, "o c (t st) (h sh) (w sw) -> o (st sh sw c) t h w", **folding)
    return convolve(clip, weight)


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
    clip = rearrange(convolve(clip, weight), "b (st sh sw o) t h w -> b o (t st) (h sh) (w sw)", **folding)
    for axis, (step, size) in enumerate(zip(stride, sizes, strict=True), start=2):
        clip = clip.narrow(axis, step - 1, size)
    return channels_last(clip)


def convolve(
    clip: Tensor, weight: Tensor, stride: tuple[int, ...] | None = None, padding: tuple[int, ...] | None = None
) -> Tensor:
    """The convolution itself, of clips or of frames ``(N, C, H, W)``, in the layout that it is fastest in."""
    axes = clip.dim() - 2
    return _Convolution.apply(
        channels_last(clip), channels_last(weight), list(stride or [1] * axes), list(padding or [0] * axes)
    )


def _widened(clip: Tensor, weight: tuple[int, ...]) -> Tensor:
    """Channels of all that a kernel of shape ``weight`` sees along time and height, and zeros for the matrix units."""
    windows = clip.unfold(2, weight[2], 1).unfold(3, weight[3], 1)
    windows = rearrange(windows, "b c t h w i j -> b (i j c) t h w")
    return functional.pad(windows, [0] * 7 + [-windows.shape[1] % _UNIT])


def _widened_weight(weight: Tensor) -> Tensor:
    """The kernel ``(O, i j C, 1, 1, W)`` for :func:`_widened`."""
    wide = rearrange(weight, "o c i j w -> o (i j c) 1 1 w")
    return functional.pad(wide, [0] * 7 + [-wide.shape[1] % _UNIT])


class _Kept(torch.autograd.Function):
    """Its input. The compiler computes it once, and not anew for each number that it goes into."""

    @staticmethod
    def forward(ctx: FunctionCtx, numbers: Tensor) -> Tensor:
        return _keep(numbers)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return _keep(gradient)


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
    """A convolution whose gradients have the layout of what they are gradients of."""

    @staticmethod
    def forward(ctx: FunctionCtx, clip: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
        ctx.save_for_backward(clip, weight)
        ctx.geometry = stride, padding
        return _convolve(clip, weight, stride, padding)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        clip, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        if len(weight) < _UNIT and clip.dim() == 5 and not any(padding) and max(stride) == 1:
            return *_gradients_of_few(gradient, clip, weight), None, None
        return *_convolve_backward(channels_last(gradient), clip, weight, stride, padding), None, None


def _gradients_of_few(gradient: Tensor, clip: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Where outputs are few: those of the input are a convolution from few channels, whose output ``clip`` is like.

    So the gradient of the weight is that of its weight, with ``clip`` in the place of the gradient.
    """
    gradient = functional.pad(gradient, [size - 1 for size in reversed(weight.shape[2:]) for _ in range(2)])
    mirrored = rearrange(weight.flip(2, 3, 4), "o c i j w -> c o i j w")
    wide, wide_weight = channels_last(_widened(gradient, weight.shape)), channels_last(_widened_weight(mirrored))
    inputs = _convolve(wide, wide_weight, [1, 1, 1], [0, 0, 0])
    _, found = _convolve_backward(clip, wide, wide_weight, [1, 1, 1], [0, 0, 0])
    found = rearrange(
        found[:, : weight[:, 0, ..., 0].numel()],  # without the zeros
        "c (i j o) 1 1 w -> o c i j w",
        o=weight.shape[0],
        j=weight.shape[3],
    )
    return inputs, found.flip(2, 3, 4)


# Operators of their own, which the compiler calls as they are, with operands in the layout that they are given in.


@torch.library.custom_op("lvdm::convolve", mutates_args=())
def _convolve(clip: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    still, none = [1] * len(stride), [0] * len(stride)
    return channels_last(torch.ops.aten.convolution(clip, weight, None, stride, padding, still, False, none, 1))


@_convolve.register_fake
def _(clip: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    geometry = zip(clip.shape[2:], weight.shape[2:], stride, padding, strict=True)
    sizes = [(size + 2 * pad - kernel) // step + 1 for size, kernel, step, pad in geometry]
    return channels_last(clip.new_empty(clip.shape[0], weight.shape[0], *sizes))


@torch.library.custom_op("lvdm::convolve_backward", mutates_args=())
def _convolve_backward(
    gradient: Tensor, clip: Tensor, weight: Tensor, stride: list[int], padding: list[int]
) -> tuple[Tensor, Tensor]:
    still, none = [1] * len(stride), [0] * len(stride)
    inputs, weights, _ = torch.ops.aten.convolution_backward(
        gradient, clip, weight, None, stride, padding, still, False, none, 1, [True, True, False]
    )
    return channels_last(inputs), channels_last(weights)


@_convolve_backward.register_fake
def _(gradient: Tensor, clip: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> tuple[Tensor, Tensor]:
    return channels_last(clip.new_empty(clip.shape)), channels_last(weight.new_empty(weight.shape))


@torch.library.custom_op("lvdm::keep", mutates_args=())
def _keep(numbers: Tensor) -> Tensor:
    return numbers.clone()


@_keep.register_fake
def _(numbers: Tensor) -> Tensor:
    return torch.empty_like(numbers)
