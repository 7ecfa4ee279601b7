import numpy as np
import pytest

from lvdm.data.catalog import shard_members
from lvdm.data.config import SplitConfig
from lvdm.data.manifest import ManifestRow, VideoInfo, write_manifest
from lvdm.data.shards import Shard
from lvdm.data.video import write_ffv1
from lvdm.files import write_json
from lvdm.stages import shard
from lvdm.stages.config import ShardConfig

CONFIG = ShardConfig(resolution=32, split=SplitConfig(heldout=0.3, train_shards=2, heldout_shards=1))
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
def run(tmp_path):
    """Runs the stage on six videos, the last of which is not usable."""
    frames = tmp_path / "frames"
    frames.mkdir()
    rows = [ManifestRow(id, f"{id}.mp4", VideoInfo(usable=id != IDS[5]), "", 0, 0, "") for id in IDS]
    write_manifest(tmp_path / "manifest.csv", rows)
    for number in range(5):
        write_frames(frames, number)
    (frames / f"{IDS[5]}.mkv").touch()
    write_json(frames / f"{IDS[5]}.json", {"usable": False, "reason": "it is empty", "frames": 0})

    def run(split, index):
        target = tmp_path / "shards" / f"{split}-{index:03d}.npy"
        shard.run(CONFIG, manifest=tmp_path / "manifest.csv", frames=frames, split=split, index=index, shard=target)
        return Shard(target)

    run.frames = frames
    return run


def test_each_usable_video_is_in_the_shard_of_its_hash(run):
    members = shard_members(IDS, CONFIG.split)
    seen = []
    for (split, index), ids in members.items():
        written = run(split, index)
        assert [video.id for video in written.videos] == [id for id in ids if id != IDS[5]]
        for video in written.videos:
            frames = written.frames[video.start : video.start + video.frames]
            np.testing.assert_array_equal(frames, frames_of(IDS.index(video.id)))
            seen.append(video.id)
    assert sorted(seen) == IDS[:5]


def test_the_same_shard_twice_is_the_same_bytes(run):
    first = run("train", 0).path.read_bytes()
    assert run("train", 0).path.read_bytes() == first


def home_of(id):
    return next(place for place, ids in shard_members(IDS, CONFIG.split).items() if id in ids)


@pytest.mark.parametrize("suffix", [".json", ".mkv"])
def test_missing_frames_name_the_file_and_the_remedy(run, suffix):
    (run.frames / f"{IDS[1]}{suffix}").unlink()
    with pytest.raises(ValueError, match=rf"video-1\{suffix} is missing; run stage extract"):
        run(*home_of(IDS[1]))


def test_frames_of_another_resolution_are_refused(run):
    write_frames(run.frames, 2, resolution=40)
    with pytest.raises(ValueError, match=r"'video-2'.*data\.resolution is 32; run stage extract again"):
        run(*home_of(IDS[2]))
    assert not list(run.frames.parent.glob("shards/*"))


def test_a_shard_that_does_not_exist_is_refused(run):
    with pytest.raises(ValueError, match=r"no shard 2 of split 'train': data\.split has 2 of train and 1 of heldout"):
        run("train", 2)
