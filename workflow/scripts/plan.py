"""Decides what is made: pure functions from a configuration to names, numbers and frozen configurations.

Nothing here knows Snakemake. The rules call it when the workflow is parsed, so it imports
only the torch-free base of the package.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lvdm.config import Config, ConfigError, merge, parse
from lvdm.data import catalog
from lvdm.files import read_json
from lvdm.provenance import code_stamp
from lvdm.reporting.config import DatasetFiles, ReportConfig
from lvdm.stages.config import ReportStageConfig
from lvdm.stages.pipeline import DatasetConfig, PipelineConfig, for_dataset, stage_config

DEMO = "demo"  # the data set that section `demo` makes the videos of
REFERENCES = ("real", "noise")  # rows of the results table beside those of the samplers
SPLITS = (catalog.TRAIN, catalog.HELDOUT)

# Stages without settings; their frozen files carry the code stamp alone.
_NO_SETTINGS = {"latent-statistics", "table"}

# Stages that can be pinned, and their section of the configuration, which is also their folder.
_TRAININGS = {"train-autoencoder": "autoencoder", "train-diffusion": "diffusion"}

# Wildcards and path variables, which Snakemake replaces in every path, with no way to quote them.
_PLACEHOLDER = re.compile(r"\{\s*\w+[^{}]*\}|<[a-z][a-z0-9_]*>")


@dataclass(frozen=True)
class Dataset:
    """One data set: its configuration with its overrides laid over, and its videos (identifier to path)."""

    name: str
    config: PipelineConfig
    videos: dict[str, str]
    notes: tuple[str, ...] = ()
    """What a user should know of the plan, a line each."""

    @property
    def source(self) -> list[str]:
        """Options of stage probe that say where the videos are."""
        source = self.config.datasets[self.name]
        return ["--frames", source.frames] if source.frames else ["--videos", *_globs(source)]

    @property
    def samplers(self) -> list[str]:
        """What clips are drawn with. A model for prediction or interpolation makes parts of longer videos: none."""
        return list(self.config.sample.samplers) if self.config.diffusion.task == "unconditional" else []

    @property
    def detectors(self) -> list[str]:
        return list(self.config.evaluate.detectors)

    @property
    def models(self) -> list[str]:
        """What is scored: each sampler, and the references."""
        return [*self.samplers, *REFERENCES]

    @property
    def chunks(self) -> dict[str, tuple[int, int]]:
        """Name of a chunk of the generated videos to its first video and its number of videos."""
        return chunks(self.config.sample.videos, self.config.sample.chunk_size)

    @cached_property
    def members(self) -> dict[tuple[str, int], list[str]]:
        """(split, index) of each shard to the identifiers of its videos, usable or not."""
        return catalog.shard_members(self.videos, self.config.data.split)

    def shards(self, *splits: str) -> list[str]:
        """Names of the shards of some splits: ``train-000``, ..."""
        return [f"{split}-{index:03}" for split, index in self.members if split in splits]

    @property
    def real_splits(self) -> tuple[str, ...]:
        """The splits that the protocol takes real clips from."""
        split = self.config.evaluate.protocol.real_split
        return SPLITS if split == "all" else (split,)


def load(config: Mapping[str, Any], source: str = "config") -> PipelineConfig:
    """The validated configuration, overrides of the data sets included. Raises ``ConfigError``."""
    pipeline = parse(PipelineConfig, dict(config), source)
    for name in pipeline.datasets:
        if for_dataset(pipeline, name).diffusion.model.context_channels is not None:
            raise ConfigError(
                f"{source}: diffusion.model.context_channels makes a text model of {name}, which the pipeline has no "
                "captions to train with; use such a model from Python, or set it to null"
            )
    if pipeline.demo is not None:
        demo_folder(pipeline)
    return pipeline


def find(pipeline: PipelineConfig) -> tuple[dict[str, Dataset], list[str]]:
    """The data sets by name, and a message for each whose videos are missing.

    Raises ``ConfigError`` for a glob that finds files but no video, and for a split that cannot be.
    """
    datasets, missing = {}, []
    for name, source in pipeline.datasets.items():
        config = _own(pipeline, name)
        videos: dict[str, str] = {}
        notes: list[str] = []
        try:
            videos = _videos(pipeline, name, source)
            config, notes = _with_real_split(config, name, videos)
        except catalog.EmptyDatasetError as error:
            missing.append(str(error))
        except ValueError as error:
            raise ConfigError(f"datasets.{name}: {error}") from None
        missing += _missing_weights(config, name)
        datasets[name] = Dataset(name, config, videos, (*notes, *_notes(config, name)))
    return datasets, missing


def demo_folder(pipeline: PipelineConfig) -> str:
    """The folder that the demo's videos are written to: that of the glob of its data set."""
    source = pipeline.datasets.get(DEMO)
    if source is None or not isinstance(source.videos, str):
        raise ConfigError(
            f"section `demo` makes the videos of a data set of that name; give datasets.{DEMO}.videos as one glob, "
            "e.g. data/demo/*.mp4"
        )
    return str(Path(source.videos).parent)


