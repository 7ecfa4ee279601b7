"""Which videos a data set has, and what they are called.

Decisions on names: no video is opened, so that a workflow can plan with the same functions that the stages
use. An identifier follows from the video's own name, so a video that is added changes no other's.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import has_magic
from itertools import chain
from pathlib import Path

from lvdm.data.search import Found, Walk, identity, links_in, search, split_pattern

_CONTAINERS = (
    "mp4 m4v mov qt mkv webm avi divx wmv asf flv f4v gif apng ogv ogg 3gp 3g2 rm rmvb nut ivf y4m "
    "mpg mpeg mpe m2v m1v vob ts m2ts mts mod tod mxf dv h264 264 h265 265 hevc dcm dicom"
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _CONTAINERS.split())
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

# File systems allow 255 bytes a name; suffixes and temporary names need some of them.
_LONGEST_ID = 120

_UNFINISHED = frozenset(
    {".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".aria2", ".tmp", ".temp", ".!ut"}
)
_DVD_MENU = re.compile(r"VIDEO_TS\.VOB|VTS_\d\d_0\.VOB", re.IGNORECASE)


class EmptyDatasetError(ValueError):
    """A data set without videos; the message says where to get them."""


@dataclass(frozen=True)
class VideoSource:
    """A video of a data set."""

    id: str
    """``[A-Za-z0-9_-]+``"""
    path: Path
    """Its file, or its folder of frames."""
    name: str = ""
    """Its path relative to the root of the data set, with ``/`` between folders."""
    stem: str = ""
    """The same without the suffix of the file."""
    group: str = ""
    """The label of what it belongs to, ``[A-Za-z0-9_-]+``, which may be written anywhere."""
    split_key: str = ""
    """What decides the split of that group. Not to be written: it may be a patient's identifier."""


@dataclass(frozen=True)
class Listing:
    """The videos of a data set, sorted by identifier, and what a person should know of the files that are none."""

    videos: tuple[VideoSource, ...]
    notes: tuple[str, ...] = ()


def list_videos(
    videos: Sequence[str] = (), frames: str | None = None, *, dataset: str = "", page: str | None = None
) -> list[VideoSource]:
    """The videos of :func:`find_videos`."""
    return list(find_videos(videos, frames, dataset=dataset, page=page).videos)


def find_videos(
    videos: Sequence[str] = (),
    frames: str | None = None,
    *,
    dataset: str = "",
    page: str | None = None,
    exclude: Iterable[Path] = (),
) -> Listing:
    """The videos of a data set, each once, whatever links lead to it.

    ``videos`` are globs (``**`` descends) of video files; ``frames`` is a folder that holds a folder of
    images for each video, at any depth, or a glob of such folders. ``dataset`` and ``page`` (where it is to be
    had) are for the message alone. What lies in the folders ``exclude``, or in the results of any run of the
    pipeline, is never listed. An identifier is the path relative to the folder that all globs have in common,
    without suffix; a short hash is appended where the name had to be changed or is used twice. Each video is a
    group of its own.

    Raises :class:`EmptyDatasetError` when there is nothing, ``ValueError`` when a glob finds no video, and
    when it points into one of ``exclude``.
    """
    if bool(videos) == (frames is not None):
        raise ValueError("give either video files or a folder of frame folders")
    exclude = [Path(folder) for folder in exclude]
    globs = [os.path.expanduser(pattern) for pattern in ([videos] if isinstance(videos, str) else videos)]  # noqa: PTH111
    roots = fixed_roots(globs, frames)
    for place in roots:
        _refuse_results(place, exclude)
    absolute = os.path.commonpath([os.path.abspath(place) for place in roots])  # noqa: PTH100
    root = Path(absolute if any(map(os.path.isabs, roots)) else os.path.relpath(absolute))
    nothing = _nothing(dataset, root, page)
    if frames is not None:
        paths, notes = _frame_folders(frames, root, exclude, nothing)
    else:
        paths, notes = _video_files(globs, exclude, nothing)
    paths, again = _each_once(paths)
    names = [_text(Path(os.path.relpath(path, absolute))) for path in paths]
    ids = identifiers(names, has_suffix=frames is None)
    stems = [str(Path(name).with_suffix("")) if frames is None else name for name in names]
    parts = zip(ids, paths, names, stems, strict=True)
    found = [VideoSource(id, path, name, stem, group=id, split_key=id) for id, path, name, stem in parts]
    return Listing(tuple(sorted(found, key=lambda video: video.id)), (*notes, *again))


