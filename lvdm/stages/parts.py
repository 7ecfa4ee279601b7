"""The part of a user's configuration that each stage depends on.

A stage sees nothing else, so a change elsewhere cannot make it stale.
"""

from collections.abc import Callable
from typing import Any, Literal

from lvdm.config import Config, ConfigError, NetworkFile, merge, parse
from lvdm.data.config import ClipConfig
from lvdm.evaluation.config import DetectorConfig, ProtocolConfig, SelectionConfig
from lvdm.stages.config import (
    AutoencoderSettings,
    CropStageConfig,
    DiffusionSettings,
    EncodeConfig,
    ExtractConfig,
    FeaturesConfig,
    ImportClipsConfig,
    MemoriseConfig,
    PreviewConfig,
    ProbeConfig,
    SampleConfig,
    ScoreConfig,
    ShardConfig,
    TrainAutoencoderConfig,
    TrainDiffusionConfig,
)
from lvdm.stages.pipeline import PipelineConfig

# The clips of a protocol: real, generated, or the real ones of one split.
Side = Literal["real", "fake", "reference"]


def for_dataset(pipeline: PipelineConfig, dataset: str) -> PipelineConfig:
    """The pipeline's configuration as it holds for one data set, its overrides laid over the sections."""
    override = pipeline.datasets[dataset].override
    sections = set(PipelineConfig.model_fields) - {"results", "cache", "fewer_videos", "datasets", "demo"}
    for section in override:
        if section not in sections:
            raise ConfigError(f"datasets.{dataset}.override.{section}: no such section; there are {sorted(sections)}")
    merged = merge(pipeline.model_dump(mode="json"), override)
    return parse(PipelineConfig, merged, source=f"datasets.{dataset}.override")


def stage_config(pipeline: PipelineConfig, dataset: str, stage: str, name: str = "") -> Config:
    """The part of the configuration that one stage of one data set depends on.

    ``name`` is the sampler of stage ``sample`` and the generator of stage ``import-clips``. What the stages of the
    scores depend on is also in a protocol: see ``features_config``, ``score_config`` and ``memorise_config``.
    """
    whole = for_dataset(pipeline, dataset)
    return _STAGES[stage](whole, dataset, name)


def features_config(whole: PipelineConfig, protocol: ProtocolConfig, detector: str, side: Side) -> FeaturesConfig:
    """The part that the features of one side of a protocol depend on: of ``whole``, a data set's configuration.

    ``reference`` is the real clips of one split: those that the protocol would choose, and where memorised clips
    are looked for, all others too.
    """
    generated = side == "fake"
    chosen: SelectionConfig = protocol.fake if generated else protocol.real
    clip = _clip(whole).replace(
        length=protocol.length or whole.data.length,
        stride=protocol.fake.stride if generated else protocol.real.stride or whole.data.stride,
        resolution=protocol.resize.size if protocol.resize else whole.data.resolution,
    )
    network = _detector(whole, detector)
    return FeaturesConfig(
        detector=network,
        clip=clip,
        selection=SelectionConfig(**_section(chosen, *SelectionConfig.model_fields)),
        resize=protocol.resize,
        everything=side == "reference" and whole.evaluate.memorisation and network.compares_clips,
        runs=protocol.runs,
        seed=protocol.seed,
        batch_size=whole.evaluate.batch_size,
        compute=whole.compute,
    )


def score_config(
    whole: PipelineConfig, dataset: str, name: str, protocol: ProtocolConfig, detector: str
) -> ScoreConfig:
    """The part that the scores of one detector under the protocol ``name`` depend on, besides the features."""
    return ScoreConfig(
        dataset=dataset,
        protocol_name=name,
        detector_name=detector,
        detector=_detector(whole, detector),
        metrics=protocol.metrics,
        seed=protocol.seed,
        threads=whole.compute.threads,
    )


def memorise_config(whole: PipelineConfig, protocol: ProtocolConfig, detector: str) -> MemoriseConfig:
    """The part that the nearest training clips depend on, besides the features."""
    return MemoriseConfig(
        clip=features_config(whole, protocol, detector, "reference").clip,
        fake_stride=protocol.fake.stride,
        pairs=whole.evaluate.pairs,
    )


def _detector(whole: PipelineConfig, name: str) -> DetectorConfig:
    """A detector without the note on the licence of its file, as another wording changes no number."""
    detector = whole.evaluate.detectors[name]
    return detector.replace(file=_without_licence(detector.file))


def _train_autoencoder(whole: PipelineConfig) -> TrainAutoencoderConfig:
    loss = whole.autoencoder.loss
    settings = _section(whole.autoencoder, *AutoencoderSettings.model_fields)
    settings["loss"] = loss.replace(perceptual=_without_licence(loss.perceptual))
    return TrainAutoencoderConfig(clip=_clip(whole), compute=whole.compute, **settings)


def _without_licence(file: NetworkFile | None) -> dict[str, Any] | None:
    return None if file is None else file.model_dump(mode="json", exclude={"licence"})


def _clip(whole: PipelineConfig) -> ClipConfig:
    return ClipConfig(**{field: getattr(whole.data, field) for field in ClipConfig.model_fields})


def _recordings(whole: PipelineConfig) -> dict[str, Any]:
    """What decides which frames of a recording are used, and what is made of them."""
    return _section(whole.data, *(field for field in ExtractConfig.model_fields if field != "clip"))


def _section(section: Config, *fields: str) -> dict[str, Any]:
    return {field: getattr(section, field) for field in fields}


_STAGES: dict[str, Callable[[PipelineConfig, str, str], Config]] = {
    "crop": lambda whole, dataset, name: CropStageConfig(**_section(whole.data, *CropStageConfig.model_fields)),
    "probe": lambda whole, dataset, name: ProbeConfig(clip=_clip(whole), **_recordings(whole)),
    "extract": lambda whole, dataset, name: ExtractConfig(clip=_clip(whole), **_recordings(whole)),
    "shard": lambda whole, dataset, name: ShardConfig(resolution=whole.data.resolution),
    "train-autoencoder": lambda whole, dataset, name: _train_autoencoder(whole),
    "encode": lambda whole, dataset, name: EncodeConfig(
        clip=_clip(whole).replace(length=whole.window),
        batch_size=whole.autoencoder.encode_batch_size,
        compute=whole.compute,
    ),
    "train-diffusion": lambda whole, dataset, name: TrainDiffusionConfig(
        compute=whole.compute, **_section(whole.diffusion, *DiffusionSettings.model_fields)
    ),
    "sample": lambda whole, dataset, name: SampleConfig(
        sampler=whole.sample.samplers[name],
        compute=whole.compute,
        **_section(whole.sample, "batch_size", "seed"),
    ),
    "preview": lambda whole, dataset, name: PreviewConfig(
        clip=_clip(whole), videos=whole.report.videos, fps=whole.report.fps, size=whole.report.preview_size
    ),
    "import-clips": lambda whole, dataset, name: ImportClipsConfig(length=whole.external[name].length),
}
