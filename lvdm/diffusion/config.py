"""Configuration of the diffusion process and its samplers."""

from typing import Literal

from pydantic import Field, model_validator

from lvdm.config import Config


class ScheduleConfig(Config):
    """Noise schedule; LVDM's is linear in the square root of beta."""

    kind: Literal["linear", "cosine"] = "linear"
    steps: int = Field(1000, ge=2)
    beta_start: float = Field(0.0015, gt=0, lt=1)
    beta_end: float = Field(0.0155, gt=0, lt=1)


class ObjectiveConfig(Config):
    """What the denoiser predicts and how its error is measured."""

    prediction: Literal["eps", "x0", "v"] = "eps"
    loss: Literal["l1", "l2"] = "l1"


class SamplerConfig(Config):
    """One way to turn noise into latents."""

    method: Literal["ddpm", "ddim", "dpm-solver++"] = "ddim"
    steps: int = Field(50, ge=1, description="Evaluations of the denoiser.")
    eta: float = Field(0.0, ge=0, le=1, description="DDIM only: 0 is deterministic, 1 as noisy as DDPM.")

    @model_validator(mode="after")
    def _eta_belongs_to_ddim(self):
        if self.eta and self.method != "ddim":
            raise ValueError("`eta` belongs to method `ddim` only")
        return self
