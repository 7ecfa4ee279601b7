"""What lies in the folder of the results and in that of Snakemake, and why each file is not planned."""

import base64
import binascii
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lvdm.files import read_json
from lvdm.stages import traces
from lvdm.stages.layout import Made, recognise
from lvdm.stages.planned import Planned, below

# In Snakemake's folder: environments, and its own bookkeeping of what runs.
_NOT_LOOKED_AT = frozenset({"conda", "conda-archive", "singularity", "source_cache", "locks", "runs"})
RECORDS = frozenset({"metadata", "incomplete"})

_GONE = {
    "dataset": "data set {} is not configured",
    "video": "video {} is not in the data set any more",
    "group": "group {} is not in the data set any more",
    "stage": "stage {} is not configured",
    "protocol": "protocol {} is not configured",
    "detector": "detector {} is not configured",
    "model": "{} is not configured",
    "shard": "shard {} is not planned",
    "chunk": "chunk {} of samples is not planned",
}

# What is left without being declared, and belongs to what is planned.
_UNDECLARED = frozenset({".secret", "{dataset}/contents.json", "{dataset}/{section}/run/{rest}"})
_TRAINING = "{dataset}/{section}/run/{training}/{rest}"
_EARLIER = frozenset({_TRAINING, "{dataset}/{section}/run/old-{rest}"})
_PART = "{dataset}/features/.parts/{detector}/{rest}"

_TELLING = frozenset({"{dataset}/frames/{video}.{suffix}", "{dataset}/inspections/{video}.{suffix}"})
_TELLS, _MARKS = 1, 2


@dataclass(frozen=True)
class Entry:
    """A file, its size in bytes, and why it is in the list that it is in."""

    path: Path
    size: int
    why: str
    turn: int = 0
    """Removed in this order: what tells the names of what was taken out goes last, so that a killed removal goes on."""


@dataclass
class Inventory:
    """What was found, a list for each thing that is done with it."""

    removable: list[Entry] = field(default_factory=list)
    awaited: list[Entry] = field(default_factory=list)
    """Removable once the next run has made anew what it is about."""
    stale: list[Entry] = field(default_factory=list)
    """Planned files that name a video that was taken out, and that the next run makes anew."""
    odd: list[Entry] = field(default_factory=list)
    """Planned files that name such a video and are up to date all the same."""
    unknown: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    path: str
    size: int
    link: bool


def take(results: Path, snakemake: Path, planned: Planned) -> Inventory:
    """Look through ``results`` and ``snakemake`` (the folder ``.snakemake``). Nothing is changed, no link followed."""
    survey = _Survey(results, snakemake, planned)
    found = Inventory()
    survey.look_at_results(found)
    survey.look_at_records(found)
    return found


