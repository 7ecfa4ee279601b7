"""Reading what ffmpeg says about a video that it decoded: exact frame times, and what went wrong.

There is no ffprobe here. ``ffmpeg -f framecrc`` prints a line a frame on its standard output, with the
time stamp in units of the stream's time base, and what it thinks of the file on its standard error.
Pure functions of that text.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median

from lvdm.data.manifest import VideoInfo

# A container may promise this many seconds, or this share, more than it holds before it counts as cut off.
_DURATION_SLACK = (1.0, 0.02)

# Times of frames may deviate by this share of the usual interval: jitter that no one sees.
_JITTER = 0.25

# Containers store rates as times rounded to milliseconds, say; a rate this close to a usual one is it.
_RATE_SLACK = 4e-4

_VIDEO_STREAM = re.compile(
    r"Stream #0:\d+.*?: Video: (?P<codec>[^ ,]+).*?, (?P<format>\w+)(?:\((?P<colour>[^)]*)\))?, \d+x\d+"
)
_DAMAGE = {
    r"File ended prematurely|partial file|[Pp]acket corrupt|corrupt input packet": "the file is cut off or damaged",
    r"corrupt decoded frame|; [1-9]\d* decode errors|Decoding error": "some frames cannot be decoded",
}
_ECHO = re.compile(r"Task finished|Terminating thread|Nothing was written|Conversion failed|Error sending frames")
_COLOR_SPACES = frozenset({"bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "ycgco", "bt2020nc", "bt2020c", "gbr"})


@dataclass
class _Stream:
    """The lines of one stream: time stamps and the last duration, in units of ``time_base`` seconds."""

    time_base: Fraction = Fraction(1)
    times: list[int] = field(default_factory=list)
    last_duration: int = 0

    @property
    def end(self) -> float:
        return float((self.times[-1] + self.last_duration) * self.time_base) if self.times else 0.0


def read_report(frames: str, messages: str) -> VideoInfo:
    """Describe a video from what ``ffmpeg -v verbose -f framecrc`` wrote to its two outputs.

    Stream 0 of ``frames`` is the decoded video; the others (sound, copied) tell how long the file is.
    """
    streams, size, pixel_aspect = _read_frames(frames)
    video = streams.get(0, _Stream())
    found = _VIDEO_STREAM.search(messages)
    if not video.times or size is None or found is None:
        return VideoInfo(usable=False, reason=_why_nothing(messages))
    fps, variable = _rate(video)
    # One frame has no rate, but it lasts for some time.
    shown = video.last_duration or (video.time_base and round(1 / (fps * video.time_base)) if fps else 0)
    reason = _damage(messages, max(stream.end for stream in streams.values()))
    return VideoInfo(
        usable=not reason,
        reason=reason,
        width=size[0],
        height=size[1],
        fps=fps,
        frames=len(video.times),
        duration=round(float((video.times[-1] - video.times[0] + shown) * video.time_base), 6),
        variable_rate=variable,
        codec=found["codec"],
        pixel_format=found["format"],
        color_space=_color_space(found["colour"] or ""),
        pixel_aspect=pixel_aspect,
    )


def last_lines(messages: str, count: int = 4) -> str:
    """The end of ffmpeg's messages, less the echoes of what went wrong before, on one line."""
    lines = [re.sub(r"^(\[[^]]*\] )+", "", line.strip()) for line in messages.splitlines()]
    causes = [line for line in lines if line and not _ECHO.match(line)]
    return "; ".join(causes[-count:]) or "no message"


def _read_frames(text: str) -> tuple[dict[int, _Stream], tuple[int, int] | None, float]:
    streams: dict[int, _Stream] = {}
    size, pixel_aspect = None, 1.0
    for line in text.splitlines():
        if found := re.match(r"#(tb|dimensions|sar) (\d+): (\d+)\D(\d+)", line):
            key, index, first, second = found[1], int(found[2]), int(found[3]), int(found[4])
            if key == "tb":
                streams.setdefault(index, _Stream()).time_base = Fraction(first, second)
            elif key == "dimensions":
                size = (first, second)
            elif first and second:
                pixel_aspect = first / second
        elif line and line[0] != "#":
            index, _, time, duration = (int(cell) for cell in line.split(",")[:4])
            stream = streams.setdefault(index, _Stream())
            stream.times.append(time)
            stream.last_duration = duration
    return streams, size, pixel_aspect


def _rate(video: _Stream) -> tuple[float, bool]:
    """Frames a second, and whether the rate varies; (0, False) of a single frame."""
    times = video.times
    if len(times) < 2 or times[-1] <= times[0]:
        return (float(1 / (video.last_duration * video.time_base)) if video.last_duration else 0.0), False
    intervals = [later - earlier for earlier, later in pairwise(times)]
    usual = median(intervals)
    # A clock coarser than the rate (33, 33, 34 ms) makes intervals differ by one tick.
    tolerance = max(_JITTER * usual, 1 if usual >= 2 else 0)
    variable = any(abs(interval - usual) > tolerance for interval in intervals)
    return _usual_rate(float((len(times) - 1) / ((times[-1] - times[0]) * video.time_base))), variable


def _usual_rate(rate: float) -> float:
    whole = max(round(rate), 1)
    ntsc = max(round(rate * 1.001), 1) * 1000 / 1001
    for candidate in (float(whole), ntsc):
        if abs(rate - candidate) <= _RATE_SLACK * candidate:
            return candidate
    return round(rate, 4)


def _damage(messages: str, end: float) -> str:
    reasons = [reason for pattern, reason in _DAMAGE.items() if re.search(pattern, messages)]
    if found := re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", messages):
        promised = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
        if end < promised - max(_DURATION_SLACK[0], _DURATION_SLACK[1] * promised):
            reasons.append(f"it promises {promised:.1f} s but holds {end:.1f} s")
    return "; ".join(reasons)


def _why_nothing(messages: str) -> str:
    if "matches no streams" in messages:
        return "holds no video (sound or pictures only)" if "Audio:" in messages else "holds no video"
    if "Invalid data found" in messages or "moov atom not found" in messages:
        return "is not a video, or is cut off before its index"
    return f"no frame can be decoded: {last_lines(messages)}"


def _color_space(colour: str) -> str:
    """``tv, bt709, progressive`` or ``tv, bt470bg/unknown/unknown``: the matrix comes first."""
    for part in colour.split(","):
        name = part.strip().partition("/")[0]
        if name in _COLOR_SPACES:
            return name
    return ""
