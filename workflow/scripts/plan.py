"""Decides what is made: pure functions from a configuration to names, numbers and frozen configurations.

Nothing here knows Snakemake. The rules call it when the workflow is parsed, so it imports
only the torch-free base of the package.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from lvdm.config import Config, ConfigError, NetworkFile, parse, read_mapping
from lvdm.data import catalog
from lvdm.evaluation.config import DetectorConfig, ProtocolConfig
from lvdm.files import read_json
from lvdm.provenance import code_stamp
from lvdm.reporting.config import DatasetFiles, ReportConfig
from lvdm.stages.config import ReportStageConfig
from lvdm.stages.pipeline import (
    DatasetConfig,
    ExternalConfig,
    PipelineConfig,
    features_config,
    for_dataset,
    memorise_config,
    score_config,
    stage_config,
)

DEMO = "demo"  # the data set that section `demo` makes the videos of
REFERENCES = ("real", "noise", "train", "heldout")  # what is scored or compared with, beside generators
SPLITS = (catalog.TRAIN, catalog.HELDOUT)

# Stages without settings; their frozen files carry the code stamp alone.
_NO_SETTINGS = {"latent-statistics", "table"}

# A protocol given by its name alone.
_PROTOCOLS = Path(__file__).parents[2] / "config" / "protocols"

# Between the names in that of a frozen configuration: in none of them.
_AND = "@"

# Stages that can be pinned, and their section of the configuration, which is also their folder.
_TRAININGS = {"train-autoencoder": "autoencoder", "train-diffusion": "diffusion"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]*")

# Wildcards and path variables, which Snakemake replaces in every path, with no way to quote them.
_PLACEHOLDER = re.compile(r"\{\s*\w+[^{}]*\}|<[a-z][a-z0-9_]*>")


@dataclass(frozen=True)
class Dataset:
    """One data set: its configuration with its overrides laid over, and its videos (identifier to path)."""

    name: str
    config: PipelineConfig
    videos: dict[str, str]
    protocols: dict[str, ProtocolConfig] = field(default_factory=dict)
    externals: dict[str, list[str]] = field(default_factory=dict)
    """The files of other generators, which are scored too."""
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

    def external_source(self, external: str) -> list[str]:
        """Options of stage import-clips that say where the videos of another generator are."""
        source = self.config.external[external]
        if source.npz is not None:
            return ["--npz", str(source.npz)]
        return ["--frames", source.frames] if source.frames else ["--videos", *_globs(source)]

    @property
    def generators(self) -> list[str]:
        """What generated videos are of: each sampler, and other people's."""
        return [*self.samplers, *self.externals]

    @property
    def detectors(self) -> dict[str, DetectorConfig]:
        return self.config.evaluate.detectors

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have videos."""
        found = catalog.split_videos(self.videos, self.config.data.split.heldout).values()
        return tuple(split for split in SPLITS if split in found)

    def models(self, detector: str) -> list[str]:
        """What is scored with a detector: each generator, and the references."""
        references = ["real", "noise"]
        if self.splits == SPLITS and self.detectors[detector].compares:
            references.append("train")
        return [*self.generators, *references]

    def memorised(self, detector: str) -> list[str]:
        """The generators whose nearest training clips are looked for with a detector."""
        wanted = self.config.evaluate.memorisation and self.detectors[detector].compares_clips
        return self.generators if wanted and catalog.TRAIN in self.splits else []

    def features_stage(self, protocol: str, detector: str, model: str) -> str:
        """Name of the frozen configuration that the features of a model are computed with."""
        side = "real" if model == "real" else "reference" if model in SPLITS else "fake"
        return f"features.{protocol}{_AND}{detector}{_AND}{side}"

    def real_splits(self, protocol: str) -> tuple[str, ...]:
        """The splits that a protocol takes real clips from."""
        split = self.protocols[protocol].real.split
        return SPLITS if split == "all" else (split,)

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


def load(config: Mapping[str, Any], source: str = "config") -> PipelineConfig:
    """The validated configuration, overrides of the data sets included. Raises ``ConfigError``."""
    pipeline = parse(PipelineConfig, dict(config), source)
    for name in pipeline.datasets:
        whole = for_dataset(pipeline, name)
        read_protocols(whole.evaluate.protocols)
        if whole.diffusion.model.context_channels is not None:
            raise ConfigError(
                f"{source}: diffusion.model.context_channels makes a text model of {name}, which the pipeline has no "
                "captions to train with; use such a model from Python, or set it to null"
            )
    if pipeline.demo is not None:
        demo_folder(pipeline)
    return pipeline


def read_protocols(names: Iterable[str]) -> dict[str, ProtocolConfig]:
    """The protocols by name. Raises ``ConfigError`` for one that cannot be read, and for a name used twice."""
    found: dict[str, ProtocolConfig] = {}
    for given in names:
        path = Path(given) if given.endswith((".yaml", ".yml", ".json")) else _PROTOCOLS / f"{given}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in _PROTOCOLS.glob("*.yaml")))
            raise ConfigError(
                f"evaluate.protocols: there is no {path}; give one of {known}, or the path of a .yaml file"
            )
        if path.stem in found:
            raise ConfigError(f"evaluate.protocols: two protocols are named {path.stem}; rename a file")
        if not _NAME.fullmatch(path.stem):
            raise ConfigError(f"evaluate.protocols: {path}: use letters, digits, _ . + - in the name of a protocol")
        found[path.stem] = parse(ProtocolConfig, read_mapping(path), source=str(path))
    return found


def networks(datasets: Iterable[Dataset]) -> dict[str, NetworkFile]:
    """The files that are fetched, by their names in the cache."""
    found = (file for dataset in datasets for file in network_files(dataset.config))
    return {file.name: file for file in found if file.url is not None}


def network_files(config: Config) -> Iterator[NetworkFile]:
    """Every network's file in a configuration, at any depth."""
    if isinstance(config, NetworkFile):
        yield config
        return
    for _, value in config:
        for part in value.values() if isinstance(value, dict) else [value]:
            if isinstance(part, Config):
                yield from network_files(part)


