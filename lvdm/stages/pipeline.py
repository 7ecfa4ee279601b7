"""What a user writes (config/config.yaml); ``lvdm.stages.parts`` cuts out of it what each stage depends on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from lvdm.config import ComputeConfig, Config
from lvdm.data import recipes
from lvdm.data.config import (
    ClipConfig,
    CropConfig,
    CutConfig,
    Deinterlace,
    GroupConfig,
    OnBadVideo,
    Overlay,
    SplitConfig,
    as_written,
)
from lvdm.diffusion.config import SamplerConfig
from lvdm.evaluation.config import DetectorConfig
from lvdm.reporting.config import ReportConfig
from lvdm.stages.config import AutoencoderSettings, DemoConfig, DiffusionSettings
from lvdm.training.config import LatentScaling, check_processes

# Names become parts of file names and of rows of tables.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$")]

# Folders of the results that belong to no data set, and rows of the table that belong to no sampler.
RESERVED_DATASETS = ("benchmarks", "logs", "report", "tables")
RESERVED_MODELS = ("heldout", "noise", "real", "train")

_WEIGHTS = "With `init: imported`, the file (.safetensors, with its .json beside it) that the training starts from."
_PIN_CODE = "Do not train again when only the code of lvdm changed."
_GPUS = "GPUs a node that train together (on CPUs: processes); they share the batches of a step."
_NODES = "Machines that train together; more than 1 under SLURM."


def _check_weights(init: str, weights: Path | None) -> None:
    if (init == "imported") != (weights is not None):
        raise ValueError("give `weights`, the file to start from, with `init: imported`, and only then")


def _refuse(names: Iterable[str], reserved: tuple[str, ...]) -> None:
    for name in names:
        if name in reserved:
            raise ValueError(f"the name {name!r} is taken by the pipeline itself; choose another")


class DataSection(ClipConfig):
    """Videos to clips: what a clip is, which videos are usable, which are held out."""

    on_bad_video: OnBadVideo = Field(
        "skip",
        description="skip: use what decodes and list the rest in the manifest; fail: stop when a video cannot be used; "
        "strict: leave a damaged video out whole.",
    )
    gap: float = Field(0.5, gt=0, description="Pause between two frames, s, from which on no clip spans it.")
    deinterlace: Deinterlace = Field("auto", description="auto: frames that are flagged as interlaced.")
    overlay: Overlay = Field(
        "cover", description="Burned-in text that no crop removes: cover it, leave the video out, or keep it."
    )
    cut: CutConfig = CutConfig()
    crop: CropConfig = CropConfig()
    split: SplitConfig = SplitConfig()


class AutoencoderSection(AutoencoderSettings):
    """The video autoencoder, its training, and how it encodes."""

    weights: Path | None = Field(None, description=_WEIGHTS)
    encode_batch_size: int = Field(8, ge=1)
    pin_code: bool = Field(False, description=_PIN_CODE)
    gpus: int = Field(1, ge=1, description=_GPUS)
    nodes: int = Field(1, ge=1, description=_NODES)

    @model_validator(mode="after")
    def _weights_belong_to_init(self):
        _check_weights(self.init, self.weights)
        return self

    @model_validator(mode="after")
    def _batches_can_be_shared(self):
        check_processes(self.training, self.gpus, self.nodes)
        return self


class DiffusionSection(DiffusionSettings):
    """The latent diffusion model and its training."""

    scaling: LatentScaling | None = Field(
        None,
        description="Published shift and scale of the latents, which import-original records beside imported weights. "
        "A training from scratch measures its own.",
    )
    weights: Path | None = Field(None, description=_WEIGHTS)
    pin_code: bool = Field(False, description=_PIN_CODE)
    gpus: int = Field(1, ge=1, description=_GPUS)
    nodes: int = Field(1, ge=1, description=_NODES)

    @model_validator(mode="after")
    def _weights_belong_to_init(self):
        _check_weights(self.init, self.weights)
        return self

    @model_validator(mode="after")
    def _batches_can_be_shared(self):
        check_processes(self.training, self.gpus, self.nodes)
        return self


class SampleSection(Config):
    """Bulk sampling."""

    samplers: dict[Name, SamplerConfig] = Field({"ddim-50": SamplerConfig()}, min_length=1)
    videos: int = Field(2048, ge=2, description="Generated videos a sampler.")
    chunk_size: int = Field(256, ge=1, description="Videos a job; changes no video.")
    batch_size: int = Field(16, ge=1)
    seed: int = Field(0, ge=0, description="Video n depends on (seed, n) alone.")

    @model_validator(mode="after")
    def _names_are_free(self):
        _refuse(self.samplers, RESERVED_MODELS)
        return self


class EvaluateSection(Config):
    """Scores: every detector under every protocol."""

    detectors: dict[Name, DetectorConfig] = Field({"random3d": DetectorConfig()}, min_length=1)
    protocols: tuple[str, ...] = Field(
        ("lossless",),
        min_length=1,
        description="Protocols: names of files in config/protocols, or paths of files of your own.",
    )
    memorisation: bool = Field(True, description="Look for the training clip that is nearest to each generated one.")
    pairs: int = Field(8, ge=0, description="Closest pairs of these that the page shows, a model.")
    published: Path | None = Field(
        None, description="Numbers of papers (.csv: model, metric, value, source) that stand in the same table."
    )
    batch_size: int = Field(16, ge=1)


class ExternalConfig(Config):
    """The videos of another generator, which are scored beside ours."""

    videos: str | tuple[str, ...] | None = Field(None, description="Glob or globs of video files; ** descends.")
    frames: str | None = Field(None, description="Folder of frame folders, one a video.")
    npz: Path | None = Field(None, description="A .npz or .npy file with one array, uint8 (n, T, H, W, 3).")
    length: int | None = Field(
        None, ge=4, description="First frames kept of each video; null: all, and every video must have as many."
    )

    @model_validator(mode="after")
    def _one_source(self):
        if sum(source is not None for source in (self.videos, self.frames, self.npz)) != 1:
            raise ValueError("give one of `videos` (a glob), `frames` (a folder of frame folders) and `npz` (a file)")
        return self


class DatasetConfig(Config):
    """One data set: where its videos are, and what differs for it from the sections below."""

    recipe: str | None = Field(
        None, description="A public data set by its name in config/datasets; it fills in what is not given."
    )
    folder: str | None = Field(None, description="With `recipe`: where the data set is, in place of data/NAME.")
    fold: str | None = Field(None, description="With `recipe`: the published fold that is held out.")
    videos: str | tuple[str, ...] | None = Field(
        None, description="Glob or globs of video files, of any container that ffmpeg reads; ** descends."
    )
    frames: str | None = Field(
        None,
        description="Folder of frame folders, one per video (the layout of StyleGAN-V and Endora), or a glob of "
        "such folders.",
    )
    page: str | None = Field(None, description="Where the data set is to be had; shown when it is missing.")
    group: GroupConfig | None = Field(
        None,
        description="What belongs together and stays on one side of the split: a regular expression on the path, "
        'e.g. "(patient-\\d+)", or a mapping with `pattern`, `folder` or `table`. Null: each video by itself.',
        json_schema_extra=lambda schema: schema["anyOf"].insert(0, {"type": "string", "minLength": 1}),
    )
    override: dict[str, dict[str, Any]] = Field(
        {}, description="Sections or parts of them that differ for this data set, e.g. {data: {fps: 25}}."
    )

    @model_validator(mode="after")
    def _one_source(self):
        if (self.videos is None) == (self.frames is None):
            raise ValueError("give either `videos` (a glob), `frames` (a folder of frame folders), or a `recipe`")
        if self.recipe is None and (self.folder is not None or self.fold is not None):
            raise ValueError("`folder` and `fold` are those of a recipe; give its name as `recipe`")
        return self


class PipelineConfig(Config):
    """The whole pipeline: data sets, and the sections that hold for all of them."""

    results: Path = Field(Path("results"), description="Folder that everything is written to.")
    cache: Path = Field(Path("cache"), description="Folder of the networks that are fetched, for all data sets.")
    fewer_videos: bool = Field(
        False,
        strict=False,  # Snakemake's --config gives the word "true"
        description="Accept that more than a tenth of a data set is gone since the last run, for which otherwise a "
        "disk that is not mounted is suspected; for one run, with --config fewer_videos=true.",
    )
    datasets: dict[Name, DatasetConfig] = Field(min_length=1)
    data: DataSection = DataSection()
    autoencoder: AutoencoderSection = AutoencoderSection()
    diffusion: DiffusionSection = DiffusionSection()
    sample: SampleSection = SampleSection()
    evaluate: EvaluateSection = EvaluateSection()
    external: dict[Name, ExternalConfig] = Field({}, description="Other generators by name; usually in an override.")
    report: ReportConfig = ReportConfig()
    compute: ComputeConfig = ComputeConfig()
    demo: DemoConfig | None = None

    @classmethod
    def complete(cls, data: Any) -> Any:
        """With what the recipes of data sets say."""
        if not isinstance(data, dict) or not isinstance(data.get("datasets"), dict):
            return data
        return {**data, "datasets": {name: recipes.complete(name, entry) for name, entry in data["datasets"].items()}}

    @model_validator(mode="after")
    def _names_are_free(self):
        _refuse(self.datasets, RESERVED_DATASETS)
        _refuse(self.external, (*RESERVED_MODELS, *self.sample.samplers))
        return self

    @model_validator(mode="after")
    def _shapes_agree(self):
        autoencoder, diffusion = self.autoencoder.model, self.diffusion
        time, height, width = autoencoder.downsample
        if self.data.length % time or self.data.height % height or self.data.width % width:
            raise ValueError(
                f"data.length {self.data.length} and data.resolution {as_written(self.data.resolution)} must be "
                f"multiples of autoencoder.model's reduction {autoencoder.downsample}"
            )
        if diffusion.task == "unconditional" and self.window != self.data.length:
            raise ValueError(
                f"diffusion.model.temporal_length is {diffusion.model.temporal_length} and diffusion.latent_stride "
                f"{diffusion.latent_stride}, but a clip of {self.data.length} frames has {self.data.length // time} "
                "latent frames; set them to that and 1"
            )
        channels = autoencoder.latent_channels
        if (diffusion.model.in_channels, diffusion.model.out_channels) != (channels, channels):
            raise ValueError(
                f"diffusion.model.in_channels and out_channels must be autoencoder.model.latent_channels ({channels})"
            )
        return self

    @property
    def window(self) -> int:
        """Frames of the windows that the diffusion model is trained on: more than a clip for sparse key frames."""
        reduction = self.autoencoder.model.downsample[0]
        return self.diffusion.model.temporal_length * self.diffusion.latent_stride * reduction
