"""What the network predicts, how that turns into a clean latent and noise, and how its error is measured."""

from typing import Literal, NamedTuple

from torch import Tensor

Parameter = Literal["eps", "x0", "v"]


class Prediction(NamedTuple):
    """Two views of one guess: ``x = alpha x0 + sigma eps``."""

    x0: Tensor
    eps: Tensor


def diffuse(x0: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
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

    ``alpha`` and ``sigma`` with ``alpha^2 + sigma^2 = 1`` and neither 0 where it divides.
    """
    match parameter:
        case "eps":
            return Prediction(x0=(x - sigma * output) / alpha, eps=output)
        case "x0":
            return Prediction(x0=output, eps=(x - alpha * output) / sigma)
        case "v":
            return Prediction(x0=alpha * x - sigma * output, eps=sigma * x + alpha * output)


def error(kind: Literal["l1", "l2"], output: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute or squared difference of each clip: ``(B, ...)`` to ``(B,)``."""
    difference = output - wanted
    return (difference.abs() if kind == "l1" else difference.square()).flatten(1).mean(dim=1)
