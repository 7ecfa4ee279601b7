"""What the page says of the recordings of a data set: which are used, what was left out, and what was done to them.

From the manifest and the records of stage extract. Clean videos, to which nothing had to be done, get a line.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lvdm.reading import read_record, read_table, wrong_file
from lvdm.reporting.config import DatasetFiles

# A page with a row for each of thousands of videos helps nobody; the rest is in the manifest.
LISTED_VIDEOS = 200

# Of the recordings that something was done to, so many are named.
_NAMED = 3

# What lvdm.data.picture.COMBED is: a larger comb ratio in frames without a flag is that of two moments.
_COMBED = 0.75

_COMBS_LINE = (
    "{} combs and no flag that says interlaced. If they move, write `data: {{deinterlace: on}}` into the `override` of "
    "this data set."
)
_HELD_OUT, _TRAINED_ON = "heldout", "train"
_OPTIONAL = {"group": "", "split": "", "lost": "", "repeats": "0", "true_fps": "0", "interlaced": "0", "combs": "0"}
"""Columns of the manifest that the page can do without."""


@dataclass(frozen=True)
class Grid:
    """A table for people: ``rows`` are texts, the first of each names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Recordings:
    """The outcome of probe and extract."""

    used: int
    frames: int
    sides: str
    """What is trained on and what is held out, in a sentence or two."""
    left_out: Grid
    done: Grid
    """What was left out of recordings that are used, and what was done to them; no row where it was nothing."""
    warnings: tuple[str, ...]
    extracted: Grid
    unlisted: int


@dataclass(frozen=True)
class _Crop:
    box: tuple[int, int, int, int]
    note: str


@dataclass(frozen=True)
class _Piece:
    frames: int


@dataclass(frozen=True)
class _Record:
    """What the page says of a record of stage extract."""

    id: str
    usable: bool
    reason: str = ""
    group: str = ""
    crop: _Crop | None = None
    covered: tuple[tuple[int, int, int, int], ...] = ()
    frames: int = 0
    fps: float = 0.0
    resampled: bool = False
    resolution: int | tuple[int, int] = 0
    upscaled: bool = False
    treatment: tuple[str, ...] = ()
    pieces: tuple[_Piece, ...] = ()
    left_out: dict[str, int] | None = None


def read_recordings(files: DatasetFiles) -> Recordings:
    """Raises ``ValueError`` or ``OSError`` that names the file that is not what it should be."""
    columns = ("id", "usable", "reason", "width", "height")
    rows = read_table(files.manifest, columns, "manifest", "run stage probe again")
    manifest = {row["id"]: _OPTIONAL | row for row in rows}
    _check_numbers(files.manifest, manifest.values())
    records = [_record(path) for path in files.records]
    left_out = {id: row["reason"] for id, row in manifest.items() if row["usable"] != "True"}
    # A video that probe found usable may still turn out too short when it is extracted.
    left_out |= {record.id: record.reason for record in records if not record.usable and record.id not in left_out}
    used = sorted((record for record in records if record.usable), key=lambda record: (_group(record), record.id))
    return Recordings(
        used=len(used),
        frames=sum(record.frames for record in used),
        sides=_sides(used, manifest, files.heldout),
        left_out=Grid(("Left out", "Reason"), tuple(left_out.items())),
        done=_done(used, manifest),
        warnings=tuple(_warnings(used, manifest)),
        extracted=_extracted(used, manifest),
        unlisted=max(0, len(used) - LISTED_VIDEOS),
    )


def shown_size(resolution: int | list[int] | tuple[int, int]) -> str:
    """Width × height of frames, pixels; ``resolution`` is a side of a square, or height and width."""
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    return f"{width} × {height}"


def _record(path: Path) -> _Record:
    what, remedy = "record of extracted frames", "run stage extract again"
    record = read_record(_Record, path, what, remedy)
    if record.usable and record.crop is None:
        raise wrong_file(path, what, "the crop is missing", remedy)
    return record


def _check_numbers(path: Path, rows: Iterable[dict[str, str]]) -> None:
    for row in rows:
        for column in ("repeats", "true_fps", "interlaced", "combs"):
            try:
                float(row[column])
            except ValueError:
                problem = f"{row[column]!r} in column {column!r} is no number"
                raise wrong_file(path, "manifest", problem, "run stage probe again") from None


def _group(record: _Record) -> str:
    return record.group or record.id


# ------------------------------------------------------------------------------------------ the split


def _sides(used: list[_Record], manifest: dict[str, dict[str, str]], wanted: float | None) -> str:
    """Recordings, groups and frames of either side, and the share of the frames that is held out."""
    side = {record.id: manifest.get(record.id, _OPTIONAL)["split"] for record in used}
    held, trained = ([record for record in used if side[record.id] == name] for name in (_HELD_OUT, _TRAINED_ON))
    if not held and not trained:
        return ""
    grouped = any(_group(record) != record.id for record in used)
    share = sum(record.frames for record in held) / max(1, sum(record.frames for record in used))
    said = f"Trained on: {_amount(trained, grouped)}. Held out: {_amount(held, grouped)}, {share:.1%} of the frames"
    if wanted is None:
        return f"{said} (chosen by name)."
    return f"{said} (wanted: {wanted:.1%} of the {'groups' if grouped else 'videos'})."


def _amount(records: list[_Record], grouped: bool) -> str:
    said = _counted(len(records), "recording")
    if grouped:
        said += f" of {_counted(len({_group(record) for record in records}), 'group')}"
    return f"{said}, {_counted(sum(record.frames for record in records), 'frame')}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


# --------------------------------------------------------------------------------------- what was done


