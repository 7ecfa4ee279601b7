"""Noise of a batch of clips, each from a generator of its own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Noise = Callable[[int], Tensor]
"""The standard normal draw of a step of a sampler, by the number of the step."""


def batch_noise(generators: Sequence[torch.Generator | None], shape: tuple[int, ...], device: torch.device) -> Noise:
    """Standard normal draws ``(B, *shape)`` on ``device``, row ``n`` from generator ``n`` alone, one after another.

    The generators are on the CPU, so that a clip depends neither on the rest of the batch nor on the device. None
    fills a row that nobody looks at with zeros.
    """

    def noise(_: int) -> Tensor:
        draws = [torch.zeros(shape) if one is None else torch.randn(shape, generator=one) for one in generators]
        batch = torch.stack(draws)
        if device.type == "cuda":
            batch = batch.pin_memory()  # else the copy waits for all that the device was given before
        return batch.to(device, non_blocking=True)

    return noise
