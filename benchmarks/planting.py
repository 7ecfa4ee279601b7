"""Recordings with planted faults: black, blank and frozen stretches, and burned-in texts, for benchmarks/cuts.py."""

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Array = np.ndarray
Colour = tuple[int, int, int]

CODECS = {
    "x264 crf 18": ("libx264", "-crf", "18"),
    "x264 crf 23": ("libx264", "-crf", "23"),
    "x264 crf 28": ("libx264", "-crf", "28", "-preset", "veryfast"),
    "mpeg4 q 3": ("mpeg4", "-q:v", "3"),
    "mpeg4 q 7": ("mpeg4", "-q:v", "7"),
    "mpeg4 600k": ("mpeg4", "-b:v", "600k"),
    "mpeg2 q 3": ("mpeg2video", "-q:v", "3"),
    "mpeg2 q 7": ("mpeg2video", "-q:v", "7"),
    "mpeg2 2M, B frames": ("mpeg2video", "-b:v", "2M", "-bf", "2"),
    "mjpeg q 3": ("mjpeg", "-q:v", "3"),
    "mjpeg q 8": ("mjpeg", "-q:v", "8"),
}
KINDS = ("black", "black with logo", "blank", "frozen")
_WORDS = (
    "PATIENT: DOE, JANE",
    "ID 4711-0815",
    "2019-03-04 10:12",
    "Dr. Miller",
    "OLYMPUS",
    "St. Mary Hospital",
    "F 54y",
)
_INKS = ((255, 255, 255), (255, 230, 0), (0, 230, 0), (20, 20, 20))
_MAKERS = ("OLYMPUS", "STORZ", "Fujinon", "PENTAX")
TEXTS = {"text": 0.35, "block": 0.25, "clock": 0.25, "logo": 0.15}
"""Kinds of texts, and how often each is planted."""
# Letters have at least this height, pixels; a smaller share of a small picture is planted into an enlarged one.
_LETTERS = 10
# A text differs from the ground around it by at least this much in green, levels, and as often as this as its noise.
_READABLE = 25
_ABOVE_NOISE = 3
# What has as much ink as this is part of a letter.
_INKED = 0.25
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_COLOURS = ((0, 0, 255), (0, 0, 160), (128, 128, 128), (255, 255, 255), (0, 128, 0), (70, 70, 90), (120, 0, 120))
_BARS = ((235, 235, 235), (235, 235, 0), (0, 235, 235), (0, 235, 0), (235, 0, 235), (235, 0, 0), (0, 0, 235), (0, 0, 0))


@dataclass(frozen=True)
class Stretch:
    kind: str
    first: int
    frames: int


@dataclass(frozen=True)
class Text:
    """A text that was planted."""

    kind: str
    """Of ``TEXTS``."""
    size: float
    """Height of a line (ascent and descent) as a share of the frame's."""
    opacity: float
    plate: bool
    """Whether a plate lies behind it."""
    pixels: Array
    """bool (H, W): its letters, of all frames."""


def decoded(path: Path) -> Iterator[tuple[float, Array, tuple[Array, ...], Array]]:
    """Time, luma, chroma and RGB of each frame."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            time = float(frame.time) if frame.time is not None else number / 25
            luma, *chroma = (_plane(plane) for plane in frame.planes[:3])
            yield time, luma, tuple(chroma), frame.to_ndarray(format="rgb24")


def count_frames(path: Path) -> tuple[int, float]:
    """How many frames a file has, and the usual time from one to the next, s."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return len(times), float(np.median(np.diff([time for time in times if time is not None])))


def read(path: Path, first: int, count: int) -> Array:
    """Frames ``first`` to ``first + count - 1``, (count, H, W, 3) uint8."""
    with av.open(str(path)) as container:
        frames = itertools.islice(container.decode(video=0), first, first + count)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


