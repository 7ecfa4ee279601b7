"""Videos that come as a folder of images, in natural order of their names (StyleGAN-V, Endora)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lvdm.data.catalog import frame_files
from lvdm.data.manifest import VideoInfo

# A folder states no rate; this is what its frames play at unless a rate is configured.
NOMINAL_FPS = 25.0


def probe_folder(folder: Path) -> VideoInfo:
    """Decode every image and describe the folder as a video; ``reason`` names the first bad image."""
    files = frame_files(folder)
    if not files:
        return VideoInfo(usable=False, reason="the folder holds no images")
    width = height = 0
    for file in files:
        try:
            frame = read_image(file)
        except (OSError, UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
            return VideoInfo(usable=False, reason=f"{file.name} cannot be decoded: {error}")
        if (frame.shape[1], frame.shape[0]) != (width or frame.shape[1], height or frame.shape[0]):
            size = f"{frame.shape[1]}x{frame.shape[0]}"
            return VideoInfo(usable=False, reason=f"{file.name} is {size}, but the first image is {width}x{height}")
        height, width = frame.shape[:2]
    return VideoInfo(
        width=width,
        height=height,
        fps=NOMINAL_FPS,
        fps_is_nominal=True,
        frames=len(files),
        duration=len(files) / NOMINAL_FPS,
        codec=files[0].suffix[1:].lower(),
        pixel_format="rgb24",
    )


def folder_frames(folder: Path, step: int = 1) -> Iterator[np.ndarray]:
    """Every ``step``-th frame, uint8 (H, W, 3) RGB."""
    for file in frame_files(folder)[::step]:
        yield read_image(file)


def read_image(file: Path) -> np.ndarray:
    """An image as uint8 (H, W, 3) RGB; 16-bit grey is reduced to its high byte, transparency dropped."""
    with Image.open(file) as image:
        if image.mode.startswith("I"):
            grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))
