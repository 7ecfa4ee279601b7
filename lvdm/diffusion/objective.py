"""What the network predicts, how that turns into a clean latent and noise, and how its error is measured."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Parameter = Literal["eps", "x0", "v"]


class Prediction(NamedTuple):
    """Two views of one guess: ``x = alpha x0 + sigma eps``."""

    x0: Tensor
    eps: Tensor


def diffuse(x0: Tensor, eps: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
    """The noisy latent: ``alpha x0 + sigma eps`` (Ho et al. 2020, equation 4)."""
    return alpha * x0 + sigma * eps


def target(parameter: Parameter, x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the network should return; ``v = alpha eps - sigma x0`` (Salimans and Ho 2022, section 2.4)."""
    match parameter:
        case "eps":
            return eps
        case "x0":
            return x0
        case "v":
            return alpha * eps - sigma * x0


def predict(
    parameter: Parameter, output: Tensor, x: Tensor, alpha: Tensor | float, sigma: Tensor | float
) -> Prediction:
    """The network's ``output`` for the noisy latent ``x`` as clean latent and noise; the inverse of :func:`target`.

    ``alpha^2 + sigma^2 = 1``, ``sigma`` is positive, and so is ``alpha`` for ``eps``.
    """
    match parameter:
        case "eps":
            return Prediction(x0=(x - sigma * output) / alpha, eps=output)
        case "x0":
            return Prediction(x0=output, eps=(x - alpha * output) / sigma)
        case "v":
            return Prediction(x0=alpha * x - sigma * output, eps=sigma * x + alpha * output)


def weight(parameter: Parameter, alpha: Tensor, sigma: Tensor, gamma: float | None) -> Tensor:
    """The min-SNR weight of a squared error, shaped like ``alpha`` and ``sigma``.

    Each weighs the error of the clean latent by ``min(SNR, gamma)``, with ``SNR = alpha^2 / sigma^2`` (Hang et al.
    2023, section 3.4); the error of ``eps`` is SNR times that of ``x0``, and of ``v`` SNR + 1 times. 1 for ``gamma``
    None. At a level without signal the weight is 0 for ``x0`` and ``v``: it is learnt from its neighbours.
    """
    if gamma is None:
        return torch.ones_like(alpha)
    snr = (alpha / sigma).square()
    match parameter:
        case "eps":
            return (gamma / snr).clamp(max=1)
        case "x0":
            return snr.clamp(max=gamma)
        case "v":
            return snr.clamp(max=gamma) / (snr + 1)


def error(kind: Literal["l1", "l2"], output: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute or squared difference of each clip, ``(B, ...)`` to ``(B,)``.

    ``weight``, broadcastable to ``(B, ...)``, multiplies the differences before the mean.
    """
    difference = output - wanted
    difference = difference.abs() if kind == "l1" else difference.square()
    if weight is not None:
        difference = weight * difference
    return difference.flatten(1).mean(dim=1)