class _Survey:
    def __init__(self, results: Path, snakemake: Path, planned: Planned):
        self.results, self.snakemake, self.planned = results, snakemake, planned
        self.files = [file for file in _walk(results) if file.path.split("/")[0] not in (".snakemake", ".git")]
        self.records = [
            file for file in _walk(snakemake) if file.path.split("/")[0] not in _NOT_LOOKED_AT and not file.link
        ]
        self.keys = {file.path: _key(file.path, results) for file in self.records}
        self.made = {file.path: recognise(file.path) for file in self.files if not file.link}
        self._present: dict[str, Path | None] = {}  # trainings that were begun last
        self._sought: dict[str | None, traces.Terms] = {}
        self.names = defaultdict(set)  # (data set, field) to what is planned
        for path in planned.outputs:
            self._note(recognise(path))
        self.configured = self.names["", "dataset"]
        self.former = {made.dataset for made in self.made.values() if made and self._marks(made)} - self.configured

    def look_at_results(self, found: Inventory) -> None:
        unused = self._unused_parts()
        for file in self.files:
            path, made = self.results / file.path, self.made.get(file.path)
            if file.link:
                found.unknown.append(Entry(path, 0, "a link, which is not followed: look there yourself"))
            elif self.planned.has(file.path):
                self._look_at_planned(file, path, found)
            elif made is None or not self._is_ours(file.path, made):
                found.unknown.append(Entry(path, file.size, "not of the pipeline"))
            elif why := self._why(file.path, made, unused):
                self._list(found, made, Entry(path, file.size, why, _turn(made)))
            else:
                self._look_at_planned(file, path, found)

    def look_at_records(self, found: Inventory) -> None:
        for file in self.records:
            path, key = self.snakemake / file.path, self.keys[file.path]
            made = recognise(key) if key is not None else None
            if made is not None and not self.planned.has(key) and self._is_ours(key, made):
                self._list(found, made, Entry(path, file.size, "Snakemake's records of files that are not planned"))
            elif video := traces.search(path, self._terms(None)):
                why = f"names video {video}, which was taken out"
                listed = found.removable
                if file.path.split("/")[0] in RECORDS:
                    listed = found.stale if key is not None and self.planned.remade(key) else found.odd
                listed.append(Entry(path, file.size, why))

    def _look_at_planned(self, file: _File, path: Path, found: Inventory) -> None:
        made = recognise(file.path)
        dataset = made.dataset if made and made.dataset in self.configured else None
        if video := traces.search(path, self._terms(dataset)):
            why = f"names video {video}, which was taken out"
            is_log = file.path in self.planned.logs
            listed = found.removable if is_log else found.stale if self.planned.remade(file.path) else found.odd
            listed.append(Entry(path, file.size, why))

    def _list(self, found: Inventory, made: Made, entry: Entry) -> None:
        """Names that are still to be looked for after the next run are kept until then."""
        waiting = self._waiting.get(made.dataset, set())
        waits = bool(waiting) if entry.turn == _MARKS else entry.turn and made.fields.get("video", "") in waiting
        (found.awaited if waits else found.removable).append(entry)

    def _why(self, path: str, made: Made, unused: set[str]) -> str | None:
        """Why a file of the pipeline is not planned; None of one that may still be of use."""
        if made.temporary:
            return "half-written, by a job that was killed"
        for name, said in _GONE.items():
            value = made.fields.get(name)
            scope = "" if name == "dataset" else made.dataset
            if value is not None and value not in self.names[scope, name]:
                return said.format(value)
        if made.pattern in _UNDECLARED:
            return None
        if made.pattern in _EARLIER:
            # The next run may take up an earlier training where the present one is not finished.
            section = f"{made.dataset}/{made.fields['section']}"
            present = self.planned.remade(f"{section}/weights.safetensors") or self._is_present(section, made)
            return None if present else "of an earlier training"
        if made.pattern == _PART:
            return "of clips that are not scored any more" if path in unused else None
        return "nothing plans it"

    def _unused_parts(self) -> set[str]:
        """The parts of features that no features are made of, where all features are up to date."""
        parts, features = defaultdict(list), defaultdict(list)
        for path, made in self.made.items():
            if made and made.pattern == _PART:
                parts[made.dataset, made.fields["detector"]].append(self.results / path)
            elif made and made.pattern.endswith("/{model}.npz") and self.planned.has(path):
                features[made.dataset, made.fields["detector"]].append(path)
        found = set()
        for which, paths in parts.items():
            if features[which] and not any(map(self.planned.remade, features[which])):
                made_of = [self.results / path for path in features[which]]
                found |= {part.relative_to(self.results).as_posix() for part in traces.unused_parts(paths, made_of)}
        return found

    def _is_present(self, section: str, made: Made) -> bool:
        """Whether a file is of the training that was begun or taken up last."""
        if made.pattern != _TRAINING:
            return False
        if section not in self._present:
            begun = (self.results / section / "run").glob("*/identity.json")
            self._present[section] = max(begun, key=lambda path: path.stat().st_mtime_ns, default=None)
        newest = self._present[section]
        return newest is not None and newest.parent.name == made.fields["training"]

    def _is_ours(self, path: str, made: Made) -> bool:
        """Whether the folder of a data set is one that the pipeline made, or the file is of no such folder."""
        of_all = path.split("/")[0] != made.dataset
        return of_all or made.dataset in self.configured | self.former

    def _marks(self, made: Made) -> bool:
        """Whether a file is a frozen configuration, which only the pipeline writes."""
        if made.pattern != "{dataset}/config/{stage}.json":
            return False
        return {"stage", "code", "config"} <= set(
            _read(self.results / made.dataset / "config" / f"{made.fields['stage']}.json")
        )

    def _note(self, made: Made | None) -> None:
        for name, value in made.fields.items() if made else ():
            self.names["" if name == "dataset" else made.dataset, name].add(value)

    @cached_property
    def _gone(self) -> list[traces.Video]:
        """The videos that results or records tell of, and that are not planned."""
        told = defaultdict(set)  # data set to videos
        keys = [(key, recognise(key)) for key in self.keys.values() if key is not None]
        for path, made in [*self.made.items(), *keys]:
            if made and made.dataset in self.configured | self.former:
                told[made.dataset].update(_tell(self.results / path, made))
        return [
            self._video(dataset, video)
            for dataset, videos in told.items()
            for video in sorted(videos - self.names[dataset, "video"])
        ]

    @cached_property
    def _left(self) -> list[traces.Video]:
        present = [(dataset, videos) for (dataset, name), videos in self.names.items() if name == "video"]
        return [self._video(dataset, video) for dataset, videos in present for video in sorted(videos)]

    def _video(self, dataset: str, video: str) -> traces.Video:
        """What is known of a video; without records, its identifier."""
        records = [_read(self.results / dataset / kind / f"{video}.json") for kind in ("frames", "inspections")]
        paths = {record["source"] for record in records if record.get("source")}
        return traces.Video(dataset, video, frozenset(paths), records[0].get("group"))

    @cached_property
    def _waiting(self) -> dict[str, set[str]]:
        """The videos, by data set, that something which the next run makes anew may still hold."""
        pages = any(path.startswith(("report/", "tables/")) for path in self.planned.pending)
        pending = {made.dataset for made in map(recognise, self.planned.pending) if made}
        waiting = defaultdict(set)
        for video in self._gone:
            if pages or video.dataset in pending:
                waiting[video.dataset].add(video.id)
        return waiting

    def _terms(self, dataset: str | None) -> traces.Terms:
        if dataset not in self._sought:
            self._sought[dataset] = traces.terms(self._gone, self._left, dataset)
        return self._sought[dataset]


