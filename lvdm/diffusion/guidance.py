"""Classifier-free guidance (Ho and Salimans 2022)."""

from torch import Tensor

from lvdm.diffusion.denoiser import Denoise
from lvdm.diffusion.objective import Prediction


def guided(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """The guess ``unconditional + scale (conditional - unconditional)``.

    ``scale`` 1 is ``conditional`` itself and 0 is ``unconditional`` itself, neither with a second evaluation; above 1
    the condition counts for more than the model learnt. The papers write ``(1 + w) conditional - w unconditional``
    (LVDM, section 3.3.3): ``scale`` is ``1 + w``.
    """
    if scale == 1:
        return conditional
    if scale == 0:
        return unconditional

    def denoise(x: Tensor, t: int) -> Prediction:
        with_condition, without = conditional(x, t), unconditional(x, t)
        return Prediction(
            x0=without.x0 + scale * (with_condition.x0 - without.x0),
            eps=without.eps + scale * (with_condition.eps - without.eps),
        )

    return denoise
