"""Configuration of the diffusion process, its conditions and its samplers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lvdm.config import Config

Task = Literal["unconditional", "prediction", "interpolation"]
"""Which latent frames a model is given: none, the first ones, or the first and the last."""


class ScheduleConfig(Config):
    """Noise schedule; LVDM's is linear in the square root of beta."""

    kind: Literal["linear", "cosine"] = "linear"
    steps: int = Field(1000, ge=2)
    beta_start: float = Field(0.0015, gt=0, lt=1)
    beta_end: float = Field(0.0155, gt=0, lt=1)
    zero_terminal_snr: bool = Field(
        False, description="Rescale so that nothing of the latent is left at the last level; not for eps."
    )


class ObjectiveConfig(Config):
    """What the denoiser predicts and how its error is measured."""

    prediction: Literal["eps", "x0", "v"] = "eps"
    loss: Literal["l1", "l2"] = "l1"
    min_snr_gamma: float | None = Field(
        None, gt=0, description="Weigh noise levels by min(SNR, gamma), usually 5; null: all alike."
    )


def check_objective(schedule: ScheduleConfig, objective: ObjectiveConfig) -> None:
    """Raises ``ValueError`` for a schedule that the objective cannot be sampled on."""
    if schedule.zero_terminal_snr and objective.prediction == "eps":
        raise ValueError(
            "objective.prediction is `eps`, but with schedule.zero_terminal_snr the last level is noise alone, from "
            "which a guess of the noise tells no latent; set objective.prediction to `v` or `x0`"
        )


class FrameConditionConfig(Config):
    """Given frames in training (LVDM, section 3.3)."""

    share: float = Field(0.5, ge=0, le=1, description="Of the clips that have given frames; the rest has none.")
    given: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1,), min_length=1, description="Prediction: numbers of leading latent frames that are given, equally likely."
    )
    max_noise_level: int = Field(
        250, ge=1, description="Given frames are perturbed to a noise level below this one, drawn uniformly."
    )


class SamplerConfig(Config):
    """One way to turn noise into latents."""

    method: Literal["ddpm", "ddim", "dpm-solver++", "euler", "heun"] = "ddim"
    steps: int = Field(
        50,
        ge=1,
        description="Noise levels visited. Each costs one evaluation of the denoiser; Heun's all but the last, two.",
    )
    eta: float = Field(0.0, ge=0, le=1, description="DDIM only: 0 is deterministic, 1 as noisy as DDPM.")

    @property
    def evaluations(self) -> int:
        """Of the denoiser, for one latent; Heun needs one less where the last level is noise alone."""
        return 2 * self.steps - 1 if self.method == "heun" else self.steps

    @model_validator(mode="after")
    def _eta_belongs_to_ddim(self):
        if self.eta and self.method != "ddim":
            raise ValueError("`eta` belongs to method `ddim` only")
        return self
