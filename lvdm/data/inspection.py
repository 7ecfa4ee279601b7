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
from lvdm.data.evidence import Evidence, Samples, Size, brightness, planes, upright
from lvdm.data.manifest import file_state
from lvdm.data.picture import comb_ratio
from lvdm.data.pixels import Format
from lvdm.data.process import VideoError
from lvdm.data.recording import THREADS, Decoded, Recording, decoder_version, opened
from lvdm.files import content_hash, publish, read_json, write_json
from lvdm.progress import Progress

# Kinds of loss that are told of a recording; the rest is counted.
_TOLD = 10


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
        found[1:] |= self.format_of[1:] != self.format_of[:-1]
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
        self.samples: dict[Size, Samples] = {}
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
        samples = self.samples.setdefault(format.upright, Samples(format.upright))
        if samples.wants() and not decoded.damaged:
            samples.add(*(upright(image, format) for image in brightness(frame)))
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
