"""Decides what is made: pure functions from a configuration to names, numbers and frozen configurations.

Nothing here knows Snakemake. The rules call it when the workflow is parsed, so it imports
only the torch-free base of the package.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

from lvdm.config import Config, ConfigError
from lvdm.data import catalog, recipes
from lvdm.data.listing import Listed, listing_text
from lvdm.data.splits import HELDOUT, TRAIN, shard_members
from lvdm.evaluation.config import DetectorConfig, ProtocolConfig
from lvdm.files import read_json
from lvdm.provenance import code_stamp
from lvdm.reporting.config import DatasetFiles, ModelFiles, ReportConfig
from lvdm.stages import sources
from lvdm.stages.config import ReportStageConfig
from lvdm.stages.parts import features_config, for_dataset, memorise_config, score_config, stage_config
from lvdm.stages.pipeline import PipelineConfig
from lvdm.training import identity

REFERENCES = ("real", "noise", "train", "heldout")  # what is scored or compared with, beside generators
SPLITS = (TRAIN, HELDOUT)

# Stages without settings; their frozen files carry the code stamp alone.
_NO_SETTINGS = {"inspect", "latent-statistics", "table"}

# Between the names in that of a frozen configuration: in none of them.
_AND = "@"

# Stages that can be pinned, and their section of the configuration, which is also their folder.
_TRAININGS = {"train-autoencoder": "autoencoder", "train-diffusion": "diffusion"}


@dataclass(frozen=True)
class Dataset:
    """One data set: its configuration with its overrides laid over, and its videos."""

    name: str
    config: PipelineConfig
    found: sources.Videos = field(default_factory=sources.Videos)
    """Its videos with their groups and splits, and what is left out."""
    protocols: dict[str, ProtocolConfig] = field(default_factory=dict)
    externals: dict[str, list[str]] = field(default_factory=dict)
    """The files of other generators, which are scored too."""
    notes: tuple[str, ...] = ()
    """What a user should know of the plan, a line each."""

    @property
    def videos(self) -> dict[str, str]:
        """The videos that are used, identifier to path."""
        return self.found.paths

    @property
    def groups(self) -> dict[str, str]:
        """The label of the group of each video: what belongs together, e.g. the videos of one patient."""
        return self.found.groups

    @property
    def crops(self) -> list[str]:
        """The groups of several videos, whose crop is decided over all of them. A video by itself needs no such job."""
        return [group for group, members in self.found.members.items() if len(members) > 1]

    @property
    def sides(self) -> dict[str, str]:
        """The split of each video."""
        return self.found.sides

    @property
    def source(self) -> list[str]:
        """Options of stage probe that say where the videos are."""
        return sources.options(self.config.datasets[self.name])

    @property
    def samplers(self) -> list[str]:
        """What clips are drawn with. A model for prediction or interpolation makes parts of longer videos: none."""
        return list(self.config.sample.samplers) if self.config.diffusion.task == "unconditional" else []

    def external_source(self, external: str) -> list[str]:
        """Options of stage import-clips that say where the videos of another generator are."""
        source = self.config.external[external]
        return sources.options(source) if source.npz is None else ["--npz", str(source.npz)]

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
        return tuple(split for split in SPLITS if split in self.sides.values())

    def models(self, detector: str) -> list[str]:
        """What is scored with a detector: each generator, and the references."""
        references = ["real", "noise"]
        if self.splits == SPLITS and self.detectors[detector].compares:
            references.append("train")
        return [*self.generators, *references]

    def featured(self, detector: str) -> list[str]:
        """What a detector's features are computed of: what is scored, and the splits that these are compared with."""
        models = self.models(detector)
        splits = self.splits if "train" in models or self.memorised(detector) else ()
        return list(dict.fromkeys([*models, *splits]))

    def memorised(self, detector: str) -> list[str]:
        """The generators whose nearest training clips are looked for with a detector."""
        wanted = self.config.evaluate.memorisation and self.detectors[detector].compares_clips
        return self.generators if wanted and TRAIN in self.splits else []

    def features_stage(self, protocol: str, detector: str, model: str) -> str:
        """Name of the frozen configuration that the features of a model are computed with."""
        side = "real" if model == "real" else "reference" if model in SPLITS else "fake"
        return f"features.{protocol}{_AND}{detector}{_AND}{side}"

    def real_splits(self, protocol: str) -> tuple[str, ...]:
        """The splits that a protocol takes real clips from."""
        split = self.protocols[protocol].real.split
        return SPLITS if split == "all" else (split,)

    @cached_property
    def chunks(self) -> dict[str, tuple[int, int]]:
        """Name of a chunk of the generated videos to its first video and its number of videos."""
        return chunks(self.config.sample.videos, self.config.sample.chunk_size)

    @cached_property
    def members(self) -> dict[tuple[str, int], list[str]]:
        """(split, index) of each shard to the identifiers of its videos, usable or not."""
        return shard_members(self.sides, self.config.data.split)

    def shards(self, *splits: str) -> list[str]:
        """Names of the shards of some splits: ``train-000``, ..."""
        return [f"{split}-{index:03}" for split, index in self.members if split in splits]


