"""Exponential moving average of weights."""

import copy

import torch
from torch import Tensor, nn


class AveragedModel(nn.Module):
    """A copy of ``model`` whose weights follow it slowly.

    Update ``n`` (from 1) moves the average by ``1 - min(decay, (1 + n) / (10 + n))`` of the way, as LVDM does: early
    averages are not held back by the initial weights. A ``decay`` of 0 copies. The state is that of the
    model, and ``n`` comes from outside, so a training resumes exactly.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.average = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, n: int) -> None:
        """Follow ``model`` after its update number ``n``."""
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        averaged, current = list(self.average.parameters()), list(model.parameters())
        if weight == 1:
            torch._foreach_copy_(averaged, current)
        else:
            torch._foreach_lerp_(averaged, current, weight)
        for mine, theirs in zip(self.average.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        """The averaged model."""
        return self.average(*inputs, **named)
