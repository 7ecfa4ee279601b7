"""What a protocol does to frames: sizes against independent computations, and a JPEG that loses what it must."""

import io

import numpy as np
import pytest
from PIL import Image

from lvdm.evaluation.config import ResizeConfig
from lvdm.evaluation.preprocessing import preprocess, resized, scaled_size, through_jpeg


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 24, 40, 3), dtype=np.uint8)


def bilinear(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation between the two nearest samples a side: half-pixel centres, no antialiasing."""
    frame = frame.astype(np.float64)
    for axis, size in ((0, height), (1, width)):
        count = frame.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, None)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, count - 1)
        weight = (place - low).reshape([-1 if axis == side else 1 for side in range(3)])
        frame = np.take(frame, low, axis) * (1 - weight) + np.take(frame, high, axis) * weight
    return frame


def test_bilinear_is_without_antialiasing(clip):
    found = resized(clip, ResizeConfig(size=16, keep_aspect=False))
    assert found.shape == (3, 16, 16, 3)
    assert found.dtype == np.uint8
    assert np.abs(found[1] - bilinear(clip[1], 16, 16)).max() <= 0.5 + 1e-3


def test_the_aspect_is_kept_by_cutting_out_the_centre(clip):
    config = ResizeConfig(size=16)
    assert scaled_size(24, 40, config) == (16, 26)
    whole = bilinear(clip[0], 16, 26)
    assert np.abs(resized(clip, config)[0] - whole[:, 5:21]).max() <= 0.5 + 1e-3


def test_lanczos_is_pillows(clip):
    found = resized(clip, ResizeConfig(size=16, filter="lanczos"))
    expected = Image.fromarray(clip[2]).resize((26, 16), Image.Resampling.LANCZOS).crop((5, 0, 21, 16))
    np.testing.assert_array_equal(found[2], np.asarray(expected))


def test_jpeg_is_pillows_default_at_75(clip):
    """Endora's scripts pass no quality that Pillow knows, so it takes its default."""
    file = io.BytesIO()
    Image.fromarray(clip[0]).save(file, format="JPEG")
    np.testing.assert_array_equal(through_jpeg(clip, 75)[0], np.asarray(Image.open(file)))


def test_a_lower_quality_loses_more(clip):
    losses = [np.abs(through_jpeg(clip, quality).astype(int) - clip).mean() for quality in (95, 75, 20)]
    assert losses == sorted(losses)
    assert losses[0] > 0


def test_without_wishes_nothing_happens(clip):
    assert preprocess(clip, None, None) is clip
    square = clip[:, :16, :16]
    assert preprocess(square, ResizeConfig(size=16), None) is square


def test_resized_first_then_jpeg(clip):
    config = ResizeConfig(size=16)
    np.testing.assert_array_equal(preprocess(clip, config, 75), through_jpeg(resized(clip, config), 75))
