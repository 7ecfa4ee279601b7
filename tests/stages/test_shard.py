import numpy as np
import pytest

from lvdm.data.shards import Shard
from lvdm.data.video import write_ffv1
from lvdm.files import write_json
from lvdm.stages import shard
from lvdm.stages.config import ShardConfig

CONFIG = ShardConfig(resolution=32)
IDS = [f"video-{number}" for number in range(6)]


def frames_of(number, resolution=32):
    # More than one piece of what iterate_frames yields for the first, so that the pieces are joined.
    length = 70 if number == 0 else 3 + number
    return np.random.default_rng(number).integers(0, 256, (length, resolution, resolution, 3), dtype=np.uint8)


def write_frames(folder, number, resolution=32):
    frames = frames_of(number, resolution)
    write_ffv1(frames, folder / f"{IDS[number]}.mkv", fps=10)
    write_json(folder / f"{IDS[number]}.json", {"usable": True, "reason": "", "frames": len(frames), "fps": 10})


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