def _turn(made: Made) -> int:
    """When a file is removed: what tells of videos after all else, and what marks a data set after that."""
    if made.pattern == "{dataset}/config/{stage}.json":
        return _MARKS
    return _TELLS if made.pattern in _TELLING and made.fields["suffix"] == "json" else 0


def _tell(path: Path, made: Made) -> Iterator[str]:
    """The videos that a file of the pipeline tells of: by its name, or as a shard whose frames it holds."""
    if "video" in made.fields:
        yield made.fields["video"]
    if made.pattern == "{dataset}/shards/{shard}.{suffix}" and path.suffix == ".json":
        yield from (video["id"] for video in _read(path).get("videos", []))


def _read(path: Path) -> dict:
    """A record; an empty one where it is missing or is none."""
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _walk(folder: Path, below: str = "") -> Iterator[_File]:
    """All files, and links as such."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = f"{below}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{path}/")
            else:
                yield _File(path, entry.stat(follow_symlinks=False).st_size, entry.is_symlink())


def _key(path: str, results: Path) -> str | None:
    """The file below the results that a record of Snakemake is about; the name is base64, in pieces if long."""
    kind, *parts = path.split("/")
    if kind not in RECORDS:
        return None
    try:
        name = base64.urlsafe_b64decode("".join(part.removeprefix("@") for part in parts)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return below(name, results)
