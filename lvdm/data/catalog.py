"""Which videos a data set has, what they are called, and which split and shard each belongs to.

Pure decisions on names: no video is opened, so that a workflow can plan with the same functions that
the stages use. An identifier, a split and a shard follow from the video's own name, so a video that
is added moves no other.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from lvdm.data.config import SplitConfig

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".mov", ".wmv", ".webm", ".gif"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

TRAIN, HELDOUT = "train", "heldout"

# File systems allow 255 bytes a name; suffixes and temporary names need some of them.
_LONGEST_ID = 120


class EmptyDatasetError(ValueError):
    """A data set without videos; the message says where to get them."""


@dataclass(frozen=True)
class VideoSource:
    """A video of a data set: its identifier (``[A-Za-z0-9_-]+``), and its file or folder of frames."""

    id: str
    path: Path


def list_videos(
    videos: Sequence[str] = (), frames: str | None = None, *, dataset: str = "", page: str | None = None
) -> list[VideoSource]:
    """The videos of a data set, sorted by identifier.

    ``videos`` are globs (``**`` descends) of video files; ``frames`` is a folder that holds a folder of
    images for each video, at any depth. ``dataset`` and ``page`` (where it is to be had) are for the
    message alone. An identifier is the path relative to the folder that all globs have in common, without
    suffix; a short hash is appended where the name had to be changed or is used twice.

    Raises :class:`EmptyDatasetError` when there is nothing, ``ValueError`` when a glob finds no video.
    """
    if bool(videos) == (frames is not None):
        raise ValueError("give either video files or a folder of frame folders")
    if frames is not None:
        root = Path(frames).expanduser()
        paths = _frame_folders(root, _nothing(dataset, root, page))
    else:
        globs = [os.path.expanduser(pattern) for pattern in ([videos] if isinstance(videos, str) else videos)]  # noqa: PTH111
        root = Path(os.path.commonpath([_fixed_root(pattern) for pattern in globs]))
        paths = sorted({path for pattern in globs for path in _video_files(pattern, _nothing(dataset, root, page))})
    names = [_text(path.relative_to(root)) for path in paths]
    ids = _identifiers(names, has_suffix=frames is None)
    return sorted((VideoSource(id, path) for id, path in zip(ids, paths, strict=True)), key=lambda video: video.id)


def frame_files(folder: Path) -> list[Path]:
    """The images in a folder in natural order: frame2.png comes before frame10.png."""
    return sorted(filter(_is_frame, folder.iterdir()), key=lambda path: (_natural(path.name), path.name))


def split_videos(ids: Iterable[str], heldout: float | Sequence[str]) -> dict[str, str]:
    """``train`` or ``heldout`` for each video.

    ``heldout`` is the list of the held-out identifiers, or a share: a video is held out when the hash of
    its identifier, a number in [0, 1), is below it. With a share above 0 and at least two videos, one is
    on each side in any case: where the hashes leave a side empty, the video of the lowest hash is held
    out, or that of the highest is trained on. This is the only way in which one video can depend on the
    others. A single video is trained on.

    Raises ``ValueError`` when the list names a video that is not there, or all of them.
    """
    ids = sorted(set(ids))
    if not isinstance(heldout, int | float):
        return _split_by_list(ids, heldout)
    rank = {id: _unit_hash("split", id) for id in ids}
    chosen = {id for id in ids if rank[id] < heldout}
    if heldout > 0 and ids:
        by_rank = sorted(ids, key=lambda id: (rank[id], id))
        if len(ids) == 1:
            chosen = set()
        elif not chosen:
            chosen = {by_rank[0]}
        elif len(chosen) == len(ids):
            chosen -= {by_rank[-1]}
    return {id: HELDOUT if id in chosen else TRAIN for id in ids}


def shard_of(id: str, shards: int) -> int:
    """The index of the shard, in ``range(shards)``, that holds a video's frames."""
    return _hash("shard", id) % shards