def _done(used: list[_Record], manifest: dict[str, dict[str, str]]) -> Grid:
    rows = {record.id: manifest.get(record.id, _OPTIONAL) for record in used}
    lines = [*_cut(used), *_lost(used, rows), *_repeats(used, rows), *_treated(used, rows), *_texts(used)]
    return Grid(("Found, and what was done", "Recordings", "How much", "Which"), tuple(lines))


def _line(what: str, records: list[_Record], how_much: str) -> tuple[str, ...]:
    names = [record.id for record in records]
    rest = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return what, f"{len(records):,}", how_much, ", ".join(names[:_NAMED]) + rest


def _cut(used: list[_Record]) -> Iterator[tuple[str, ...]]:
    """Frames that are left out of recordings that are used, by the reason; and the pieces that are left."""
    counts = Counter[str]()
    for record in used:
        counts.update(record.left_out or {})
    for reason, frames in counts.most_common():
        of = [record for record in used if (record.left_out or {}).get(reason)]
        yield _line(f"Left out: {reason}", of, _counted(frames, "frame"))
    if broken := [record for record in used if len(record.pieces) > 1]:
        yield _line("In several pieces", broken, _counted(sum(len(record.pieces) for record in broken), "piece"))


def _lost(used: list[_Record], rows: dict[str, dict[str, str]]) -> Iterator[tuple[str, ...]]:
    if damaged := [record for record in used if rows[record.id]["lost"]]:
        first = rows[damaged[0].id]["lost"]
        yield _line("Could not be decoded in part", damaged, first + (", …" if len(damaged) > 1 else ""))


def _repeats(used: list[_Record], rows: dict[str, dict[str, str]]) -> Iterator[tuple[str, ...]]:
    """Repeats that stay: those in a pattern, by their true rate, and others."""
    by_rate: dict[float, list[_Record]] = {}
    for record in used:
        if int(float(rows[record.id]["repeats"])):
            by_rate.setdefault(float(rows[record.id]["true_fps"]), []).append(record)
    for rate, records in sorted(by_rate.items(), reverse=True):
        what = f"Frames repeat in a pattern and stay; true rate {rate:.4g}/s" if rate else "Frames repeat and stay"
        count = sum(int(float(rows[record.id]["repeats"])) for record in records)
        yield _line(what, records, _counted(count, "frame"))


def _treated(used: list[_Record], rows: dict[str, dict[str, str]]) -> Iterator[tuple[str, ...]]:
    flagged = {record.id: int(float(rows[record.id]["interlaced"])) for record in used}
    left = [record for record in used if flagged[record.id] and not _deinterlaced(record)]
    if left:
        count = sum(flagged[record.id] for record in left)
        yield _line("Interlaced, and left as it is", left, _counted(count, "frame"))
    for what in dict.fromkeys(what for record in used for what in record.treatment):
        of = [record for record in used if what in record.treatment]
        count = sum(flagged[record.id] for record in of) if what.startswith("deinterlaced") else 0
        yield _line(what[:1].upper() + what[1:], of, f"{_counted(count, 'frame')} flagged" if count else "")
    if enlarged := [record for record in used if record.upscaled]:
        yield _line("Enlarged", enlarged, "")


def _deinterlaced(record: _Record) -> bool:
    return any(what.startswith("deinterlaced") for what in record.treatment)


def _texts(used: list[_Record]) -> Iterator[tuple[str, ...]]:
    if covered := [record for record in used if record.covered]:
        count = sum(len(record.covered) for record in covered)
        yield _line("Burned-in text or logo, covered", covered, _counted(count, "place"))


def _warnings(used: list[_Record], manifest: dict[str, dict[str, str]]) -> Iterator[str]:
    combed = [
        record.id
        for record in used
        if float(manifest.get(record.id, _OPTIONAL)["combs"]) > _COMBED and not _deinterlaced(record)
    ]
    if combed:
        named = ", ".join(combed[:_NAMED]) + (f" and {len(combed) - _NAMED:,} more" if len(combed) > _NAMED else "")
        yield _COMBS_LINE.format(f"{named} {'has' if len(combed) == 1 else 'have'}")


# --------------------------------------------------------------------------------------- one by one


def _extracted(used: list[_Record], manifest: dict[str, dict[str, str]]) -> Grid:
    """A row a recording, those of one group together; the last columns only where there is something in them."""
    columns = ["Video", "Source", "Part that is kept", "Crop", "Scaled to", "Frames", "Rate", "Group", "Done to it"]
    rows = [_described(record, manifest.get(record.id, {})) for record in used[:LISTED_VIDEOS]]
    shown = [number for number in range(len(columns)) if number < 7 or any(row[number] for row in rows)]
    return Grid(
        tuple(columns[number] for number in shown), tuple(tuple(row[number] for number in shown) for row in rows)
    )


def _described(record: _Record, row: dict[str, str]) -> tuple[str, ...]:
    left, top, width, height = record.crop.box
    size = str(record.resolution) if isinstance(record.resolution, int) else shown_size(record.resolution)
    done = [*record.treatment]
    done += [f"{len(record.pieces)} pieces"] if len(record.pieces) > 1 else []
    cut = ", ".join(f"{count:,} {reason}" for reason, count in (record.left_out or {}).items())
    done += [f"left out: {cut}"] if cut else []
    done += [f"text covered at {list(box)}" for box in record.covered]
    return (
        record.id,
        f"{row['width']} × {row['height']}" if row else "–",
        f"{width} × {height} from ({left}, {top})",
        record.crop.note,
        f"{size}{', enlarged' if record.upscaled else ''}",
        str(record.frames),
        f"{record.fps:.4g}/s{', resampled' if record.resampled else ''}",
        record.group if record.group != record.id else "",
        "; ".join(done),
    )
