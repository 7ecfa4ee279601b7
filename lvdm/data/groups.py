"""What belongs together: the videos of one patient, the pieces of one recording, the copies of one file.

A group has a key, which decides the split and stays in memory, and a label, which is written. They differ only
where a file itself tells whose it is.
"""

import csv
import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lvdm.data.catalog import VideoSource, identifiers
from lvdm.data.config import GroupConfig
from lvdm.data.splits import HELDOUT

# Of a DVD: title 01 is cut into VTS_01_1.VOB, VTS_01_2.VOB, ...
_TITLE = re.compile(r"(?i)((?:.*/)?VTS_\d\d)_[1-9]")

Grouped = tuple[list[VideoSource], list[str]]


def assign_groups(
    videos: Sequence[VideoSource],
    config: GroupConfig | None,
    known: Mapping[str, tuple[str, str]] | None = None,
) -> Grouped:
    """The videos with their groups, and notes on what a person should know of these.

    ``config`` says what belongs together; without it, each video is a group of its own, named as its identifier,
    but where ``known`` gives it a key and a label that its file tells. The parts of a DVD's title are one group in
    any case. Raises ``ValueError`` for a table that does not fit.
    """
    known = known or {}
    found, notes = _configured(videos, config) if config else ({}, [])
    keys = {video.id: found.get(video.id) or known.get(video.id, (video.id,))[0] for video in videos}
    stated = {key: label for id, (key, label) in known.items() if keys.get(id) == key and id not in found}
    texts = sorted(set(keys.values()) - set(stated))
    labels = dict(zip(texts, identifiers(texts, has_suffix=False), strict=True))
    labels |= {text: text for text in texts if text in keys} | stated  # an identifier is safe as it is
    grouped = [dataclasses.replace(video, group=labels[keys[video.id]], split_key=keys[video.id]) for video in videos]
    titles: dict[str, list[str]] = {}
    for video in videos:
        if part := _TITLE.fullmatch(video.stem):
            titles.setdefault(part[1], []).append(video.id)
    return join(grouped, titles.values()), notes


def join(videos: Sequence[VideoSource], together: Iterable[Iterable[str]]) -> list[VideoSource]:
    """The videos after the groups of those in each of ``together`` (identifiers) were made one.

    It takes the key and the label of the group whose key comes first.
    """
    by_id = {video.id: video for video in videos}
    first = {video.split_key: video.split_key for video in videos}

    def find(key: str) -> str:
        while first[key] != key:
            key = first[key]
        return key

    for ids in together:
        keys = {find(by_id[id].split_key) for id in ids}
        first.update(dict.fromkeys(keys, min(keys)))
    label = {video.split_key: video.group for video in videos}
    return [
        dataclasses.replace(video, group=label[key], split_key=key)
        for video in videos
        for key in [find(video.split_key)]
    ]


def share_note(groups: Mapping[str, str], sides: Mapping[str, str], heldout: float | Sequence[str]) -> str | None:
    """A line where groups of unequal size hold out another share of the videos than was asked for.

    ``groups`` and ``sides`` are the group and the split of each video.
    """
    count = len(set(groups.values()))
    if not isinstance(heldout, int | float) or not heldout or count == len(groups):
        return None
    if count == 1:
        return f"the {len(groups)} videos are one group, so all are trained on and none is held out"
    share = list(sides.values()).count(HELDOUT) / len(sides)
    if abs(share - heldout) <= heldout / 2:
        return None
    return (
        f"{share:.0%} of the videos are held out where split.heldout is {heldout:.0%}, because the {count} groups are "
        "not of one size; a list of groups in split.heldout makes it another share"
    )


def _configured(videos: Sequence[VideoSource], config: GroupConfig) -> tuple[dict[str, str], list[str]]:
    """The group of each video that has one, and a note on those that have none."""
    if config.table is not None:
        return _read_table(config.table, videos), []
    if config.pattern is not None:
        group_of, lack = _by_pattern(config.pattern), f"do not match {config.pattern!r}"
    else:
        group_of, lack = _by_folder(config.folder), f"lie in no folder of level {config.folder}"
    found = {video.id: group for video in videos if (group := group_of(video))}
    alone = [video.name for video in videos if video.id not in found]
    if not alone:
        return found, []
    who = f"{len(alone)} of {len(videos)} videos" if found else "all videos"
    return found, [f"`group`: {who} {lack}, {alone[0]!a} for one; each of these is a group of its own"]


