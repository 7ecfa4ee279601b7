"""Videos in one file, read one at a time."""

import numpy as np
import pytest

from lvdm.data.archives import archive_shape, archive_videos


@pytest.fixture
def videos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 4, 16, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_round_trip(save, videos, tmp_path):
    path = tmp_path / ("videos.npy" if save is np.save else "videos.npz")
    save(path, videos)
    assert archive_shape(path) == videos.shape
    np.testing.assert_array_equal(np.stack(list(archive_videos(path))), videos)


def test_several_arrays(videos, tmp_path):
    np.savez(tmp_path / "videos.npz", a=videos, b=videos)
    with pytest.raises(ValueError, match="holds 2 arrays"):
        archive_shape(tmp_path / "videos.npz")


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((2, 4, 16, 16, 3), np.float32),
        np.zeros((2, 3, 4, 16, 16), np.uint8),
        np.zeros((4, 16, 16, 3), np.uint8),
        np.zeros((0, 4, 16, 16, 3), np.uint8),
        np.asfortranarray(np.zeros((2, 4, 16, 16, 3), np.uint8)),
    ],
)
def test_other_arrays(content, tmp_path):
    np.savez(tmp_path / "videos.npz", content)
    with pytest.raises(ValueError, match=r"but videos are uint8 \(n, T, H, W, 3\)"):
        archive_shape(tmp_path / "videos.npz")


def test_a_file_that_was_cut_off(videos, tmp_path):
    for name, save in (("videos.npy", np.save), ("videos.npz", np.savez)):
        path = tmp_path / name
        save(path, videos)
        path.write_bytes(path.read_bytes()[:-3000])
        with pytest.raises(ValueError, match=name):
            list(archive_videos(path))


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "videos.npz"
    for content in (b"", b"PK\x03\x04 no archive", b"some text that is no array"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"videos\.npz"):
            archive_shape(path)
