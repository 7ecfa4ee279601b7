"""Videos of equal content under different names.

All recordings are compared at every plan, so only what is equal in size is read, first a little of it, and what
was read is kept by path, size and time of the last change.
"""

import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from lvdm.data.catalog import VideoSource, is_image
from lvdm.files import write_text

_BLOCK_BYTES = 2**16
_FORMAT = 1  # of the file of fingerprints


def equal_contents(videos: Sequence[VideoSource], kept: Path | None = None) -> dict[str, str]:
    """The identifier of each copy to that of the first video, in the order of ``videos``, of the same content.

    Videos are files, or folders of images, which are equal when the names and contents of all images are. Empty files
    have no content. ``kept`` is a JSON file that remembers what was read; it need be neither there nor writable.
    """
    fingerprints = _Fingerprints(kept)
    classes = [list(videos)]
    folders = bool(videos) and videos[0].path.is_dir()
    for look in fingerprints.of_folders if folders else fingerprints.of_files:
        classes = [part for same in classes for part in _parts(same, look) if len(part) > 1]
    fingerprints.save()
    return {copy.id: same[0].id for same in classes for copy in same[1:]}


def _parts(videos: Iterable[VideoSource], look: Callable[[Path], Hashable]) -> Iterable[list[VideoSource]]:
    parts: dict[Hashable, list[VideoSource]] = {}
    for video in videos:
        # What cannot be read cannot be compared; the stages that open it tell why.
        with suppress(OSError):
            parts.setdefault(look(video.path), []).append(video)
    return parts.values()


class _Fingerprints:
    """What is looked at of files and of folders, ever more of it, so that most are told apart by the first looks."""

    def __init__(self, kept: Path | None):
        self._file = kept
        self._before = _read(kept)
        self._now: dict[str, list] = {}
        self._images: dict[Path, list[str]] = {}
        self.of_files = (_size, self._ends, self._whole)
        self.of_folders = (self._names, self._some_sizes, self._some_contents, self._sizes, self._all_contents)

    def save(self) -> None:
        """Keep what was looked at, and no more, where it is not kept already and can be written."""
        if self._file is None or self._now == self._before:
            return
        # A plan needs no right to write: the next one reads anew.
        with suppress(OSError):
            write_text(self._file, json.dumps({"format": _FORMAT, "read": self._now}, ensure_ascii=True))

    def _ends(self, path: Path) -> str:
        """Of the first, the middle and the last block of a file."""
        return self._remembered(path, "ends", _hash_ends)

    def _whole(self, path: Path) -> str:
        return self._remembered(path, "whole", _hash_whole)

    def _remembered(self, path: Path, what: str, compute: Callable[[Path], str]) -> str:
        state = path.stat()
        key = f"{what} {os.fsencode(path).decode(errors='backslashreplace')}"
        known = self._before.get(key) or self._now.get(key)
        if not known or known[:2] != [state.st_size, state.st_mtime_ns]:
            known = [state.st_size, state.st_mtime_ns, compute(path)]
        self._now[key] = known
        return known[2]

    def _names(self, folder: Path) -> tuple[str, ...]:
        """Of all images, without a look at any: there are hundreds of thousands, and every plan asks."""
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if is_image(entry.name) and entry.is_file())
        self._images[folder] = names
        return tuple(names)

    def _some(self, folder: Path) -> list[Path]:
        """The first, the middle and the last image."""
        images = self._images[folder]
        return [folder / name for name in (images[0], images[len(images) // 2], images[-1])]

    def _some_sizes(self, folder: Path) -> tuple[int, ...]:
        return tuple(image.stat().st_size for image in self._some(folder))

    def _some_contents(self, folder: Path) -> tuple[str, ...]:
        return tuple(self._ends(image) for image in self._some(folder))

    def _sizes(self, folder: Path) -> tuple[int, ...]:
        return tuple(image.stat().st_size for image in map(folder.joinpath, self._images[folder]))

    def _all_contents(self, folder: Path) -> tuple[str, ...]:
        return tuple(self._whole(image) for image in map(folder.joinpath, self._images[folder]))


def _read(kept: Path | None) -> dict[str, list]:
    """What was read before; nothing where the file is not there or not one of ours."""
    try:
        found = json.loads(kept.read_text(encoding="utf-8")) if kept is not None else {}
        entries = found["read"] if found["format"] == _FORMAT else {}
        return {key: entry for key, entry in entries.items() if isinstance(entry, list) and len(entry) == 3}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _size(path: Path) -> Hashable:
    size = path.stat().st_size
    return size or path


def _hash_ends(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start in (0, size // 2, max(0, size - _BLOCK_BYTES)):
            file.seek(start)
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


def _hash_whole(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