def _by_pattern(pattern: str) -> Callable[[VideoSource], str]:
    """The group that a regular expression finds in the path, first without the suffix; empty for none."""
    expression = re.compile(pattern)

    def group(video: VideoSource) -> str:
        found = expression.search(video.stem) or expression.search(video.name)
        if found is None:
            return ""
        return "-".join(part for part in found.groups() if part) if expression.groups else found[0]

    return group


def _by_folder(level: int) -> Callable[[VideoSource], str]:
    """The name of the folder at a level; empty where there is none. The same name is the same group anywhere."""

    def group(video: VideoSource) -> str:
        folders = video.name.split("/")[:-1]
        index = level - 1 if level > 0 else len(folders) + level
        return folders[index] if 0 <= index < len(folders) else ""

    return group


def _read_table(table: Path, videos: Sequence[VideoSource]) -> dict[str, str]:
    """The group of every video. Raises ``ValueError`` that names the table, and the line where there is one."""
    found: dict[str, tuple[str, int]] = {}
    finder = _Finder(videos)
    for line, name, group in _rows(table):
        try:
            id = finder.find(name)
        except ValueError as error:
            raise ValueError(f"{table}, line {line}: {error}") from None
        if id in found:
            raise ValueError(f"{table}, line {line}: {name} has a row already, in line {found[id][1]}; remove one")
        found[id] = group, line
    lacking = [video.name for video in videos if video.id not in found]
    if lacking:
        listed = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise ValueError(f"{table}: there is no row for {listed}; add one for each video")
    return {id: group for id, (group, _) in found.items()}


def _rows(table: Path) -> Iterable[tuple[int, str, str]]:
    """(line, video, group) of each row of a table; separated by commas, semicolons or tabs."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{table}: the table of groups cannot be read: {error.strerror}; check the path") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{table}: byte {error.start} is not UTF-8; save the table as UTF-8") from None
    lines = text.splitlines()
    separator = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    columns = [(name or "").strip() for name in reader.fieldnames or []]
    if not {"video", "group"} <= set(columns):
        raise ValueError(f"{table}, line 1: the columns `video` and `group` are needed; there are {', '.join(columns)}")
    reader.fieldnames = columns
    try:
        for row in reader:
            video, group = ((row[name] or "").strip() for name in ("video", "group"))
            if not video or not group:
                raise ValueError(
                    f"{table}, line {reader.line_num}: `{'group' if video else 'video'}` is empty; fill it in"
                )
            yield reader.line_num, video, group
    except csv.Error as error:
        raise ValueError(f"{table}, line {reader.line_num + 1}: {error}; correct the row") from None


class _Finder:
    """Finds a video by its identifier, its path below the root, or the name of its file, with or without suffix."""

    def __init__(self, videos: Sequence[VideoSource]):
        self._ways: list[dict[str, list[VideoSource]]] = []
        ways: list[Callable[[VideoSource], str]] = [
            lambda video: video.id,
            lambda video: video.name,
            lambda video: video.stem,
            lambda video: video.name.rpartition("/")[2],
            lambda video: video.stem.rpartition("/")[2],
        ]
        for way in ways:
            found: dict[str, list[VideoSource]] = {}
            for video in videos:
                found.setdefault(_composed(way(video)), []).append(video)
            self._ways.append(found)

    def find(self, name: str) -> str:
        """The identifier. Raises ``ValueError`` where there is no such video, or there are several."""
        for way in self._ways:
            for text in (_composed(name), _composed(name).replace("\\", "/").removeprefix("./")):
                if videos := way.get(text, []):
                    if len(videos) > 1:
                        paths = ", ".join(video.name for video in videos[:5])
                        raise ValueError(f"{name} may be any of {paths}; write the path")
                    return videos[0].id
        raise ValueError(f"there is no video {name} in the data set; correct it, or remove the row")


def _composed(text: str) -> str:
    """One spelling of letters with accents, which file systems write in two ways."""
    return unicodedata.normalize("NFC", text)
