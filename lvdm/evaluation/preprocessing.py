"""What a protocol does to frames before a detector sees them: another size, a JPEG round trip.

Clips are uint8 (T, H, W, 3). Everything runs on the CPU and gives the same bytes everywhere.
"""

import io

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch.nn import functional

from lvdm.evaluation.config import ResizeConfig


def preprocess(clip: np.ndarray, resize: ResizeConfig | None, jpeg_quality: int | None) -> np.ndarray:
    """A clip as a protocol compares it: first resized, then through JPEG, as Endora's scripts do both."""
    if resize is not None and clip.shape[1:3] != (resize.size, resize.size):
        clip = resized(clip, resize)
    return clip if jpeg_quality is None else through_jpeg(clip, jpeg_quality)


def resized(clip: np.ndarray, config: ResizeConfig) -> np.ndarray:
    """A clip (T, size, size, 3)."""
    scaled = scaled_size(clip.shape[1], clip.shape[2], config)
    if config.filter == "lanczos":
        size = scaled[::-1]  # Pillow puts the width first
        clip = np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in clip])
    else:
        clip = _bilinear(clip, scaled)
    top, left = (round((side - config.size) / 2) for side in scaled)
    return clip[:, top : top + config.size, left : left + config.size]


def scaled_size(height: int, width: int, config: ResizeConfig) -> tuple[int, int]:
    """Height and width before the centre is cut out; the longer side is rounded down."""
    if not config.keep_aspect:
        return config.size, config.size
    shorter = min(height, width)
    return height * config.size // shorter, width * config.size // shorter


def through_jpeg(clip: np.ndarray, quality: int) -> np.ndarray:
    """Every frame as JPEG keeps it, with Pillow's defaults otherwise (chroma at half resolution)."""
    return np.stack([_jpeg(frame, quality) for frame in clip])


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, format="JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _bilinear(clip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    frames = rearrange(torch.from_numpy(np.ascontiguousarray(clip)), "t h w c -> t c h w").float()
    scaled = functional.interpolate(frames, size=size, mode="bilinear", align_corners=False, antialias=False)
    return rearrange(scaled.round().clamp(0, 255).byte(), "t c h w -> t h w c").numpy()
