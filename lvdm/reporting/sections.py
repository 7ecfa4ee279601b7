"""What the page says of one data set, gathered from the files of its stages.

Pictures, videos and figures go to the page's folder of media; all else becomes plain values that the
template only has to lay out.
"""

import csv
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lvdm.files import read_json
from lvdm.reporting import figures, tables
from lvdm.reporting.config import DatasetFiles

# A page with a row for each of thousands of videos helps nobody; the rest is in the manifest.
LISTED_VIDEOS = 200

_EXTRACTED_COLUMNS = ("Video", "Source", "Part that is kept", "Crop", "Scaled to", "Frames", "Rate")


@dataclass(frozen=True)
class Wall:
    """Videos that play side by side; ``videos`` are paths relative to the page."""

    title: str
    caption: str
    videos: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A table for people: ``rows`` are texts, the first of each names the row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A picture; ``dark`` is its version for a dark page, if there is one."""

    source: str
    title: str
    dark: str = ""


@dataclass(frozen=True)
class Stage:
    """The configuration of a stage as YAML, and the stamp of the code that it ran with."""

    name: str
    code: str
    settings: str


@dataclass(frozen=True)
class Videos:
    """The outcome of probe and extract."""

    used: int
    frames: int
    left_out: Grid
    extracted: Grid
    unlisted: int


@dataclass(frozen=True)
class Section:
    """Everything the page shows of one data set."""

    name: str
    facts: tuple[tuple[str, str], ...]
    walls: tuple[Wall, ...]
    distances: Grid
    reconstructions: Grid
    notes: tuple[str, ...]
    table: str
    pictures: tuple[Figure, ...]
    trainings: tuple[tuple[str, tuple[Figure, ...]], ...]
    videos: Videos
    stages: tuple[Stage, ...]


def read_section(files: DatasetFiles, most_videos: int, media: Path, prefix: str) -> Section:
    """Gather a section, and fill the folder ``media`` that the page finds at ``prefix``."""
    media.mkdir(parents=True)
    rows = tables.read_rows(files.table)
    videos = _videos(files)
    stages = tuple(_stage(name, path) for name, path in files.configs.items())
    shutil.copyfile(files.table, media / "table.csv")
    return Section(
        name=files.name,
        facts=tuple(_facts(files, videos)),
        walls=tuple(_walls(files, most_videos, media, prefix)),
        distances=_grid(tables.distances(rows)),
        reconstructions=_grid(tables.reconstructions(rows)),
        notes=tuple(tables.notes(rows)),
        table=f"{prefix}/table.csv",
        pictures=(
            _picture(files.reconstructions, "Clips (left) and their reconstructions (right)", media, prefix),
            _picture(files.samples, "Samples of the trained model", media, prefix),
        ),
        trainings=(
            ("Autoencoder", _figures(files.autoencoder_curve, files.autoencoder_quality, "autoencoder", media, prefix)),
            ("Diffusion", _figures(files.diffusion_curve, files.diffusion_quality, "diffusion", media, prefix)),
        ),
        videos=videos,
        stages=stages,
    )


def _walls(files: DatasetFiles, most: int, media: Path, prefix: str) -> Iterable[Wall]:
    sources = [(f"Generated, {name}", name, folder) for name, folder in files.sample_previews.items()]
    sources.append(("Real", "real", files.real_previews))
    for title, name, folder in sources:
        found = sorted(folder.glob("*.mp4"))[:most]
        if not found:
            raise ValueError(f"{folder} holds no .mp4 file; run stage preview again")
        names = [f"{name}-{path.name}" for path in found]
        for path, copy in zip(found, names, strict=True):
            shutil.copyfile(path, media / copy)
        caption = "clips of the data set" if name == "real" else "the first videos of the run, not a selection"
        yield Wall(title, caption, tuple(f"{prefix}/{copy}" for copy in names))


def _picture(source: Path, title: str, media: Path, prefix: str) -> Figure:
    shutil.copyfile(source, media / source.name)
    return Figure(f"{prefix}/{source.name}", title)


def _figures(curve: Path, quality: Path, name: str, media: Path, prefix: str) -> tuple[Figure, ...]:
    panels = figures.quality_panels(pd.read_csv(quality)) + figures.curve_panels(pd.read_csv(curve))
    drawn = []
    for number, panel in enumerate(panels):
        source = figures.save(panel, media, f"{name}-{number:02}")
        dark = source.replace(figures.SUFFIXES["light"], figures.SUFFIXES["dark"])
        drawn.append(Figure(f"{prefix}/{source}", f"{name}: {panel.title}", f"{prefix}/{dark}"))
    return tuple(drawn)


def _videos(files: DatasetFiles) -> Videos:
    with files.manifest.open(encoding="utf-8", newline="") as file:
        manifest = {row["id"]: row for row in csv.DictReader(file)}
    records = {path.stem: read_json(path) for path in files.records}
    left_out = {id: row["reason"] for id, row in manifest.items() if row["usable"] != "True"}
    # A video that probe found usable may still turn out too short when it is extracted.
    left_out |= {id: record["reason"] for id, record in records.items() if not record["usable"] and id not in left_out}
    used = {id: record for id, record in records.items() if record["usable"]}
    extracted = [_extracted(id, record, manifest.get(id, {})) for id, record in used.items()]
    return Videos(
        used=len(used),
        frames=sum(record["frames"] for record in used.values()),
        left_out=Grid(("Left out", "Reason"), tuple(left_out.items())),
        extracted=Grid(_EXTRACTED_COLUMNS, tuple(extracted[:LISTED_VIDEOS])),
        unlisted=max(0, len(extracted) - LISTED_VIDEOS),
    )


def _extracted(id: str, record: dict[str, Any], row: dict[str, str]) -> tuple[str, ...]:
    left, top, width, height = record["crop"]["box"]
    source = f"{row['width']} × {row['height']}" if row else "–"
    kept = f"{width} × {height} from ({left}, {top})"
    size = f"{record['resolution']}{', enlarged' if record['upscaled'] else ''}"
    rate = f"{record['fps']:.4g}/s{', resampled' if record['resampled'] else ''}"
    return id, source, kept, record["crop"]["note"], size, str(record["frames"]), rate


def _facts(files: DatasetFiles, videos: Videos) -> Iterable[tuple[str, str]]:
    """Numbers to see first, each with what it counts."""
    yield f"{videos.used:,}", "video used" if videos.used == 1 else "videos used"
    yield f"{len(videos.left_out.rows):,}", "left out"
    yield f"{videos.frames:,}", "frames"
    clip = _frozen(files, "train-autoencoder").get("clip")
    if clip:
        yield f"{clip['length']} × {clip['resolution']} × {clip['resolution']}", "a clip: frames × pixels"
    yield f"{read_json(files.statistics)['clips']:,}", "training clips"
    for stage, name in (("train-autoencoder", "autoencoder"), ("train-diffusion", "diffusion")):
        training = _frozen(files, stage).get("training")
        if training:
            yield f"{training['steps']:,}", f"{name} steps"


def _frozen(files: DatasetFiles, stage: str) -> dict[str, Any]:
    return read_json(files.configs[stage])["config"] if stage in files.configs else {}


def _stage(name: str, path: Path) -> Stage:
    frozen = read_json(path)
    settings = yaml.safe_dump(frozen["config"], sort_keys=False, allow_unicode=True, width=100)
    return Stage(name, frozen["code"], settings if frozen["config"] else "no settings\n")


def _grid(table: pd.DataFrame) -> Grid:
    rows = tuple((str(name), *map(str, row)) for name, row in zip(table.index, table.to_numpy(), strict=True))
    return Grid((str(table.index.name), *map(str, table.columns)), rows)
