"""Features of a stream of clips, in constant memory.

Clips are uint8 arrays (T, H, W, 3). They reach the detector in batches of one size, whatever files
they come from, so that no feature depends on how clips were spread over files.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from lvdm.evaluation.detectors import Detector


def extract(clips: Iterable[np.ndarray], detector: Detector, batch_size: int, device: torch.device) -> np.ndarray:
    """Features float32 (N, D) of N clips, in their order.

    Raises ``ValueError`` when there is no clip, or when clips differ in shape.
    """
    # Scores must not depend on the accelerator's short cuts: full float32 in convolutions.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        parts = [
            detector(torch.from_numpy(batch).to(device))[:count].cpu().numpy()
            for batch, count in batches(clips, batch_size)
        ]
    if not parts:
        raise ValueError("there is no clip to compute features of; give at least one file of clips")
    return np.concatenate(parts).astype(np.float32, copy=False)


def batches(clips: Iterable[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Batches (size, T, H, W, 3) and how many of their clips count.

    The last batch is filled up with its first clip: a smaller batch may take another code path in the
    network's arithmetic, and so give other last bits.
    """
    waiting: list[np.ndarray] = []
    shape = None
    for clip in clips:
        shape = shape or clip.shape
        if clip.shape != shape:
            raise ValueError(
                f"a clip has the shape {clip.shape}, but those before it {shape}; compare clips of one size and length"
            )
        waiting.append(clip)
        if len(waiting) == size:
            yield np.stack(waiting), size
            waiting = []
    if waiting:
        filling = [waiting[0]] * (size - len(waiting))
        yield np.stack(waiting + filling), len(waiting)


def stored_clips(paths: Sequence[Path], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The clips of uint8 files (n, T, H, W, 3), one after the other, read as they are needed.

    ``shape`` is (T, H, W, 3). Raises ``ValueError`` for a file that holds no such clips.
    """
    for path in paths:
        yield from open_clips(path, shape)


def open_clips(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A memory-mapped file of clips of one ``shape``. Raises ``ValueError`` when it is none."""
    try:
        clips = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no whole .npy file of numbers ({error}); delete it and make it again") from None
    if clips.dtype != np.uint8 or clips.shape[1:] != shape:
        raise ValueError(
            f"{path} holds {clips.dtype} {clips.shape}, but uint8 clips of the shape {shape} are to be compared; "
            "nothing is resampled here: make clips of data.length frames of data.resolution pixels"
        )
    return clips


def noise_clips(count: int, shape: tuple[int, ...], seed: int) -> Iterator[np.ndarray]:
    """``count`` clips of independent uniform values; clip n depends on (seed, n) alone."""
    for index in range(count):
        generator = np.random.default_rng((seed, index))
        yield generator.integers(0, 256, shape, dtype=np.uint8)


def choose(count: int, most: int, seed: int) -> np.ndarray:
    """Indices, in rising order, of a seeded choice of at most ``most`` out of ``count``."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
