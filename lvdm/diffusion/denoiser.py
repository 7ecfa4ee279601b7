"""One interface between networks and samplers: ``denoise(x, t) -> Prediction``."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lvdm.diffusion.objective import Parameter, Prediction, predict
from lvdm.diffusion.schedule import Schedule

Denoise = Callable[[Tensor, int], Prediction]
"""A guess of clean latent and noise for ``x (B, ...)`` that is wholly at noise level ``t``."""


@dataclass(frozen=True)
class Denoiser:
    """A network as a :data:`Denoise`.

    ``network(x (B, ...), t (B,))`` returns what ``parameter`` says. It may compute in lower precision; the
    prediction is in the precision of ``x``.
    """

    network: Callable[[Tensor, Tensor], Tensor]
    schedule: Schedule
    parameter: Parameter

    def __call__(self, x: Tensor, t: int) -> Prediction:
        """``x (B, ...)`` at noise level ``t``."""
        times = torch.full((len(x),), t, dtype=torch.long, device=x.device)
        output = self.network(x, times).to(x.dtype)
        return predict(self.parameter, output, x, *self.schedule.level(t))
