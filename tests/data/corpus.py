"""Recordings of every kind, made from one RGB pattern by ffmpeg's encoders, and what reading them must give.

The pattern is a chessboard of 4 by 4 flat patches, light and dark, whose colours survive 8-bit YCbCr of
every matrix and range within one level; the last patch counts the frames. It fills the picture as it is
shown: stored pictures are turned, mirrored and squeezed against it.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import numpy as np

FRAMES = 6
TARGET = (96, 96)

_LIGHT = [(255, 255, 255), (247, 138, 11), (9, 238, 244), (239, 234, 8), (180, 180, 180), (50, 247, 8), (238, 247, 79),
          (235, 235, 235)]  # fmt: skip
_DARK = [(247, 8, 177), (9, 80, 246), (0, 0, 0), (247, 14, 63), (174, 13, 8), (20, 20, 20), (28, 8, 241), (60, 60, 60)]
# Farther from an edge than this, pixels of the target, a patch is flat: scaling and coarse chroma reach less far.
_MARGIN = 8
_PRECISE = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


@dataclass(frozen=True)
class Recording:
    """One file of the corpus: how it is encoded, and what it states."""

    container: str
    codec: str
    pixel_format: str
    options: tuple[str, ...] = ()
    size: tuple[int, int] = (320, 240)
    """Width and height as stored."""
    rate: str = "25"
    matrix: str = ""
    """What the samples are made with; empty: that of the size, or of the codec where it states one."""
    range: str = "tv"
    stated: bool = False
    """Whether matrix and range are written into the file."""
    fields: str = ""
    """"tff" or "bff" for interlaced, "" for progressive."""
    rotation: int = 0
    """Degrees clockwise that the stored picture is to be turned by."""
    mirrored: bool = False
    aspect: Fraction = Fraction(1)
    light: str = ""
    """Options of the filter zscale for HDR and wide primaries."""
    palette: str = "vivid"
    """"vivid", "soft" (10-bit HDR is coarse where one component is next to nothing), or "grey"."""
    tolerance: int = 2

    @property
    def name(self) -> str:
        parts = [self.codec, self.pixel_format, "x".join(map(str, self.size)), self.matrix, self.range * self.stated]
        parts += [self.fields, f"turn{self.rotation}" * bool(self.rotation), "mirrored" * self.mirrored]
        parts += [f"sar{self.aspect.numerator}-{self.aspect.denominator}" * (self.aspect != 1)]
        parts += [self.light.replace(":", "-").replace("=", ""), self.rate.replace("/", "-")]
        return "_".join(part for part in parts if part) + f".{self.container}"

    @property
    def used_matrix(self) -> str:
        high = self.size[0] >= 1280 or self.size[1] > 576
        return self.matrix or ("bt709" if high else "smpte170m")


def pattern(u: np.ndarray, v: np.ndarray, frame: int, palette: str = "vivid") -> np.ndarray:
    """Colours, uint8 (H, W, 3), at columns u (W,) and rows v (H,) of the shown picture, both 0 to 1."""
    column, row = (np.clip((4 * place).astype(int), 0, 3) for place in (u, v))
    board = np.empty((4, 4, 3), np.uint8)
    lights, darks = iter(_LIGHT), iter(_DARK)
    for index in range(16):
        board[index // 4, index % 4] = next(lights) if (index // 4 + index % 4) % 2 == 0 else next(darks)
    board[3, 3] = 120 + 20 * frame
    if palette == "soft":
        board = np.rint(60 + board * (195 / 255)).astype(np.uint8)
    if palette == "grey":
        board = np.repeat(np.rint(board @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=2).astype(np.uint8)
    return board[row][:, column]


def make(recording: Recording, folder: Path) -> Path:
    """Encode a recording; raises CalledProcessError where this ffmpeg cannot."""
    path = folder / recording.name
    width, height = recording.size
    rate = ("-r", recording.rate)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", *rate, "-i", "pipe:")
    encoded = ("-vf", ",".join(_filters(recording)), "-c:v", recording.codec, *_tags(recording), *recording.options)
    turned = recording.rotation or recording.mirrored
    first = path.with_stem("upright") if turned else path
    _run(
        *raw, *encoded, "-threads", "2", f"file:{first}", data=b"".join(frame.tobytes() for frame in _stored(recording))
    )
    if turned:
        # ffmpeg turns counter-clockwise, and mirrors after that.
        angle = -recording.rotation if not recording.mirrored else recording.rotation
        flip = ("-display_hflip",) if recording.mirrored else ()
        _run("-display_rotation", str(angle), *flip, "-i", f"file:{first}", "-c", "copy", f"file:{path}")
        first.unlink()
    return path


def expected(recording: Recording, frame: int, target: tuple[int, int] = TARGET) -> tuple[np.ndarray, np.ndarray]:
    """What frame ``frame`` must show (H, W, 3), and where it is flat (H, W)."""
    u, v = _places(recording, target)
    flat = _flat(u)[None, :] & _flat(v)[:, None]
    return pattern(u, v, frame, recording.palette), flat


def complaints(recording: Recording, frames: np.ndarray) -> list[str]:
    """What is wrong with the frames (T, H, W, 3) that were read of a recording; empty when all is right."""
    if len(frames) != FRAMES:
        return [f"{len(frames)} frames instead of {FRAMES}"]
    found = []
    for index, frame in enumerate(frames):
        wanted, flat = expected(recording, index, frame.shape[:2])
        off = np.abs(_patch_means(frame, flat) - _patch_means(wanted, flat)).max()
        if off > recording.tolerance:
            found.append(f"frame {index}: colours off by {off:.1f}")
    shift = _shift(recording, frames[0])
    if shift > 1:
        found.append(f"edges off by {shift:.1f} pixels")
    return found


def _stored(recording: Recording) -> Iterator[np.ndarray]:
    upright = recording.size[::-1] if recording.rotation % 180 else recording.size
    u, v = ((np.arange(size) + 0.5) / size for size in upright)
    for index in range(FRAMES):
        frame = pattern(u, v, index, recording.palette)
        frame = np.rot90(frame, recording.rotation // 90)  # counter-clockwise: undoes the turn to come
        yield np.ascontiguousarray(frame[:, ::-1] if recording.mirrored else frame)


def _filters(recording: Recording) -> list[str]:
    matrix = recording.used_matrix
    if recording.light:
        bt709 = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=gbr:range=pc"
        # Without agamma=0, HLG is put onto the display one component at a time, against BT.2100.
        light = f"zscale=agamma=0:r={recording.range}:{recording.light}"
        return ["format=gbrp", bt709, "format=gbrpf32le", light, f"format={recording.pixel_format}"]
    filters = [f"scale=out_color_matrix={matrix}:out_range={recording.range}:{_PRECISE}"]
    if recording.pixel_format.startswith(("gray", "mono", "rgb", "bgr", "gbr", "arg", "abg", "0", "pal", "x2", "ya")):
        filters = [f"scale={_PRECISE}"]
    filters.append(f"format={recording.pixel_format}")
    if recording.stated:
        filters.append("setparams=color_primaries=bt709:color_trc=bt709")
    else:
        filters.append("setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown")
    filters.append(f"setsar={recording.aspect.numerator}/{recording.aspect.denominator}")
    if recording.fields:
        filters.append(f"setfield={recording.fields}")
    return filters


def _tags(recording: Recording) -> tuple[str, ...]:
    tags: tuple[str, ...] = ()
    if recording.fields:
        order = "tt" if recording.fields == "tff" else "bb"
        tags += ("-flags", "+ilme+ildct", "-field_order", order)
    return tags


def _places(recording: Recording, target: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Relative columns (W,) and rows (H,) of the shown picture that the target's pixels lie at."""
    (width, height), aspect = recording.size, recording.aspect
    if recording.rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    shown = width * float(aspect) / height
    wanted = target[1] / target[0]
    spans = min(1.0, wanted / shown), min(1.0, shown / wanted)
    u, v = (0.5 + ((np.arange(n) + 0.5) / n - 0.5) * span for n, span in zip(target[::-1], spans, strict=True))
    return u, v