def demo_videos(pipeline: PipelineConfig) -> list[str]:
    """Paths of the videos that stage make-demo-videos writes; they need not exist yet."""
    folder = Path(demo_folder(pipeline))
    return [str(folder / f"patient-{number:02}.mp4") for number in range(1, pipeline.demo.patients + 1)]


def chunks(videos: int, size: int) -> dict[str, tuple[int, int]]:
    """``videos`` cut into pieces of at most ``size``: ``{"0000": (first, count), ...}``."""
    return {f"{number:04}": (first, min(size, videos - first)) for number, first in enumerate(range(0, videos, size))}


def frozen(dataset: Dataset, stage: str, results: Path) -> str:
    """The line of JSON that a stage's results depend on besides its inputs: settings and code stamp.

    ``stage`` is ``extract``, say, or ``sample.ddim-50`` where there is one for each sampler or detector.
    Reads what is in ``results`` for trainings whose code is pinned.
    """
    command, _, name = stage.partition(".")
    if command in _NO_SETTINGS:
        config = None
    elif command == "make-demo-videos":
        config = dataset.config.demo
    else:
        config = stage_config(dataset.config, dataset.name, command, name)
    section = _TRAININGS.get(command)
    if section and getattr(dataset.config, section).pin_code:
        folder = results / dataset.name
        code = _code_of_finished(folder / "config" / f"{stage}.json", folder / section, config)
    else:
        code = code_stamp(f"lvdm.stages.{command.replace('-', '_')}")
    return freeze(stage, code, config)


def freeze(stage: str, code: str, config: Config | None) -> str:
    """Canonical JSON: sorted keys, so that the same configuration is the same text."""
    settings = {} if config is None else config.model_dump(mode="json")
    return json.dumps({"stage": stage, "code": code, "config": settings}, sort_keys=True, ensure_ascii=False)


def frozen_report(report: ReportConfig, files: Iterable[DatasetFiles]) -> str:
    """The same of the report, which is about all data sets."""
    config = ReportStageConfig(datasets=tuple(files), report=report)
    return freeze("report", code_stamp("lvdm.stages.report"), config)


def report_files(results: Path, dataset: Dataset) -> DatasetFiles:
    """The files of a data set that the page shows."""
    folder = results / dataset.name
    return DatasetFiles(
        name=dataset.name,
        manifest=folder / "manifest.csv",
        records=tuple(folder / "frames" / f"{video}.json" for video in dataset.videos),
        table=results / "tables" / f"{dataset.name}.csv",
        autoencoder_curve=folder / "autoencoder" / "curve.csv",
        autoencoder_quality=folder / "autoencoder" / "quality.csv",
        reconstructions=folder / "autoencoder" / "reconstructions.png",
        diffusion_curve=folder / "diffusion" / "curve.csv",
        diffusion_quality=folder / "diffusion" / "quality.csv",
        samples=folder / "diffusion" / "samples.png",
        statistics=folder / "latents" / "statistics.json",
        real_previews=folder / "previews" / "real",
        sample_previews={name: folder / "previews" / name for name in dataset.samplers},
        configs={stage: folder / "config" / f"{stage}.json" for stage in stages(dataset)},
    )


