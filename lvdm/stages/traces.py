"""The names of videos that were taken out, and the files that still say one.

A name is the video's identifier, its path, a part of that path which no video that is left shares, or its group. It is
looked for as it is, as JSON, HTML and URLs write it, and where features are kept, among their videos.
"""

import html
import itertools
import json
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import numpy as np

# What may hold a name; other files of the pipeline are pixels, weights and features.
_TEXTS = frozenset({".json", ".csv", ".md", ".tex", ".html", ".svg", ".log", ".tsv", ".txt", ".pkl", ""})

_WORD = re.compile(rb"[A-Za-z0-9_-]+")
# Shorter words, numbers, and words of the pipeline are in many files that do not mean the video.
_SHORTEST = 4
_OWN_WORDS = frozenset(
    {"autoencoder", "config", "crop", "data", "dataset", "datasets", "diffusion", "extract", "false", "frames", "group"}
    | {"heldout", "input", "inspect", "latents", "logs", "name", "none", "noise", "null", "output", "real", "report"}
    | {
        "results",
        "sample",
        "samples",
        "shard",
        "shards",
        "source",
        "test",
        "train",
        "true",
        "usable",
        "video",
        "videos",
    }
)


@dataclass(frozen=True)
class Video:
    """What results tell of a video."""

    dataset: str
    id: str
    paths: frozenset[str] = frozenset()
    group: str | None = None


@dataclass(frozen=True)
class Terms:
    """What is looked for. Each word and phrase stands for the identifier of a video."""

    words: dict[bytes, str] = field(default_factory=dict)
    """Looked for between characters that no identifier has."""
    phrases: dict[bytes, str] = field(default_factory=dict)
    """Looked for anywhere."""
    ids: frozenset[str] = frozenset()

    def found_in(self, text: bytes) -> str | None:
        """The video that a text names, or the first of several."""
        for word in _WORD.findall(text) if self.words else ():
            if word in self.words:
                return self.words[word]
        return next((video for phrase, video in self.phrases.items() if phrase in text and _alone(phrase, text)), None)


def terms(gone: Collection[Video], left: Collection[Video], dataset: str | None) -> Terms:
    """What to look for in the files of a data set, or, with None, of all.

    A word that a video which is left shares (of the same data set, or of any) is not looked for.
    """
    above = {video.dataset: _above([*gone, *left], video.dataset) for video in gone}
    shared = {video.id for video in left if dataset in (None, video.dataset)}
    shared |= {part for video in left for part in _parts(video)}
    words, phrases = {}, {}
    ids = set()
    for video in gone:
        if dataset in (None, video.dataset):
            for name in {video.id, *_parts(video)} - shared - above[video.dataset]:
                _add(name, video.id, words, phrases)
            if video.id not in shared:
                ids.add(video.id)
            if dataset is not None:
                # As lists and tables write it, however short it is.
                rows = (f"\n{video.id},{path}" for path in video.paths)
                for form in (f'"{video.id}"', f"/{video.id}.", f"\n{video.id}:", f",{video.id}:", *rows):
                    phrases[form.encode()] = video.id
        for folder in ("frames", "inspections", "extract", "inspect"):
            phrases[f"/{video.dataset}/{folder}/{video.id}.".encode()] = video.id
    return Terms(words, phrases, frozenset(ids))


def search(path: Path, sought: Terms) -> str | None:
    """The video that a file names in its text, or among the videos of its features; None of other kinds of files."""
    if not (sought.words or sought.phrases):
        return None
    if path.suffix == ".npz":
        with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path, allow_pickle=False) as arrays:
            named = sought.ids & set(map(str, arrays["videos"].tolist()))
            return min(named, default=None)
        return None
    return sought.found_in(path.read_bytes()) if path.suffix in _TEXTS else None


def unused_parts(parts: Iterable[Path], features: Iterable[Path]) -> Iterator[Path]:
    """The parts with features of a clip that none of the files of features has."""
    known = {row for path in features for row in _rows(path)}
    for part in parts:
        try:
            used = all(row in known for row in _rows(part))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # half-written, or of another version
            used = False
        if not used:
            yield part


def _rows(path: Path) -> Iterator[bytes]:
    """Each row of the features in a file, as bytes, of which 64 tell it from others."""
    with zipfile.ZipFile(path) as archive, archive.open("values.npy") as member:
        np.lib.format.read_magic(member)
        (rows, width), _, kind = np.lib.format.read_array_header_1_0(member)
        for _ in range(rows):
            yield member.read(width * kind.itemsize)[:64]


def _parts(video: Video) -> set[str]:
    """The paths of a video, the names of all files and folders on them, and its group."""
    found = {video.group} if video.group else set()
    for path in map(PurePosixPath, video.paths):
        found |= {str(path), *path.parts, path.stem}
    return found - {"/", "."}


def _above(videos: Iterable[Video], dataset: str) -> set[str]:
    """The names of the folders that all videos of a data set are in, which are nobody's."""
    folders = [PurePosixPath(path).parent.parts for video in videos if video.dataset == dataset for path in video.paths]
    same = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))
    return {names[0] for names in same}


def _alone(phrase: bytes, text: bytes) -> bool:
    """Whether a text has a phrase that is not the middle of a longer word."""
    before = rb"(?<![A-Za-z0-9_-])" if _WORD.match(phrase[:1]) else b""
    after = rb"(?![A-Za-z0-9_-])" if _WORD.match(phrase[-1:]) else b""
    return re.search(before + re.escape(phrase) + after, text) is not None


def _add(name: str, video: str, words: dict[bytes, str], phrases: dict[bytes, str]) -> None:
    stem = name if "/" in name else PurePosixPath(name).stem
    if len(stem) < _SHORTEST or not any(map(str.isalpha, stem)) or stem.lower() in _OWN_WORDS:
        return
    if _WORD.fullmatch(name.encode()):
        words[name.encode()] = video
        return
    for form in {name, html.escape(name), quote(name), json.dumps(name)[1:-1], name.replace("'", "'\"'\"'")}:
        phrases[form.encode()] = video
