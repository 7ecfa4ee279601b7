import itertools

import numpy as np
import pytest

from lvdm.data.synthetic import add_panel, make_patient, render


def film(seed, frames=6, size=(48, 48)):
    return np.stack(list(render(make_patient(np.random.default_rng(seed)), frames, size)))


@pytest.fixture(scope="module")
def films():
    return {seed: film(seed) for seed in range(4)}


def test_frames_are_uint8_of_the_given_size(films):
    assert films[0].shape == (6, 48, 48, 3)
    assert films[0].dtype == np.uint8
    assert film(0, frames=1, size=(33, 50)).shape == (1, 33, 50, 3)


def test_a_patient_follows_from_its_seed(films):
    np.testing.assert_array_equal(film(1), films[1])
    for one, other in itertools.combinations(films.values(), 2):
        assert np.abs(one.astype(float) - other).mean() > 5


def test_a_longer_video_opens_with_the_shorter(films):
    np.testing.assert_array_equal(film(2, frames=9)[:6], films[2])


def test_mucosa_is_red_and_the_lumen_is_dark(films):
    for frames in films.values():
        red, green, blue = frames.reshape(-1, 3).mean(axis=0)
        assert red > 1.2 * green
        assert red > 1.2 * blue
        brightness = frames.mean(axis=-1)
        assert np.percentile(brightness, 1) < 60 < 90 < np.percentile(brightness, 70)
        # The darkest part is one lumen within the picture, not its border.
        rows, columns = np.nonzero(brightness[0] < np.percentile(brightness[0], 4))
        assert max(rows.std(), columns.std()) < 8
        assert 4 < rows.mean() < 44
        assert 4 < columns.mean() < 44


def test_the_camera_moves_smoothly(films):
    for frames in films.values():
        change = np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3))
        far_apart = np.abs(frames[5].astype(float) - frames[0]).mean()
        assert (change > 0.5).all()
        assert change.max() < far_apart
        assert change.max() < 20


def test_the_panel_leaves_the_picture_its_place():
    canvas, (rows, columns) = add_panel((66, 47), ["PATIENT 03", "ZOOM"])
    assert canvas.dtype == np.uint8
    assert canvas.shape[0] % 2 == canvas.shape[1] % 2 == 0
    assert canvas[rows, columns].shape == (66, 47, 3)
    assert canvas[:, : columns.start].max() > 100
    canvas[:, : columns.start] = 0
    canvas[rows, columns] = 0
    assert not canvas.any()
