import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data.config import ClipConfig
from lvdm.data.shards import Entry, whole_videos, write_shard
from lvdm.data.video import read_frames
from lvdm.stages import preview
from lvdm.stages.config import PreviewConfig
from lvdm.stages.preview import spread

CONFIG = PreviewConfig(clip=ClipConfig(resolution=16, length=4, step=2), videos=4, fps=8.0, size=32)


def flat_frames(level, length, size=16):
    return np.full((length, size, size, 3), level, np.uint8)


def levels(folder):
    """The mean brightness of each preview, in the order of the names."""
    return [read_frames(file).mean() for file in sorted(folder.iterdir())]


@given(sizes=st.lists(st.integers(0, 9), max_size=8), count=st.integers(1, 30))
def test_spread_is_even_and_without_repeats(sizes, count):
    chosen = spread(sizes, count)
    assert len(chosen) == len(set(chosen)) == min(count, sum(sizes))
    assert chosen == sorted(chosen)
    assert all(0 <= member < sizes[group] for group, member in chosen)
    shares = [sum(1 for group, _ in chosen if group == number) for number in range(len(sizes))]
    unfilled = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    if unfilled:
        assert max(shares) - min(unfilled) <= 1


def test_spread_by_example():
    assert spread([4, 0, 4], 4) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert spread([4, 4, 4, 4], 2) == [(0, 0), (2, 0)]
    assert spread([], 3) == []


def test_the_first_clips_of_the_chunks(tmp_path):
    np.save(tmp_path / "0000.npy", np.stack([flat_frames(level, 4) for level in (40, 80, 120)]))
    np.save(tmp_path / "0001.npy", np.stack([flat_frames(level, 4) for level in (160, 200)]))
    preview.run(CONFIG, clips=[tmp_path / "0000.npy", tmp_path / "0001.npy"], folder=tmp_path / "previews")
    files = sorted((tmp_path / "previews").iterdir())
    assert [file.name for file in files] == ["00000.mp4", "00001.mp4", "00002.mp4", "00003.mp4"]
    assert read_frames(files[0]).shape == (4, 32, 32, 3)
    np.testing.assert_allclose(levels(tmp_path / "previews"), [40, 80, 120, 160], atol=3)


def test_windows_of_the_shards_are_spread_over_their_videos(tmp_path):
    first = {"a": flat_frames(40, 20), "short": flat_frames(1, 3)}
    second = {"b": flat_frames(120, 4), "c": flat_frames(200, 20)}
    for number, videos in enumerate([first, {}, second]):
        lengths = {id: len(frames) for id, frames in videos.items()}
        write_shard(
            tmp_path / f"train-{number:03}.npy", 16, whole_videos(lengths), lambda id, videos=videos: [videos[id]]
        )
    preview.run(CONFIG, shards=sorted(tmp_path.glob("*.npy")), folder=tmp_path / "real")
    np.testing.assert_allclose(levels(tmp_path / "real"), [40, 40, 120, 200], atol=3)


def test_previews_of_real_clips_lie_in_pieces(tmp_path):
    """Nine dark frames, then nine light ones: a clip of both would be of a brightness between."""
    frames = np.concatenate([flat_frames(40, 9), flat_frames(200, 9)])
    write_shard(tmp_path / "train-000.npy", 16, [Entry("a", (9, 9), "a")], lambda id: [frames])
    preview.run(CONFIG.replace(videos=9), shards=[tmp_path / "train-000.npy"], folder=tmp_path / "real")
    np.testing.assert_allclose(levels(tmp_path / "real"), [40] * 3 + [200] * 3, atol=3)


def test_small_frames_that_are_not_square_keep_their_shape(tmp_path):
    np.save(tmp_path / "0000.npy", np.full((1, 4, 16, 24, 3), 90, np.uint8))
    preview.run(CONFIG.replace(videos=1), clips=[tmp_path / "0000.npy"], folder=tmp_path / "previews")
    (file,) = (tmp_path / "previews").iterdir()
    assert read_frames(file).shape == (4, 32, 48, 3)


def test_large_frames_keep_their_size(tmp_path):
    np.save(tmp_path / "0000.npy", flat_frames(90, 4, size=40)[None])
    preview.run(CONFIG, clips=[tmp_path / "0000.npy"], folder=tmp_path / "previews")
    (file,) = (tmp_path / "previews").iterdir()
    assert read_frames(file).shape == (4, 40, 40, 3)


def test_exactly_one_source_and_some_clips(tmp_path):
    with pytest.raises(ValueError, match="either clips or shards"):
        preview.run(CONFIG, folder=tmp_path / "previews")
    with pytest.raises(ValueError, match="either clips or shards"):
        preview.run(CONFIG, clips=[tmp_path / "a"], shards=[tmp_path / "b"], folder=tmp_path / "previews")
    write_shard(tmp_path / "train-000.npy", 16, [], lambda id: [])
    with pytest.raises(ValueError, match=r"no clips in .*train-000\.npy; lower data\.length"):
        preview.run(CONFIG, shards=[tmp_path / "train-000.npy"], folder=tmp_path / "previews")
    assert not (tmp_path / "previews").exists()
