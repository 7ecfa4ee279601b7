"""Look for the training clip that is nearest to each generated one: a generator may repeat what it learned from."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lvdm.data.libraries import ClipLibrary, Library, ShardLibrary
from lvdm.evaluation.clips import Geometry
from lvdm.evaluation.feature_files import FeatureSet, read_features
from lvdm.evaluation.memorisation import compare_distances, nearest
from lvdm.files import check_outputs, publish, write_json
from lvdm.stages.config import MemoriseConfig

_logger = logging.getLogger(__name__)

COLUMNS = ("clip", "nearest", "distance", "kind")


def run(
    config: MemoriseConfig,
    *,
    generated: Path,
    train: Path,
    heldout: Path | None = None,
    clips: list[Path],
    shards: list[Path],
    distances: Path,
    summary: Path,
    pairs: Path,
) -> None:
    """Look for the training clip that is nearest to each generated one: a generator may repeat what it learned from.

    ``generated``, ``train`` and ``heldout`` are files of stage features, ``clips`` and ``shards`` the generated and
    the training videos. ``distances`` (.csv) has a row a clip: ``clip``, the number of a generated video, or video
    and first frame of a held-out clip, as in ``anna:16``; ``nearest``, the training clip; ``distance``, the
    Euclidean one of their features; ``kind``, ``generated`` or ``heldout``. Distances of held-out clips say what
    is near: a generator that repeats its training clips is nearer. Held-out clips of a group, a patient, that training
    has clips of too would not say that, and are left out with a warning. The folder ``pairs`` has the clips of the
    ``config.pairs`` closest pairs, uint8 (T, H, W, 3): ``00-generated.npy`` and ``00-training.npy`` are the closest.
    ``summary`` (.json) compares the two kinds of distances, see lvdm.evaluation.memorisation; it is empty without
    held-out clips. Without training clips the table and the folder are empty, too.
    """
    check_outputs(distances, summary, folders=[pairs])
    known = read_features(train)
    made = read_features(generated)
    fakes, reals = ClipLibrary(clips), ShardLibrary(shards)
    _check_videos(made, fakes, generated, clips)
    _check_videos(known, reals, train, shards)
    with threadpool_limits(limits=1):  # another number of threads, other last bits
        rows = [_rows(made, made.run(0), known, "generated", lambda row: made.videos[row])]
        if heldout is not None:
            unseen = read_features(heldout)
            others = _of_other_groups(unseen, known)
            rows.append(_rows(unseen, others, known, "heldout", lambda row: _place(unseen, row)))
    table = pd.concat(rows, ignore_index=True)
    with publish(distances) as temporary:
        table[list(COLUMNS)].to_csv(temporary, index=False)
    closest = rows[0].sort_values("distance", kind="stable").head(config.pairs)
    with publish(pairs) as folder:
        folder.mkdir()
        _write_pairs(config, closest, (fakes, made), (reals, known), folder)
    write_json(summary, _summary(table))
    for kind, part in table.groupby("kind"):
        _logger.info("%s clips: median distance to the nearest training clip %.6g", kind, part["distance"].median())


def _of_other_groups(heldout: FeatureSet, train: FeatureSet) -> np.ndarray:
    """The rows of held-out clips whose group has no training clips."""
    trained = np.isin(heldout.groups, train.groups)
    if trained.any():
        _logger.warning(
            "%d of %d held-out clips are not compared, because training has other clips of their groups (%s); check "
            "data.split and the groups of the data set",
            trained.sum(),
            len(trained),
            ", ".join(sorted(set(heldout.groups[trained]))),
        )
    return np.flatnonzero(~trained)


def _check_videos(features: FeatureSet, library: Library, source: Path, videos: list[Path]) -> None:
    """Raises ``ValueError`` where ``features`` are of other videos than those of ``library``."""
    if unknown := sorted(set(features.videos.tolist()) - set(library.ids)):
        raise ValueError(
            f"{source} holds features of video {unknown[0]!r}, which is not in {', '.join(map(str, videos))}; give the "
            "files that the features were computed from"
        )


def _summary(table: pd.DataFrame) -> dict[str, float]:
    generated, heldout = (table.loc[table["kind"] == kind, "distance"].to_numpy() for kind in ("generated", "heldout"))
    if not len(generated) or not len(heldout):
        return {}
    return vars(compare_distances(generated, heldout))


def _rows(some: FeatureSet, rows: np.ndarray, known: FeatureSet, kind: str, name) -> pd.DataFrame:
    """The nearest clip of ``known`` for each of some rows of ``some``."""
    if not len(rows) or not len(known.values):
        return pd.DataFrame(columns=[*COLUMNS, "row", "nearest_row"])
    indices, distances = nearest(some.values[rows], known.values)
    return pd.DataFrame(
        {
            "clip": [name(row) for row in rows],
            "nearest": [_place(known, row) for row in indices],
            "distance": distances,
            "kind": kind,
            "row": rows,
            "nearest_row": indices,
        }
    )


def _place(features: FeatureSet, row: int) -> str:
    """Video and first frame; a colon is in no video's id."""
    return f"{features.videos[row]}:{features.firsts[row]}"


def _write_pairs(
    config: MemoriseConfig,
    closest: pd.DataFrame,
    generated: tuple[Library, FeatureSet],
    training: tuple[Library, FeatureSet],
    folder: Path,
) -> None:
    made, real = Geometry(config.clip.length, config.fake_stride), Geometry(config.clip.length, config.clip.stride)
    for rank, (_, pair) in enumerate(closest.iterrows()):
        np.save(folder / f"{rank:02}-generated.npy", _clip(*generated, made, pair["row"]))
        np.save(folder / f"{rank:02}-training.npy", _clip(*training, real, pair["nearest_row"]))


def _clip(library: Library, features: FeatureSet, geometry: Geometry, row: int) -> np.ndarray:
    video = list(library.ids).index(features.videos[row])
    return library.read(video, geometry.frames(int(features.firsts[row])))
