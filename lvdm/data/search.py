"""The files that a glob matches, each folder entered once whatever links lead to it.

``glob.glob`` follows a link to a folder above until the system refuses the path, reads brackets in the name of
a folder as a choice of characters, and says nothing of what it passes over; so the walk is our own. What
matches is otherwise the same: ``*``, ``?``, ``[...]`` within a name, ``**`` for folders at any depth, and no
wildcard matches a hidden folder.
"""

import fnmatch
import heapq
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path

# What network storage, Windows and macOS keep beside a user's files: thumbnails, deleted files, resource forks.
_SYSTEM_FOLDERS = frozenset({"@eadir", "#recycle", "$recycle.bin", "system volume information", "__macosx"})

# How a frozen configuration begins (rule freeze writes sorted keys); a folder whose `config` holds one is of results.
_FROZEN = b'{"code": '


@dataclass
class Found:
    """What a search came upon; paths are relative where the glob was."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    """Folders that the whole glob matches."""
    broken: set[str] = field(default_factory=set)
    """Links that the glob matches and that lead nowhere."""
    results: set[str] = field(default_factory=set)
    """Folders of results, which were not entered."""
    unreadable: set[str] = field(default_factory=set)
    """Folders that could not be listed."""
    other_case: set[str] = field(default_factory=set)
    """Files that match but for the case of letters."""

    def update(self, other: "Found") -> None:
        for name, paths in vars(self).items():
            paths |= getattr(other, name)


def search(pattern: str, exclude: Iterable[Path] = ()) -> Found:
    """What ``pattern`` matches, without what lies in the folders ``exclude`` or in results of a pipeline."""
    root, segments = split_pattern(pattern)
    walk = Walk(exclude)
    walk.follow(
        root, [segment for n, segment in enumerate(segments) if segment != "**" or segments[n - 1 : n] != ["**"]]
    )
    return walk.found


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """The folder of a glob up to its first wildcard (of a plain path, the folder that it is in), and the rest.

    A name that is there as it is written has no wildcard, whatever characters are in it.
    """
    first, *parts = Path(os.path.normpath(pattern)).parts or (".",)
    root = first if os.path.isabs(first) else ""  # noqa: PTH117  a string is kept as it is written
    parts = parts if root else [first, *parts]
    for number, part in enumerate(parts[:-1]):
        there = _same_name(root, part)
        if there is None and has_magic(part):
            return root or ".", parts[number:]
        root = _join(root, there or part)
    return root or ".", parts[-1:]


class Walk:
    """One walk through folders; ``found`` gathers what it comes upon."""

    def __init__(self, exclude: Iterable[Path] = ()):
        self.found = Found()
        self._excluded = {identity(path) for path in exclude if path.is_dir()}
        self._listed: tuple[str | None, list[os.DirEntry]] = (
            None,
            [],
        )  # the last folder: it is asked for again at once

    def follow(self, folder: str, segments: list[str]) -> None:
        """Gather what the rest of a glob matches below ``folder``."""
        segment, *rest = segments
        if segment == "**":
            for below in self.descend(folder):
                self.follow(below, rest or ["*"])
            return
        for path in self._matches(folder, segment, last=not rest):
            if rest:
                if os.path.isdir(path) and self._may_enter(path):  # noqa: PTH112  thousands of strings
                    self.follow(path, rest)
            elif os.path.isfile(path):  # noqa: PTH113
                self.found.files.add(path)
            elif os.path.isdir(path):  # noqa: PTH112
                self.found.folders.add(path)
            elif os.path.islink(path):  # noqa: PTH114
                self.found.broken.add(path)

    def descend(self, folder: str) -> Iterator[str]:
        """A folder and all below it, each once, by the path that has the fewest links."""
        waiting = [(0, folder)]
        seen = set()
        while waiting:
            links, path = heapq.heappop(waiting)
            if (key := identity(path)) in seen:
                continue
            seen.add(key)
            yield path
            for entry in self.entries(path):
                below = _join(path, entry.name)
                if entry.is_dir() and not _is_passed_over(entry.name) and self._may_enter(below):
                    heapq.heappush(waiting, (links + entry.is_symlink(), below))

    def entries(self, folder: str) -> list[os.DirEntry]:
        """What is in a folder; nothing of one that is not there or cannot be read."""
        if self._listed[0] != folder:
            self._listed = (folder, [])
            try:
                with os.scandir(folder) as entries:
                    self._listed = (folder, list(entries))
            except PermissionError:
                self.found.unreadable.add(folder)
            except OSError:
                pass  # not a folder, or gone meanwhile
        return self._listed[1]

    def _matches(self, folder: str, segment: str, last: bool) -> Iterator[str]:
        there = _same_name(folder, segment)
        if there is not None or not has_magic(segment):
            if there is not None:
                yield _join(folder, there)
            return
        # Brackets may be meant as a choice or as they are; what they do not mean is hardly ever there.
        shapes = {fnmatch.translate(_composed(text)) for text in (segment, segment.replace("[", "[[]"))}
        matches = re.compile("|".join(shapes)).match
        nearly = re.compile("|".join(shapes), re.IGNORECASE).match
        for entry in self.entries(folder):
            name = _composed(entry.name)
            # Hidden files are matched so that they can be counted.
            if not last and _is_passed_over(name) and not segment.startswith("."):
                continue
            if matches(name):
                yield _join(folder, entry.name)
            elif last and nearly(name) and entry.is_file():
                self.found.other_case.add(_join(folder, entry.name))

    def _may_enter(self, folder: str) -> bool:
        if identity(folder) not in self._excluded and not _is_results(folder):
            return True
        self.found.results.add(folder)
        return False


def identity(path: str | Path) -> tuple[int, int] | str:
    """What is the same for every path to a file or folder; the resolved path where the file system has no numbers."""
    try:
        state = os.stat(path)  # noqa: PTH116  thousands of strings
    except OSError:
        return os.path.realpath(path)
    return (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(path)


def links_in(path: str | Path) -> int:
    """How many of the parts of a path are links."""
    path = Path(path).absolute()
    return sum(part.is_symlink() for part in (path, *path.parents))


def _is_results(folder: str) -> bool:
    """Whether ``folder/config`` holds a configuration that rule freeze wrote."""
    try:
        with os.scandir(os.path.join(folder, "config")) as entries:  # noqa: PTH118
            names = [entry.path for entry in entries if entry.name.endswith(".json")]
        for name in names:
            with open(name, "rb") as file:  # noqa: PTH123
                if file.read(len(_FROZEN)) == _FROZEN:
                    return True
    except OSError:
        pass  # there is none, or it is not ours to read
    return False


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def _same_name(folder: str, name: str) -> str | None:
    """How ``name`` is written in a folder that has it: letters with accents may be one character or two (NFC, NFD)."""
    if os.path.lexists(_join(folder, name)):
        return name
    if name.isascii():
        return None
    try:
        others = os.listdir(folder or ".")  # noqa: PTH208
    except OSError:
        return None
    return next((other for other in sorted(others) if _composed(other) == _composed(name)), None)


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _join(folder: str, name: str) -> str:
    return name if folder in ("", ".") else os.path.join(folder, name)  # noqa: PTH118
