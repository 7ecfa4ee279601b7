"""Recordings with planted faults: black, blank and frozen stretches, and burned-in texts, for benchmarks/cuts.py."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Array = np.ndarray

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
# A text that changes the green channel by less than this in half of the frames is not seen, levels.
_READABLE = 25
_FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_COLOURS = ((0, 0, 255), (0, 0, 160), (128, 128, 128), (255, 255, 255), (0, 128, 0), (70, 70, 90), (120, 0, 120))
_BARS = ((235, 235, 235), (235, 235, 0), (0, 235, 235), (0, 235, 0), (235, 0, 235), (235, 0, 0), (0, 0, 235), (0, 0, 0))


@dataclass(frozen=True)
class Video:
    """A real video, decoded once."""

    name: str
    frames: Array
    """(T, H, W, 3) uint8."""
    times: Array


@dataclass(frozen=True)
class Stretch:
    kind: str
    first: int
    frames: int


@dataclass(frozen=True)
class Text:
    """A text that was planted; ``size`` and ``box`` as in ``draw_text``."""

    size: float
    opacity: float
    changing: bool
    box: tuple[int, int, int, int]


def decoded(path: Path) -> Iterator[tuple[float, Array, tuple[Array, ...], Array]]:
    """Time, luma, chroma and RGB of each frame."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            time = float(frame.time) if frame.time is not None else number / 25
            luma, *chroma = (_plane(plane) for plane in frame.planes[:3])
            yield time, luma, tuple(chroma), frame.to_ndarray(format="rgb24")


def read(path: Path) -> Video:
    items = [(time, rgb) for time, _, _, rgb in decoded(path)]
    return Video(path.stem, np.stack([rgb for _, rgb in items]), np.array([time for time, _ in items]))


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


def excerpt(video: Video, generator: np.random.Generator, longest: int = 110) -> Array:
    """Some consecutive frames: now and then enlarged, with the noise of a camera."""
    count = min(len(video.frames), longest)
    first = generator.integers(len(video.frames) - count + 1)
    frames = video.frames[first : first + count]
    if frames.shape[1] > 300 or generator.random() > 0.25:
        return frames.copy()
    size = (frames.shape[2] * 5 // 2, frames.shape[1] * 5 // 2)
    frames = np.stack([np.array(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames])
    noise = generator.normal(0, generator.uniform(1, 4), (8, *frames.shape[1:3], 1))
    noisy = [frame + noise[generator.integers(8)] for frame in frames]
    return np.clip(noisy, 0, 255).astype(np.uint8)


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


def spread(frames: Array, count: int = 24) -> Array:
    """``count`` frames, evenly from all of them."""
    return frames[np.unique(np.linspace(0, len(frames) - 1, count).astype(int))]


def plant_text(frames: Array, generator: np.random.Generator) -> tuple[Array, Text]:
    """Frames of at least 400 lines with a text that can be read."""
    if frames.shape[1] < 300:
        factor = 2.5 if generator.random() < 0.7 else 4
        size = (int(frames.shape[2] * factor) // 2 * 2, int(frames.shape[1] * factor) // 2 * 2)
        frames = np.stack([np.array(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames])
    while True:
        planted, text = _drawn(frames, generator)
        left, top, width, height = text.box
        change = np.abs(planted[..., 1].astype(np.int16) - frames[..., 1])[:, top : top + height, left : left + width]
        if np.median([np.percentile(one, 90) for one in change]) >= _READABLE:
            return planted, text


def _drawn(frames: Array, generator: np.random.Generator) -> tuple[Array, Text]:
    planted = frames.copy()
    size = float(np.exp(generator.uniform(np.log(0.025), np.log(0.15))))
    opacity = float(generator.choice([0.4, 0.6, 0.8, 1.0]))
    colour = _INKS[generator.integers(len(_INKS))]
    plate = None if generator.random() > 0.3 else (220, 220, 220) if max(colour) < 100 else (0, 0, 0)
    changing = bool(generator.random() < 0.25)
    place, words = tuple(generator.random(2)), str(generator.choice(_WORDS))
    font = str(generator.choice(["DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSerif"]))
    boxes = []
    for number, frame in enumerate(planted):
        text = f"10:{number // 25:02}:{number % 25 * 4:02}" if changing else words
        boxes.append(draw_text(frame, text, size, place, colour, opacity, plate, font))
    lefts, tops, widths, heights = np.array(boxes).T
    left, top = int(lefts.min()), int(tops.min())
    box = (left, top, int((lefts + widths).max()) - left, int((tops + heights).max()) - top)
    return planted, Text(size, opacity, changing, box)


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
