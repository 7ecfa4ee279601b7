"""Features do not depend on how clips are spread over files, and their source is streamed."""

import numpy as np
import pytest
import torch

from lvdm.evaluation.config import DetectorConfig
from lvdm.evaluation.detectors import load_detector
from lvdm.evaluation.features import batches, choose, extract, noise_clips, open_clips, stored_clips

CPU = torch.device("cpu")
SHAPE = (4, 16, 16, 3)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)


def chunks(folder, clips: np.ndarray, size: int) -> list:
    folder.mkdir()
    paths = []
    for number, first in enumerate(range(0, len(clips), size)):
        paths.append(folder / f"{number:04}.npy")
        np.save(paths[-1], clips[first : first + size])
    return paths


def test_features_do_not_depend_on_chunks(clips, tmp_path):
    detector = load_detector(DetectorConfig(), CPU)
    found = [
        extract(stored_clips(chunks(tmp_path / str(size), clips, size), SHAPE), detector, 4, CPU)
        for size in (1, 3, 4, 11)
    ]
    assert found[0].shape == (11, 64)
    assert found[0].dtype == np.float32
    for other in found[1:]:
        assert other.tobytes() == found[0].tobytes()


def test_a_clip_has_the_same_features_among_others(clips):
    """What fills up the last batch leaves no trace."""
    detector = load_detector(DetectorConfig(), CPU)
    all_of_them = extract(clips, detector, 4, CPU)
    np.testing.assert_allclose(extract(clips[8:9], detector, 4, CPU)[0], all_of_them[8], rtol=1e-5, atol=1e-6)


def test_batches_are_full_and_count_what_is_real(clips):
    found = list(batches(iter(clips), 4))
    assert [(len(batch), count) for batch, count in found] == [(4, 4), (4, 4), (4, 3)]
    np.testing.assert_array_equal(np.concatenate([batch[:count] for batch, count in found]), clips)
    assert [count for _, count in batches(iter(clips[:8]), 4)] == [4, 4]


def test_clips_are_read_as_they_are_needed(clips, tmp_path):
    """No more than a batch is ever held: the source is asked for the next clip only after the last batch."""
    asked = []

    def source():
        for index, clip in enumerate(clips):
            asked.append(index)
            yield clip

    stream = batches(source(), 4)
    next(stream)
    assert asked == [0, 1, 2, 3]
    assert isinstance(open_clips(chunks(tmp_path / "chunks", clips, 20)[0], SHAPE), np.memmap)


def test_clips_of_another_size(clips):
    with pytest.raises(ValueError, match="clips of one size"):
        list(batches([clips[0], clips[1][:2]], 4))


def test_no_clips():
    with pytest.raises(ValueError, match="no clip"):
        extract([], load_detector(DetectorConfig(), CPU), 4, CPU)


def test_files_that_hold_no_clips(clips, tmp_path):
    path = tmp_path / "clips.npy"
    np.save(path, clips)
    with pytest.raises(ValueError, match="nothing is resampled"):
        open_clips(path, (8, 16, 16, 3))
    np.save(path, clips.astype(np.float32))
    with pytest.raises(ValueError, match="float32"):
        open_clips(path, SHAPE)
    np.save(path, clips)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="no whole"):
        open_clips(path, SHAPE)
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="no whole"):
        open_clips(path, SHAPE)


def test_noise_clip_depends_on_seed_and_number_alone():
    few, many = list(noise_clips(2, SHAPE, seed=1)), list(noise_clips(5, SHAPE, seed=1))
    np.testing.assert_array_equal(few, many[:2])
    assert not np.array_equal(many[0], many[1])
    assert not np.array_equal(many[0], next(noise_clips(1, SHAPE, seed=2)))
    assert (min(map(np.min, many)), max(map(np.max, many))) == (0, 255)


def test_choice_is_seeded_ordered_and_no_larger_than_asked_for():
    chosen = choose(100, 10, seed=0)
    assert len(set(chosen)) == 10
    assert chosen.tolist() == sorted(chosen)
    assert chosen.tolist() == choose(100, 10, seed=0).tolist()
    assert chosen.tolist() != choose(100, 10, seed=1).tolist()
    assert choose(7, 10, seed=0).tolist() == list(range(7))
