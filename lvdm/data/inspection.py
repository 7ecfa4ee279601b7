"""What is found out about a recording by decoding it once, whatever is asked of it later.

An inspection depends on the recording alone and on no configuration: of each frame it keeps when it is shown, its
format, whether it is interlaced or damaged, and a few numbers on its content; of each size of picture, what stays
dark, what moves, and what looks like a burned-in text. Crops, cuts, rates and texts are decided from it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from lvdm.data import content, overlay, pieces
from lvdm.data.manifest import file_state
from lvdm.data.picture import comb_ratio
from lvdm.data.pixels import Format
from lvdm.data.process import VideoError
from lvdm.data.recording import THREADS, Decoded, Recording, decoder_version, opened
from lvdm.files import content_hash, publish, read_json, write_json
from lvdm.progress import Progress

Size = tuple[int, int]
"""Width and height as the picture is shown upright, pixels."""

_UNSTATED = 2  # AVCOL_SPC_UNSPECIFIED

# Frames that are kept of a size while a recording is read: when there are twice as many, every other one goes. Fewer of
# pictures so large that twice as many do not fit into as many bytes.
_SAMPLES = 24
_SAMPLE_BYTES = 2**29

# Kinds of loss that are told of a recording; the rest is counted.
_TOLD = 10


@dataclass(frozen=True)
class Evidence:
    """What the pictures of one size look like over a whole recording; uint8 (H, W) images, brightness max(R, G, B)."""

    low: np.ndarray
    """5th percentile over the samples."""
    peak: np.ndarray
    """95th percentile."""
    texts: overlay.Evidence


@dataclass(frozen=True)
class Inspection:
    """A recording, decoded whole. T frames, in the order in which they are shown.

    Where ``error`` says why there is nothing to decode, T is 0.
    """

    source: str
    sha256: str = ""
    bytes: int = 0
    modified: int = 0
    """Time of the last change, ns."""
    decoder: str = ""
    error: str = ""
    codec: str = ""
    container: str = ""
    nominal_rate: bool = False
    """The rate is assumed: a folder of images states none."""
    threads: int = THREADS
    """Of the decoder: one where anything is damaged, so that decoding again gives the same."""
    lost: tuple[str, ...] = ()
    """What could not be decoded."""
    combs: float = 0.0
    """Comb ratio that a tenth of the sampled frames without a flag exceed; see :func:`lvdm.data.picture.comb_ratio`."""
    formats: tuple[Format, ...] = ()
    times: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(T,) float64, s."""
    format_of: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    """(T,) index into ``formats``."""
    interlaced: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    damaged: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    broken: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    """(T,) something is lost right before the frame."""
    measures: np.ndarray = field(default_factory=lambda: np.zeros((0, len(content.MEASURES)), np.float32))
    """(T, K) float32; see :mod:`lvdm.data.content`."""
    evidence: dict[Size, Evidence] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Frames that decoded."""
        return len(self.times)

    @property
    def changes(self) -> np.ndarray:
        """(T,) bool: whether something changes or is missing right before a frame."""
        found = self.broken.copy()
        sizes = np.array([*map(hash, self.formats)], dtype=np.int64)[self.format_of] if self.frames else found
        found[1:] |= sizes[1:] != sizes[:-1]
        return found

    @property
    def usual_size(self) -> Size:
        """The size that most frames have."""
        if not self.frames:
            return (0, 0)
        return self.formats[int(np.bincount(self.format_of).argmax())].upright


def inspect(path: Path, show_progress: bool = False) -> Inspection:
    """Decode a file, or a folder of images. Never raises for a bad recording; ``error`` says what is wrong."""
    size, modified = file_state(path) if path.exists() else (0, 0)
    known: dict[str, Any] = {"source": str(path), "bytes": size, "modified": modified, "decoder": decoder_version()}
    try:
        known["sha256"] = content_hash(path) if os.access(path, os.R_OK) else ""
        known |= _decode(path, THREADS, show_progress) or _decode(path, 1, show_progress) or {}
    except MemoryError:
        return Inspection(**known, error="takes more memory than there is")
    except VideoError as error:
        return Inspection(**known, error=str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return Inspection(**known, error=f"cannot be read: {error.strerror}")
    if not len(known["times"]):
        why = "; ".join(known["lost"]) or "the file holds none"
        return Inspection(**known, error=f"no frame can be decoded: {why}")
    return Inspection(**known)


def _decode(path: Path, threads: int, show_progress: bool) -> dict[str, Any] | None:
    """What is found out by decoding; None when it is damaged, and several threads would not do the same again."""
    with opened(path, threads) as recording, _progress(recording, show_progress) as advance:
        reader = _Reader()
        for decoded in recording.frames():
            if threads > 1 and recording.stream is not None and (decoded.damaged or recording.lost):
                return None
            reader.take(decoded, recording.stream)
            advance()
        if threads > 1 and recording.stream is not None and recording.lost:
            return None
        known = {"codec": recording.codec, "container": recording.container, "lost": _summary(recording.lost)}
        return known | {"nominal_rate": recording.nominal_rate, "threads": threads} | reader.result()


@contextmanager
def _progress(recording: Recording, shown: bool) -> Iterator[Callable[[], None]]:
    if not shown:
        yield lambda: None
        return
    with Progress(f"inspect {recording.path.name}", recording.stated_frames or None, "frame") as progress:
        yield progress.advance


def write_inspection(path: Path, found: Inspection) -> None:
    """Publish ``path`` (.json) and the arrays beside it (.npz). The record is published last."""
    arrays = {name: getattr(found, name) for name in _ARRAYS}
    for (width, height), evidence in found.evidence.items():
        prefix = f"{width}x{height}"
        arrays |= {f"{prefix}/low": evidence.low, f"{prefix}/peak": evidence.peak}
        arrays |= {f"{prefix}/texts/{key}": value for key, value in asdict(evidence.texts).items()}
    path.unlink(missing_ok=True)
    with publish(path.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    record = {name: getattr(found, name) for name in _FACTS} | {"lost": list(found.lost)}
    write_json(path, record | {"formats": [_plain(format) for format in found.formats]})


def read_inspection(path: Path, evidence: bool = True) -> Inspection:
    """What :func:`write_inspection` wrote; ``evidence`` is most of it, and few need it.

    Raises ``ValueError`` that names the file when it is something else.
    """
    record = read_json(path)
    try:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if evidence or "/" not in name}
        formats = tuple(_format(stated) for stated in record.pop("formats"))
        sizes = sorted({tuple(map(int, name.split("/")[0].split("x"))) for name in arrays if "/" in name})
        return Inspection(
            **record | {"lost": tuple(record["lost"])},
            **{name: arrays[name] for name in _ARRAYS},
            formats=formats,
            evidence={size: _evidence(arrays, f"{size[0]}x{size[1]}") for size in sizes},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise ValueError(f"{path}: is no inspection of a recording ({error}); run `lvdm inspect` again") from None


class _Reader:
    """Gathers what an inspection keeps, frame by frame."""

    def __init__(self) -> None:
        self.formats: dict[Format, int] = {}
        self.rows: list[tuple] = []
        self.measures: list[tuple[float, ...]] = []
        self.combs: list[float] = []
        self.samples: dict[Size, _Samples] = {}
        self.before: Any = None

    def take(self, decoded: Decoded, stream: Any) -> None:
        frame = decoded.frame
        format = Format.of(frame, stream)
        number = self.formats.setdefault(format, len(self.formats))
        interlaced = frame.interlaced_frame or bool(format.fields)
        self.rows.append((*decoded.times, number, interlaced, decoded.damaged, decoded.broken))
        luma, chroma = planes(frame)
        measured, self.before = content.measure(luma, chroma, self.before)
        self.measures.append(measured)
        samples = self.samples.setdefault(format.upright, _Samples(format.upright))
        if samples.wants() and not decoded.damaged:
            samples.add(*(_upright(image, format) for image in _brightness(frame)))
            if not interlaced:
                self.combs.append(comb_ratio(luma))

    def result(self) -> dict[str, Any]:
        columns = list(zip(*self.rows, strict=True)) or [()] * 6
        stated, packets = (np.array(column, dtype=float) for column in columns[:2])
        return {
            "times": pieces.choose_times(stated, packets) if len(stated) else stated,
            "format_of": np.array(columns[2], np.uint16),
            "interlaced": np.array(columns[3], bool),
            "damaged": np.array(columns[4], bool),
            "broken": np.array(columns[5], bool),
            "measures": np.array(self.measures, np.float32).reshape(len(self.measures), len(content.MEASURES)),
            "combs": round(float(np.percentile(self.combs, 90)), 4) if self.combs else 0.0,
            "formats": tuple(self.formats),
            "evidence": {size: samples.evidence() for size, samples in self.samples.items() if samples.frames},
        }


class _Samples:
    """Frames spread evenly over what was seen so far, which may be any number."""

    def __init__(self, size: Size) -> None:
        self.frames: list[np.ndarray] = []
        self.greens: list[np.ndarray] = []
        self.step, self.seen = 1, 0
        self.most = max(2, min(2 * _SAMPLES, _SAMPLE_BYTES // (2 * size[0] * size[1]) // 2 * 2))

    def wants(self) -> bool:
        """Whether the next frame is one of them."""
        self.seen += 1
        return (self.seen - 1) % self.step == 0

    def add(self, brightness: np.ndarray, green: np.ndarray) -> None:
        self.frames.append(brightness)
        self.greens.append(green)
        if len(self.frames) == self.most:
            self.frames, self.greens = self.frames[::2], self.greens[::2]
            self.step *= 2

    def evidence(self) -> Evidence:
        # One flash, or one frame of a menu, shall not decide: the extremes are left out where there are enough.
        rank = round(0.05 * (len(self.frames) - 1))
        low = _ranked(self.frames, rank)
        peak = ~_ranked([~frame for frame in self.frames], rank)
        # Of a single frame nothing moves, so nothing is told.
        return Evidence(low, peak, overlay.evidence(self.greens if len(self.greens) > 1 else self.greens * 2))


def _ranked(frames: list[np.ndarray], rank: int) -> np.ndarray:
    """The value of each pixel before which ``rank`` others come; whole images are sorted at a time."""
    smallest = [np.full_like(frames[0], 255) for _ in range(rank + 1)]
    for frame in frames:
        for place, kept in enumerate(smallest):
            smallest[place], frame = np.minimum(kept, frame), np.maximum(kept, frame)
    return smallest[-1]


def planes(frame: Any) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
    """The brightness (H, W) of a frame and its chroma planes, uint8; where it can be, the decoder's own memory."""
    if frame.format.name not in _EIGHT_BITS:
        frame = _converted(frame, "yuv420p")
    views = [_plane(plane) for plane in frame.planes]
    return views[0], tuple(views[1:]) if len(views) == 3 else None


