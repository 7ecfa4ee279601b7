"""Features are streamed, kept in parts, and depend on nothing but the clips and the detector."""

import numpy as np
import pytest
import torch

from lvdm.evaluation.config import DetectorConfig
from lvdm.evaluation.detectors import Features, load_detector
from lvdm.evaluation.feature_files import read_features, write_features
from lvdm.evaluation.features import PART_BATCHES, Extractor, batches

CPU = torch.device("cpu")
SHAPE = (4, 16, 16, 3)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector():
    return load_detector(DetectorConfig(), None, CPU)


class Counting:
    """A detector that counts how often it is called, and stops working when it is told to."""

    def __init__(self, detector, most: int | None = None):
        self.detector, self.most, self.calls = detector, most, 0

    def __call__(self, clips):
        if self.calls == self.most:
            raise KeyboardInterrupt
        self.calls += 1
        return self.detector(clips)


def features(clips, detector, store, *, batch_size=1, identity="this"):
    parts = list(Extractor(detector, identity, CPU, store).extract(clips, batch_size))
    names = np.arange(len(clips)).astype(str)
    rows = {"videos": names, "groups": names, "firsts": np.zeros(len(clips), int), "runs": np.zeros((1, 0))}
    write_features(store / "out.npz", parts, rows, 64)
    return read_features(store / "out.npz").values


def test_features_are_those_of_the_detector(clips, detector, tmp_path):
    expected = detector(torch.from_numpy(clips)).values.numpy()
    np.testing.assert_allclose(features(clips, detector, tmp_path, batch_size=4), expected, rtol=1e-5, atol=1e-6)


def test_a_killed_run_goes_on(clips, detector, tmp_path):
    whole = features(clips, detector, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        features(clips, Counting(detector, PART_BATCHES + 1), tmp_path)
    again = Counting(detector)
    np.testing.assert_array_equal(features(clips, again, tmp_path), whole)
    assert again.calls == len(clips) - PART_BATCHES


def test_the_same_clips_are_found_again_and_no_others(clips, detector, tmp_path):
    for changed, identity, calls in (
        (clips, "this", len(clips)),
        (clips.copy(), "this", 0),
        (clips, "another detector", len(clips)),
        (clips[:PART_BATCHES], "this", 0),
        (clips ^ np.uint8(1), "this", len(clips)),
    ):
        counting = Counting(detector)
        features(changed, counting, tmp_path, identity=identity)
        assert counting.calls == calls


def test_probabilities_are_kept_too(clips, tmp_path):
    def classifier(batch):
        values = batch.float().mean(dim=(1, 2, 3))
        return Features(values, values.softmax(dim=1))

    parts = list(Extractor(classifier, "this", CPU, tmp_path).extract(clips, 4))
    names = np.arange(11).astype(str)
    rows = {"videos": names, "groups": names, "firsts": np.zeros(11, int), "runs": np.zeros((1, 0))}
    write_features(tmp_path / "out.npz", parts, rows, 3)
    found = read_features(tmp_path / "out.npz")
    assert found.probabilities.shape == (11, 3)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-6)


def test_batches_are_full_and_count_what_is_wanted(clips):
    found = list(batches(iter(clips), 4))
    assert [(len(batch.clips), batch.count) for batch in found] == [(4, 4), (4, 4), (4, 3)]
    np.testing.assert_array_equal(np.concatenate([batch.clips[: batch.count] for batch in found]), clips)
    np.testing.assert_array_equal(found[-1].clips[3], clips[8])
    assert [batch.count for batch in batches(iter(clips[:8]), 4)] == [4, 4]


def test_clips_of_another_size(clips, detector, tmp_path):
    with pytest.raises(ValueError, match="clips of one size"):
        features([clips[0], clips[1][:2]], detector, tmp_path, batch_size=2)


def test_a_file_that_holds_no_features(tmp_path):
    path = tmp_path / "features.npz"
    np.savez(path, features=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="is no file of features"):
        read_features(path)
    old = dict.fromkeys(("values", "videos", "firsts", "runs"), np.zeros(3))
    np.savez(path, **old)
    with pytest.raises(ValueError, match=r"groups.* delete it and run stage features again"):
        read_features(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="is no file of features"):
        read_features(path)
