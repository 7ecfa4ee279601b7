import json
import pickle
import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data.config import ClipConfig
from lvdm.data.shards import Entry, Shard, Window, first_frames, read_clip, whole_videos, windows, write_shard

CLIP = ClipConfig(resolution=16, length=4, stride=2, step=3)
RECORD = {"id": "a", "start": 0, "frames": 7, "pieces": [7], "group": "a"}


def make_videos(lengths, size=(16, 16), seed=0):
    generator = np.random.default_rng(seed)
    return {id: generator.integers(0, 256, (length, *size, 3), dtype=np.uint8) for id, length in lengths.items()}


def write(path, videos, resolution=16, pieces=None):
    entries = whole_videos({id: len(frames) for id, frames in videos.items()})
    entries = [entry._replace(pieces=(pieces or {}).get(entry.id, entry.pieces)) for entry in entries]
    write_shard(path, resolution, entries, lambda id: np.array_split(videos[id], 3))


@given(
    frames=st.integers(0, 200),
    length=st.sampled_from([4, 8, 16]),
    stride=st.integers(1, 5),
    step=st.integers(1, 20),
)
def test_windows_lie_inside_their_video_and_leave_no_room_for_another(frames, length, stride, step):
    clip = ClipConfig(length=length, stride=stride, step=step)
    firsts = first_frames([frames], clip)
    assert firsts == [step * number for number in range(len(firsts))]
    assert all(first + (length - 1) * stride <= frames - 1 for first in firsts)
    following = step * len(firsts)
    assert following + (length - 1) * stride > frames - 1


@given(
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    stride=st.integers(1, 5),
    step=st.integers(1, 9),
)
def test_windows_of_a_piece_are_those_of_a_video_of_its_own(pieces, stride, step):
    clip = ClipConfig(length=4, stride=stride, step=step)
    owner = np.repeat(np.arange(len(pieces)), pieces)  # the piece that each frame is of
    firsts = first_frames(pieces, clip)
    assert firsts == sorted(set(firsts))
    for piece, frames in enumerate(pieces):
        begin = int(np.flatnonzero(owner == piece)[0])
        own = [first - begin for first in firsts if owner[first] == piece]
        assert own == first_frames([frames], clip)
        assert all(set(owner[begin + first : begin + first + clip.span]) == {piece} for first in own)


def test_a_clip_is_read_from_one_piece_only(tmp_path):
    """Every first frame that windows() might give at another step is read, and every other one is refused."""
    path = tmp_path / "train-000.npy"
    videos = make_videos({"a": 30, "b": 8})
    write(path, videos, pieces={"a": (9, 3, 7, 11), "b": (1, 7)})
    shard = Shard(path)
    assert windows(shard, CLIP) == [
        Window("a", 0), Window("a", 12), Window("a", 19), Window("a", 22), Window("b", 1),
    ]  # fmt: skip
    readable = {Window(id, first) for id, first in windows(shard, CLIP.replace(step=1))}
    assert len(readable) == 3 + 0 + 1 + 5 + 1
    for window in [Window(id, first) for id in videos for first in range(-3, 33)]:
        if window in readable:
            expected = videos[window.video][window.first : window.first + 7 : 2]
            np.testing.assert_array_equal(read_clip(shard, window, CLIP), expected)
        else:
            with pytest.raises(
                ValueError, match=f"video '{window.video}', whose pieces have (9, 3, 7, 11|1, 7) frames"
            ):
                read_clip(shard, window, CLIP)


def test_frames_that_are_not_square(tmp_path):
    videos = make_videos({"a": 7}, size=(16, 24))
    write(tmp_path / "train-000.npy", videos, resolution=(16, 24))
    np.testing.assert_array_equal(Shard(tmp_path / "train-000.npy").frames, videos["a"])
    with pytest.raises(ValueError, match=r"\(16, 24, 3\), but data.resolution is \[24, 16\]"):
        write(tmp_path / "train-000.npy", videos, resolution=(24, 16))


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
    with pytest.raises(ValueError, match="from frame 3 lies in no piece of video 'a', whose pieces have 9 frames"):
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
    entries = [Entry("ü 1", (2,), "patient-2"), Entry("a", (1, 2), "patient-1")]
    write_shard(tmp_path / "train-001.npy", 16, entries, lambda id: [videos[id]])
    np.testing.assert_array_equal(np.load(tmp_path / "train-001.npy"), np.concatenate(list(videos.values())))
    record = json.loads((tmp_path / "train-001.json").read_text(encoding="utf-8"))
    assert record == {
        "videos": [
            {"id": "ü 1", "start": 0, "frames": 2, "pieces": [2], "group": "patient-2"},
            {"id": "a", "start": 2, "frames": 3, "pieces": [1, 2], "group": "patient-1"},
        ],
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
        write_shard(path, resolution, whole_videos({"a": promised}), lambda id: [videos[id]])
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
        {"videos": [{**RECORD, "frames": 6, "pieces": [6]}]},
        {"videos": [{**RECORD, "start": 1}]},
        {"videos": [{**RECORD, "frames": 3, "pieces": [3]}, {**RECORD, "start": 3, "frames": 4, "pieces": [4]}]},
        {"videos": [{**RECORD, "pieces": [3, 3]}]},
        {"videos": [{**RECORD, "pieces": [7, 0]}]},
        {"videos": [{**RECORD, "pieces": []}]},
        *({"videos": [{key: RECORD[key] for key in RECORD if key != left_out}]} for left_out in RECORD),
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
