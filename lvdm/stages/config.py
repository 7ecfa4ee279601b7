"""The configuration of each stage: what its results depend on besides its inputs.

``lvdm.stages.pipeline`` cuts these out of what a user writes.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from lvdm.config import ComputeConfig, Config
from lvdm.data.config import ClipConfig, CropConfig, CuttingConfig, Deinterlace, Overlay, Resolution
from lvdm.diffusion.config import (
    FrameConditionConfig,
    ObjectiveConfig,
    SamplerConfig,
    ScheduleConfig,
    Task,
    check_objective,
)
from lvdm.evaluation.config import DetectorConfig, MetricsConfig, ResizeConfig, SelectionConfig
from lvdm.models.config import AnyAutoencoderConfig, AutoencoderConfig, DiscriminatorConfig, UNetConfig
from lvdm.reporting.config import DatasetFiles, ReportConfig
from lvdm.training.config import (
    AutoencoderLossConfig,
    AutoencoderTrainingConfig,
    DiffusionTrainingConfig,
    TrainingConfig,
)

Init = Literal["scratch", "imported"]
_INIT = "scratch: random weights; imported: those of another file, taken as they are with training.steps 0."


# What decides no weight of any training. `indifferent` of its configuration is the one place that says so: these keys
# are in no frozen file and in no identity of a run. tests/stages/test_identity.py tries each key there is.
_INDIFFERENT = (
    *(
        f"training.{key}"
        for key in ("log_every", "validate_every", "validate_clips", "picture_clips", "checkpoint_every")
    ),
    # Where it is computed, which may change from one attempt to the next: that is another rounding, at most.
    *(f"compute.{key}" for key in ("device", "compile", "threads", "workers")),
)


def _check_init(init: Init, training: TrainingConfig) -> None:
    if init == "scratch" and training.steps == 0:
        raise ValueError("`training.steps` 0 takes imported weights as they are; from scratch train at least 1 step")


class DemoConfig(Config):
    """The synthetic endoscopy videos of the demo (stage make-demo-videos)."""

    patients: int = Field(12, ge=1)
    frames: int = Field(64, ge=8)
    size: tuple[int, int] = Field((128, 128), description="Height and width, pixels.")
    fps: float = Field(15.0, gt=0)
    panel_every: int = Field(
        3, ge=0, description="Every how many patients the picture lies on a black canvas with burned-in text; 0: never."
    )
    seed: int = Field(0, ge=0)


class CropStageConfig(Config):
    """Stage crop."""

    crop: CropConfig = CropConfig()
    overlay: Overlay = "cover"


class ProbeConfig(CuttingConfig):
    """Stage probe."""

    crop: CropConfig = CropConfig()
    deinterlace: Deinterlace = "auto"


class ExtractConfig(CuttingConfig):
    """Stage extract."""

    crop: CropConfig = CropConfig()
    deinterlace: Deinterlace = "auto"


class ShardConfig(Config):
    """Stage shard."""

    resolution: Resolution = 128


class AutoencoderSettings(Config):
    """The video autoencoder and its training."""

    model: AnyAutoencoderConfig = AutoencoderConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    loss: AutoencoderLossConfig = AutoencoderLossConfig()
    training: AutoencoderTrainingConfig = AutoencoderTrainingConfig()
    init: Init = Field("scratch", description=_INIT)

    @model_validator(mode="after")
    def _something_is_trained(self):
        _check_init(self.init, self.training)
        return self


class TrainAutoencoderConfig(AutoencoderSettings):
    """Stage train-autoencoder."""

    indifferent: ClassVar[tuple[str, ...]] = (
        *_INDIFFERENT,
        "clip.fps",  # the shards have it
        *(f"loss.perceptual.{key}" for key in ("url", "path", "licence")),  # the content of the file is what counts
    )

    clip: ClipConfig = ClipConfig()
    compute: ComputeConfig = ComputeConfig()


class EncodeConfig(Config):
    """Stage encode: posterior moments of every window."""

    clip: ClipConfig = ClipConfig()
    batch_size: int = Field(8, ge=1)
    compute: ComputeConfig = ComputeConfig()


class DiffusionSettings(Config):
    """The latent diffusion model and its training."""

    model: UNetConfig = UNetConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    task: Task = Field(
        "unconditional",
        description="unconditional: whole clips; prediction, interpolation: also clips with given frames.",
    )
    condition: FrameConditionConfig = FrameConditionConfig()
    latent_stride: int = Field(
        1, ge=1, description="Every how many latent frames of a window are kept; above 1 for sparse key frames."
    )
    training: DiffusionTrainingConfig = DiffusionTrainingConfig()
    preview_sampler: SamplerConfig = SamplerConfig(method="dpm-solver++", steps=20)
    init: Init = Field("scratch", description=_INIT)

    @model_validator(mode="after")
    def _something_is_trained(self):
        _check_init(self.init, self.training)
        return self

    @model_validator(mode="after")
    def _parts_fit(self):
        check_objective(self.schedule, self.objective)
        levels, length = self.model.noise_levels, self.model.temporal_length
        if self.task == "unconditional" and levels:
            raise ValueError("`model.noise_levels` is for the tasks prediction and interpolation; leave it out")
        if self.task != "unconditional" and levels <= self.condition.max_noise_level:
            raise ValueError(
                f"for task {self.task} set `model.noise_levels` to `condition.max_noise_level` + 1, "
                f"{self.condition.max_noise_level + 1} (it is {levels})"
            )
        if self.task != "unconditional" and self.condition.max_noise_level > self.schedule.steps:
            raise ValueError(f"`condition.max_noise_level` must be at most `schedule.steps`, {self.schedule.steps}")
        if self.task == "prediction" and max(self.condition.given) >= length:
            raise ValueError(f"`condition.given` must stay below `model.temporal_length`, {length}")
        if self.task == "interpolation" and length < 3:
            raise ValueError("`model.temporal_length` must be at least 3 to have a frame between two given ones")
        return self


class TrainDiffusionConfig(DiffusionSettings):
    """Stage train-diffusion."""

    indifferent: ClassVar[tuple[str, ...]] = (*_INDIFFERENT, "preview_sampler", "model.checkpointing")

    compute: ComputeConfig = ComputeConfig()


class SampleConfig(Config):
    """Stage sample: one sampler."""

    sampler: SamplerConfig = SamplerConfig()
    batch_size: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    compute: ComputeConfig = ComputeConfig()


class PreviewConfig(Config):
    """Stage preview: H.264 files for people, from uint8 clips."""

    clip: ClipConfig = ClipConfig()
    videos: int = Field(8, ge=1)
    fps: float = Field(8.0, gt=0)
    size: int = Field(128, ge=32, multiple_of=2)


class ImportClipsConfig(Config):
    """Stage import-clips: the videos of another generator."""

    length: int | None = Field(
        None, ge=4, description="First frames kept of each video; null: all, and every video must have as many."
    )


class FeaturesConfig(Config):
    """Stage features: one detector on the clips of one side of a protocol."""

    detector: DetectorConfig = DetectorConfig()
    clip: ClipConfig = Field(ClipConfig(), description="Length and stride of the protocol; resolution as compared.")
    selection: SelectionConfig = SelectionConfig()
    resize: ResizeConfig | None = None
    everything: bool = Field(False, description="Features of all windows too, to look for the nearest clip among.")
    runs: int = Field(1, ge=1)
    seed: int = Field(0, ge=0)
    batch_size: int = Field(16, ge=1)
    compute: ComputeConfig = ComputeConfig()


class ScoreConfig(Config):
    """Stage score: the metrics of two sets of features."""

    dataset: str
    protocol_name: str
    detector_name: str
    detector: DetectorConfig = DetectorConfig()
    metrics: MetricsConfig = MetricsConfig()
    seed: int = Field(0, ge=0)
    threads: int = Field(2, ge=1, description="Of linear algebra; fixed, as in section compute.")


class MemoriseConfig(Config):
    """Stage memorise: the nearest training clip of each generated one."""

    clip: ClipConfig = Field(ClipConfig(), description="Length and stride of the real clips.")
    fake_stride: int = Field(1, ge=1)
    pairs: int = Field(8, ge=0, description="Closest pairs whose clips are written, for the page.")


class ReportStageConfig(Config):
    """Stage report."""

    datasets: tuple[DatasetFiles, ...]
    report: ReportConfig = ReportConfig()
