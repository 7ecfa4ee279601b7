"""How decoded pictures are stored: what PyAV says of a frame and its stream, and what that implies.

An unstated matrix is that of the picture's size, as in every player: BT.709 from 1280 columns or 577
rows on, BT.601 below (ITU-R BT.709-6, BT.601-7).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal

import av
import numpy as np

from lvdm.data import colour_names as names
from lvdm.data import tone

# Where a picture begins to be of high definition, columns and rows.
_HD_WIDTH, _SD_HEIGHT = 1280, 576

# Containers that state no shape of pixels: it stands in the coded pictures, and may change between them.
_WITHOUT_ASPECT = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "vvc"})

# Codecs for whose frames ffmpeg sets no flag, interlaced or not.
_WITHOUT_FLAGS = frozenset({"huffyuv", "ffvhuff", "cfhd", "jpeg2000", "libopenjpeg", "png", "vc2", "dirac", "tiff"})

# A pixel further from a square than this is a mistake of the file.
_LONGEST_PIXEL = 8


@dataclass(frozen=True)
class Format:
    """What frames are stored as. Colour names are ffmpeg's; an empty one is not stated."""

    width: int
    height: int
    pixel_format: str
    matrix: str = ""
    range: Literal["", "tv", "pc"] = ""
    transfer: str = ""
    primaries: str = ""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a stored pixel over its height."""
    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise that the picture is turned by to be shown, after it was mirrored."""
    mirrored: bool = False
    """Whether left and right of the stored picture change places."""
    fields: Literal["", "tff", "bff"] = ""
    """Field order that the container states where the codec flags no frame: every frame is interlaced then."""

    @classmethod
    def of(cls, frame: av.VideoFrame, stream: av.video.stream.VideoStream | None) -> "Format":
        """The format of a decoded frame; what the container states wins over the coded pictures. Images have none."""
        rotation, mirrored = _orientation(frame)
        return cls(
            width=frame.width,
            height=frame.height,
            pixel_format=frame.format.name,
            matrix=names.MATRICES.get(int(frame.colorspace), ""),
            range=names.RANGES.get(int(frame.color_range), ""),
            transfer=names.TRANSFERS.get(int(frame.color_trc), ""),
            primaries=names.PRIMARIES.get(int(frame.color_primaries), ""),
            pixel_aspect=_pixel_aspect(stream),
            rotation=rotation,
            mirrored=mirrored,
            fields=_container_fields(stream),
        )

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after rotation, in stored pixels."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)

    @property
    def upright_aspect(self) -> Fraction:
        """Width of a pixel over its height, after rotation."""
        return 1 / self.pixel_aspect if self.rotation % 180 else self.pixel_aspect

    @property
    def colour(self) -> tone.Colour:
        """The colours of the samples, all of it known: as stated, or as size and pixel format imply."""
        layout = layout_of(self.pixel_format)
        return tone.Colour(
            matrix=self._matrix(layout),
            full_range=self._full_range(layout),
            transfer=self.transfer,
            primaries=self.primaries,
            depth=layout.depth,
        )

    @property
    def matrix_is_assumed(self) -> bool:
        return layout_of(self.pixel_format).kind == "yuv" and not self._stated_matrix()

    def _stated_matrix(self) -> str:
        # A matrix of RGB stated for other samples is nonsense.
        return "" if self.matrix == "gbr" else self.matrix

    def _matrix(self, layout: "Layout") -> str:
        if layout.kind != "yuv":
            return "gbr"
        if self.transfer in tone.HDR and not self._stated_matrix():
            return "bt2020nc"  # BT.2100 knows no other that needs no flag
        high = self.width >= _HD_WIDTH or self.height > _SD_HEIGHT
        return self._stated_matrix() or ("bt709" if high else "smpte170m")

    def _full_range(self, layout: "Layout") -> bool:
        if layout.kind == "rgb" or self.pixel_format.startswith("yuvj"):
            return True
        return self.range == "pc" or (layout.kind == "grey" and not self.range)


@dataclass(frozen=True)
class Layout:
    """What a pixel format holds."""

    kind: Literal["yuv", "rgb", "grey", "unknown"]
    depth: int = 8
    alpha: bool = False
    first: str = ""
    """The format to convert to before anything else: of a palette, or a sensor's mosaic."""
    planar: str = ""
    """The format with the same samples, one plane a component: what bwdif takes."""


@cache
def layout_of(pixel_format: str) -> Layout:
    try:
        known = av.VideoFormat(pixel_format)
    except ValueError:
        return Layout("unknown")
    # Formats without conversion in libswscale; the last aborts the process there (FFmpeg 8.1).
    if not known.components or pixel_format.startswith(("yaf32", "yaf16")):
        return Layout("unknown")
    depth = max(component.bits for component in known.components)
    alpha = len(known.components) in (2, 4) and not known.has_palette
    if known.has_palette:
        return Layout("rgb", 8, alpha=True, first="bgra", planar="gbrap")
    if pixel_format.startswith("bayer"):
        return Layout(
            "rgb", depth, first="rgb24" if depth == 8 else "rgb48le", planar="gbrp" if depth == 8 else "gbrp16le"
        )
    if pixel_format.startswith("xyz"):
        return Layout("rgb", depth, planar="gbrp12le")
    if len(known.components) <= 2:
        return Layout("grey", depth, alpha, planar=_with_depth("gray" if not alpha else "yuva444p", depth, alpha))
    if known.is_rgb:
        return Layout("rgb", depth, alpha, planar=_with_depth("gbrap" if alpha else "gbrp", depth, alpha))
    return Layout("yuv", depth, alpha, planar=_planar_yuv(known, depth, alpha))


def _planar_yuv(known: av.VideoFormat, depth: int, alpha: bool) -> str:
    if known.name.startswith("yuvj"):
        return known.name
    columns, rows = known.chroma_width(64), known.chroma_height(64)
    sampling = {(64, 64): "444", (32, 64): "422", (32, 32): "420", (64, 32): "440", (16, 64): "411", (16, 16): "410"}
    return _with_depth(f"yuv{'a' if alpha else ''}{sampling[columns, rows]}p", depth, alpha)


def _with_depth(name: str, depth: int, alpha: bool) -> str:
    depths = (8, 9, 10, 12, 16) if alpha else (8, 9, 10, 12, 14, 16)
    fitting = next((bits for bits in depths if bits >= depth), 16)
    return name if fitting == 8 else f"{name}{fitting}le"


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Degrees clockwise and mirrored, of the display matrix (libavutil/display.h); to the nearest quarter turn."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18.1 does not know every kind of side data, and then gives none
        return -frame.rotation % 360 // 90 * 90, False
    if data is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored


def _container_fields(stream: av.video.stream.VideoStream | None) -> str:
    if stream is None or stream.codec_context.name not in _WITHOUT_FLAGS:
        return ""
    # AVFieldOrder TT, BB, TB, BT, read as ffmpeg's raw decoders read them and its encoders write them.
    return {2: "tff", 3: "bff", 4: "tff", 5: "bff"}.get(int(stream.codec_context.field_order), "")


def _pixel_aspect(stream: av.video.stream.VideoStream | None) -> Fraction:
    if stream is None:
        return Fraction(1)
    coded = stream.codec_context.sample_aspect_ratio
    stated = coded if stream.container.format.name in _WITHOUT_ASPECT else stream.sample_aspect_ratio
    if not stated or not Fraction(1, _LONGEST_PIXEL) <= stated <= _LONGEST_PIXEL:
        return Fraction(1)
    return Fraction(stated)
