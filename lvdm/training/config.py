"""Configuration of the training loops."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lvdm.config import Config, NetworkFile
from lvdm.diffusion.config import FrameConditionConfig, ObjectiveConfig, ScheduleConfig, Task
from lvdm.models.config import UNetConfig

BatchSize = Annotated[int, Field(ge=1)] | Literal["auto"]
_BATCH_SIZE = "Clips computed at a time; auto: the most that fit the GPU, which `clips_per_step` is cut into."
_ACCUMULATE = "Batches whose gradients are added up for one step; follows from `batch_size: auto`."


class AutoencoderLossConfig(Config):
    """Reconstruction, perceptual, adversarial and KL terms (VQGAN/LDM recipe, as LVDM uses it)."""

    perceptual: NetworkFile | None = Field(
        None, description="TorchScript VGG16 (vgg16.pt of NVIDIA's metrics) for LPIPS; null leaves the term out."
    )
    perceptual_weight: float = Field(1.0, ge=0)
    kl_weight: float = Field(0.0, ge=0)
    disc_start: int = Field(50001, ge=0, description="Step from which the adversarial term counts.")
    disc_weight: float = Field(0.5, ge=0)


class TrainingConfig(Config):
    """One training run. A step is one optimiser update of `batch_size * accumulate` clips, or of `clips_per_step`."""

    steps: int = Field(100_000, ge=0)
    batch_size: BatchSize = Field(3, description=_BATCH_SIZE)
    accumulate: int = Field(1, ge=1, description=_ACCUMULATE)
    clips_per_step: int | None = Field(
        None, ge=1, description="With `batch_size: auto`, the clips of a step, however many are computed at a time."
    )
    learning_rate: float = Field(6e-5, gt=0)
    warmup_steps: int = Field(0, ge=0, description="Steps over which the learning rate rises from 0.")
    decay: Literal["constant", "cosine"] = Field(
        "constant", description="Course of the learning rate after the warm-up; cosine ends at 0."
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's moment decays.")
    weight_decay: float = Field(0.0, ge=0)
    gradient_clip: float | None = Field(None, gt=0, description="Largest norm of the gradient.")
    log_every: int = Field(50, ge=1, description="Steps between two rows of the training curve.")
    validate_every: int = Field(1000, ge=1, description="Steps between two looks at the held-out clips.")
    validate_clips: int = Field(256, ge=1, description="Held-out clips looked at, at most.")
    picture_clips: int = Field(4, ge=1, le=32, description="Clips in a picture of reconstructions or samples.")
    checkpoint_every: float = Field(15.0, gt=0, description="Minutes between two checkpoints.")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _clips_of_a_step_are_stated_once(self):
        # Left out: a configuration that is read back from a file states all defaults.
        left_out = type(self).model_fields["accumulate"].default
        if self.batch_size != "auto" and self.clips_per_step is not None:
            raise ValueError(
                "`clips_per_step` goes with `batch_size: auto`; with a number, leave it out and set `accumulate`: a "
                "step is of `batch_size` x `accumulate` clips"
            )
        if self.batch_size == "auto" and (self.clips_per_step is None or self.accumulate != left_out):
            raise ValueError(
                "`batch_size: auto` needs `clips_per_step`, the clips of a step, and no `accumulate`, which follows: "
                f"leave that one out (or at its default, {left_out})"
            )
        return self


def check_processes(training: TrainingConfig, gpus: int, nodes: int) -> None:
    """Raises ``ValueError`` where ``gpus`` on each of ``nodes`` cannot share the batches of a step equally.

    With ``batch_size: auto``, where they cannot share its clips.
    """
    if gpus < 1 or nodes < 1:
        raise ValueError(f"`gpus` is {gpus} and `nodes` {nodes}; each must be at least 1")
    processes = gpus * nodes
    if training.batch_size == "auto":
        key, count, what, step = "clips_per_step", training.clips_per_step, "clips", "`clips_per_step`"
    else:
        key, count, what, step = "accumulate", training.accumulate, "batches", "`batch_size` x `accumulate`"
    if count % processes:
        nearest = -(-count // processes) * processes
        raise ValueError(
            f"`training.{key}` is {count}, and {processes} processes (`gpus` {gpus} x `nodes` {nodes}) share the "
            f"{what} of a step: make it a multiple, such as {nearest}; a step is of {step} clips, whatever their number"
        )


class AutoencoderTrainingConfig(TrainingConfig):
    """The same, with the published values of the autoencoder where none are given."""

    batch_size: BatchSize = Field(1, description=_BATCH_SIZE)
    accumulate: int = Field(2, ge=1, description=_ACCUMULATE)
    learning_rate: float = Field(3.6e-5, gt=0)
    betas: tuple[float, float] = Field((0.5, 0.9), description="Adam's moment decays.")


class DiffusionTrainingConfig(TrainingConfig):
    """The same, with averaged weights, which are those that sample, and the decay of the published runs."""

    weight_decay: float = Field(0.01, ge=0)
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="Decay of the averaged weights; 0: none.")


class LatentScaling(Config):
    """The affine map to the latents that the denoiser sees: z = scale * (latent + shift)."""

    shift: float
    scale: float = Field(gt=0)
    clips: int | None = Field(None, ge=1, description="Training windows that it was measured on; null: it was given.")

    def normalise(self, latent):
        """The autoencoder's ``latent`` (a number, array or tensor) as the denoiser sees it."""
        return self.scale * (latent + self.shift)

    def restore(self, z):
        """Inverse of :meth:`normalise`."""
        return z / self.scale - self.shift


class DiffusionModelConfig(Config):
    """A latent diffusion model: what lies beside its weights, and all that sampling needs to know of it."""

    model: UNetConfig
    schedule: ScheduleConfig
    objective: ObjectiveConfig
    task: Task = "unconditional"
    condition: FrameConditionConfig = FrameConditionConfig()
    latent_stride: int = Field(1, ge=1, description="Latent frames of a video from one of the model's to the next.")
    latent_shape: tuple[int, int, int, int] = Field(description="Channels, frames, height and width of a latent.")
    scaling: LatentScaling