def fixed_roots(globs: Iterable[str], frames: str | None) -> list[str]:
    """The folders that videos are looked for in: of each glob that up to its first wildcard."""
    if frames is not None:
        frames = os.path.normpath(os.path.expanduser(frames))  # noqa: PTH111
        return [split_pattern(frames)[0] if _is_glob(frames) else frames]
    return [split_pattern(os.path.expanduser(pattern))[0] for pattern in globs]  # noqa: PTH111


def is_image(name: str) -> bool:
    """Whether a file of this name is an image that shows."""
    return name[0] != "." and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def frame_files(folder: Path) -> list[Path]:
    """The images in a folder in natural order: frame2.png comes before frame10.png."""
    return sorted(filter(_is_frame, folder.iterdir()), key=lambda path: (_natural(path.name), path.name))


def name_hash(purpose: str, name: str) -> int:
    """A number of 256 bits that follows from a name, another for each purpose."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest())


def identifiers(names: Sequence[str], has_suffix: bool) -> list[str]:
    """A safe identifier for each name, unique whatever the case; a hash of the name makes it so where it must."""
    stems = [str(Path(name).with_suffix("")) if has_suffix else name for name in names]
    # Case is ignored, because some file systems do.
    uses = Counter(stem.casefold() for stem in stems)
    ids = []
    for name, stem in zip(names, stems, strict=True):
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:_LONGEST_ID]
        # A leading dash would read as an option on a command line.
        safe = re.sub(r"^-", "_", safe)
        kept = safe == stem and uses[stem.casefold()] == 1
        ids.append(safe if kept else f"{safe}-{name_hash('name', name):064x}"[: len(safe) + 9])
    return ids


def _refuse_results(root: str, exclude: Iterable[Path]) -> None:
    real = Path(os.path.realpath(root))
    for folder in exclude:
        if real.is_relative_to(os.path.realpath(folder)):
            raise ValueError(
                f"{root} lies in {folder}, which the pipeline writes to, so nothing in it is taken for a video; move "
                "the videos, or choose another folder with `results`"
            )


def _nothing(dataset: str, root: Path, page: str | None) -> str:
    name = f"data set {dataset}" if dataset else "the data set"
    source = f" Get it from {page} and put it into {root}," if page else f" Put the videos into {root},"
    return f"{name}: no videos in {root}.{source} or run `make demo`, which needs no data."


def _video_files(globs: Sequence[str], exclude: Sequence[Path], nothing: str) -> tuple[set[str], list[str]]:
    """The files of all globs, and notes on what else they matched. Every glob must find one."""
    everything = Found()
    for pattern in globs:
        found = search(pattern, exclude)
        if not any(not _kind(path) for path in found.files):
            raise _no_video(pattern, found, nothing)
        everything.update(found)
    videos = {path for path in everything.files if not _kind(path)}
    kinds = Counter(_kind(path) for path in everything.files - videos)
    return videos, [
        *_ignored(kinds + Counter({"broken link": len(everything.broken)})),
        *_walk_notes(everything, videos),
    ]


def _no_video(pattern: str, found: Found, nothing: str) -> ValueError:
    files = sorted(path for path in found.files if _kind(path) not in ("hidden", "unfinished"))
    if found.other_case:
        return ValueError(
            f"{pattern} matches no video, but {min(found.other_case)} differs only in the case of letters"
        )
    if files:
        images = all(Path(path).suffix.lower() in IMAGE_SUFFIXES for path in files)
        remedy = "; give folders of images with `frames` in place of `videos`" if images else ""
        suffixes = " ".join(sorted(VIDEO_SUFFIXES))
        return ValueError(
            f"{pattern} matches {len(files)} files, {files[0]} for one, but no video ({suffixes}){remedy}"
        )
    if found.results:
        return EmptyDatasetError(f"{nothing} ({min(found.results)} is of results, so it is not searched.)")
    if found.folders:
        first = min(found.folders)
        return EmptyDatasetError(f"{nothing} ({pattern} is a folder: write {first}/**/* for all videos in it.)")
    return EmptyDatasetError(f"{nothing} ({pattern} matches nothing.)")


def _is_glob(frames: str) -> bool:
    """Whether the place of frame folders is a glob: a folder may have its characters in its name."""
    return has_magic(frames) and not os.path.isdir(frames)  # noqa: PTH112


def _frame_folders(frames: str, root: Path, exclude: Sequence[Path], nothing: str) -> tuple[set[str], list[str]]:
    """The folders that hold images, in ``root`` or in what a glob matches, and notes on what else is there."""
    if not root.is_dir():
        raise EmptyDatasetError(nothing)
    frames = os.path.normpath(os.path.expanduser(frames))  # noqa: PTH111
    tops = sorted(search(frames, exclude).folders) if _is_glob(frames) else [str(root)]
    walk = Walk(exclude)
    folders, videos = set(), 0
    for folder in chain.from_iterable(map(walk.descend, tops)):
        entries = walk.entries(folder)
        if any(is_image(entry.name) and entry.is_file() for entry in entries):
            folders.add(folder)
        else:
            videos += sum(not _kind(entry.name) and entry.is_file() for entry in entries)
    if str(root) in folders:
        raise ValueError(f"{root} holds images itself; give the folder above it, which has one folder a video")
    if not folders:
        raise EmptyDatasetError(nothing)
    notes = [f"video files in {root} are ignored, because `frames` reads folders of images: {videos}"] if videos else []
    return folders, [*notes, *_walk_notes(walk.found, folders)]


def _ignored(kinds: Mapping[str, int]) -> list[str]:
    """A line about files that are no videos, the most frequent kind first."""
    listed = sorted(((count, kind) for kind, count in kinds.items() if count), key=lambda item: (-item[0], item[1]))
    if not listed:
        return []
    count = sum(kinds.values())
    what = "1 file that is no video is" if count == 1 else f"{count} files that are no videos are"
    return [f"{what} ignored: {', '.join(f'{count} {kind}' for count, kind in listed)}"]


def _walk_notes(found: Found, videos: set[str]) -> list[str]:
    notes = [
        f"{folder!a} holds results of a pipeline, so it is not searched for videos" for folder in sorted(found.results)
    ]
    notes += [f"{folder!a} cannot be read; what is in it is left out" for folder in sorted(found.unreadable)]
    other = sorted(path for path in found.other_case - videos if not _kind(path))
    if other:
        notes.append(
            f"a glob tells upper and lower case apart, so it leaves out {len(other)} that differ in this alone, "
            f"{other[0]!a} for one; write *.[mM][pP]4, say, or *"
        )
    return notes


def _each_once(paths: Iterable[str]) -> tuple[list[Path], list[str]]:
    """The paths of different files in order, of each file that with the fewest links, and a note on the others."""
    by_file: dict[tuple[int, int] | str, list[str]] = {}
    for path in sorted(paths):
        by_file.setdefault(identity(path), []).append(path)
    kept = [min(same, key=links_in) if len(same) > 1 else same[0] for same in by_file.values()]
    others = sorted(set(paths) - set(kept))
    if not others:
        return sorted(map(Path, kept)), []
    said = f"links to files that are listed already are left out: {len(others)}, {others[0]!a} for one"
    return sorted(map(Path, kept)), [said]


def _kind(path: str) -> str:
    """What a file is that is no video, in words for a note; empty for a video."""
    name = os.path.basename(path)  # noqa: PTH119  hundreds of thousands of strings
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if name.startswith("."):
        return "hidden"
    if suffix in _UNFINISHED or name.endswith("~") or name.startswith("~$"):
        return "unfinished"
    if _DVD_MENU.fullmatch(name):
        return "DVD menu"
    if suffix in VIDEO_SUFFIXES:
        return ""
    return ascii(suffix)[1:-1] if suffix else "without suffix"


def _is_frame(path: Path) -> bool:
    return is_image(path.name) and path.is_file()


def _text(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name!a}: the name is not valid UTF-8, so no table can hold it; rename it") from None
    return name


def _natural(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]
