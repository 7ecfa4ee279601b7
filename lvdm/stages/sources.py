"""What there is to start from: videos, other people's videos, protocols, networks.

Pure functions from a configuration and the names of files; none is opened but those of protocols.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lvdm.config import Config, ConfigError, NetworkFile, parse, read_mapping, shipped
from lvdm.data import catalog
from lvdm.data.catalog import Listing, VideoSource
from lvdm.data.config import as_written
from lvdm.data.contents import equal_contents
from lvdm.data.groups import assign_groups, join, share_note
from lvdm.data.siblings import find_siblings
from lvdm.data.splits import split_videos
from lvdm.evaluation.config import ProtocolConfig
from lvdm.stages.parts import for_dataset
from lvdm.stages.pipeline import RESERVED_DATASETS, DatasetConfig, ExternalConfig, PipelineConfig

_DICOM = (".dcm", ".dicom")

DEMO = "demo"  # the data set that section `demo` makes the videos of

# A protocol given by its name alone.
_PROTOCOLS = shipped("protocols")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]*")

# Wildcards and path variables, which Snakemake replaces in every path, with no way to quote them.
_PLACEHOLDER = re.compile(r"\{\s*\w+[^{}]*\}|<[a-z][a-z0-9_]*>")


def load(config: Mapping[str, Any], source: str = "config") -> PipelineConfig:
    """The validated configuration, overrides of the data sets included. Raises ``ConfigError``."""
    pipeline = parse(PipelineConfig, dict(config), source)
    for name in pipeline.datasets:
        whole = for_dataset(pipeline, name)
        _check_squares(whole, read_protocols(whole.evaluate.protocols), source)
        if whole.diffusion.model.context_channels is not None:
            raise ConfigError(
                f"{source}: diffusion.model.context_channels makes a text model of {name}, which the pipeline has no "
                "captions to train with; use such a model from Python, or set it to null"
            )
    if pipeline.demo is not None:
        demo_folder(pipeline)
    return pipeline


@dataclass(frozen=True)
class Videos:
    """The videos of a data set that are used, by identifier, and what a person should know of the others."""

    paths: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    """Label of the group of each."""
    sides: dict[str, str] = field(default_factory=dict)
    """``train`` or ``heldout``."""
    copies: dict[str, str] = field(default_factory=dict)
    """Identifier of each video that is left out to that of the one that is used in its place, which has its content."""
    left_out_paths: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """The sorted identifiers of the videos of each group, by its label."""
        members: dict[str, list[str]] = {label: [] for label in sorted(set(self.groups.values()))}
        for id in sorted(self.groups):
            members[self.groups[id]].append(id)
        return members

    @property
    def left_out(self) -> dict[str, str]:
        """Videos that are there and that no stage sees, with the reason."""
        return {copy: f"same content as {original}" for copy, original in self.copies.items()}


def videos(pipeline: PipelineConfig, name: str) -> Videos:
    """The videos of a data set.

    Files of one size are read where they were not before; what was read is kept in the results of the data set.
    Raises ``ValueError`` where there is no video, for odd names, and for groups or a split that do not fit them.
    """
    source, split = pipeline.datasets[name], for_dataset(pipeline, name).data.split
    made = pipeline.demo is not None and name == DEMO
    listing = _demo_listing(pipeline) if made else _listing(pipeline, name, source)
    grouped, notes = assign_groups(listing.videos, source.group, _patients(listing.videos, pipeline.results))
    copies = {} if made else equal_contents(grouped, contents_file(pipeline.results, name))
    notes += _joined_notes(grouped, copies)
    grouped = join(grouped, copies.items())
    used = [video for video in grouped if video.id not in copies]
    keys = {video.id: video.split_key for video in grouped}
    labels = {video.group: video.split_key for video in grouped}
    sides = split_videos([video.id for video in used], split.heldout, keys, labels | {id: keys[id] for id in copies})
    found = Videos(
        paths={video.id: _plain(str(video.path)) for video in used},
        groups={video.id: video.group for video in used},
        sides=sides,
        copies=copies,
        left_out_paths={video.id: _plain(str(video.path)) for video in grouped if video.id in copies},
    )
    notes = [*listing.notes, *notes, *_notes(found, used, source, split.heldout)]
    return dataclasses.replace(found, notes=tuple(notes))


def contents_file(results: Path, name: str) -> Path:
    """What was read of the videos of a data set to find those of equal content."""
    return results / name / "contents.json"


def _demo_listing(pipeline: PipelineConfig) -> Listing:
    paths = [Path(path) for path in demo_videos(pipeline)]
    return Listing(tuple(VideoSource(path.stem, path, path.name, path.stem, path.stem, path.stem) for path in paths))


def _listing(pipeline: PipelineConfig, name: str, source: DatasetConfig) -> Listing:
    written = [pipeline.results / folder for folder in (*pipeline.datasets, *RESERVED_DATASETS)]
    # A data set may lie beside the results of others, e.g. with `results: .`
    roots = [Path(os.path.realpath(root)) for root in catalog.fixed_roots(globs(source), source.frames)]
    for folder in (pipeline.results, pipeline.cache):
        if not any(root.is_relative_to(os.path.realpath(folder)) for root in roots):
            written.append(folder)
    return catalog.find_videos(globs(source), source.frames, dataset=name, page=source.page, exclude=written)


def _patients(videos: Iterable[VideoSource], results: Path) -> dict[str, tuple[str, str]]:
    """Of DICOM files, what tells their patient from others, and what is written of it, by identifier."""
    files = [video for video in videos if video.path.suffix.lower() in _DICOM]
    if not files:
        return {}
    # What reads these takes long to import.
    from lvdm.data import dicom

    secret, found = dicom.read_secret(results), {}
    for video in files:
        with suppress(ValueError):  # a file that is none is left out, with the reason, when it is inspected
            if (key := dicom.patient_key(video.path)) is not None:
                found[video.id] = key, dicom.patient_label(key, secret)
    return found


def _joined_notes(grouped: list[VideoSource], copies: Mapping[str, str]) -> list[str]:
    """A line for each two groups that are one because the same file is in both; of groups that were configured."""
    label = {video.id: video.group for video in grouped}
    pairs = {(label[original], label[copy]) for copy, original in copies.items() if label[copy] != copy}
    return [
        f"groups {one} and {other} hold the same file, so they are one" for one, other in sorted(pairs) if one != other
    ]


def _notes(
    found: Videos, used: list[VideoSource], source: DatasetConfig, heldout: float | tuple[str, ...]
) -> list[str]:
    """What a person should know of copies and of groups."""
    notes = []
    if found.copies:
        copy, original = min(found.copies.items())
        notes.append(
            f"videos that have the same content as others are left out: {len(found.copies)}, {copy} is {original}"
        )
    if source.group is None and (siblings := find_siblings([video.stem for video in used])):
        notes.append(str(siblings))
    share = share_note(found.groups, found.sides, heldout)
    return [*notes, share] if share else notes


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


def globs(source: DatasetConfig | ExternalConfig) -> list[str]:
    """The globs of video files that are configured."""
    if source.videos is None:
        return []
    return [source.videos] if isinstance(source.videos, str) else list(source.videos)


def options(source: DatasetConfig | ExternalConfig) -> list[str]:
    """Options of a stage that say where the videos are."""
    return ["--frames", source.frames] if source.frames else ["--videos", *globs(source)]


def externals(config: PipelineConfig, name: str) -> tuple[dict[str, list[str]], list[str]]:
    """The files of each other generator, and a message for each that has none."""
    found: dict[str, list[str]] = {}
    missing = []
    for external, source in config.external.items():
        try:
            found[external] = [_plain(path) for path in _external_files(source)]
        except ValueError as error:
            missing.append(f"{name}: external.{external}: {error}")
    return found, missing


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


def with_real_splits(
    protocols: dict[str, ProtocolConfig], name: str, sides: Mapping[str, str]
) -> tuple[dict[str, ProtocolConfig], list[str]]:
    """The protocols with real clips of all videos where the split that they name has none.

    ``sides`` is the split of each video.
    """
    found = sides.values()
    changed, notes = {}, []
    for key, protocol in protocols.items():
        split = protocol.real.split
        if split != "all" and split not in found:
            protocol = protocol.replace(real={**protocol.real.model_dump(mode="json"), "split": "all"})
            notes.append(f"{name}: {key}: no video is in the split {split!r}, so real clips are taken from all videos")
        changed[key] = protocol
    return changed, notes


def networks(configs: Iterable[Config]) -> dict[str, NetworkFile]:
    """The files that are fetched, by their names in the cache."""
    found = (file for config in configs for file in network_files(config))
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


def missing_files(config: PipelineConfig, name: str) -> list[str]:
    """A message for each file that the configuration names and that is not there."""
    sections = {"autoencoder": config.autoencoder, "diffusion": config.diffusion}
    weights = {section: part.weights for section, part in sections.items() if part.weights is not None}
    missing = [
        f"{name}: {section}.weights: {file} is missing; `lvdm import-original` makes it from a released checkpoint"
        for section, path in weights.items()
        for file in (path, path.with_suffix(".json"))
        if not file.is_file()
    ]
    missing += [
        f"{name}: {file.path}: this file of a network is missing; put it there, or give its `url`"
        for file in network_files(config)
        if file.path is not None and not file.path.is_file()
    ]
    if config.evaluate.published is not None and not config.evaluate.published.is_file():
        missing.append(f"{name}: evaluate.published: {config.evaluate.published} is missing; check the path")
    return missing


def _check_squares(whole: PipelineConfig, protocols: Mapping[str, ProtocolConfig], source: str) -> None:
    """Refuse what stage features would refuse after the trainings: detectors of squares under protocols without."""
    if whole.data.height == whole.data.width:
        return
    squares = sorted(name for name, detector in whole.evaluate.detectors.items() if detector.takes_squares)
    unscaled = sorted(name for name, protocol in protocols.items() if protocol.resize is None)
    if squares and unscaled:
        raise ConfigError(
            f"{source}: evaluate.detectors {', '.join(squares)} take square frames, but data.resolution is "
            f"{as_written(whole.data.resolution)}; give the protocols {', '.join(unscaled)} `resize`, or use others"
        )


def _external_files(source: ExternalConfig) -> list[str]:
    if source.npz is not None:
        if not source.npz.is_file():
            raise ValueError(f"{source.npz} is missing; check the path")
        return [str(source.npz)]
    try:
        return [str(video.path) for video in catalog.list_videos(globs(source), source.frames)]
    except catalog.EmptyDatasetError:
        raise ValueError(f"no video in {source.frames or ', '.join(globs(source))}; check the path") from None


def _plain(path: str) -> str:
    if found := _PLACEHOLDER.search(path):
        raise ValueError(f"{path}: Snakemake would take {found[0]} for a placeholder; rename the file")
    return path
