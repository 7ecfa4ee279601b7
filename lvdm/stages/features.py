"""Compute a detector's features of generated, real or noise clips."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lvdm.compute import setup
from lvdm.data.config import ClipConfig
from lvdm.data.shards import Shard, Window, read_clip, windows
from lvdm.evaluation.config import ProtocolConfig
from lvdm.evaluation.detectors import load_detector
from lvdm.evaluation.features import choose, extract, noise_clips, open_clips, stored_clips
from lvdm.files import publish
from lvdm.progress import track
from lvdm.stages.config import FeaturesConfig

_logger = logging.getLogger(__name__)


def run(
    config: FeaturesConfig,
    *,
    clips: list[Path] = [],  # noqa: B006 (read only)
    shards: list[Path] = [],  # noqa: B006
    noise: int = 0,
    features: Path,
) -> None:
    """Compute a detector's features of generated, real or noise clips.

    One source is given: ``clips``, files of generated clips, uint8 (n, T, H, W, 3); ``shards``, whose
    windows are the real clips, a seeded choice of at most ``protocol.max_real``; or ``noise``, a number
    of clips of uniform noise, which no generator should come near. Writes ``features`` (.npz): float32
    ``features`` (N, D), and, of real clips, ``videos`` (N,), the id of the video that each is of.
    Raises ``ValueError`` for no source or several, and for clips of another shape than ``clip``.
    """
    if sum(map(bool, (clips, shards, noise))) != 1:
        raise ValueError("give one of --clips (generated), --shards (real) and --noise (a number of clips)")
    compute = setup(config.compute)
    torch.set_float32_matmul_precision("highest")  # a score must not depend on TF32
    detector = load_detector(config.detector, compute.device)
    shape = (config.clip.length, config.clip.resolution, config.clip.resolution, 3)
    arrays: dict[str, np.ndarray] = {}
    if shards:
        chosen = _choose_windows(sorted(shards), config.clip, config.protocol)
        arrays["videos"] = np.array([window.video for _, window in chosen])
        count, stream = len(chosen), (read_clip(shard, window, config.clip) for shard, window in chosen)
    elif clips:
        count, stream = sum(len(open_clips(path, shape)) for path in clips), stored_clips(sorted(clips), shape)
    else:
        count, stream = noise, noise_clips(noise, shape, config.protocol.seed)
    tracked: Iterator[np.ndarray] = track(stream, "features", total=count, unit="clip")
    arrays["features"] = extract(tracked, detector, config.batch_size, compute.device)
    with publish(features) as temporary:
        np.savez(temporary, **arrays)
    _logger.info("%s: %d values of each of %d clips", features, arrays["features"].shape[1], count)


def _choose_windows(paths: list[Path], clip: ClipConfig, protocol: ProtocolConfig) -> list[tuple[Shard, Window]]:
    """The real clips of the protocol, ordered by video and frame, however videos are spread over shards."""
    wanted = [path for path in paths if protocol.real_split in ("all", path.stem.rpartition("-")[0])]
    found = [(shard, window) for shard in map(Shard, wanted) for window in windows(shard, clip)]
    remedy = "add videos, lower data.length or data.step, or change evaluate.protocol.real_split"
    if not found:
        raise ValueError(f"no real clips of split {protocol.real_split!r} in {len(paths)} shards; {remedy}")
    if len(found) == 1:
        _logger.warning("there is one real clip only, and a distance takes two: the table will have none; %s", remedy)
    found.sort(key=lambda item: item[1])
    return [found[index] for index in choose(len(found), protocol.max_real, protocol.seed)]
