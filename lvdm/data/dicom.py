"""DICOM files, as hospitals keep recordings: encapsulated video streams and multi-frame images.

An extra (``pip install lvdm-endoscopy[dicom]``). Of the tags only those are read that decoding needs, and the patient's
identifier, which says what belongs together. It is never written: what is written is its hash with a secret of the
results folder, so that nobody can tell whether a patient is in a data set by hashing identifiers.
"""

import hashlib
import hmac
import io
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lvdm.data.frame_folder import MOST_PIXELS, TOO_LARGE
from lvdm.data.process import VideoError

SUFFIXES = frozenset({".dcm", ".dicom"})

# Of an item of encapsulated pixel data, bytes (DICOM PS3.5, A.4).
_ITEM_HEADER = 8

# From one image to the next, s; what is more is a damaged tag.
_LONGEST_INTERVAL = 3600.0

_SECRET = ".secret"
_SECRET_BYTES = 32

# Transfer syntaxes that wrap a video stream: MPEG-2, MPEG-4 AVC, HEVC (DICOM PS3.5, A.4.5 to A.4.9).
_VIDEO_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its name."""
    return path.suffix.lower() in SUFFIXES


def patient_key(path: Path) -> str | None:
    """What tells the patient of a file from others, for use in memory alone; None where the file does not say.

    Raises :class:`VideoError` when the file is not DICOM.
    """
    with _dataset(path, specific_tags=["PatientID", "IssuerOfPatientID"], stop_before_pixels=True) as found:
        identifier = str(found.get("PatientID") or "").strip()
        return f"{found.get('IssuerOfPatientID') or ''}\0{identifier}" if identifier else None


def patient_label(key: str, secret: bytes) -> str:
    """What is written of a patient."""
    return f"patient-{hmac.new(secret, key.encode(), hashlib.sha256).hexdigest()[:16]}"


def read_secret(results: Path) -> bytes:
    """The secret of a results folder; made at the first time, readable for its owner alone."""
    path = results / _SECRET
    try:
        results.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
    except FileExistsError:
        pass
    found = path.read_bytes()
    if len(found) != _SECRET_BYTES:
        raise ValueError(f"{path} is not the secret of a results folder; delete it, and labels of patients change")
    return found


@contextmanager
def opened_dicom(path: Path) -> Iterator[tuple[io.BytesIO | None, "Images | None"]]:
    """A file's video stream, or its images: one of the two. Raises :class:`VideoError` where there is neither."""
    with _dataset(path) as found:
        if "PixelData" not in found:
            raise VideoError(f"{path}: holds no pictures")
        syntax = str(found.file_meta.TransferSyntaxUID)
        if syntax.startswith(_VIDEO_SYNTAXES):
            yield _stream(path, found), None
        else:
            yield None, _images(path, found)


def _images(path: Path, found: Any) -> "Images":
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Images(path, found)
    except VideoError:
        raise
    except Exception as error:
        # Tags are read when they are asked for, and a damaged one may raise anything.
        raise VideoError(f"{path}: its header is damaged ({type(error).__name__})") from None


class Images:
    """The images of a multi-frame file, and when each is shown."""

    def __init__(self, path: Path, found: Any):
        self.path, self._found = path, found
        rows, columns = int(found.Rows), int(found.Columns)
        if rows * columns > MOST_PIXELS:
            raise VideoError(f"{path}: its header states {columns}x{rows} pixels; {TOO_LARGE}")
        self.stated_count = int(found.get("NumberOfFrames") or 1)
        # An image takes at least a byte for eight pixels, or the header of an item.
        smallest = _ITEM_HEADER if found.file_meta.TransferSyntaxUID.is_encapsulated else max(1, rows * columns // 8)
        self.count = max(0, min(self.stated_count, len(found.PixelData) // smallest))
        self.codec = str(found.file_meta.TransferSyntaxUID.name)
        vector = found.get("FrameTimeVector")
        rate = found.get("CineRate") or found.get("RecommendedDisplayFrameRate")
        interval = float(found.get("FrameTime") or 0) / 1000 or (1 / float(rate) if rate else 0)
        if not 0 < interval < _LONGEST_INTERVAL:
            interval = 0.0
        self.stated = bool(interval)
        self.times = np.arange(self.count) * (interval or 1 / 25)
        if vector and len(vector) == self.stated_count:
            # The first increment is 0: times are those since the frame before (DICOM PS3.3, C.7.6.5).
            times = np.cumsum(np.array([float(value) for value in vector][: self.count])) / 1000
            if np.isfinite(times).all() and (np.diff(times) >= 0).all():
                self.times, self.stated = times, True

    def read(self, index: int) -> np.ndarray:
        """An image, uint8 (H, W, 3) RGB. Raises :class:`VideoError`."""
        from pydicom.pixels import pixel_array

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = pixel_array(self._found, index=index if self.count > 1 else None)
            return self._as_rgb(image)
        except Exception as error:
            raise VideoError(f"{self.path}: image {index} cannot be decoded ({type(error).__name__})") from None

    def _as_rgb(self, image: np.ndarray) -> np.ndarray:
        if image.dtype != np.uint8:
            bits = int(self._found.get("BitsStored") or 16)
            signed = int(self._found.get("PixelRepresentation") or 0)
            image = (
                ((image.astype(np.int64) + (signed << (bits - 1))) >> max(0, bits - 8)).clip(0, 255).astype(np.uint8)
            )
        if self._found.get("PhotometricInterpretation") == "MONOCHROME1":
            image = 255 - image
        return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def _stream(path: Path, found: Any) -> io.BytesIO:
    from pydicom.encaps import generate_fragments, parse_basic_offsets

    try:
        buffer = io.BytesIO(found.PixelData)
        parse_basic_offsets(buffer)
        return io.BytesIO(b"".join(generate_fragments(buffer)))
    except Exception as error:
        raise VideoError(f"{path}: its video stream cannot be taken out ({type(error).__name__})") from None


@contextmanager
def _dataset(path: Path, **options: Any) -> Iterator[Any]:
    try:
        import pydicom
    except ImportError:
        raise VideoError(f"{path}: DICOM needs pydicom: pip install 'lvdm-endoscopy[dicom]'") from None
    try:
        with warnings.catch_warnings():
            # Warnings quote values of tags.
            warnings.simplefilter("ignore")
            found = pydicom.dcmread(path, **options)
    except Exception as error:
        # pydicom raises anything for a damaged file.
        raise VideoError(f"{path}: is not a DICOM file, or is damaged ({type(error).__name__})") from None
    yield found
