"""Damaged recordings: nothing raises or hangs, nothing half-written stays, and what is kept is what was recorded.

Every case follows from its number: a recording, a kind of damage and a seed. A few run by default, all 2,000 with
``-m slow``. Frames that are kept are looked up among those of the undamaged recording, which tells the wrong ones.
"""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from lvdm.data.config import ClipConfig, CropConfig, CutConfig
from lvdm.data.extraction import read_recording
from lvdm.data.inspection import read_inspection
from lvdm.data.video import read_frames
from lvdm.stages import extract, inspect
from lvdm.stages.config import ExtractConfig

CASES, BY_DEFAULT = 2000, 50

CONFIG = ExtractConfig(
    clip=ClipConfig(length=4, resolution=32),
    crop=CropConfig(mode="none"),
    cut=CutConfig(black=False, blank=False, frozen=None),
    overlay="keep",
)
_INTER = ("-g", "8", "-pix_fmt", "yuv420p")
_X264 = ("-c:v", "libx264", *_INTER)
RECORDINGS: dict[str, tuple[str, ...]] = {
    "h264.mp4": _X264,
    "faststart.mp4": (*_X264, "-movflags", "+faststart", "-bf", "0"),
    "prores.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"),
    "h264.mkv": _X264,
    "hevc.mkv": ("-c:v", "libx265", "-x265-params", "keyint=8:log-level=none", "-pix_fmt", "yuv420p"),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-g", "1", "-slices", "4", "-pix_fmt", "yuv420p"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-q:v", "3", "-bf", "2", *_INTER),
    "mjpeg.avi": ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p"),
    "vp8.webm": ("-c:v", "libvpx", "-b:v", "500k", *_INTER),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "500k", "-deadline", "realtime", "-cpu-used", "8", *_INTER),
    "h264.ts": _X264,
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", *_INTER),
    "wmv2.wmv": ("-c:v", "wmv2", "-q:v", "3", *_INTER),
    "flv1.flv": ("-c:v", "flv", "-q:v", "3", *_INTER),
    "gif.gif": (),
    "mpeg2.mxf": ("-c:v", "mpeg2video", "-q:v", "3", *_INTER),
    "mpeg2.dcm": ("-c:v", "mpeg2video", "-q:v", "3", "-f", "mpegts", *_INTER),
    "raw.dcm": ("-pix_fmt", "rgb24", "-f", "rawvideo"),
    "jpeg.dcm": ("-c:v", "mjpeg", "-q:v", "3", "-f", "image2"),
    "png": ("-c:v", "png", "-pix_fmt", "rgb24", "-f", "image2"),
    "jpg": ("-c:v", "mjpeg", "-q:v", "3", "-f", "image2"),
}
NAMES = tuple(RECORDINGS)
# Codecs whose checksums tell every flipped bit of a picture.
CHECKED = ("ffv1.mkv", "png")
FRAMES = 30
WIDTH, HEIGHT = 96, 64


# --------------------------------------------------------------------------------------- recordings


@pytest.fixture(scope="session")
def undamaged(tmp_path_factory) -> Callable[[str], Path]:
    """Path of an undamaged recording, made when it is asked for."""
    folder = tmp_path_factory.mktemp("undamaged")
    return cache(lambda name: make(folder, name))


def make(folder: Path, name: str) -> Path:
    path, options = folder / name, RECORDINGS[name]
    if path.suffix in ("", ".dcm") and "image2" in options:
        images = folder / f"{name}.images" if path.suffix else path
        images.mkdir()
        encode(options, images / f"%03d.{'jpg' if 'mjpeg' in options else 'png'}")
        if path.suffix:
            write_dicom(path, encapsulate([file.read_bytes() for file in sorted(images.iterdir())]), JPEGBaseline8Bit)
    elif path.suffix == ".dcm":
        stream = encode(options, folder / f"{name}.stream").read_bytes()
        if "rgb24" in options:
            write_dicom(path, stream, ExplicitVRLittleEndian)
        else:
            write_dicom(path, encapsulate([stream]), "1.2.840.10008.1.2.4.100")
    else:
        encode(options, path)
    return path