def network_path(file: NetworkFile, cache: Path) -> str:
    """Where the workflow finds a network's file: as it was given, or in the cache."""
    return str(file.path if file.url is None else cache / file.name)


def fetch_options(file: NetworkFile) -> list[str]:
    """Options of stage fetch. The note on the licence stays out, so that another wording fetches nothing again."""
    stated = file.model_dump(mode="json", exclude={"licence"}, exclude_none=True)
    return [option for key, value in stated.items() for option in ("--set", f"{key}={json.dumps(value)}")]


def find(pipeline: PipelineConfig) -> tuple[dict[str, Dataset], list[str]]:
    """The data sets by name, and a message for each whose videos are missing.

    Raises ``ConfigError`` for a glob that finds files but no video, and for a split that cannot be.
    """
    datasets, missing = {}, []
    for name, source in pipeline.datasets.items():
        config = _own(pipeline, name)
        protocols = read_protocols(config.evaluate.protocols)
        videos: dict[str, str] = {}
        notes: list[str] = []
        try:
            videos = _videos(pipeline, name, source)
            protocols, notes = _with_real_splits(protocols, config, name, videos)
        except catalog.EmptyDatasetError as error:
            missing.append(str(error))
        except ValueError as error:
            raise ConfigError(f"datasets.{name}: {error}") from None
        externals, without = _externals(config, name)
        missing += [*without, *_missing_weights(config, name), *_missing_networks(config, name)]
        datasets[name] = Dataset(name, config, videos, protocols, externals, (*notes, *_notes(config, name)))
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

    ``stage`` is ``extract``, say, ``sample.ddim-50`` where there is one for each sampler, or
    ``score.lossless@i3d`` where there is one for each protocol and detector.
    Reads what is in ``results`` for trainings whose code is pinned.
    """
    command, _, name = stage.partition(".")
    config = _settings(dataset, command, name)
    section = _TRAININGS.get(command)
    if section and getattr(dataset.config, section).pin_code:
        folder = results / dataset.name
        code = _code_of_finished(folder / "config" / f"{stage}.json", folder / section, config)
    else:
        code = code_stamp(f"lvdm.stages.{command.replace('-', '_')}")
    return freeze(stage, code, config)


def _settings(dataset: Dataset, command: str, name: str) -> Config | None:
    """The configuration of a stage; none of a stage without settings."""
    whole = dataset.config
    if command in _NO_SETTINGS:
        return None
    if command == "make-demo-videos":
        return whole.demo
    if command not in ("features", "score", "memorise"):
        return stage_config(whole, dataset.name, command, name)
    protocol, detector, *side = name.split(_AND)
    if command == "features":
        return features_config(whole, dataset.protocols[protocol], detector, *side)
    if command == "score":
        return score_config(whole, dataset.name, protocol, dataset.protocols[protocol], detector)
    return memorise_config(whole, dataset.protocols[protocol], detector)


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


def score_files(results: Path, dataset: Dataset) -> list[str]:
    """The files of scores of a data set: of each protocol, detector and model."""
    return _score_files(results, dataset, "scores")


def curve_files(results: Path, dataset: Dataset) -> list[str]:
    """The files of the Fréchet distance against the number of clips."""
    return _score_files(results, dataset, "curves")


def memorisation_files(results: Path, dataset: Dataset) -> list[str]:
    """The files of distances to the nearest training clips; in a folder of that name without suffix are `pairs`."""
    folder = results / dataset.name / "memorisation"
    return [
        str(folder / protocol / detector / f"{model}.csv")
        for protocol, detector in product(dataset.protocols, dataset.detectors)
        for model in dataset.memorised(detector)
    ]


def _score_files(results: Path, dataset: Dataset, kind: str) -> list[str]:
    return [
        str(results / dataset.name / kind / protocol / detector / f"{model}.csv")
        for protocol, detector in product(dataset.protocols, dataset.detectors)
        for model in dataset.models(detector)
    ]


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
    names += [f"import-clips.{external}" for external in dataset.externals]
    for protocol, detector in product(dataset.protocols, dataset.detectors):
        models = dataset.models(detector)
        models += dataset.splits if "train" in models or dataset.memorised(detector) else []
        names += dict.fromkeys(dataset.features_stage(protocol, detector, model) for model in models)
        names += [f"score.{protocol}{_AND}{detector}"]
        names += [f"memorise.{protocol}{_AND}{detector}"] if dataset.memorised(detector) else []
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
    return {video.id: _plain(str(video.path)) for video in listed}


def _externals(config: PipelineConfig, name: str) -> tuple[dict[str, list[str]], list[str]]:
    """The files of each other generator, and a message for each that has none."""
    found: dict[str, list[str]] = {}
    missing = []
    for external, source in config.external.items():
        try:
            found[external] = [_plain(path) for path in _external_files(source)]
        except ValueError as error:
            missing.append(f"{name}: external.{external}: {error}")
    return found, missing


def _external_files(source: ExternalConfig) -> list[str]:
    if source.npz is not None:
        if not source.npz.is_file():
            raise ValueError(f"{source.npz} is missing; check the path")
        return [str(source.npz)]
    try:
        return [str(video.path) for video in catalog.list_videos(_globs(source), source.frames)]
    except catalog.EmptyDatasetError:
        raise ValueError(f"no video in {source.frames or ', '.join(_globs(source))}; check the path") from None


def _plain(path: str) -> str:
    if found := _PLACEHOLDER.search(path):
        raise ValueError(f"{path}: Snakemake would take {found[0]} for a placeholder; rename the file")
    return path


def _globs(source: DatasetConfig | ExternalConfig) -> list[str]:
    if source.videos is None:
        return []
    return [source.videos] if isinstance(source.videos, str) else list(source.videos)


def _with_real_splits(
    protocols: dict[str, ProtocolConfig], config: PipelineConfig, name: str, videos: dict[str, str]
) -> tuple[dict[str, ProtocolConfig], list[str]]:
    """The protocols with real clips of all videos where the split that they name has none."""
    found = catalog.split_videos(videos, config.data.split.heldout).values()
    changed, notes = {}, []
    for key, protocol in protocols.items():
        split = protocol.real.split
        if split != "all" and split not in found:
            protocol = protocol.replace(real={**protocol.real.model_dump(mode="json"), "split": "all"})
            notes.append(f"{name}: {key}: no video is in the split {split!r}, so real clips are taken from all videos")
        changed[key] = protocol
    return changed, notes


def _missing_weights(config: PipelineConfig, name: str) -> list[str]:
    weights = {section: getattr(config, section).weights for section in _TRAININGS.values()}
    return [
        f"{name}: {section}.weights: {file} is missing; `lvdm import-original` makes it from a released checkpoint"
        for section, path in weights.items()
        if path is not None
        for file in (path, path.with_suffix(".json"))
        if not file.is_file()
    ]


def _missing_networks(config: PipelineConfig, name: str) -> list[str]:
    return [
        f"{name}: {file.path}: this file of a network is missing; put it there, or give its `url`"
        for file in network_files(config)
        if file.path is not None and not file.path.is_file()
    ]


def _notes(config: PipelineConfig, name: str) -> list[str]:
    pinned = [section for section in _TRAININGS.values() if getattr(config, section).pin_code]
    notes = [f"{name}: {section}.pin_code holds, so changed code does not train it again" for section in pinned]
    if config.diffusion.task != "unconditional":
        notes.append(f"{name}: a model for {config.diffusion.task} is trained, but no clips are drawn with it")
    return notes
