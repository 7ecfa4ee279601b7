"""What the page says of one data set, gathered from the files of its stages.

Pictures, videos and figures go to the page's folder of media; all else becomes plain values that the
template only has to lay out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from lvdm.config import FrozenConfig
from lvdm.reading import read_record, read_table, wrong_file
from lvdm.reporting import blocks, scores, tables
from lvdm.reporting.blocks import Part
from lvdm.reporting.config import DatasetFiles, ReportConfig
from lvdm.reporting.cost import Costs, read_costs
from lvdm.reporting.drawing import Panel
from lvdm.reporting.frames import check_latex, check_video, read_frame, read_quality
from lvdm.reporting.media import Figure, Media
from lvdm.reporting.score_figures import SamplerSteps
from lvdm.reporting.scores import Memorisation, Protocol
from lvdm.reporting.training_figures import curve_panels, quality_panels

# A page with a row for each of thousands of videos helps nobody; the rest is in the manifest.
LISTED_VIDEOS = 200

_EXTRACTED_COLUMNS = ("Video", "Source", "Part that is kept", "Crop", "Scaled to", "Frames", "Rate")


@dataclass(frozen=True)
class _Crop:
    box: tuple[int, int, int, int]
    note: str


@dataclass(frozen=True)
class _Record:
    """What the page says of a record of stage extract."""

    usable: bool
    reason: str = ""
    crop: _Crop | None = None
    frames: int = 0
    fps: float = 0.0
    resampled: bool = False
    resolution: int = 0
    upscaled: bool = False


@dataclass(frozen=True)
class _Statistics:
    clips: int


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
    protocols: tuple[Protocol, ...]
    legend: tuple[str, ...]
    tables: tuple[str, ...]
    memorisation: tuple[Memorisation, ...]
    reconstructions: Part | None
    pictures: tuple[Figure, ...]
    trainings: tuple[tuple[str, tuple[Figure, ...]], ...]
    videos: Videos
    costs: Costs | None
    stages: tuple[Stage, ...]


def read_section(files: DatasetFiles, config: ReportConfig, media: Media) -> Section:
    """Gather a section, and fill the folder of its media. All that may be wrong is read before figures are drawn."""
    media.folder.mkdir(parents=True)
    rows = tables.read_rows(files.table)
    videos = _videos(files)
    frozen = [
        read_record(FrozenConfig, path, "frozen configuration", "run the workflow again") for path in files.configs
    ]
    facts = tuple(_facts(files, videos, frozen))
    costs = read_costs(files.cost, files.name) if files.cost is not None else None
    copies = tuple(media.copy(path) for path in (files.table, check_latex(files.latex)))
    pictures = (
        media.picture(files.reconstructions, "Clips (left) and their reconstructions (right)"),
        media.picture(files.samples, "Samples of the trained model"),
    )
    walls = tuple(_walls(files, config.videos, media))
    trainings = {
        "Autoencoder": _panels(files.autoencoder_curve, files.autoencoder_quality),
        "Diffusion": _panels(files.diffusion_curve, files.diffusion_quality),
    }
    curves = scores.read_curves(files.models)
    memorisation = tuple(scores.memorisation(files.models, config, media))
    return Section(
        name=files.name,
        facts=facts,
        walls=walls,
        protocols=tuple(scores.protocols(rows, curves, _samplers(frozen), media)),
        legend=tuple(blocks.legend(rows)),
        tables=copies,
        memorisation=memorisation,
        reconstructions=blocks.reconstructions(rows),
        pictures=pictures,
        trainings=tuple((title, media.draw(panels, title.lower())) for title, panels in trainings.items()),
        videos=videos,
        costs=costs,
        stages=tuple(map(_stage, frozen)),
    )


def _walls(files: DatasetFiles, most: int, media: Media) -> Iterable[Wall]:
    sources = [(f"Generated, {folder.name}", folder) for folder in files.generated_previews]
    for title, folder in [*sources, ("Real", files.real_previews)]:
        found = sorted(folder.glob("*.mp4"))[:most]
        if not found:
            raise ValueError(f"{folder} holds no .mp4 file; run stage preview again")
        caption = "clips of the data set" if title == "Real" else "the first videos of the run, not a selection"
        yield Wall(title, caption, tuple(media.copy(check_video(path), f"{folder.name}-{path.name}") for path in found))


def _panels(curve: Path, quality: Path) -> list[Panel]:
    """What is drawn of a training."""
    steps = read_frame(curve, ("step", "loss"), "training curve", "run the training again", numbers=("step",))
    return quality_panels(read_quality(quality).astype({"value": float})) + curve_panels(steps)


def _videos(files: DatasetFiles) -> Videos:
    columns = ("id", "usable", "reason", "width", "height")
    rows = read_table(files.manifest, columns, "manifest", "run stage probe again")
    manifest = {row["id"]: row for row in rows}
    records = {path.stem: _record(path) for path in files.records}
    left_out = {id: row["reason"] for id, row in manifest.items() if row["usable"] != "True"}
    # A video that probe found usable may still turn out too short when it is extracted.
    left_out |= {id: record.reason for id, record in records.items() if not record.usable and id not in left_out}
    used = {id: record for id, record in records.items() if record.usable}
    extracted = [_extracted(id, record, manifest.get(id, {})) for id, record in used.items()]
    return Videos(
        used=len(used),
        frames=sum(record.frames for record in used.values()),
        left_out=Grid(("Left out", "Reason"), tuple(left_out.items())),
        extracted=Grid(_EXTRACTED_COLUMNS, tuple(extracted[:LISTED_VIDEOS])),
        unlisted=max(0, len(extracted) - LISTED_VIDEOS),
    )


def _record(path: Path) -> _Record:
    what, remedy = "record of extracted frames", "run stage extract again"
    record = read_record(_Record, path, what, remedy)
    if record.usable and record.crop is None:
        raise wrong_file(path, what, "the crop is missing", remedy)
    return record


def _extracted(id: str, record: _Record, row: dict[str, str]) -> tuple[str, ...]:
    left, top, width, height = record.crop.box
    source = f"{row['width']} × {row['height']}" if row else "–"
    kept = f"{width} × {height} from ({left}, {top})"
    size = f"{record.resolution}{', enlarged' if record.upscaled else ''}"
    rate = f"{record.fps:.4g}/s{', resampled' if record.resampled else ''}"
    return id, source, kept, record.crop.note, size, str(record.frames), rate


def _facts(files: DatasetFiles, videos: Videos, frozen: list[FrozenConfig]) -> Iterable[tuple[str, str]]:
    """Numbers to see first, each with what it counts."""
    yield f"{videos.used:,}", "video used" if videos.used == 1 else "videos used"
    yield f"{len(videos.left_out.rows):,}", "left out"
    yield f"{videos.frames:,}", "frames"
    settings = {stage.stage: stage.config for stage in frozen}
    clip = settings.get("train-autoencoder", {}).get("clip")
    if clip:
        yield f"{clip['length']} × {clip['resolution']} × {clip['resolution']}", "a clip: frames × pixels"
    statistics = read_record(_Statistics, files.statistics, "file of statistics", "run stage latent-statistics again")
    yield f"{statistics.clips:,}", "training clips"
    for stage, name in (("train-autoencoder", "autoencoder"), ("train-diffusion", "diffusion")):
        training = settings.get(stage, {}).get("training")
        if training:
            yield f"{training['steps']:,}", f"{name} steps"


def _samplers(frozen: list[FrozenConfig]) -> dict[str, SamplerSteps]:
    """What is known of the samplers, from the configurations of their stages."""
    found = {}
    for stage in frozen:
        command, _, name = stage.stage.partition(".")
        sampler = stage.config.get("sampler")
        if command == "sample" and sampler:
            found[name] = SamplerSteps(sampler["method"], sampler["steps"])
    return found


def _stage(frozen: FrozenConfig) -> Stage:
    settings = yaml.safe_dump(frozen.config, sort_keys=False, allow_unicode=True, width=100)
    return Stage(frozen.stage, frozen.code, settings if frozen.config else "no settings\n")
