"""What the page says of the scores: tables and figures by protocol, and clips that look memorised."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lvdm.reading import open_array
from lvdm.reporting.blocks import NOTHING, Block, blocks, rounded
from lvdm.reporting.config import ModelFiles, ReportConfig
from lvdm.reporting.frames import read_frame
from lvdm.reporting.labels import FRECHET, is_reference
from lvdm.reporting.media import Figure, Media
from lvdm.reporting.score_figures import SamplerSteps, curve_panel, nearest_panel, score_panels

_AGAIN = "run stage memorise again"
_GENERATED, _HELDOUT = "generated", "heldout"
_GAP = 4  # pixels between the clips of a pair


@dataclass(frozen=True)
class Protocol:
    """The scores under one protocol: the table, and figures by detector."""

    block: Block
    figures: tuple[tuple[str, tuple[Figure, ...]], ...]


@dataclass(frozen=True)
class Pair:
    """A generated clip and the training clip nearest to it, side by side in one video."""

    video: str
    caption: str


@dataclass(frozen=True)
class Memorisation:
    """How near one model's clips are to training clips; ``facts`` are texts, each with what it counts."""

    title: str
    facts: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]
    pairs: tuple[Pair, ...]


Curves = dict[tuple[str, str], dict[str, pd.DataFrame]]
"""Protocol and detector to model to its distance against the number of clips."""


def read_curves(models: Iterable[ModelFiles]) -> Curves:
    """The curves of all models but reference rows."""
    curves: Curves = {}
    for files in models:
        if not is_reference(files.model):  # real clips are in the floor of each
            curves.setdefault((files.protocol, files.detector), {})[files.model] = _curve(files.curve)
    return curves


def protocols(
    rows: pd.DataFrame, curves: Curves, samplers: Mapping[str, SamplerSteps], media: Media
) -> Iterator[Protocol]:
    """The scores of a results table by protocol."""
    for block in blocks(rows):
        measured = rows[rows["protocol"] == block.protocol]
        figures = []
        for detector, scores in measured.groupby("detector", sort=False):
            distances = [name for name in FRECHET if (scores["metric"] == name).any()]
            panels = [
                panel for name in distances for panel in curve_panel(curves.get((block.protocol, detector), {}), name)
            ]
            panels += score_panels(scores, samplers)
            figures.append((detector, media.draw(panels, f"scores-{block.protocol}-{detector}")))
        yield Protocol(block, tuple(figures))


def memorisation(models: Iterable[ModelFiles], config: ReportConfig, media: Media) -> Iterator[Memorisation]:
    """What was found of each model whose nearest training clips were looked for."""
    for files in models:
        if files.distances is None or files.pairs is None:
            continue
        distances = _distances(files.distances)
        generated = distances[distances["kind"] == _GENERATED].sort_values("distance", kind="stable")
        if not len(generated):
            continue
        if not files.pairs.is_dir():
            raise ValueError(f"{files.pairs} is no folder of pairs of clips; {_AGAIN}")
        name = f"memorisation-{files.protocol}-{files.detector}-{files.model}"
        pairs = tuple(_pairs(files.pairs, generated, name, config, media))
        yield Memorisation(
            f"{files.model}, by {files.detector} under protocol {files.protocol}",
            tuple(_facts(generated["distance"], distances[distances["kind"] == _HELDOUT]["distance"])),
            media.draw(nearest_panel(distances), name),
            pairs,
        )


def _curve(path: Path) -> pd.DataFrame:
    columns = ("n", "value", "fit", "floor")
    return read_frame(path, columns, "curve of a distance", "run stage score again", numbers=columns)


def _distances(path: Path) -> pd.DataFrame:
    columns = ("clip", "nearest", "distance", "kind")
    return read_frame(path, columns, "table of distances", _AGAIN, numbers=("distance",), texts=("nearest",))


def _facts(generated: pd.Series, heldout: pd.Series) -> Iterator[tuple[str, str]]:
    yield f"{len(generated):,}", "generated clips"
    yield rounded(str(generated.median())), "median distance, generated"
    yield rounded(str(heldout.median())) if len(heldout) else NOTHING, "median distance, held-out"
    yield rounded(str(generated.min())), "smallest, generated"
    if len(heldout):
        yield rounded(str(heldout.min())), "smallest, held-out"
        yield f"{int((generated < heldout.min()).sum()):,}", "nearer than every held-out clip"


def _pairs(folder: Path, closest: pd.DataFrame, name: str, config: ReportConfig, media: Media) -> Iterator[Pair]:
    """The pairs of a folder, the closest first; ``closest`` has the distances in that order."""
    for path, (_, row) in zip(sorted(folder.glob(f"*-{_GENERATED}.npy")), closest.iterrows(), strict=False):
        training = path.with_name(path.name.replace(_GENERATED, "training"))
        if not training.exists():
            raise ValueError(f"{training} is missing, the clip beside {path.name}; {_AGAIN}")
        clips = [open_array(clip, "clip of a pair", _AGAIN, shape="THW3", dtype="uint8") for clip in (path, training)]
        frames = side_by_side(*clips, config.preview_size)
        video = media.video(frames, f"{name}-{path.name[:2]}.mp4", config.fps)
        source, _, first = row["nearest"].rpartition(":")
        caption = f"{row['clip']} beside {source} from frame {first}; distance {rounded(str(row['distance']))}"
        yield Pair(video, caption)


def side_by_side(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    """Two clips, uint8 (T, H, W, 3), as one whose frames are ``size`` high, with a dark gap; the shorter ends both."""
    length = min(len(left), len(right))
    parts = [_scaled(clip[:length], size) for clip in (left, right)]
    gap = np.zeros((length, size, _GAP, 3), dtype=np.uint8)
    return np.concatenate([parts[0], gap, parts[1]], axis=2)


def _scaled(clip: np.ndarray, size: int) -> np.ndarray:
    height, width = clip.shape[1:3]
    target = (max(1, round(width * size / height)), size)
    return np.stack([np.asarray(Image.fromarray(frame).resize(target, Image.Resampling.BICUBIC)) for frame in clip])