def find(pipeline: PipelineConfig) -> tuple[dict[str, Dataset], list[str]]:
    """The data sets by name, and a message for each whose videos are missing.

    Raises ``ConfigError`` for a glob that finds files but no video, and for a split that cannot be.
    """
    datasets, missing = {}, []
    for name in pipeline.datasets:
        config = _own(pipeline, name)
        protocols = sources.read_protocols(config.evaluate.protocols)
        videos, notes = sources.Videos(), []
        try:
            videos = sources.videos(pipeline, name)
            protocols, notes = sources.with_real_splits(protocols, name, videos.sides)
        except catalog.EmptyDatasetError as error:
            missing.append(str(error))
        except ValueError as error:
            raise ConfigError(f"datasets.{name}: {error}") from None
        externals, without = sources.externals(config, name)
        missing += [*without, *sources.missing_files(config, name)]
        notes = [*(f"{name}: {note}" for note in videos.notes), *notes, *_notes(config, name)]
        datasets[name] = Dataset(name, config, videos, protocols, externals, tuple(notes))
    return datasets, missing


def listing(dataset: Dataset) -> str:
    """The listing of a data set, CSV: every recording with its group and its side, also those that are left out."""
    found = dataset.found
    used = [Listed(id, Path(path), found.groups[id], found.sides[id]) for id, path in found.paths.items()]
    copies = [Listed(id, Path(found.left_out_paths[id]), left_out=why) for id, why in found.left_out.items()]
    return listing_text([*used, *copies])


def chunks(videos: int, size: int) -> dict[str, tuple[int, int]]:
    """``videos`` cut into pieces of at most ``size``: ``{"0000": (first, count), ...}``."""
    return {f"{number:04}": (first, min(size, videos - first)) for number, first in enumerate(range(0, videos, size))}


