"""What must be done to a decoded picture, and doing it with libavfilter, in this process.

:func:`chain` says which filters in which order, as text that is tested alone; :class:`Filter` runs them
on the frames of one format. Colours that libswscale does not convert are left to :mod:`lvdm.data.tone`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import numpy as np
from av.filter import Graph

from lvdm.data import colour_names as names
from lvdm.data import tone
from lvdm.data.crop import Box
from lvdm.data.pixels import Format, Layout, layout_of
from lvdm.data.process import VideoError

# Exact in the last bit on any machine, chroma interpolated at full resolution.
SCALE_FLAGS = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"

# A tenth of a recording's frames with a larger comb ratio than this: fields of two moments, not flagged.
# Of 33 progressive recordings none has a frame above 0.67; woven by hand, 28 of them pass.
COMBED = 0.75
# Columns that are averaged; the least difference of lines that counts, in levels; the least share of such places.
_COMB_COLUMNS = 4
_COMB_FLOOR = 24.0
_COMB_AREA = 1e-3

# (degrees clockwise, mirrored before) to the filters that do it.
_TURNS = {
    (0, False): (), (90, False): (("transpose", "clock"),), (180, False): (("hflip", ""), ("vflip", "")),
    (270, False): (("transpose", "cclock"),), (0, True): (("hflip", ""),), (90, True): (("transpose", "clock_flip"),),
    (180, True): (("vflip", ""),), (270, True): (("transpose", "cclock_flip"),),
}  # fmt: skip


@dataclass(frozen=True)
class Treatment:
    """What is made of the pictures of one format."""

    box: Box | None = None
    """left, top, width, height of the part that is kept, in upright stored pixels; None is all of it."""
    target: tuple[int, int] | None = None
    """Height and width to scale to; of the box, the centred part of that aspect is taken. None keeps the size."""
    deinterlace: Literal["auto", "on", "off"] = "auto"
    """`on` takes frames without a flag for top field first; the other order leaves no combs either."""
    flagged: bool = False
    """Whether frames of the run are flagged as interlaced: otherwise `auto` leaves all of it as it is."""

    def deinterlaces(self, stored: Format) -> bool:
        """Whether the frames pass a deinterlacer, which looks at the frames around each."""
        return bool(_deinterlaced(stored, self))


def centre_part(box: Box, pixel_aspect: Fraction | float, size: tuple[int, int]) -> Box:
    """The largest part of ``box``, at its centre, that has the aspect of ``size`` (height, width) as it is shown."""
    left, top, width, height = box
    columns_per_row = Fraction(size[1], size[0]) / Fraction(pixel_aspect)
    part_width = min(width, max(1, round(height * columns_per_row)))
    part_height = min(height, max(1, round(width / columns_per_row)))
    return left + (width - part_width) // 2, top + (height - part_height) // 2, part_width, part_height


def describe(stored: Format, treatment: Treatment) -> tuple[str, ...]:
    """What is done to the picture beyond cropping and scaling, a few words for each."""
    colour, layout = stored.colour, layout_of(stored.pixel_format)
    done = []
    if _deinterlaced(stored, treatment):
        done.append("deinterlaced (bwdif)")
    if stored.rotation:
        done.append(f"rotated by {stored.rotation} degrees")
    if stored.mirrored:
        done.append("mirrored")
    if stored.pixel_aspect != 1:
        done.append(f"pixel aspect {stored.pixel_aspect.numerator}:{stored.pixel_aspect.denominator}")
    if stored.matrix_is_assumed:
        assumed = {"bt709": "BT.709 assumed from size", "smpte170m": "BT.601 assumed from size"}
        done.append(assumed.get(colour.matrix, "BT.2020 assumed from the transfer"))
    if layout.alpha:
        done.append("alpha laid over black")
    return (*done, *tone.describe(colour))


# ------------------------------------------------------------------------------------------ the plan


def chain(stored: Format, treatment: Treatment) -> list[tuple[str, str]]:
    """The filters, in order, each with its options. Raises :class:`VideoError` for what cannot be converted."""
    colour, layout = stored.colour, layout_of(stored.pixel_format)
    _refuse(stored, layout)
    width, height = stored.upright
    box = treatment.box or (0, 0, width, height)
    if treatment.target:
        box = centre_part(box, stored.upright_aspect, treatment.target)
    left, top, columns, rows = box
    if min(left, top) < 0 or min(columns, rows) < 1 or left + columns > width or top + rows > height:
        raise VideoError(f"the box {box} does not lie within the picture, {width}x{height}; look at `crop`")
    size = treatment.target or (rows, columns)
    filters = _stated(stored, layout, colour)
    if layout.first:
        filters += _as_format(layout.first)
    if which := _deinterlaced(stored, treatment):
        filters += [("setfield", stored.fields)] if stored.fields else []
        filters += _as_format(layout.planar) if layout.planar != stored.pixel_format else []
        filters.append(("bwdif", f"mode=send_frame:parity=auto:deint={which}"))
    filters += _TURNS[stored.rotation, stored.mirrored]
    filters.append(("crop", f"{columns}:{rows}:{left}:{top}:exact=1"))
    if layout.alpha:
        deep = "16le" if layout.depth > 8 else ""
        # Not by way of gbrp16, of which libswscale leaves the last row empty (FFmpeg 8.1): scaling drops alpha.
        filters += [*_as_format(f"gbrap{deep}"), ("premultiply", "inplace=1")]
    filters.append(("scale", f"{size[1]}:{size[0]}:flags={SCALE_FLAGS}"))
    return [*filters, ("format", tone.wanted_format(colour, layout.alpha))]


def _deinterlaced(stored: Format, treatment: Treatment) -> str:
    """Which frames are deinterlaced: all, those that are flagged ("interlaced"), or none ("")."""
    if treatment.deinterlace == "on":
        return "all"
    flagged = treatment.flagged or stored.fields
    return "interlaced" if treatment.deinterlace == "auto" and flagged else ""


def _refuse(stored: Format, layout: Layout) -> None:
    colour = stored.colour
    if layout.kind == "unknown":
        raise VideoError(f"the pixel format {stored.pixel_format or 'none'} cannot be converted to RGB")
    if colour.matrix not in tone.MATRICES and colour.matrix not in names.SWSCALE_MATRICES:
        raise VideoError(f"the colour matrix {colour.matrix} cannot be converted to RGB; convert the file first")
    if layout.alpha and colour.matrix in tone.MATRICES:
        raise VideoError(f"transparency with the colour matrix {colour.matrix} is not supported")


def _stated(stored: Format, layout: Layout, colour: tone.Colour) -> list[tuple[str, str]]:
    """Matrix and range are written into the frames where the file does not say so itself."""
    if layout.kind != "yuv":
        return []
    # The samples of a matrix that libswscale does not know are only scaled; the name tells it to pass them on.
    matrix = "bt709" if colour.matrix in tone.MATRICES else colour.matrix
    if matrix == stored.matrix and (stored.range or not colour.full_range):
        return []
    return [("setparams", f"colorspace={matrix}:range={'pc' if colour.full_range else 'tv'}")]


def _as_format(pixel_format: str) -> list[tuple[str, str]]:
    return [("scale", f"flags={SCALE_FLAGS}"), ("format", pixel_format)]


def comb_ratio(luma: np.ndarray) -> float:
    """How much neighbouring lines differ, over how much lines of one field do, of a luma plane (H, W).

    About 0.5 in progressive pictures, far above where two moments are woven into one and things move;
    see :data:`COMBED`. Noise differs from line to line as combs do, so columns are averaged in fours and
    small differences do not count; 0 is returned where nothing is left.
    """
    columns = luma.shape[1] // _COMB_COLUMNS * _COMB_COLUMNS
    if luma.shape[0] < 5 or not columns:
        return 0.0
    lines = luma[:, :columns].reshape(luma.shape[0], -1, _COMB_COLUMNS).mean(axis=2, dtype=np.float32)
    near = np.abs(2 * lines[2:-2] - lines[1:-3] - lines[3:-1])
    far = np.abs(2 * lines[2:-2] - lines[:-4] - lines[4:])
    counts = np.maximum(near, far) > _COMB_FLOOR
    if counts.mean() < _COMB_AREA:
        return 0.0
    return float(near[counts].sum() / max(far[counts].sum(), 1.0))


# ------------------------------------------------------------------------------------------ running


class Filter:
    """Turns the frames of one format, in order, into RGB: one out for each one in.

    ``push`` may answer later (deinterlacing looks one frame ahead); ``flush`` gives the rest.
    """

    def __init__(self, stored: Format, treatment: Treatment, time_base: Fraction):
        plan = chain(stored, treatment)
        self._convert = tone.converter(stored.colour, plan[-1][1])
        graph = Graph()
        graph.threads = 1
        try:
            nodes = [graph.add("buffer", _source(stored, time_base))]
            nodes += [graph.add(name, options or None) for name, options in plan]
            graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"pictures of the format {stored.pixel_format} cannot be converted: {error}") from None
        self._graph = graph
        self._count = 0

    def push(self, frame: av.VideoFrame) -> Iterator[np.ndarray]:
        """Frames that are ready, each uint8 (H, W, 3) RGB."""
        # bwdif works out times, which decoders do not always give; order is all that counts here.
        stated, frame.pts = frame.pts, self._count
        self._count += 1
        self._put(frame)
        frame.pts = stated
        yield from self._ready()

    def flush(self) -> Iterator[np.ndarray]:
        """The frames that are still within, at the end of the run."""
        self._put(None)
        yield from self._ready()

    def _put(self, frame: av.VideoFrame | None) -> None:
        try:
            self._graph.push(frame)
        except av.FFmpegError as error:
            raise VideoError(f"a picture cannot be converted: {error}") from None

    def _ready(self) -> Iterator[np.ndarray]:
        while True:
            try:
                done = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            except av.FFmpegError as error:
                raise VideoError(f"a picture cannot be converted: {error}") from None
            yield self._convert(_samples(done))


def _source(stored: Format, time_base: Fraction) -> str:
    options = {
        "video_size": f"{stored.width}x{stored.height}",
        "pix_fmt": stored.pixel_format,
        "time_base": f"{time_base.numerator}/{time_base.denominator}",
        "pixel_aspect": "1/1",
        "colorspace": names.number(names.MATRICES, stored.matrix),
        "range": names.number(names.RANGES, stored.range),
    }
    return ":".join(f"{key}={value}" for key, value in options.items())


def _samples(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3): uint8 RGB of bgr0, uint16 RGB of rgb48le, uint16 Y, Cb, Cr of yuv444p16le."""
    if frame.format.name == "yuv444p16le":
        return np.stack([_plane(plane, frame, np.uint16) for plane in frame.planes], axis=-1)
    if frame.format.name == "rgb48le":
        return _plane(frame.planes[0], frame, np.uint16, 3).reshape(frame.height, frame.width, 3)
    return _plane(frame.planes[0], frame, np.uint8, 4).reshape(frame.height, frame.width, 4)[..., 2::-1]


def _plane(plane: av.video.plane.VideoPlane, frame: av.VideoFrame, kind: type, components: int = 1) -> np.ndarray:
    rows = np.frombuffer(plane, kind).reshape(frame.height, -1)
    return rows[:, : components * frame.width]