def _flat(places: np.ndarray) -> np.ndarray:
    step = places[1] - places[0]
    return np.abs(places[:, None] - np.array([0.25, 0.5, 0.75])).min(axis=1) > _MARGIN * step


def _patch_means(frame: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Mean colours of the flat parts of the patches, (patches, 3)."""
    rows, columns = flat.any(axis=1), flat.any(axis=0)
    means = [frame[y][:, x].mean(axis=(0, 1)) for y in _runs(rows) for x in _runs(columns)]
    return np.stack(means)


def _runs(mask: np.ndarray) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(int), 0]))
    return [slice(start, stop) for start, stop in edges.reshape(-1, 2)]


def _shift(recording: Recording, frame: np.ndarray) -> float:
    """The largest distance, pixels, of an edge between two patches from where it belongs."""
    wanted, flat = expected(recording, 0, frame.shape[:2])
    rows, columns = _runs(flat.any(axis=1)), _runs(flat.any(axis=0))
    shifts = [_edges(frame[row].mean((0, 2)), wanted[row].mean((0, 2)), columns) for row in rows]
    shifts += [_edges(frame[:, column].mean((1, 2)), wanted[:, column].mean((1, 2)), rows) for column in columns]
    return max(map(max, shifts))


def _edges(line: np.ndarray, wanted: np.ndarray, flats: list[slice]) -> list[float]:
    found = [0.0]
    for before, after in pairwise(flats):
        first, last = (before.start + before.stop) // 2, (after.start + after.stop) // 2
        if abs(wanted[last] - wanted[first]) < 40:
            continue
        # The area under the step tells where it is, whatever its shape.
        measured, true = (
            ((profile[first:last] - profile[first]) / (profile[last] - profile[first])).sum()
            for profile in (line, wanted)
        )
        found.append(abs(measured - true))
    return found


def _run(*arguments: str, data: bytes | None = None) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-xerror", *arguments]
    subprocess.run(command, input=data, check=True, capture_output=True)


# ---------------------------------------------------------------------------------------- what there is

_SD, _PAL, _NTSC, _HD = (640, 480), (720, 576), (720, 480), (1280, 720)
_LOSSLESS_X264 = ("-crf", "1", "-preset", "veryfast")
_MPEG2 = ("-q:v", "1", "-qmin", "1", "-dc", "10", "-g", "3")
_Q1 = ("-q:v", "1", "-qmin", "1")
_LOSSLESS_X265 = ("-x265-params", "lossless=1:log-level=none", "-preset", "ultrafast")


def recordings() -> list[Recording]:
    """All of the corpus, in a fixed order."""
    parts = (_pixel_formats, _packed, _codecs, _interlaced, _turned, _aspects, _colours, _lights, _rates)
    return [recording for part in parts for recording in part()]


def _pixel_formats() -> Iterator[Recording]:
    yuv = [f"yuv{s}p{d}" for s in (420, 422, 444) for d in ("", "9le", "10le", "12le", "14le", "16le")]
    yuv += ["yuv440p", "yuv411p", "yuv410p", "yuv440p10le", "yuv440p12le"]
    yuv += ["yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva422p10le", "yuva444p10le", "yuva444p16le"]
    for index, name in enumerate(yuv):
        yield Recording("mkv", "ffv1", name, size=_HD if index % 2 else _SD)
    rgb = ["bgr0", "bgra", "rgb48le", "rgba64le", "gbrp9le", "gbrp10le", "gbrp12le", "gbrp14le", "gbrp16le"]
    for name in [*rgb, "gbrap10le", "gbrap12le", "gbrap16le"]:
        yield Recording("mkv" if name != "bgra" else "avi", "ffv1", name, size=_HD if name == "gbrp12le" else _SD)
    for name in ("gray", "gray9le", "gray10le", "gray12le", "gray14le", "gray16le", "ya8"):
        yield Recording("mkv", "ffv1", name, palette="grey")


def _packed() -> Iterator[Recording]:
    for name in ("uyvy422", "yuyv422", "yvyu422", "nv12", "nv21", "y210le", "xv30le", "xv48le", "ayuv", "vuya", "uyva",
                 "vyu444"):  # fmt: skip
        for size in (_SD, _HD):
            yield Recording("nut", "rawvideo", name, size=size)
    for name in ("rgb24", "bgr24", "argb", "abgr", "rgba", "0rgb", "rgb0", "rgb48be", "gbrp",
                 "gbrpf32le"):  # fmt: skip
        yield Recording("nut", "rawvideo", name)
    yield Recording("nut", "rawvideo", "rgb565le", tolerance=7)
    yield Recording("nut", "rawvideo", "gray16be", palette="grey")
    for container in ("avi", "mov"):
        for size in (_SD, _HD):
            yield Recording(container, "rawvideo", "uyvy422", size=size)
            yield Recording(container, "v210", "yuv422p10le", size=size)
    yield Recording("avi", "rawvideo", "yuyv422", size=_HD)
    yield Recording("mov", "r210", "gbrp10le")
    yield Recording("avi", "y41p", "yuv411p")


def _codecs() -> Iterator[Recording]:
    lossy = {
        "mpeg4": (("avi", "mp4", "mkv", "mov", "m4v", "3gp"), _Q1), "libxvid": (("avi",), _Q1),
        "mpeg1video": (("mpg",), _Q1), "mpeg2video": (("mpg", "ts", "m2ts", "vob", "mkv", "mov", "mxf"), _MPEG2),
        "libx264": (("mp4", "mkv", "mov", "ts", "MTS", "avi", "flv", "m4v", "mxf"), _LOSSLESS_X264),
        "libx265": (("mp4", "mkv", "ts"), _LOSSLESS_X265), "msmpeg4v2": (("avi",), _Q1),
        "msmpeg4": (("avi", "asf"), _Q1), "wmv1": (("wmv",), _Q1), "wmv2": (("wmv", "asf"), _Q1),
        "flv": (("flv",), _Q1), "h263p": (("mkv",), _Q1), "libtheora": (("ogv",), ("-q:v", "10")),
        "libvpx": (("webm", "mkv"), ("-b:v", "20M", "-qmin", "0", "-qmax", "2", "-deadline", "realtime")),
        "libvpx-vp9": (("webm", "mp4"), ("-lossless", "1", "-deadline", "realtime", "-cpu-used", "8")),
        "libaom-av1": (("mp4", "mkv"), ("-crf", "0", "-cpu-used", "8", "-usage", "realtime")),
        "snow": (("avi",), ("-q:v", "1", "-strict", "-2")),
        "huffyuv": (("avi",), ()), "ffvhuff": (("avi", "mkv"), ()), "utvideo": (("avi", "mkv"), ()),
        "magicyuv": (("avi",), ()), "jpeg2000": (("mov", "mxf"), ("-pred", "1")),
    }  # fmt: skip
    wide = {"libx264", "mpeg2video", "libx265", "mpeg4"}
    for codec, (containers, options) in lossy.items():
        name = "yuv422p" if codec in ("huffyuv", "vc2") else "yuv420p"
        for container in containers:
            options_here = (*options, "-f", "mpegts") if container == "MTS" else options
            size = (704, 576) if codec == "h263p" else _SD
            if codec == "mpeg2video" and container == "mxf":
                size = _PAL
            yield Recording(container, codec, name, options_here, size)
        if codec in wide:
            yield Recording(containers[0], codec, name, options, _HD)
    for codec, name, container in (("prores_ks", "yuv422p10le", "mov"), ("prores_ks", "yuv444p10le", "mkv"),
                                   ("cfhd", "yuv422p10le", "mov"), ("huffyuv", "rgb24", "avi"),
                                   ("utvideo", "gbrp", "avi"), ("magicyuv", "gbrp", "avi"),
                                   ("magicyuv", "yuv444p", "avi"), ("png", "rgb24", "mov"), ("png", "rgba", "mkv"),
                                   ("png", "rgb48be", "mkv"), ("qtrle", "rgb24", "mov"), ("zlib", "bgr24", "avi"),
                                   ("flashsv", "bgr24", "flv"), ("tiff", "rgb24", "mkv"),
                                   ("targa", "bgr24", "mov"), ("zmbv", "bgr24", "avi"),
                                   ("libx264rgb", "rgb24", "mp4"), ("libx265", "gbrp", "mkv"),
                                   ("gif", "bgr8", "gif"), ("apng", "rgb24", "apng")):  # fmt: skip
        options = {"libx264rgb": ("-qp", "0"), "libx265": _LOSSLESS_X265, "cfhd": ("-quality", "film3+")}.get(codec, ())
        options = ("-qscale:v", "2") if codec == "prores_ks" else options
        yield Recording(container, codec, name, options, _SD, tolerance=40 if codec == "gif" else 2)
    yield Recording("mov", "dnxhd", "yuv422p", ("-b:v", "120M"), _HD, "50")
    yield Recording("mxf", "dnxhd", "yuv422p10le", ("-profile:v", "dnxhr_hqx"), _HD)
    yield Recording("dv", "dvvideo", "yuv420p", (), _PAL, aspect=Fraction(16, 15))
    for container in ("avi", "mov", "mkv", "mp4"):
        for name in ("yuvj420p", "yuvj422p", "yuvj444p"):
            if container != "mp4" or name == "yuvj420p":
                yield Recording(
                    container, "mjpeg", name, ("-q:v", "1", "-qmin", "1"), _SD, matrix="bt470bg", range="pc"
                )
    yield Recording("avi", "mjpeg", "yuvj422p", ("-q:v", "1", "-qmin", "1"), _HD, matrix="bt470bg", range="pc")


def _interlaced() -> Iterator[Recording]:
    kinds = [
        ("mpeg2video", "yuv420p", _MPEG2, ("mpg", "ts", "mkv", "mov", "avi")),
        ("mpeg2video", "yuv422p", _MPEG2, ("mxf", "mkv")),
        ("libx264", "yuv420p", _LOSSLESS_X264, ("mp4", "mkv", "mov", "ts", "avi")),
        ("mpeg4", "yuv420p", _Q1, ("avi", "mp4")),
        ("ffv1", "yuv422p", (), ("mkv", "mov", "avi")),
        ("prores_ks", "yuv422p10le", ("-qscale:v", "2"), ("mov", "mkv")),
        ("v210", "yuv422p10le", (), ("mov", "mkv")),
        ("rawvideo", "uyvy422", (), ("mov", "mkv")),
        ("huffyuv", "yuv422p", (), ("mkv", "mov")),
    ]
    for codec, name, options, containers in kinds:
        for container in containers:
            for fields in ("tff", "bff"):
                yield Recording(container, codec, name, options, _PAL, fields=fields, aspect=Fraction(16, 15))
    yield Recording("dv", "dvvideo", "yuv420p", (), _PAL, fields="bff", aspect=Fraction(16, 15))
    yield Recording("dv", "dvvideo", "yuv411p", (), _NTSC, "30000/1001", fields="bff", aspect=Fraction(8, 9))
    yield Recording("ts", "libx264", "yuv420p", _LOSSLESS_X264, (1920, 1080), fields="tff")
    yield Recording("mov", "dnxhd", "yuv422p", ("-b:v", "120M"), (1920, 1080), fields="tff")


def _turned() -> Iterator[Recording]:
    for rotation in (0, 90, 180, 270):
        for mirrored in (False, True):
            if rotation or mirrored:
                for container, size in (("mp4", _SD), ("mov", _HD)):
                    yield Recording(
                        container, "libx264", "yuv420p", _LOSSLESS_X264, size, rotation=rotation, mirrored=mirrored
                    )
    yield Recording("mp4", "libx265", "yuv420p10le", _LOSSLESS_X265, _SD, rotation=90)
    yield Recording("mp4", "libx264", "yuv422p", _LOSSLESS_X264, _PAL, rotation=90, aspect=Fraction(16, 15))
    yield Recording("mov", "rawvideo", "uyvy422", (), _HD, rotation=270)
    yield Recording("mkv", "ffv1", "yuv420p", (), _SD, rotation=180)


def _aspects() -> Iterator[Recording]:
    aspects = [Fraction(*pair) for pair in ((16, 15), (64, 45), (8, 9), (32, 27), (12, 11), (4, 3), (1, 2), (2, 1))]
    for aspect in aspects:
        size = _NTSC if aspect in (Fraction(8, 9), Fraction(32, 27)) else _PAL
        for container in ("mkv", "mp4", "ts"):
            yield Recording(container, "libx264", "yuv420p", _LOSSLESS_X264, size, aspect=aspect)
    for aspect in (Fraction(16, 15), Fraction(64, 45)):
        yield Recording("mpg", "mpeg2video", "yuv420p", _MPEG2, _PAL, aspect=aspect)
        yield Recording("avi", "mpeg4", "yuv420p", _Q1, _PAL, aspect=aspect)


def _colours() -> Iterator[Recording]:
    for matrix in ("bt709", "smpte170m", "bt470bg", "smpte240m", "fcc", "bt2020nc"):
        for color_range in ("tv", "pc"):
            for container, codec, options in (("mp4", "libx264", _LOSSLESS_X264), ("mkv", "ffv1", ())):
                size = _HD if matrix in ("smpte170m", "fcc") else _SD
                yield Recording(
                    container, codec, "yuv444p", options, size, matrix=matrix, range=color_range, stated=True
                )
    yield Recording("mov", "prores_ks", "yuv422p10le", ("-qscale:v", "2"), _SD, matrix="bt709", stated=True)
    yield Recording("mkv", "v210", "yuv422p10le", (), _HD, matrix="smpte170m", stated=True)
    yield Recording(
        "webm", "libvpx-vp9", "yuv420p", ("-lossless", "1", "-cpu-used", "8"), _SD, matrix="bt709", stated=True
    )
    # A matrix of RGB, stated for YCbCr, is nonsense; 3 is reserved.
    for number, size, container in ((0, _HD, "mp4"), (3, _SD, "mp4"), (0, _SD, "ts"), (3, _HD, "ts")):
        options = (*_LOSSLESS_X264, "-bsf:v", f"h264_metadata=matrix_coefficients={number}")
        yield Recording(container, "libx264", "yuv420p", options, size, "12.5")
    for light in ("m=ycgco", "m=chroma-derived-nc:p=709", "m=ictcp:p=2020:t=smpte2084:npl=203"):
        for container, codec, name in (("mkv", "ffv1", "yuv444p10le"), ("mp4", "libx265", "yuv444p12le")):
            options = _LOSSLESS_X265 if codec == "libx265" else ()
            palette, tolerance = ("soft", 6) if "t=" in light else ("vivid", 2)
            yield Recording(container, codec, name, options, _SD, light=light, palette=palette, tolerance=tolerance)


def _lights() -> Iterator[Recording]:
    for transfer in ("smpte2084", "arib-std-b67"):
        light = f"t={transfer}:p=2020:m=2020_ncl:npl=203"
        for size in (_SD, _HD):
            soft = Recording("mkv", "ffv1", "yuv422p10le", (), size, light=light, palette="soft", tolerance=6)
            yield soft
            yield replace(soft, container="mp4", codec="libx265", pixel_format="yuv420p10le", options=_LOSSLESS_X265)
            yield replace(soft, container="mov", codec="prores_ks", options=("-qscale:v", "2"))
        yield Recording("mkv", "ffv1", "yuv444p16le", (), _SD, light=light, tolerance=6)
        yield replace(
            soft, container="mkv", codec="libx265", pixel_format="yuv420p12le", options=_LOSSLESS_X265, range="pc"
        )
        in_rgb = f"t={transfer}:p=2020:m=gbr:npl=203"
        yield replace(soft, pixel_format="gbrp10le", size=_SD, light=in_rgb, range="pc")
    for light in (
        "t=709:p=2020:m=2020_ncl",
        "t=2020_10:p=2020:m=2020_ncl",
        "t=709:p=smpte432:m=709",
        "t=linear:p=709:m=709",
    ):
        yield Recording("mkv", "ffv1", "yuv444p16le", (), _SD, light=light, palette="soft", tolerance=6)
        yield Recording("mp4", "libx265", "yuv444p12le", _LOSSLESS_X265, _HD, light=light, palette="soft", tolerance=6)


def _rates() -> Iterator[Recording]:
    for rate in ("1", "10", "15", "24000/1001", "30000/1001", "50", "60000/1001", "120"):
        for container in ("mp4", "mkv", "avi"):
            yield Recording(container, "libx264", "yuv420p", _LOSSLESS_X264, rate=rate)
