"""Write clips as H.264 videos for people to look at."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lvdm.data.config import ClipConfig
from lvdm.data.libraries import open_clips
from lvdm.data.shards import Shard, Window, first_frames, read_clip
from lvdm.data.video import write_h264
from lvdm.files import publish
from lvdm.progress import track
from lvdm.stages.config import PreviewConfig

_logger = logging.getLogger(__name__)


def run(config: PreviewConfig, *, clips: list[Path] = [], shards: list[Path] = [], folder: Path) -> None:  # noqa: B006
    """Write ``00000.mp4`` ... (yuv420p) into ``folder``, which is published whole.

    Either the first of ``clips`` (chunks of uint8 ``(videos, T, H, W, 3)``) or windows of ``shards``,
    spread evenly over their videos; ``config.videos`` of them, or as many as there are. Smaller frames
    are enlarged until their shorter side is ``config.size``. Raises ``ValueError`` unless exactly one of the two is
    given, and when it holds no clips.
    """
    if bool(clips) == bool(shards):
        raise ValueError("give either clips or shards")
    chosen = _from_chunks(clips, config.videos) if clips else _from_shards(shards, config.clip, config.videos)
    with publish(folder) as new_folder:
        new_folder.mkdir()
        count = 0
        for count, clip in enumerate(track(chosen, "previews", total=config.videos, unit="video"), start=1):
            write_h264(_enlarge(clip, config.size), new_folder / f"{count - 1:05}.mp4", config.fps)
        if not count:
            raise ValueError(f"no clips in {', '.join(map(str, clips or shards))}; lower data.length or add videos")
    if count < config.videos:
        _logger.info("%s: there are %d clips, fewer than the %d asked for", folder, count, config.videos)


def spread(sizes: Sequence[int], count: int) -> list[tuple[int, int]]:
    """``count`` pairs (group, member), or all there are: as evenly as can be over groups of ``sizes`` members.

    With fewer pairs than groups, the groups are evenly spaced; within a group, the members are.
    """
    groups = [group for group, size in enumerate(sizes) if size]
    if count < len(groups):
        groups = [groups[number * len(groups) // count] for number in range(count)]
    shares = dict.fromkeys(groups, 0)
    for _ in range(min(count, sum(sizes[group] for group in groups))):
        poorest = min((group for group in groups if shares[group] < sizes[group]), key=lambda group: shares[group])
        shares[poorest] += 1
    return [(group, number * sizes[group] // share) for group, share in shares.items() for number in range(share)]


def _from_chunks(paths: list[Path], count: int) -> Iterator[np.ndarray]:
    for path in paths:
        chunk = open_clips(path)
        yield from chunk[:count]
        count -= min(count, len(chunk))


def _from_shards(paths: list[Path], clip: ClipConfig, count: int) -> Iterator[np.ndarray]:
    videos = [(shard, video) for shard in map(Shard, paths) for video in shard.videos]
    firsts = [first_frames(video.pieces, clip) for _, video in videos]
    for number, place in spread([len(first) for first in firsts], count):
        shard, video = videos[number]
        yield read_clip(shard, Window(video.id, firsts[number][place]), clip)


def _enlarge(clip: np.ndarray, size: int) -> np.ndarray:
    """Frames ``(T, H, W, 3)`` whose shorter side is ``size`` at least; the longer one of those that grow is even."""
    height, width = clip.shape[1:3]
    shorter = min(height, width)
    if shorter >= size:
        return np.asarray(clip)
    larger = [2 * round(side * size / shorter / 2) for side in (width, height)]  # Pillow puts the width first
    return np.stack([np.asarray(Image.fromarray(frame).resize(larger, Image.Resampling.BICUBIC)) for frame in clip])