def frozen(dataset: Dataset, stage: str, results: Path) -> str:
    """The line of JSON that a stage's results depend on besides its inputs: settings and code stamp.

    ``stage`` is ``extract``, say, ``sample.ddim-50`` where there is one for each sampler, or
    ``score.lossless@i3d`` where there is one for each protocol and detector.
    Of a training's settings it has those that decide weights; the others come by :func:`indifferent`.
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


def indifferent(dataset: Dataset, stage: str) -> list[str]:
    """Options of a training with the settings that decide no weight, which are not in its frozen configuration."""
    settings = identity.indifferent(stage_config(dataset.config, dataset.name, stage))
    return [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]


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
    settings = {} if config is None else identity.decisive(config)
    return json.dumps({"stage": stage, "code": code, "config": settings}, sort_keys=True, ensure_ascii=False)


def frozen_report(stage: str, report: ReportConfig, files: Iterable[DatasetFiles]) -> str:
    """The same of the stages that are about all data sets: cost and report."""
    config = ReportStageConfig(datasets=tuple(files), report=report) if stage == "report" else None
    return freeze(stage, code_stamp(f"lvdm.stages.{stage}"), config)


def report_files(results: Path, dataset: Dataset) -> DatasetFiles:
    """The files of a data set that the page shows."""
    folder = results / dataset.name
    heldout = dataset.config.data.split.heldout
    return DatasetFiles(
        name=dataset.name,
        heldout=heldout if isinstance(heldout, float) else None,
        notes=(*dataset.found.notes, *recipes.notes(dataset.config.datasets[dataset.name].recipe)),
        manifest=folder / "manifest.csv",
        records=tuple(folder / "frames" / f"{video}.json" for video in dataset.videos),
        table=results / "tables" / f"{dataset.name}.csv",
        latex=results / "tables" / f"{dataset.name}.tex",
        autoencoder_curve=folder / "autoencoder" / "curve.csv",
        autoencoder_quality=folder / "autoencoder" / "quality.csv",
        reconstructions=folder / "autoencoder" / "reconstructions.png",
        diffusion_curve=folder / "diffusion" / "curve.csv",
        diffusion_quality=folder / "diffusion" / "quality.csv",
        samples=folder / "diffusion" / "samples.png",
        statistics=folder / "latents" / "statistics.json",
        real_previews=folder / "previews" / "real",
        generated_previews=tuple(folder / "previews" / name for name in dataset.generators),
        models=tuple(_model_files(folder, dataset)),
        configs=tuple(folder / "config" / f"{stage}.json" for stage in stages(dataset)),
        cost=results / "report" / "cost.csv",
    )


def score_files(results: Path, dataset: Dataset) -> list[str]:
    """The files of scores of a data set: of each protocol, detector and model."""
    return [
        str(results / dataset.name / "scores" / protocol / detector / f"{model}.csv")
        for protocol, detector in product(dataset.protocols, dataset.detectors)
        for model in dataset.models(detector)
    ]


def result_files(results: Path, dataset: Dataset) -> list[str]:
    """Every file of a data set that the rules declare: what `all` makes again when it was deleted."""
    folder = results / dataset.name
    files = ["listing.csv", *(f"crops/{group}.json" for group in dataset.crops)]
    for video in dataset.videos:
        files += [f"inspections/{video}.json", f"inspections/{video}.npz", f"frames/{video}.mkv"]
    for section in _TRAININGS.values():
        files += [f"{section}/weights.{suffix}" for suffix in ("safetensors", "json")]
    for kind, shard, suffix in product(("shards", "latents"), dataset.shards(*SPLITS), ("npy", "json")):
        files.append(f"{kind}/{shard}.{suffix}")
    files += [f"samples/{sampler}/{chunk}.npy" for sampler, chunk in product(dataset.samplers, dataset.chunks)]
    files += [f"external/{external}.npy" for external in dataset.externals]
    for protocol, detector in product(dataset.protocols, dataset.detectors):
        files += [f"features/{protocol}/{detector}/{model}.npz" for model in dataset.featured(detector)]
        files += [f"memorisation/{protocol}/{detector}/{model}.json" for model in dataset.memorised(detector)]
    made = [*(str(folder / file) for file in files), str(results / "tables" / f"{dataset.name}.md")]
    return [*made, *score_files(results, dataset), *paths(report_files(results, dataset))]


def _model_files(folder: Path, dataset: Dataset) -> Iterator[ModelFiles]:
    for protocol, detector in product(dataset.protocols, dataset.detectors):
        for model in dataset.models(detector):
            found = folder / "memorisation" / protocol / detector if model in dataset.memorised(detector) else None
            yield ModelFiles(
                protocol=protocol,
                detector=detector,
                model=model,
                curve=folder / "curves" / protocol / detector / f"{model}.csv",
                distances=found and found / f"{model}.csv",
                pairs=found and found / model / "pairs",
            )


def paths(files: Config) -> list[str]:
    """Every path in the description of a data set's files."""
    found: list[str] = []
    for _, value in files:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Path):
                found.append(str(part))
            elif isinstance(part, Config):
                found += paths(part)
    return found


def stages(dataset: Dataset) -> list[str]:
    """The stages of a data set that have a frozen configuration, in order."""
    names = ["make-demo-videos"] if dataset.config.demo is not None and dataset.name == sources.DEMO else []
    names += ["inspect", "crop", "probe", "extract", "shard"]
    names += ["train-autoencoder", "encode", "latent-statistics", "train-diffusion"]
    names += [f"sample.{sampler}" for sampler in dataset.samplers]
    names += ["preview"]
    names += [f"import-clips.{external}" for external in dataset.externals]
    for protocol, detector in product(dataset.protocols, dataset.detectors):
        featured = dataset.featured(detector)
        names += dict.fromkeys(dataset.features_stage(protocol, detector, model) for model in featured)
        names += [f"score.{protocol}{_AND}{detector}"]
        names += [f"memorise.{protocol}{_AND}{detector}"] if dataset.memorised(detector) else []
    return [*names, "table"]


def _code_of_finished(frozen_file: Path, folder: Path, config: Config) -> str:
    """The stamp that a finished training of the same settings was made with; "pinned" where there is none.

    So pinning a finished training makes nothing stale, and one that has to run takes the code as it is.
    """
    if frozen_file.exists() and (folder / "weights.safetensors").exists():
        before = read_json(frozen_file)
        if before["config"] == identity.decisive(config):
            return before["code"]
    return "pinned"


def _own(pipeline: PipelineConfig, name: str) -> PipelineConfig:
    """The configuration of one data set, its overrides laid over once and for all."""
    source = pipeline.datasets[name].replace(override={})
    return for_dataset(pipeline, name).replace(datasets={name: source.model_dump(mode="json")})


def _notes(config: PipelineConfig, name: str) -> list[str]:
    pinned = [section for section in _TRAININGS.values() if getattr(config, section).pin_code]
    notes = [f"{name}: {section}.pin_code holds, so changed code does not train it again" for section in pinned]
    if config.diffusion.task != "unconditional":
        notes.append(f"{name}: a model for {config.diffusion.task} is trained, but no clips are drawn with it")
    return [*notes, *(f"{name}: {note}" for note in recipes.notes(config.datasets[name].recipe))]