def shard_members(ids: Iterable[str], split: SplitConfig) -> dict[tuple[str, int], list[str]]:
    """The sorted identifiers in each (split, shard index), for every shard, also the empty ones."""
    counts = {TRAIN: split.train_shards, HELDOUT: split.heldout_shards}
    members: dict[tuple[str, int], list[str]] = {(name, i): [] for name, count in counts.items() for i in range(count)}
    for id, name in split_videos(ids, split.heldout).items():
        members[name, shard_of(id, counts[name])].append(id)
    return members


def _split_by_list(ids: list[str], heldout: Sequence[str]) -> dict[str, str]:
    unknown = sorted(set(heldout) - set(ids))
    if unknown:
        raise ValueError(
            f"split.heldout names {', '.join(unknown)}, but no video has that name; there are {', '.join(ids[:20])}"
            + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")
        )
    if ids and len(set(heldout)) == len(ids):
        raise ValueError("split.heldout names every video, which leaves none to train on; take some out")
    return {id: HELDOUT if id in set(heldout) else TRAIN for id in ids}


def _nothing(dataset: str, root: Path, page: str | None) -> str:
    name = f"data set {dataset}" if dataset else "the data set"
    source = f" Get it from {page} and put it into {root}," if page else f" Put the videos into {root},"
    return f"{name}: no videos in {root}.{source} or run `make demo`, which needs no data."


def _fixed_root(pattern: str) -> str:
    """The folder of a glob up to its first wildcard; of a file, the folder that it is in."""
    fixed = Path(pattern).parent
    while has_magic(str(fixed)) and not Path(pattern).is_file():
        fixed = fixed.parent
    return os.path.abspath(fixed) if Path(pattern).is_absolute() else os.path.normpath(fixed)  # noqa: PTH100


def _video_files(pattern: str, nothing: str) -> list[Path]:
    # A file's own name comes first: it may hold brackets, which a glob reads as a choice.
    names = [pattern] if Path(pattern).is_file() else glob(pattern, recursive=True)  # noqa: PTH207
    found = [Path(os.path.normpath(name)) for name in names]
    files = [path for path in found if path.is_file()]
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return videos
    suffixes = " ".join(sorted(VIDEO_SUFFIXES))
    if files:
        raise ValueError(f"{pattern} matches {len(files)} files, {files[0]} for one, but no video ({suffixes})")
    if found:
        raise EmptyDatasetError(f"{nothing} ({pattern} is a folder: write {found[0]}/**/* for all videos in it.)")
    raise EmptyDatasetError(f"{nothing} ({pattern} matches nothing.)")


def _frame_folders(root: Path, nothing: str) -> list[Path]:
    if not root.is_dir():
        raise EmptyDatasetError(nothing)
    if _holds_frames(root):
        raise ValueError(f"{root} holds images itself; give the folder above it, which has one folder a video")
    below = (Path(parent, name) for parent, names, _ in os.walk(root) for name in names)
    folders = sorted(filter(_holds_frames, below))
    if not folders:
        raise EmptyDatasetError(nothing)
    return folders


def _holds_frames(folder: Path) -> bool:
    # The first will do: a data set has hundreds of thousands, and every plan asks.
    return any(map(_is_frame, folder.iterdir()))


def _is_frame(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and path.is_file()


def _text(path: Path) -> str:
    name = path.as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name!a}: the name is not valid UTF-8, so no table can hold it; rename it") from None
    return name


def _identifiers(names: list[str], has_suffix: bool) -> list[str]:
    """An identifier for each relative name; what makes it unique is a hash of the name itself."""
    stems = [str(Path(name).with_suffix("")) if has_suffix else name for name in names]
    # Case is ignored, because some file systems do.
    uses = Counter(stem.casefold() for stem in stems)
    ids = []
    for name, stem in zip(names, stems, strict=True):
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", stem)[:_LONGEST_ID]
        # A leading dash would read as an option on a command line.
        safe = re.sub(r"^-", "_", safe)
        kept = safe == stem and uses[stem.casefold()] == 1
        ids.append(safe if kept else f"{safe}-{_hash('name', name):064x}"[: len(safe) + 9])
    return ids


def _natural(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _unit_hash(purpose: str, name: str) -> float:
    """A number in [0, 1)."""
    return (_hash(purpose, name) >> 203) / 2**53


def _hash(purpose: str, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest())
