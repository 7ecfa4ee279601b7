"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) by VGG16, level by level, in a form that a compiler makes fast.

A TorchScript network is beyond ``torch.compile``, and spends most of its time between the convolutions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, product

import torch
from torch import Tensor
from torch.nn import functional

_DEPTHS = (2, 2, 3, 3, 3)  # convolutions of VGG16 between two pools; features are taken after the last of each
_EPS = 1e-10
# Mean and deviation of levels in [0, 255] by channel: those of ImageNet, and those that give [-1, 1].
_NORMALISATIONS = (
    ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
)
_TOLERANCE = 1e-4  # other weights or another input make differences of per cents; float32 makes some of 1e-6


@dataclass(frozen=True, eq=False)
class Lpips:
    """The numbers of the network.

    ``kernels (O, I, 3, 3)`` and ``biases (O,)`` of the 13 convolutions; ``weights (C,)`` of the squared differences at
    the five depths; ``mean`` and ``deviation (3, 1, 1)`` of levels in [0, 255].
    """

    kernels: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    mean: Tensor
    deviation: Tensor

    def distance(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distance (N,) of ``images`` to ``targets`` (N, 3, H, W) in [-1, 1]; differentiable in ``images`` only.

        Convolutions run in the type that autocast chooses, all else in float32.
        """
        images, targets = self._normalised(images), self._normalised(targets.detach())
        distances = images.new_zeros(len(images))
        first = 0
        for depth, weights in zip(_DEPTHS, self.weights, strict=True):
            if first > 0:
                images, targets = functional.max_pool2d(images, 2), functional.max_pool2d(targets, 2)
            for layer in range(first, first + depth):
                images, targets = self._convolved(images, layer), self._convolved(targets, layer)
            first += depth
            difference = _unit_length(images) - _unit_length(targets)
            weighted = difference.square() * weights[:, None, None]
            distances = distances + weighted.sum(dim=1).mean(dim=(1, 2))
        return distances

    def to(self, device: torch.device | str) -> "Lpips":
        """The same on ``device``, the kernels in the layout that makes convolutions fast there."""
        kernels = (kernel.to(device, memory_format=torch.channels_last) for kernel in self.kernels)
        return Lpips(
            tuple(kernels),
            tuple(bias.to(device) for bias in self.biases),
            tuple(weights.to(device) for weights in self.weights),
            self.mean.to(device),
            self.deviation.to(device),
        )

    def _normalised(self, images: Tensor) -> Tensor:
        return (levels(images) - self.mean) / self.deviation

    def _convolved(self, x: Tensor, layer: int) -> Tensor:
        return functional.conv2d(x, self.kernels[layer], self.biases[layer], padding=1).relu()


def levels(images: Tensor) -> Tensor:
    """``images`` in [-1, 1] as levels in [0, 255], float32."""
    return (images.float() + 1) * 127.5


def find_lpips(state: dict[str, Tensor], distance: Callable[[Tensor, Tensor], Tensor]) -> Lpips | None:
    """The network that ``distance`` is by, where it is LPIPS by VGG16; else None.

    ``state`` is that network's, of any names, and ``distance`` what :meth:`Lpips.distance` replaces. A state does not
    tell how images are normalised, and whether the weights are to be squared: each possibility is compared with
    ``distance`` on random images. All on the CPU, because GPUs multiply float32 in fewer digits.
    """
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(4, 3, 64, 64, generator=generator) * 2 - 1
    shares = torch.tensor([0.03, 0.1, 0.3, 1.0])[:, None, None, None]
    images = torch.lerp(targets, torch.rand(targets.shape, generator=generator) * 2 - 1, shares)
    with torch.no_grad():
        wanted = distance(images, targets)
        for candidate in _candidates(state):
            if torch.allclose(candidate.distance(images, targets), wanted, rtol=_TOLERANCE, atol=0):
                return candidate
    return None


def _candidates(state: dict[str, Tensor]) -> Iterator[Lpips]:
    state = {name: value.detach().float() for name, value in state.items()}
    names = [name.removesuffix("weight") for name, value in state.items() if value.shape[2:] == (3, 3)]
    if len(names) != sum(_DEPTHS) or not {f"{name}bias" for name in names} <= state.keys():
        return
    kernels, biases = ([state.pop(f"{name}{part}") for name in names] for part in ("weight", "bias"))
    outputs = [len(kernel) for kernel in kernels]
    if [kernel.shape[1] for kernel in kernels] != [3, *outputs[:-1]]:
        return
    channels = [outputs[last - 1] for last in accumulate(_DEPTHS)]
    vectors = [value.flatten() for value in state.values() if value.numel() in channels]
    if [len(vector) for vector in vectors] == channels:
        weightings = [vectors, [vector.square() for vector in vectors]]
    else:
        weightings = [[torch.ones(size) for size in channels]]
    for weights, (mean, deviation) in product(weightings, _NORMALISATIONS):
        yield Lpips(
            tuple(kernels),
            tuple(biases),
            tuple(weights),
            torch.tensor(mean)[:, None, None],
            torch.tensor(deviation)[:, None, None],
        )


def _unit_length(x: Tensor) -> Tensor:
    """``x (N, C, H, W)`` of unit length along the channels, float32."""
    x = x.float()
    return x * (x.square().sum(dim=1, keepdim=True) + _EPS).rsqrt()
