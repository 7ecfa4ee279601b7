"""Videos that come as a folder of images, in natural order of their names (StyleGAN-V, Endora)."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# A larger picture than any camera's is a damaged or hostile header, and would take all memory.
MOST_PIXELS = 8192 * 8192
TOO_LARGE = "more than 8192x8192 are not read"

# A folder states no rate; this is what its frames play at unless a rate is configured.
NOMINAL_FPS = 25.0


def read_image(file: Path) -> np.ndarray:
    """An image as uint8 (H, W, 3) RGB, upright as its EXIF data say, what is transparent laid over black.

    Of 16 bits the upper 8 are kept, rounded. Raises ``OSError``, ``SyntaxError`` or ``ValueError`` for images that are
    damaged or too large, and that Pillow cannot decode or convert.
    """
    with Image.open(file) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels; {TOO_LARGE}")
        if image.format == "PNG":
            # Checksums, which decoding passes over; an image is of no use after that.
            image.verify()
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
