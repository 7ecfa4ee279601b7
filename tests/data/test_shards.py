import json
import pickle
import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data.config import ClipConfig
from lvdm.data.shards import Shard, Window, first_frames, read_clip, windows, write_shard

CLIP = ClipConfig(resolution=16, length=4, stride=2, step=3)


def make_videos(lengths, resolution=16, seed=0):
    generator = np.random.default_rng(seed)
    shape = (resolution, resolution, 3)
    return {id: generator.integers(0, 256, (length, *shape), dtype=np.uint8) for id, length in lengths.items()}


def write(path, videos, resolution=16):
    lengths = {id: len(frames) for id, frames in videos.items()}
    write_shard(path, resolution, lengths, lambda id: np.array_split(videos[id], 3))


@given(
    frames=st.integers(0, 200),
    length=st.sampled_from([4, 8, 16]),
    stride=st.integers(1, 5),
    step=st.integers(1, 20),
)
def test_windows_lie_inside_their_video_and_leave_no_room_for_another(frames, length, stride, step):
    clip = ClipConfig(length=length, stride=stride, step=step)
    firsts = list(first_frames(frames, clip))
    assert firsts == [step * number for number in range(len(firsts))]
    assert all(first + (length - 1) * stride <= frames - 1 for first in firsts)
    following = step * len(firsts)
    assert following + (length - 1) * stride > frames - 1


def test_clips_are_the_frames_of_their_video(tmp_path):
    videos = make_videos({"b": 11, "short": 3, "a": 7})
    write(tmp_path / "train-000.npy", videos)
    shard = Shard(tmp_path / "train-000.npy")
    found = windows(shard, CLIP)
    assert found == [Window("b", 0), Window("b", 3), Window("a", 0)]
    for window in found:
        expected = videos[window.video][window.first : window.first + 7 : 2]
        np.testing.assert_array_equal(read_clip(shard, window, CLIP), expected)


def test_a_window_outside_its_video_is_refused(tmp_path):
    write(tmp_path / "train-000.npy", make_videos({"a": 9, "b": 9}))
    shard = Shard(tmp_path / "train-000.npy")
    with pytest.raises(ValueError, match="leaves video 'a', which has 9 frames"):
        read_clip(shard, Window("a", 3), CLIP)
    with pytest.raises(KeyError, match="holds no video 'c'"):
        read_clip(shard, Window("c", 0), CLIP)


def test_an_empty_shard_is_a_shard(tmp_path):
    write(tmp_path / "heldout-000.npy", {})
    shard = Shard(tmp_path / "heldout-000.npy")
    assert shard.frames.shape == (0, 16, 16, 3)
    assert windows(shard, CLIP) == []


def test_the_files_are_as_documented(tmp_path):
    videos = make_videos({"ü 1": 2, "a": 3})
    write(tmp_path / "train-001.npy", videos)
    np.testing.assert_array_equal(np.load(tmp_path / "train-001.npy"), np.concatenate(list(videos.values())))
    record = json.loads((tmp_path / "train-001.json").read_text(encoding="utf-8"))
    assert record == {
        "videos": [{"id": "ü 1", "start": 0, "frames": 2}, {"id": "a", "start": 2, "frames": 3}],
    }
    assert sorted(file.name for file in tmp_path.iterdir()) == ["train-001.json", "train-001.npy"]


def test_a_pickled_shard_maps_its_file_anew(tmp_path):
    videos = make_videos({"a": 200})
    write(tmp_path / "train-000.npy", videos)
    pickled = pickle.dumps(Shard(tmp_path / "train-000.npy"))
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled).frames, videos["a"])


@pytest.mark.parametrize(
    ("promised", "resolution", "message"),
    [(8, 16, "gave 7 frames, but its record says 8"), (7, 24, "data.resolution is 24")],
)
def test_frames_other_than_promised_are_refused_and_nothing_is_lost(tmp_path, promised, resolution, message):
    path = tmp_path / "train-000.npy"
    videos = make_videos({"a": 7})
    write(path, videos)
    with pytest.raises(ValueError, match=message):
        write_shard(path, resolution, {"a": promised}, lambda id: [videos[id]])
    np.testing.assert_array_equal(Shard(path).frames, videos["a"])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_loses_nothing(tmp_path):
    path = tmp_path / "train-000.npy"
    videos = make_videos({"a": 7})
    write(path, videos)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(path, make_videos({"a": 100}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(Shard(path).frames, videos["a"])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "record",
    [
        {"videos": [{"id": "a", "start": 0, "frames": 6}]},
        {"videos": [{"id": "a", "start": 1, "frames": 7}]},
        {"videos": [{"id": "a", "start": 0, "frames": 3}, {"id": "a", "start": 3, "frames": 4}]},
        {"videos": [{"id": "a", "frames": 7}]},
        {"windows": []},
    ],
)
def test_a_record_that_does_not_fit_is_refused(tmp_path, record):
    path = tmp_path / "train-000.npy"
    write(path, make_videos({"a": 7}))
    path.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="run stage shard again"):
        Shard(path)


def test_a_truncated_or_foreign_array_is_refused(tmp_path):
    path = tmp_path / "train-000.npy"
    write(path, make_videos({"a": 7}))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"train-000\.npy is no shard of frames: not a whole"):
        Shard(path)
    np.save(path, np.zeros((7, 16, 16, 3), np.float32))
    with pytest.raises(ValueError, match="holds float32"):
        Shard(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="run stage shard"):
        Shard(path)