def encode(frames: Array, rate: float, codec: str, path: Path) -> None:
    """Write ``frames`` lossily into a Matroska file; odd sides lose a row or column."""
    height, width = (side // 2 * 2 for side in frames.shape[1:3])
    encoder, *options = CODECS[codec]
    if encoder == "mpeg2video":
        rate = 25  # knows no rates such as 5 and 15; times are not looked at in the file
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", f"{rate:.3f}", "-i", "-", "-c:v", encoder, *options, "-threads", "1"]
    command += ["-pix_fmt", "yuvj420p" if encoder == "mjpeg" else "yuv420p", "-f", "matroska", str(path)]
    data = np.ascontiguousarray(frames[:, :height, :width]).tobytes()
    subprocess.run(command, input=data, check=True)


def as_by_a_camera(frames: Array, generator: np.random.Generator) -> Array:
    """The frames as they are, or, one time in four where they are small, enlarged and with the noise of a camera."""
    if frames.shape[1] > 300 or generator.random() > 0.25:
        return frames
    size = (frames.shape[2] * 5 // 2, frames.shape[1] * 5 // 2)
    frames = np.stack([np.array(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames])
    noise = generator.normal(0, generator.uniform(1, 4), (8, *frames.shape[1:3], 1)).astype(np.float32)
    noisy = [np.clip(frame + noise[generator.integers(8)], 0, 255).astype(np.uint8) for frame in frames]
    return np.stack(noisy)


def plant_stretches(
    frames: Array, rate: float, kinds: list[str], generator: np.random.Generator
) -> tuple[Array, list[Stretch]]:
    """Put one stretch of each kind into ``frames``, in the order given, with live frames between them."""
    share = len(frames) // len(kinds)
    stretches = []
    for number, kind in enumerate(kinds):
        shortest = max(6, int(np.ceil(0.5 * rate)) + 1) if kind == "frozen" else 1
        longest = max(shortest, min(share - 4, int(2 * rate)))
        count = int(generator.integers(shortest, longest + 1))
        first = number * share + int(generator.integers(2, max(3, share - count - 1)))
        stretches.append(Stretch(kind, first, count))
        _fill(frames[first : first + count], kind, generator)
    if generator.random() < 0.4:
        _run_clock(frames, stretches, generator)
    return frames, stretches


def _fill(frames: Array, kind: str, generator: np.random.Generator) -> None:
    if kind == "frozen":
        frames[:] = frames[0].copy()
    elif kind == "blank":
        frames[:] = _blank(frames.shape[1:3], generator)
    else:
        frames[:] = generator.integers(0, 13) if generator.random() < 0.5 else 0
        if kind == "black with logo":
            frames[:] = _with_logo(frames[0], generator)
        elif generator.random() < 0.3:
            frames[:] = np.clip(frames + np.abs(generator.normal(0, 2, frames.shape)), 0, 255).astype(np.uint8)


def _blank(size: tuple[int, int], generator: np.random.Generator) -> Array:
    height, width = size
    if generator.random() < 0.15:
        bars = np.array(_BARS, np.uint8)[np.arange(width) * len(_BARS) // width]
        return np.repeat(bars[None], height, axis=0)
    blank = np.empty((height, width, 3), np.uint8)
    blank[:] = _COLOURS[generator.integers(len(_COLOURS))]
    if generator.random() < 0.5:
        draw_text(blank, "NO SIGNAL", 0.06, (float(generator.uniform(0, 0.6)), float(generator.uniform(0, 0.9))))
    return blank


def _with_logo(frame: Array, generator: np.random.Generator) -> Array:
    """A plate with letters, up to a fifth of the width, or a date, in a corner."""
    frame = frame.copy()
    height, width = frame.shape[:2]
    right, below = generator.random(2) < 0.5
    if generator.random() < 0.5:
        plate_height, plate_width = (
            int(height * generator.uniform(0.05, 0.16)),
            int(width * generator.uniform(0.1, 0.2)),
        )
        top, left = (height - plate_height - 3 if below else 3), (width - plate_width - 3 if right else 3)
        frame[top : top + plate_height, left : left + plate_width] = generator.integers(40, 256, 3)
        frame[top + plate_height // 3 : top + plate_height // 2, left + 2 : left + plate_width - 2] = 255
        return frame
    draw_text(frame, "2019-03-04 10:12", 0.05, (0.6 if right else 0.02, 0.9 if below else 0.03))
    return frame


def _run_clock(frames: Array, stretches: list[Stretch], generator: np.random.Generator) -> None:
    """A clock of hundredths, or a blinking sign, that goes on through frozen stretches and black ones with a logo."""
    place = (float(generator.choice([0.02, 0.7])), float(generator.choice([0.02, 0.92])))
    blinking = generator.random() < 0.3
    bare = {
        n for stretch in stretches if stretch.kind in ("black", "blank")
        for n in range(stretch.first, stretch.first + stretch.frames)
    }  # fmt: skip
    for number in range(len(frames)):
        if number not in bare and not (blinking and number // 12 % 2):
            text = "REC" if blinking else f"10:{number // 25:02}:{number % 25 * 4:02}"
            draw_text(frames[number], text, 0.05, place)


def plant_text(frames: Array, generator: np.random.Generator) -> tuple[Array, Text]:
    """Frames with a text that can be read, enlarged where its letters would be too small."""
    size = float(np.exp(generator.uniform(np.log(0.025), np.log(0.15))))
    lines = _LETTERS / size
    if frames.shape[1] < lines:
        scale = lines / frames.shape[1]
        wide, high = (int(np.ceil(side * scale / 2)) * 2 for side in (frames.shape[2], frames.shape[1]))
        enlarged = (Image.fromarray(frame).resize((wide, high), Image.Resampling.BICUBIC) for frame in frames)
        frames = np.stack([np.array(frame) for frame in enlarged])
    kind = str(generator.choice(list(TEXTS), p=list(TEXTS.values())))
    while True:
        opacity = float(generator.choice([0.4, 0.6, 0.8, 1.0]))
        colour = _INKS[generator.integers(len(_INKS))]
        plate = None if generator.random() > 0.3 else (220, 220, 220) if max(colour) < 100 else (0, 0, 0)
        font = str(generator.choice(["DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif"]))
        place = (float(generator.random()), float(generator.random()))
        inks = _inks(kind, len(frames), frames.shape[1:3], size, place, font, generator)
        if _readable(frames, inks, colour, opacity, plate):
            break
    planted = np.stack([_burned(frame, ink, colour, opacity, plate) for frame, ink in zip(frames, inks, strict=True)])
    pixels = np.zeros(frames.shape[1:3], bool)
    for ink in {id(ink): ink for ink in inks}.values():
        pixels |= ink > _INKED
    return planted, Text(kind, size, opacity, plate is not None, pixels)


def _inks(
    kind: str, count: int, shape: tuple[int, ...], size: float, place: tuple[float, float], font: str,
    generator: np.random.Generator,
) -> list[Array]:  # fmt: skip
    """How much ink each pixel has in each frame, 0 to 1; one array for all where nothing changes."""
    if kind == "clock":
        first = int(generator.integers(36000))
        texts = [hour(first + n) for n in range(count)]
        return [_ink(shape, text, size, place, font) for text in texts]
    if kind == "block":
        words = "\n".join(generator.choice(_WORDS, int(generator.integers(2, 4)), replace=False))
        return [_ink(shape, words, size, place, font)] * count
    if kind == "logo":
        return [_logo(shape, str(generator.choice(_MAKERS)), size, place, font)] * count
    return [_ink(shape, str(generator.choice(_WORDS)), size, place, font)] * count


def hour(number: int) -> str:
    """What a clock shows in a frame of 25 in a second."""
    seconds = number // 25
    return f"{seconds // 3600 + 9:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{number % 25 * 4:02}"


def _ink(shape: tuple[int, ...], text: str, size: float, place: tuple[float, float], font: str) -> Array:
    height, width = shape
    letters = ImageFont.truetype(_FONTS / f"{font}.ttf", max(6, round(0.86 * size * height)))
    image = Image.new("L", (width, height))
    drawing = ImageDraw.Draw(image)
    left, top, right, bottom = drawing.multiline_textbbox((0, 0), text, font=letters)
    x = int(min(place[0] * width, max(0, width - (right - left) - 2)))
    y = int(min(place[1] * height, max(0, height - (bottom - top) - 2)))
    drawing.multiline_text((x - left, y - top), text, fill=255, font=letters)
    return np.asarray(image, np.float32) / 255


def _logo(shape: tuple[int, ...], name: str, size: float, place: tuple[float, float], font: str) -> Array:
    """A ring with a bar through it, before a maker's name."""
    height, width = shape
    side = round(1.3 * size * height)
    named = _ink(shape, name, size, (0, 0), font)
    rows, columns = np.nonzero(named)
    letters = named[: rows.max() + 1, : columns.max() + 1]
    whole = np.zeros((max(side, len(letters)), side * 5 // 4 + letters.shape[1]), np.float32)
    whole[: len(letters), side * 5 // 4 :] = letters
    image = Image.new("L", (side, side))
    drawing = ImageDraw.Draw(image)
    drawing.ellipse((0, 0, side - 1, side - 1), outline=255, width=max(1, side // 7))
    drawing.line((side // 5, side * 4 // 5, side * 4 // 5, side // 5), fill=255, width=max(1, side // 7))
    whole[:side, :side] = np.asarray(image, np.float32) / 255
    ink = np.zeros(shape, np.float32)
    x, y = int(place[0] * max(0, width - whole.shape[1])), int(place[1] * max(0, height - whole.shape[0]))
    part = whole[: height - y, : width - x]
    ink[y : y + part.shape[0], x : x + part.shape[1]] = part
    return ink


def _burned(frame: Array, ink: Array, colour: Colour, opacity: float, plate: Colour | None) -> Array:
    """The frame with a text in it."""
    rows, columns = np.nonzero(ink > _INKED)
    pad = 2 + (rows.max() - rows.min()) // 8
    box = np.s_[max(0, rows.min() - pad) : rows.max() + pad, max(0, columns.min() - pad) : columns.max() + pad]
    part = frame[box].astype(np.float32)
    ground = part if plate is None else np.broadcast_to(np.float32(plate), part.shape)
    above = ground + ink[box][..., None] * (np.float32(colour) - ground)
    burned = frame.copy()
    burned[box] = np.rint(part + opacity * (above - part)).astype(np.uint8)
    return burned


def _readable(frames: Array, inks: list[Array], colour: Colour, opacity: float, plate: Colour | None) -> bool:
    """Whether the letters differ from what lies beside them by more than that differs in itself."""
    clear = []
    for number in range(0, len(frames), max(1, len(frames) // 9)):
        frame, ink = frames[number], inks[number]
        burned = _burned(frame, ink, colour, opacity, plate)[..., 1].astype(np.float32)
        full = ink > 0.8
        ground = ndimage.binary_dilation(full, iterations=4) & (ink < 0.05)
        contrast = abs(float(burned[full].mean()) - float(burned[ground].mean()))
        noise = float(
            (burned - ndimage.uniform_filter(burned, 5))[
                ndimage.binary_erosion(ink < 0.01, iterations=4) & ndimage.binary_dilation(full, iterations=10)
            ].std()
        )
        clear.append(contrast >= max(_READABLE, _ABOVE_NOISE * noise))
    return float(np.mean(clear)) >= 0.6


def draw_text(
    frame: Array,
    text: str,
    size: float,
    place: tuple[float, float],
    colour: tuple[int, int, int] = (255, 255, 255),
    opacity: float = 1.0,
    box: tuple[int, int, int] | None = None,
    font: str = "DejaVuSans",
) -> tuple[int, int, int, int]:
    """Burn ``text`` into ``frame``, and return its box: left, top, width, height.

    ``size`` is the height of the letters (ascent and descent) as a share of the frame's, ``place`` the upper left
    corner as shares of width and height, moved so that the text fits; ``box`` the colour of a plate behind it.
    """
    height, width = frame.shape[:2]
    letters = ImageFont.truetype(_FONTS / f"{font}.ttf", max(6, round(0.86 * size * height)))
    left, top, right, bottom = letters.getbbox(text)
    text_width, text_height = int(right - left), int(bottom - top)
    x = int(min(place[0] * width, max(0, width - text_width - 2)))
    y = int(min(place[1] * height, max(0, height - text_height - 2)))
    image = Image.fromarray(frame)
    drawing = ImageDraw.Draw(image)
    if box is not None:
        drawing.rectangle((x - 2, y - 2, x + text_width + 1, y + text_height + 1), fill=box)
    drawing.text((x - left, y - top), text, fill=colour, font=letters)
    mixed = frame + opacity * (np.array(image).astype(np.float32) - frame)
    frame[:] = np.rint(mixed).astype(np.uint8)
    return x, y, min(text_width, width - x), min(text_height, height - y)


def _plane(plane) -> Array:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