_EIGHT_BITS = frozenset(
    {"gray", "nv12", "nv21"} | {f"yuv{j}{s}p" for j in ("", "j") for s in ("420", "422", "444", "440", "411", "410")}
)


def _plane(plane: Any) -> np.ndarray:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _brightness(frame: Any) -> tuple[np.ndarray, np.ndarray]:
    """max(R, G, B) and G, uint8 (H, W) each, as stored."""
    green, blue, red = (_plane(plane) for plane in _converted(frame, "gbrp").planes)
    return np.maximum(np.maximum(red, green), blue), green


def _upright(image: np.ndarray, format: Format) -> np.ndarray:
    """An image as stored, turned as it is shown."""
    mirrored = image[:, ::-1] if format.mirrored else image
    return np.ascontiguousarray(np.rot90(mirrored, -format.rotation // 90))


def _converted(frame: Any, pixel_format: str) -> Any:
    """A frame in another format, for measuring: by the default matrix, as not every stated one is known there."""
    stated, frame.colorspace = frame.colorspace, _UNSTATED
    try:
        return frame.reformat(format=pixel_format)
    finally:
        frame.colorspace = stated


def _summary(lost: list[str]) -> tuple[str, ...]:
    """Each thing that was lost once, with how often."""
    counts = Counter(lost)
    said = [what if count == 1 else f"{what}, {count} times" for what, count in counts.most_common(_TOLD)]
    more = len(lost) - sum(count for _, count in counts.most_common(_TOLD))
    return (*said, f"and {more} more of the kind") if more else tuple(said)


def _plain(format: Format) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Fraction) else value for key, value in asdict(format).items()}


def _format(stated: dict[str, Any]) -> Format:
    return Format(**stated | {"pixel_aspect": Fraction(stated["pixel_aspect"])})


def _evidence(arrays: dict[str, np.ndarray], prefix: str) -> Evidence:
    start = f"{prefix}/texts/"
    texts: dict[str, Any] = {name[len(start) :]: value for name, value in arrays.items() if name.startswith(start)}
    texts["factor"] = int(texts["factor"])
    return Evidence(arrays[f"{prefix}/low"], arrays[f"{prefix}/peak"], overlay.Evidence(**texts))


_ARRAYS = ("times", "format_of", "interlaced", "damaged", "broken", "measures")
_FACTS = (
    "source", "sha256", "bytes", "modified", "decoder", "error", "codec", "container", "nominal_rate", "threads",
    "combs",
)  # fmt: skip
