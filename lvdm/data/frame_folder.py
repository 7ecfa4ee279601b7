"""Videos that come as a folder of images, in natural order of their names (StyleGAN-V, Endora)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

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
    """An image as uint8 (H, W, 3) RGB, upright as its EXIF data say, what is transparent laid over black.

    Of 16 bits the upper 8 are kept, rounded. Raises ``OSError`` for images that Pillow cannot decode or convert.
    """
    with Image.open(file) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            grey = ((np.asarray(upright).astype(np.int64).clip(0, 65535) * 255 + 32767) // 65535).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        try:
            if upright.has_transparency_data:
                return _over_black(upright)
            return np.asarray(upright.convert("RGB"))
        except ValueError as error:
            raise OSError(f"an image of mode {upright.mode} cannot be converted to RGB: {error}") from None


def _over_black(image: Image.Image) -> np.ndarray:
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
    return ((rgba[..., :3] * rgba[..., 3:] + 127) // 255).astype(np.uint8)
