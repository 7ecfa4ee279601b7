import numpy as np
import pytest

from lvdm.data.config import ClipConfig
from lvdm.data.shards import Shard, Window, windows
from lvdm.data.video import write_ffv1
from lvdm.files import write_json
from lvdm.stages import shard
from lvdm.stages.config import ShardConfig

CONFIG = ShardConfig(resolution=32)
IDS = [f"video-{number}" for number in range(6)]


def frames_of(number, resolution=32):
    # More than iterate_frames yields at a time for the first, so that its parts are joined.
    length = 70 if number == 0 else 3 + number
    return np.random.default_rng(number).integers(0, 256, (length, resolution, resolution, 3), dtype=np.uint8)


def record_of(lengths, group):
    """What stage extract says of a video with pieces of these lengths, a pause of ten seconds after each."""
    firsts = np.cumsum([0, *lengths]).tolist()
    pieces = [
        {"first": first, "frames": frames, "start": first / 10 + 10 * number}
        for number, (first, frames) in enumerate(zip(firsts, lengths, strict=False))
    ]
    return {"usable": True, "reason": "", "frames": sum(lengths), "fps": 10, "pieces": pieces, "group": group}


def write_frames(folder, number, resolution=32):
    frames = frames_of(number, resolution)
    write_ffv1(frames, folder / f"{IDS[number]}.mkv", fps=10)
    lengths = [len(frames)] if number != 3 else [1, 5]
    write_json(folder / f"{IDS[number]}.json", record_of(lengths, f"patient-{number // 2}"))


@pytest.fixture
def folder(tmp_path):
    """The frames of six videos, the last of which is not usable."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        write_frames(folder, number)
    (folder / f"{IDS[5]}.mkv").touch()
    write_json(folder / f"{IDS[5]}.json", {"usable": False, "reason": "it is empty", "frames": 0})
    return folder


def run(folder, ids):
    target = folder.parent / "shards" / "train-000.npy"
    shard.run(CONFIG, frames=[folder / f"{id}.mkv" for id in ids], shard=target)
    return Shard(target)


def test_usable_videos_are_gathered_in_the_order_of_their_ids(folder):
    written = run(folder, [IDS[3], IDS[5], IDS[0], IDS[4]])
    assert [video.id for video in written.videos] == [IDS[0], IDS[3], IDS[4]]
    for video in written.videos:
        frames = written.frames[video.start : video.start + video.frames]
        np.testing.assert_array_equal(frames, frames_of(IDS.index(video.id)))


def test_pieces_and_groups_are_those_of_the_records(folder):
    """A piece of one frame is kept: the clips that it is too short for may get shorter."""
    written = run(folder, [IDS[3], IDS[0], IDS[4]])
    assert [(video.pieces, video.group) for video in written.videos] == [
        ((70,), "patient-0"), ((1, 5), "patient-1"), ((7,), "patient-2"),
    ]  # fmt: skip
    assert windows(written, ClipConfig(length=4, step=1, resolution=32))[-6:] == [
        Window(IDS[3], 1), Window(IDS[3], 2), *(Window(IDS[4], first) for first in range(4)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pieces": None}, "pieces: Input should be a valid array"),
        ({"group": None}, "'group'"),
        ({"pieces": [{"first": 0, "frames": 3, "start": 0.0}]}, "the pieces have 3 frames, the video 4"),
        ({"pieces": [{"first": 1, "frames": 3, "start": 0.0}]}, "3 frames from frame 1 on cannot follow frame 0"),
        ({"pieces": [{"first": 0, "frames": 0, "start": 0.0}]}, "0 frames from frame 0 on"),
        ({"pieces": [{"first": 0, "frames": 4}] * 2}, "4 frames from frame 0 on cannot follow frame 4"),
    ],
)
def test_a_record_that_does_not_describe_its_frames_is_refused(folder, changes, said):
    record = {**record_of([4], "patient-0"), **changes}
    record = {key: value for key, value in record.items() if key != "group" or value is not None}
    write_json(folder / f"{IDS[1]}.json", record)
    refused = f"video-1.json is no record of extracted frames: .*{said}.* run stage extract again"
    with pytest.raises(ValueError, match=refused):
        run(folder, IDS)
    assert not list(folder.parent.glob("shards/*"))


def test_a_video_without_a_usable_piece_is_left_out(folder):
    write_json(folder / f"{IDS[1]}.json", {**record_of([], "patient-0")})
    assert [video.id for video in run(folder, IDS[:3]).videos] == [IDS[0], IDS[2]]


def test_frames_that_are_not_square(folder):
    frames = np.random.default_rng(7).integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
    write_ffv1(frames, folder / "wide.mkv", fps=10)
    write_json(folder / "wide.json", record_of([5], "wide"))
    target = folder.parent / "shards" / "train-000.npy"
    shard.run(ShardConfig(resolution=(32, 48)), frames=[folder / "wide.mkv"], shard=target)
    np.testing.assert_array_equal(Shard(target).frames, frames)


def test_the_order_of_the_arguments_changes_nothing(folder):
    first = run(folder, IDS).path.read_bytes()
    assert run(folder, reversed(IDS)).path.read_bytes() == first


@pytest.mark.parametrize("ids", [[], [IDS[5]]])
def test_no_usable_video_makes_an_empty_shard(folder, ids):
    written = run(folder, ids)
    assert written.videos == ()
    assert written.frames.shape == (0, 32, 32, 3)


@pytest.mark.parametrize("suffix", [".json", ".mkv"])
def test_missing_frames_name_the_file_and_the_remedy(folder, suffix):
    (folder / f"{IDS[1]}{suffix}").unlink()
    with pytest.raises(ValueError, match=rf"video-1\{suffix} is missing; run stage extract"):
        run(folder, IDS)


def test_frames_of_another_resolution_are_refused(folder):
    write_frames(folder, 2, resolution=40)
    with pytest.raises(ValueError, match=r"'video-2'.*data\.resolution is 32; run stage extract again"):
        run(folder, IDS)
    assert not list(folder.parent.glob("shards/*"))
