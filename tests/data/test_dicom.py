"""DICOM: video streams and images come out right, and nothing of a patient is written."""

import json
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit

from lvdm.data import dicom
from lvdm.data.extraction import read_recording
from lvdm.data.inspection import inspect
from lvdm.data.process import VideoError
from lvdm.stages import extract, sources
from lvdm.stages import inspect as inspect_stage
from lvdm.stages.config import ExtractConfig

SYNTAXES = {"mpeg2": "1.2.840.10008.1.2.4.100", "h264": "1.2.840.10008.1.2.4.102", "hevc": "1.2.840.10008.1.2.4.107"}
CODECS = {"mpeg2": "mpeg2video", "h264": "libx264", "hevc": "libx265"}
NAME = "Mustermann^Erika"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def write(path: Path, pixels: bytes, syntax: str, frames: int, patient="4711", **tags) -> Path:
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = UID(syntax)
    file.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.77.1.1.1")
    file.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    file.PatientID, file.PatientName, file.PatientBirthDate = patient, NAME, "19640812"
    file.Rows, file.Columns, file.SamplesPerPixel, file.PlanarConfiguration = 64, 96, 3, 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation, file.PhotometricInterpretation = 7, 0, "RGB"
    file.NumberOfFrames = str(frames)
    for key, value in tags.items():
        setattr(file, key, value)
    file.PixelData = pixels
    if UID(syntax).is_encapsulated:
        file["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path


@pytest.mark.parametrize("codec", CODECS)
def test_a_video_stream_is_the_video_that_it_was_made_from(make_video, tmp_path, codec):
    options = ("-c:v", CODECS[codec], "-q:v", "1", "-pix_fmt", "yuv420p")
    stream = make_video("a.ts", *options, source="testsrc2=s=96x64:r=25:d=1")
    path = write(tmp_path / "a.dcm", encapsulate([stream.read_bytes()]), SYNTAXES[codec], 25)
    found = inspect(path)
    assert (found.error, found.frames, found.usual_size) == ("", 25, (96, 64))
    for ours, plain in zip(read_recording(path), read_recording(stream), strict=True):
        np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("tags", [{"FrameTime": "200"}, {"CineRate": "5"}, {"FrameTimeVector": [0] + [200] * 11}])
def test_images_and_their_rate(tmp_path, rng, tags):
    images = rng.integers(30, 256, (12, 64, 96, 3), np.uint8)
    path = write(tmp_path / "a.dcm", images.tobytes(), ExplicitVRLittleEndian, 12, **tags)
    found = inspect(path)
    assert (found.frames, found.nominal_rate) == (12, False)
    np.testing.assert_allclose(found.times, np.arange(12) / 5)
    np.testing.assert_array_equal(np.stack(list(read_recording(path))), images)


def test_images_in_grey_of_twelve_bits_without_a_rate(tmp_path):
    grey = np.linspace(0, 4095, 4 * 64 * 96).astype(np.uint16).reshape(4, 64, 96)
    tags = {"SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    tags["PhotometricInterpretation"] = "MONOCHROME2"
    path = write(tmp_path / "a.dcm", grey.tobytes(), ExplicitVRLittleEndian, 4, **tags)
    frames = np.stack(list(read_recording(path)))
    np.testing.assert_array_equal(frames, np.repeat((grey >> 4).astype(np.uint8)[..., None], 3, axis=3))
    assert inspect(path).nominal_rate


def test_jpeg_images_one_of_them_damaged(tmp_path):
    from io import BytesIO

    from PIL import Image

    files = []
    for level in (60, 120, 180):
        buffer = BytesIO()
        Image.new("RGB", (96, 64), (level, level, level)).save(buffer, "jpeg", quality=95)
        files.append(buffer.getvalue())
    files[1] = b"\xff\xd8\xff\xd9"
    tags = {"PhotometricInterpretation": "YBR_FULL_422", "FrameTime": "40"}
    path = write(tmp_path / "a.dcm", encapsulate(files), JPEGBaseline8Bit, 3, **tags)
    found = inspect(path)
    assert found.frames == 2
    assert "image 1 cannot be decoded" in found.lost[0]
    assert found.broken.tolist() == [False, True]


@pytest.mark.parametrize("content", [b"", b"no dicom" * 100])
def test_a_file_that_is_none(tmp_path, content):
    (tmp_path / "a.dcm").write_bytes(content)
    assert inspect(tmp_path / "a.dcm").error
    with pytest.raises(VideoError, match=r"a\.dcm"):
        dicom.patient_key(tmp_path / "a.dcm")


def test_a_file_that_says_nothing(tmp_path):
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00" * 40)
    assert inspect(tmp_path / "a.dcm").error
    assert dicom.patient_key(tmp_path / "a.dcm") is None


def test_patients_are_told_apart_and_nothing_of_them_is_written(tmp_path, rng):
    images = rng.integers(30, 256, (12, 64, 96, 3), np.uint8).tobytes()
    paths = [
        write(tmp_path / f"{n}.dcm", images, ExplicitVRLittleEndian, 12, patient, FrameTime="40")
        for n, patient in enumerate(("4711", "4711", "0815", ""))
    ]
    keys = [dicom.patient_key(path) for path in paths]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] is None
    secret = dicom.read_secret(tmp_path / "results")
    assert dicom.read_secret(tmp_path / "results") == secret
    assert (tmp_path / "results/.secret").stat().st_mode & 0o077 == 0
    label = dicom.patient_label(keys[0], secret)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", label)
    assert label != dicom.patient_label(keys[0], dicom.read_secret(tmp_path / "other"))

    out = tmp_path / "out"
    inspect_stage.run(video=paths[0], inspection=out / "a.json")
    config = ExtractConfig(clip={"resolution": 64, "length": 8})
    extract.run(
        config, video=paths[0], inspection=out / "a.json", group=label, frames=out / "f.mkv", record=out / "f.json"
    )
    assert json.loads((out / "f.json").read_text())["frames"] == 12
    for file in out.iterdir():
        content = file.read_bytes()
        assert not any(text in content for text in (b"4711", b"Mustermann", b"Erika", b"19640812")), file


def test_patients_are_the_groups_of_a_data_set(tmp_path, rng):
    """Whatever the secret, which differs from one results folder to the other, the split is the same."""
    images = rng.integers(30, 256, (12, 12, 64, 96, 3), np.uint8)
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, frames in enumerate(images):
        write(folder / f"{number:02}.dcm", frames.tobytes(), ExplicitVRLittleEndian, 12, patient=f"P{number // 3}")
    (folder / "none.dcm").write_bytes(b"no dicom")
    found = []
    for results in ("one", "other"):
        config = {"results": str(tmp_path / results), "datasets": {"d": {"videos": f"{folder}/*.dcm"}}}
        config["data"] = {"split": {"heldout": 0.4}}
        found.append(sources.videos(sources.load(config), "d"))
    one, other = found
    assert one.sides == other.sides
    assert set(one.groups.values()) & set(other.groups.values()) == {"none"}
    for number in range(12):
        siblings = [f"{number // 3 * 3 + part:02}" for part in range(3)]
        assert len({one.groups[id] for id in siblings}) == len({one.sides[id] for id in siblings}) == 1
    assert len(set(one.groups.values())) == 5
    assert set(one.sides.values()) == {"train", "heldout"}
