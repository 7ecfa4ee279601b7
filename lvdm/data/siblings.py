"""Names that look like pieces of one source, and the setting ``group`` that would keep these together.

A guess from names alone, made for a warning: it looks for numbers that begin anew within a numbered source
(case01_part2), for stretches (name-0-64), for words such as patient, and for numbered folders that hold several
videos. One row of numbers (patient-01 to patient-20), words that are classes (polyp_1, normal_1), days and random names
are none.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

# Words before a number that names a source, the surest first.
_SOURCES = (
    "patient|pat|subject|subj|sub|proband|person|participant",
    "case|fall",
    "exam|examination|procedure|surgery|operation|recording|lesion",
)
_SOURCE = re.compile(rf"(?:{'|'.join(_SOURCES)})s?", re.IGNORECASE)

# Words before a number that counts something else than sources.
_NO_SOURCE = re.compile(
    r"(?:cent(?:er|re)|site|hospital|clinic|fold|split|batch|set|class|grade|level|label|score|type|stage|year|train|test|"
    r"val|valid|validation|cam|camera|view|disk|part|vol|volume|images?|videos|frames|data|archive|zip|folder|dir|mayo|"
    r"bbps|fps|size|version|run|task|phase)[-_ ]?",
    re.IGNORECASE,
)

_RANDOM = re.compile(
    r"(?i)(?<![0-9a-z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,})(?![0-9a-z])"
)
_DAY = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[1-9]|[12]\d|3[01])[-_.](?:0[1-9]|1[0-2])[-_.](?:19|20)\d\d)"
    r"(?:[-_ T.]*(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d(?:[-_.:m]?[0-5]\d)?)?(?!\d)"
)
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")

_STRETCH = re.compile(r"(.+)[-_ .](\d+)[-_](\d+)")
_COUNTED = re.compile(r"(.*[^-_ .(/])([-_ .(]+)([A-Za-z]{0,12})([-_ .]?)(\d{1,9})(\)?)")
_PART = re.compile(r"(?i)(.*[^-_ .(/])[-_ .(]*(part|teil|chapter|cd|disc|piece|chunk)[-_ .]?\d+(?:of\d+)?\)?")
_LETTERED = re.compile(r"(.*\d)[-_ ]?([A-Za-z])")
_WORDED = re.compile(r"(.*\d)[-_ ]+([A-Za-z]{2,12})")

# Of all names, so many must have siblings where each of them alone would be weak evidence.
_SHARE = 0.1
_MANY = 50  # videos; folders of more are classes or batches rather than patients
_LONG = 10  # videos


@dataclass(frozen=True)
class Siblings:
    """What was found: ``setting`` is the line of YAML, ``example`` two videos that it puts together."""

    setting: str
    example: tuple[str, str]
    videos: int
    """Videos that are not alone in their group."""
    groups: int
    """Groups of these."""

    def __str__(self) -> str:
        sources = "1 source" if self.groups == 1 else f"{self.groups} sources"
        return (
            f"{self.videos} videos look like pieces of {sources}, e.g. "
            f"{self.example[0]!a} and {self.example[1]!a}; without `group` pieces of one patient may be trained on and "
            f"held out. If they belong together, write {self.setting}"
        )


def find_siblings(stems: Sequence[str]) -> Siblings | None:
    """What looks as if it belongs together among paths relative to the root, without suffix; ``None`` for nothing."""
    for find in (_stretches, _sources, _folders, _counted, _parts, _lettered):
        for setting, groups in find(stems):
            together = [members for members in groups.values() if len(members) > 1]
            if together and len(groups) > 1:
                pair = sorted(together[0])[:2]
                return Siblings(setting, (pair[0], pair[1]), sum(map(len, together)), len(together))
    return None


Groups = Mapping[str, Sequence[str]]


def _by(stems: Sequence[str], key: Callable[[str], str | None]) -> dict[str, list[str]]:
    """The names by a key; those without one are alone."""
    groups: dict[str, list[str]] = {}
    for stem in stems:
        groups.setdefault(key(stem) or f"\0{stem}", []).append(stem)
    return groups


def _by_pattern(stems: Sequence[str], pattern: str) -> dict[str, list[str]]:
    expression = re.compile(pattern)
    return _by(stems, lambda stem: found[1] if (found := expression.search(stem)) else None)


def _pattern(pattern: str) -> str:
    return f"group: {json.dumps(pattern, ensure_ascii=False)}"


def _stretches(stems: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """name-start-end: stretches of at least five units that do not overlap, or are windows of one length."""
    found = [(match[1], int(match[2]), int(match[3])) for stem in stems if (match := _STRETCH.fullmatch(stem))]
    if 2 * len(found) < len(stems) or sum(end - start >= 5 for _, start, end in found) < 0.9 * len(found):
        return
    if len({end - start for _, start, end in found}) > 1:
        stretches: dict[str, list[tuple[int, int]]] = {}
        for name, start, end in found:
            stretches.setdefault(name, []).append((start, end))
        apart = [one[1] <= other[0] + 1 for parts in stretches.values() for one, other in pairwise(sorted(parts))]
        if sum(apart) < 0.9 * len(apart):
            return
    pattern = r"^(.*)[-_ .]\d+[-_]\d+$"
    for mark in "-_":
        if all(re.search(rf"{mark}\d+{mark}\d+$", stem) for stem in stems if _STRETCH.fullmatch(stem)):
            pattern = rf"^(.*){mark}\d+{mark}\d+$"
    yield _pattern(pattern), _by_pattern(stems, pattern)


def _sources(stems: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """A word for a source with its number anywhere in the path: patient-01/a, case1_2."""
    for words in _SOURCES:
        general = rf"(?i)(?<![a-z])((?:{words})[-_ ]?\d+)"
        found = [match[1] for stem in stems if (match := re.search(general, stem))]
        if len(found) < max(2, _SHARE * len(stems)) or len(set(found)) == len(found):
            continue
        spelled = {re.sub(r"\d+$", "", text) for text in found}
        pattern = general if len(spelled) > 1 else rf"({re.escape(spelled.pop()).replace(chr(92) + '-', '-')}\d+)"
        yield _pattern(pattern), _by_pattern(stems, pattern)


def _folders(stems: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """Numbered folders, or folders of random names, that hold several videos each: the first such level."""
    depth = max((stem.count("/") for stem in stems), default=0)
    for level in range(1, depth + 1):
        names = {stem: parts[level - 1] for stem in stems if len(parts := stem.split("/")) > level}
        template, count = Counter(_template(name) for name in names.values()).most_common(1)[0]
        held = Counter(name for name in names.values() if _template(name) == template)
        if "#" not in template or count < 0.8 * len(stems) or _counts_no_source(template):
            continue
        several = [size for size in held.values() if size > 1]
        if len(held) < (5 if template == "#" else 3) or 2 * len(several) < len(held) or median(several) > _MANY:
            continue
        yield f"group: {{folder: {level}}}", _by(stems, names.get)


def _counted(stems: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """A number that begins anew within each numbered name: video01_000123, p01_v1, case3 (2)."""
    found: dict[tuple, dict[str, list[str]]] = {}
    for stem in stems:
        match = _COUNTED.fullmatch(_hide_days(stem))
        if match and not _RANDOM.fullmatch(stem.rpartition("/")[2]) and not _SOURCE.fullmatch(match[3]):
            source = stem[: match.end(1)]
            shape = (*_shape(source), *match.group(2, 3, 4, 6))
            found.setdefault(shape, {}).setdefault(source, []).append(stem)
    for (_, template, mark, word, gap, close), groups in sorted(found.items(), key=lambda item: -len(item[1])):
        if _differ_by_number(template, groups) and _enough(groups, stems):
            tail = "".join(map(_escape, (mark, word, gap))) + r"\d+" + _escape(close)
            pattern = rf"^(.*\w){tail}$" if mark.strip("-_.") else rf"^(.*){tail}$"
            yield _pattern(pattern), _by_pattern(stems, pattern)


def _parts(stems: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """A word for a part with its number, after any name: stomach_part1, stomach_part2."""
    words = Counter(match[2].lower() for stem in stems if (match := _PART.fullmatch(stem)))
    for word, _ in words.most_common():
        pattern = rf"(?i)^(.*?)[-_ .(]*{word}[-_ .]?\d+(?:of\d+)?\)?$"
        sources = {match[1] if (match := re.search(pattern, stem)) else stem for stem in stems}
        if len(sources) > 1 and "" not in sources:
            yield _pattern(pattern), _by_pattern(stems, pattern)


def _lettered(stems: Sequence[str]) -> Iterator[tuple[str, Groups]]:
    """A letter or a word after each numbered name: case01a and case01b, adenoma_01_NBI and adenoma_01_WL."""
    for expression, pattern in ((_LETTERED, r"^(.*\d)[-_ ]?[A-Za-z]$"), (_WORDED, r"^(.*\d)[-_ ]+[A-Za-z]+$")):
        found: dict[tuple[str, str], dict[str, list[str]]] = {}
        for stem in stems:
            if (match := expression.fullmatch(stem)) and not _RANDOM.fullmatch(stem.rpartition("/")[2]):
                found.setdefault(_shape(match[1]), {}).setdefault(match[1], []).append(stem)
        for (_, template), groups in found.items():
            if _differ_by_number(template, groups) and _enough(groups, stems, share=0.3):
                yield _pattern(pattern), _by_pattern(stems, pattern)


def _shape(source: str) -> tuple[str, str]:
    """The folder of a source as it is, because folders may count classes, and the template of its name."""
    folder, _, name = source.rpartition("/")
    return folder, _template(name)


def _differ_by_number(template: str, groups: Groups) -> bool:
    last = re.split(r"[-_ ./]", template)[-1]
    return "#" in template and len(groups) > 1 and not _counts_no_source(last)


def _enough(groups: Groups, stems: Sequence[str], share: float = _SHARE) -> bool:
    """Two sources at least, as many of all names, and not two long rows, which may be of two machines."""
    several = [len(members) for members in groups.values() if len(members) > 1]
    long_rows = len(groups) == 2 and median(several or [0]) > _LONG
    return len(several) > 1 and sum(several) >= share * len(stems) and not long_rows


def _counts_no_source(template: str) -> bool:
    """Whether the word before the last number says that it counts classes, centres, parts of an archive."""
    words = re.findall(r"([A-Za-z]+)[-_ ]?#", template)
    return bool(words) and _NO_SOURCE.fullmatch(words[-1]) is not None


def _template(name: str) -> str:
    """A name with ``#`` for each number and random part; days and years are left out, because they are no numbers."""
    return re.sub(r"\d+", "#", re.sub(r"@+", "@", _YEAR.sub("@", _hide_days(_RANDOM.sub("#", name)))))


def _hide_days(name: str) -> str:
    return _DAY.sub(lambda match: "@" * len(match[0]), name)


def _escape(text: str) -> str:
    return re.sub(r"([.()])", r"\\\1", text)