def encode(options: tuple[str, ...], path: Path) -> Path:
    source = f"testsrc2=s={WIDTH}x{HEIGHT}:r=25:d={FRAMES / 25},noise=alls=12:allf=t"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, *options, str(path)]
    subprocess.run(command, check=True)
    return path


def write_dicom(path: Path, pixels: bytes, syntax: str) -> None:
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = UID(syntax)
    file.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.77.1.1.1")
    file.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    file.Rows, file.Columns, file.SamplesPerPixel, file.PlanarConfiguration = HEIGHT, WIDTH, 3, 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.PhotometricInterpretation = "YBR_FULL_422" if syntax == JPEGBaseline8Bit else "RGB"
    file.NumberOfFrames, file.FrameTime = str(FRAMES), "40"
    file.PixelData = pixels
    if UID(syntax).is_encapsulated:
        file["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, file, enforce_file_format=True)


# ------------------------------------------------------------------------------------------- damage


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """Start and end of a stretch of up to a fifth of the file."""
    length = int(len(data) * 10 ** rng.uniform(-4, np.log10(0.2))) + 1
    start = int(rng.integers(max(1, len(data) - length)))
    return start, start + length


def flip(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    flipped = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        flipped[place] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def remove(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def splice(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]


def repeat(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 4)) + data[end:]


def truncate(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(len(data))]


def zero(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def garbage(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.bytes(end - start) + data[end:]


def header(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(256)), int(rng.integers(1, 64))
    return data[:start] + rng.bytes(length) + data[start + length :]


DAMAGES = (flip, remove, splice, repeat, truncate, zero, garbage, header)


@dataclass(frozen=True)
class Case:
    number: int

    @property
    def name(self) -> str:
        return NAMES[self.number % len(NAMES)]

    @property
    def damage(self) -> Callable[[bytes, bytes, np.random.Generator], bytes]:
        return DAMAGES[np.random.default_rng([self.number, 1]).integers(len(DAMAGES))]

    def make(self, undamaged: Callable[[str], Path], folder: Path) -> Path:
        """The damaged recording; of a folder, up to three images are."""
        rng = np.random.default_rng(self.number)
        source, target = undamaged(self.name), folder / self.name
        if source.is_file():
            other = undamaged(str(rng.choice([name for name in NAMES if "." in name])))
            target.write_bytes(self.damage(source.read_bytes(), other.read_bytes(), rng))
            return target
        shutil.copytree(source, target)
        images = sorted(target.iterdir())
        for image in rng.choice(images, rng.integers(1, 4), replace=False):
            other = images[int(rng.integers(len(images)))]
            image.write_bytes(self.damage(image.read_bytes(), other.read_bytes(), rng))
        return target


# -------------------------------------------------------------------------------------------- tests


@dataclass
class Outcome:
    """What became of a recording."""

    kept: list[int | None] = field(default_factory=list)
    """Of each frame that is kept, its number in the undamaged recording; None of one that is not in it."""
    reason: str = ""

    @property
    def state(self) -> str:
        if self.reason:
            return "left out"
        return "whole" if self.kept == list(range(FRAMES)) else "partly"

    @property
    def wrong(self) -> int:
        return self.kept.count(None)


@contextmanager
def watched(path: Path) -> Iterator[None]:
    """Raise when the block takes far longer than decoding so many bytes can."""

    def hangs(*_):
        raise AssertionError(f"{path} hangs")

    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(90 + size // 50_000)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(path: Path, folder: Path, known: dict[bytes, int]) -> Outcome:
    """Inspect and extract a recording and check all that must hold."""
    inspection, frames, record = folder / "i.json", folder / "f.mkv", folder / "f.json"
    with watched(path):
        inspect.run(video=path, inspection=inspection)
        extract.run(CONFIG, video=path, inspection=inspection, frames=frames, record=record)
    assert {file.name for file in folder.iterdir()} == {path.name, "i.json", "i.npz", "f.mkv", "f.json"}
    found, made = read_inspection(inspection), json.loads(record.read_text())
    assert made["usable"] == (not made["reason"])
    if not made["usable"]:
        assert frames.stat().st_size == 0
        return Outcome(reason=made["reason"])
    written = read_frames(frames)
    assert len(written) == made["frames"] == sum(piece["frames"] for piece in made["pieces"])
    assert made["frames"] + sum(made["left_out"].values()) == found.frames
    return Outcome([known.get(frame.tobytes()) for frame in written])


@pytest.fixture(scope="session")
def known(undamaged, tmp_path_factory) -> Callable[[str], dict[bytes, int]]:
    """The frames that are extracted from an undamaged recording, and their numbers."""

    def numbers(name: str) -> dict[bytes, int]:
        folder = tmp_path_factory.mktemp("known")
        path, record = undamaged(name), folder / "f.json"
        extract.run(CONFIG, video=path, frames=folder / "f.mkv", record=record)
        assert json.loads(record.read_text())["left_out"] == {}
        found = {frame.tobytes(): number for number, frame in enumerate(read_frames(folder / "f.mkv"))}
        assert len(found) == FRAMES == len(list(read_recording(path)))
        return found

    return cache(numbers)


def run(cases: range, undamaged, known, tmp_path: Path) -> dict[Case, Outcome]:
    outcomes = {}
    for case in map(Case, cases):
        folder = tmp_path / str(case.number)
        folder.mkdir()
        try:
            outcomes[case] = read(case.make(undamaged, folder), folder, known(case.name))
        except Exception as error:
            error.add_note(f"case {case.number}: {case.name}, {case.damage.__name__}")
            raise
        shutil.rmtree(folder)
    for case, outcome in outcomes.items():
        if case.name in CHECKED and case.damage is flip:
            assert not outcome.wrong, case
    return outcomes


def check(cases: range, undamaged, known, tmp_path: Path) -> None:
    outcomes = run(cases, undamaged, known, tmp_path).values()
    assert {outcome.state for outcome in outcomes} >= {"partly", "left out"}


def test_a_few_damaged_recordings(undamaged, known, tmp_path):
    check(range(0, CASES, CASES // BY_DEFAULT), undamaged, known, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_all_damaged_recordings(part, undamaged, known, tmp_path):
    check(range(part * CASES // 20, (part + 1) * CASES // 20), undamaged, known, tmp_path)


def test_a_picture_too_large_is_left_out_by_its_header(tmp_path):
    path = tmp_path / "a.dcm"
    write_dicom(path, bytes(3 * WIDTH * HEIGHT * FRAMES), ExplicitVRLittleEndian)
    file = pydicom.dcmread(path)
    file.Rows = file.Columns = 65535
    file.save_as(path)
    inspect.run(video=path, inspection=tmp_path / "i.json")
    assert "65535x65535 pixels; more than" in read_inspection(tmp_path / "i.json").error


def test_millions_of_images_that_a_header_states_are_not_looked_for(tmp_path):
    path = tmp_path / "a.dcm"
    pixels = np.random.default_rng(0).integers(0, 256, 3 * WIDTH * HEIGHT * FRAMES, np.uint8)
    write_dicom(path, pixels.tobytes(), ExplicitVRLittleEndian)
    file = pydicom.dcmread(path)
    file.NumberOfFrames = "2000000000"
    file.save_as(path)
    inspect.run(video=path, inspection=tmp_path / "i.json")
    found = read_inspection(tmp_path / "i.json")
    assert found.error or found.frames <= 8 * 3 * FRAMES
    assert found.error or "states 2000000000 images" in found.lost[0]


def test_an_image_too_large_ends_a_piece(undamaged, tmp_path):
    folder = Path(shutil.copytree(undamaged("png"), tmp_path / "png"))
    Image.new("1", (8193, 8192)).save(folder / "010.png")
    inspect.run(video=folder, inspection=tmp_path / "i.json")
    found = read_inspection(tmp_path / "i.json")
    assert found.frames == FRAMES - 1
    assert "8193x8192 pixels" in found.lost[0]
