"""What the page says of one data set, gathered from the files of its stages.

Pictures, videos and figures go to the page's folder of media; all else becomes plain values that the
template only has to lay out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from lvdm.config import FrozenConfig
from lvdm.reading import read_record
from lvdm.reporting import blocks, scores, tables
from lvdm.reporting.blocks import Part
from lvdm.reporting.config import DatasetFiles, ReportConfig
from lvdm.reporting.cost import Costs, read_costs
from lvdm.reporting.drawing import Panel
from lvdm.reporting.frames import check_latex, check_video, read_frame, read_quality
from lvdm.reporting.media import Figure, Media
from lvdm.reporting.recordings import Recordings, read_recordings, shown_size
from lvdm.reporting.score_figures import SamplerSteps
from lvdm.reporting.scores import Memorisation, Protocol
from lvdm.reporting.training_figures import curve_panels, quality_panels


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
class Stage:
    """The configuration of a stage as YAML, and the stamp of the code that it ran with."""

    name: str
    code: str
    settings: str


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
    recordings: Recordings
    notes: tuple[str, ...]
    costs: Costs | None
    stages: tuple[Stage, ...]


def read_section(files: DatasetFiles, config: ReportConfig, media: Media) -> Section:
    """Gather a section, and fill the folder of its media. All that may be wrong is read before figures are drawn."""
    media.folder.mkdir(parents=True)
    rows = tables.read_rows(files.table)
    recordings = read_recordings(files)
    frozen = [
        read_record(FrozenConfig, path, "frozen configuration", "run the workflow again") for path in files.configs
    ]
    facts = tuple(_facts(files, recordings, frozen))
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
        legend=(*blocks.legend(rows), *blocks.provenance(rows)),
        tables=copies,
        memorisation=memorisation,
        reconstructions=blocks.reconstructions(rows),
        pictures=pictures,
        trainings=tuple((title, media.draw(panels, title.lower())) for title, panels in trainings.items()),
        recordings=recordings,
        notes=files.notes,
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


def _facts(files: DatasetFiles, recordings: Recordings, frozen: list[FrozenConfig]) -> Iterable[tuple[str, str]]:
    """Numbers to see first, each with what it counts."""
    yield f"{recordings.used:,}", "video used" if recordings.used == 1 else "videos used"
    yield f"{len(recordings.left_out.rows):,}", "left out"
    yield f"{recordings.frames:,}", "frames"
    settings = {stage.stage: stage.config for stage in frozen}
    clip = settings.get("train-autoencoder", {}).get("clip")
    if clip:
        yield f"{clip['length']} × {shown_size(clip['resolution'])}", "a clip: frames × pixels"
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
