"""Videos that come as a folder of images, in natural order of their names (StyleGAN-V, Endora)."""

from pathlib import Path

import numpy as np
from PIL import Image

# A larger picture than any camera's is a damaged or hostile header, and would take all memory.
MOST_PIXELS = 8192 * 8192
TOO_LARGE = "more than 8192x8192 are not read"

# A folder states no rate; this is what its frames play at unless a rate is configured.
NOMINAL_FPS = 25.0


def read_image(file: Path) -> np.ndarray:
    """An image as uint8 (H, W, 3) RGB; 16-bit grey is reduced to its high byte, transparency dropped.

    Raises ``OSError``, ``SyntaxError`` or ``ValueError`` when it is damaged or too large.
    """
    with Image.open(file) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels; {TOO_LARGE}")
        if image.format == "PNG":
            # Checksums, which decoding passes over; an image is of no use after that.
            image.verify()
    with Image.open(file) as image:
        if image.mode.startswith("I"):
            grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))
