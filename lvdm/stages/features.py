"""Compute a detector's features of generated, real or noise clips."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lvdm.compute import Compute, setup
from lvdm.data.libraries import ClipLibrary, Library, NoiseLibrary, ShardLibrary
from lvdm.evaluation.clips import Clip, Geometry, Selection, Videos, check_lengths, select_clips, select_frames
from lvdm.evaluation.detectors import load_detector
from lvdm.evaluation.feature_files import write_features
from lvdm.evaluation.features import Extractor
from lvdm.evaluation.preprocessing import preprocess
from lvdm.files import check_outputs, content_hash
from lvdm.progress import track
from lvdm.provenance import code_stamp
from lvdm.stages.config import FeaturesConfig

_logger = logging.getLogger(__name__)


def run(
    config: FeaturesConfig,
    *,
    network: Path | None = None,
    clips: list[Path] = [],  # noqa: B006 (read only)
    shards: list[Path] = [],  # noqa: B006
    noise: int = 0,
    store: Path | None = None,
    features: Path,
) -> None:
    """Compute a detector's features of generated, real or noise clips.

    One source is given: ``clips``, files of generated videos, uint8 (n, T, H, W, 3); ``shards``, the real videos;
    or ``noise``, a number of videos of uniform noise, which no generator should come near. ``network`` is the
    detector's file, for one that has any. Of the videos, the clips of ``config.selection`` are taken.

    Writes ``features`` (.npz), a row for each of N clips or, of a detector that sees frames, frames: ``values``
    float32 (N, D); ``probabilities`` float32 (N, K) of a detector that classifies; ``videos`` (N,), the id of the
    video of each, ``groups`` (N,), what that belongs to (its patient, or itself as generated ones do), and ``firsts``
    int64 (N,), its first frame; ``runs`` int64 (R, n), the rows that each repetition compares; for videos that are
    scored from several frames on, these in ``starts`` int64 (W,), and their rows in ``windows`` int64 (W, n). What is
    computed is kept in parts in the folder ``store``, by default ``.parts`` beside ``features``: a run that was
    killed goes on from there.

    Raises ``ValueError`` for no source or several, for a video that is too short, and for clips of another size
    than ``config.clip.resolution``.
    """
    if noise < 0:
        raise ValueError(f"--noise is {noise}; it is a number of videos")
    if sum(map(bool, (clips, shards, noise))) != 1:
        raise ValueError("give one of --clips (generated), --shards (real) and --noise (a number of videos)")
    geometry = Geometry(config.clip.length, config.clip.stride, config.clip.step)
    shape = (geometry.span, *config.clip.size, 3)
    library: Library
    if shards:
        library = ShardLibrary(shards)
    elif clips:
        library = ClipLibrary(clips)
    else:
        library = NoiseLibrary(noise, shape, config.seed)
    check_outputs(features, folders=[store or features.parent / ".parts"])
    selection = _select(config, geometry, library, generated=not shards)
    compute = setup(config.compute)
    torch.set_float32_matmul_precision("highest")  # a score must not depend on TF32
    extractor = Extractor(
        load_detector(config.detector, network, compute.device),
        _identity(config, network, compute),
        compute.device,
        store or features.parent / ".parts",
    )
    seen = _seen(config, geometry)
    unit = "clip" if config.detector.sees == "clips" else "frame"
    stream = track(_read(config, library, selection.clips, seen), "features", total=len(selection.clips), unit=unit)
    # A batch of frames has as many of them as one of clips.
    size = config.batch_size * geometry.length // seen.length
    parts = list(extractor.extract(stream, size))
    count = write_features(features, parts, _arrays(library, selection), config.detector.features)
    _logger.info("%s: features of %d %ss in %d runs", features, count, unit, len(selection.runs))


def _select(config: FeaturesConfig, geometry: Geometry, library: Library, *, generated: bool) -> Selection:
    videos = Videos(library.ids, library.pieces)
    if generated:
        check_lengths(videos, geometry, "generated video")
    elif short := [pieces for pieces in videos.pieces if not geometry.starts(pieces)]:
        message = "%d of %d real videos are left out, as none of their continuous pieces is as long as a clip"
        _logger.warning(message, len(short), len(videos.ids))
    if not videos.ids:  # of a split whose videos all turned out not to be usable
        _logger.warning("there is no video in these shards, so there is nothing to compare with")
        return Selection([], np.zeros((1, 0), dtype=np.int64))
    if config.detector.sees == "frames":
        return select_frames(videos, geometry, config.selection, config.seed)
    return select_clips(
        videos, geometry, config.selection, runs=config.runs, seed=config.seed, everything=config.everything
    )


def _seen(config: FeaturesConfig, geometry: Geometry) -> Geometry:
    """What the detector sees at a time: a clip, or a frame, which is a clip of one."""
    return geometry if config.detector.sees == "clips" else Geometry(1)


def _read(config: FeaturesConfig, library: Library, chosen: list[Clip], seen: Geometry) -> Iterator[np.ndarray]:
    """The chosen clips as the protocol compares them."""
    size = config.clip.size
    for clip in chosen:
        frames = library.read(clip.video, seen.frames(clip.first))
        frames = preprocess(frames, config.resize, config.selection.jpeg_quality)
        if frames.shape[1:3] != size:
            height, width = frames.shape[1:3]
            raise ValueError(
                f"video {library.ids[clip.video]} has frames of {width}x{height} pixels, but {size[1]}x{size[0]} "
                "are compared; nothing is resampled unless the protocol says how: give it `resize`, or other videos"
            )
        yield frames


def _arrays(library: Library, selection: Selection) -> dict[str, np.ndarray]:
    arrays = {
        "videos": np.array([library.ids[clip.video] for clip in selection.clips]),
        "groups": np.array([library.groups[clip.video] for clip in selection.clips]),
        "firsts": np.array([clip.first for clip in selection.clips], dtype=np.int64),
        "runs": selection.runs,
    }
    if selection.windows:
        arrays["starts"] = np.array(list(selection.windows), dtype=np.int64)
        arrays["windows"] = np.stack(list(selection.windows.values()))
    return arrays


def _identity(config: FeaturesConfig, network: Path | None, compute: Compute) -> str:
    """All that the features of given clips depend on."""
    parts = (
        code_stamp("lvdm.evaluation.detectors"),
        config.detector.model_dump_json(exclude={"file"}),
        content_hash(network) if network else "",
        config.compute.to_json(),
        str(compute.device),
        torch.__version__,
    )
    return "\n".join(parts)