def paths(files: DatasetFiles) -> list[str]:
    """Every path in the description of a data set's files."""
    found: list[Path] = []
    for _, value in files:
        if isinstance(value, Path):
            found.append(value)
        elif isinstance(value, tuple):
            found += value
        elif isinstance(value, dict):
            found += value.values()
    return [str(path) for path in found]


def stages(dataset: Dataset) -> list[str]:
    """The stages of a data set that have a frozen configuration, in order."""
    names = ["make-demo-videos"] if dataset.config.demo is not None and dataset.name == DEMO else []
    names += ["probe", "extract", "shard", "train-autoencoder", "encode", "latent-statistics", "train-diffusion"]
    names += [f"sample.{sampler}" for sampler in dataset.samplers]
    names += ["preview"]
    names += [f"{stage}.{detector}" for stage in ("features", "score") for detector in dataset.detectors]
    return [*names, "table"]


def _code_of_finished(frozen_file: Path, folder: Path, config: Config) -> str:
    """The stamp that a finished training of the same settings was made with; "pinned" where there is none.

    So pinning a finished training makes nothing stale, and one that has to run takes the code as it is.
    """
    if frozen_file.exists() and (folder / "weights.safetensors").exists():
        before = read_json(frozen_file)
        if before["config"] == config.model_dump(mode="json"):
            return before["code"]
    return "pinned"


def _own(pipeline: PipelineConfig, name: str) -> PipelineConfig:
    """The configuration of one data set, its overrides laid over once and for all."""
    source = pipeline.datasets[name].replace(override={})
    return for_dataset(pipeline, name).replace(datasets={name: source.model_dump(mode="json")})


def _videos(pipeline: PipelineConfig, name: str, source: DatasetConfig) -> dict[str, str]:
    if pipeline.demo is not None and name == DEMO:
        return {Path(path).stem: path for path in demo_videos(pipeline)}
    listed = catalog.list_videos(_globs(source), source.frames, dataset=name, page=source.page)
    videos = {video.id: str(video.path) for video in listed}
    for path in videos.values():
        if found := _PLACEHOLDER.search(path):
            raise ValueError(f"{path}: Snakemake would take {found[0]} for a placeholder; rename the file")
    return videos


def _globs(source: DatasetConfig) -> list[str]:
    if source.videos is None:
        return []
    return [source.videos] if isinstance(source.videos, str) else list(source.videos)


def _with_real_split(config: PipelineConfig, name: str, videos: dict[str, str]) -> tuple[PipelineConfig, list[str]]:
    """The configuration with a protocol that has real clips: of all videos where its split has none."""
    wanted = config.evaluate.protocol.real_split
    if wanted == "all" or wanted in catalog.split_videos(videos, config.data.split.heldout).values():
        return config, []
    changed = merge(config.evaluate.model_dump(mode="json"), {"protocol": {"real_split": "all"}})
    note = f"{name}: no video is in the split {wanted!r}, so real clips are taken from all videos"
    return config.replace(evaluate=changed), [note]


def _missing_weights(config: PipelineConfig, name: str) -> list[str]:
    weights = {section: getattr(config, section).weights for section in _TRAININGS.values()}
    return [
        f"{name}: {section}.weights: {file} is missing; `lvdm import-original` makes it from a released checkpoint"
        for section, path in weights.items()
        if path is not None
        for file in (path, path.with_suffix(".json"))
        if not file.is_file()
    ]


def _notes(config: PipelineConfig, name: str) -> list[str]:
    pinned = [section for section in _TRAININGS.values() if getattr(config, section).pin_code]
    notes = [f"{name}: {section}.pin_code holds, so changed code does not train it again" for section in pinned]
    if config.diffusion.task != "unconditional":
        notes.append(f"{name}: a model for {config.diffusion.task} is trained, but no clips are drawn with it")
    return notes
