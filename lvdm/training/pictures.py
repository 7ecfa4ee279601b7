"""Pictures of clips for people."""

import numpy as np
from einops import rearrange
from torch import Tensor

from lvdm.data.datasets import to_uint8

_GAP = 4
_BACKGROUND = 255


def film_strips(*groups: Tensor, frames: int = 4) -> np.ndarray:
    """Clips as rows of frames: uint8 (H, W, 3). Groups of clips (B, 3, T, H, W) in [-1, 1] stand side by side.

    A row shows ``frames`` frames of one clip, evenly spaced, the first and the last among them.
    """
    strips = [_strips(clips, frames) for clips in groups]
    height = len(strips[0])
    gap = np.full((height, _GAP, 3), _BACKGROUND, dtype=np.uint8)
    parts = [part for strip in strips for part in (gap, strip)]
    return np.concatenate(parts[1:], axis=1)


def _strips(clips: Tensor, frames: int) -> np.ndarray:
    shown = np.linspace(0, clips.shape[2] - 1, min(frames, clips.shape[2])).round().astype(int)
    images = to_uint8(clips[:, :, shown]).cpu().numpy()
    return rearrange(images, "b t h w c -> (b h) (t w) c")
