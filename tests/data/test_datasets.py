import json
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lvdm.data.config import ClipConfig
from lvdm.data.datasets import ClipDataset, LatentDataset, collate, to_float, to_uint8
from lvdm.data.shards import Entry, whole_videos, write_shard

CLIP = ClipConfig(resolution=16, length=4, step=2)


def make_shard(path, lengths, resolution=16):
    generator = np.random.default_rng(0)
    shape = (resolution, resolution, 3)
    videos = {id: generator.integers(0, 256, (length, *shape), dtype=np.uint8) for id, length in lengths.items()}
    write_shard(path, resolution, whole_videos(lengths), lambda id: [videos[id]])
    return videos


def make_latents(path, count, size=2, seed=0):
    moments = np.random.default_rng(seed).standard_normal((count, 2, 4, 1, size, size)).astype(np.float16)
    np.save(path, moments)
    path.with_suffix(".json").write_text(json.dumps({"windows": [["a", first] for first in range(count)]}))
    return moments


def test_float_and_uint8_are_inverse():
    levels = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 1, 16, 16, 3)
    floats = to_float(levels)
    assert floats.shape == (1, 3, 1, 16, 16)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(to_uint8(floats), levels)
    assert to_uint8(torch.tensor([-3.0, 3.0]).reshape(1, 1, 1, 2)).flatten().tolist() == [0, 255]


def test_clips_of_several_shards(tmp_path):
    first = make_shard(tmp_path / "train-000.npy", {"a": 7})
    make_shard(tmp_path / "train-001.npy", {})
    second = make_shard(tmp_path / "train-002.npy", {"b": 4, "c": 2})
    dataset = ClipDataset(sorted(tmp_path.glob("*.npy")), CLIP)
    expected = [first["a"][0:4], first["a"][2:6], second["b"]]
    assert len(dataset) == 3
    for item, frames in zip(dataset, expected, strict=True):
        assert item.shape == (4, 16, 16, 3)
        assert item.dtype == torch.uint8
        np.testing.assert_array_equal(item, frames)


def test_clips_that_are_not_square_and_lie_in_pieces(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (11, 16, 24, 3), dtype=np.uint8)
    write_shard(tmp_path / "train-000.npy", (16, 24), [Entry("a", (3, 8), "a")], lambda id: [frames])
    dataset = ClipDataset([tmp_path / "train-000.npy"], CLIP.replace(resolution=[16, 24]))
    assert len(dataset) == 3
    np.testing.assert_array_equal(dataset.__getitems__([0, 1, 2]), np.stack([frames[n : n + 4] for n in (3, 5, 7)]))
    with pytest.raises(ValueError, match=r"16x24, but data\.resolution is \[24, 16\]"):
        ClipDataset([tmp_path / "train-000.npy"], CLIP.replace(resolution=[24, 16]))


def test_pieces_that_are_all_too_short(tmp_path):
    frames = np.zeros((6, 16, 16, 3), np.uint8)
    write_shard(tmp_path / "train-000.npy", 16, [Entry("a", (3, 3), "a")], lambda id: [frames])
    with pytest.raises(ValueError, match="a clip covers 4 frames, and the longest piece has 3"):
        ClipDataset([tmp_path / "train-000.npy"], CLIP)


def test_moments_of_several_caches(tmp_path):
    first = make_latents(tmp_path / "train-000.npy", 3, seed=1)
    make_latents(tmp_path / "train-001.npy", 0)
    second = make_latents(tmp_path / "train-002.npy", 2, seed=2)
    dataset = LatentDataset(sorted(tmp_path.glob("*.npy")))
    assert len(dataset) == 5
    items = torch.stack([dataset[index] for index in range(5)])
    assert items.dtype == torch.float16
    np.testing.assert_array_equal(items.numpy(), np.concatenate([first, second]))
    assert torch.equal(dataset.__getitems__([4, 0, 3, 0]), items[[4, 0, 3, 0]])
    with pytest.raises(IndexError):
        dataset[5]
    with pytest.raises(IndexError):
        dataset.__getitems__([0, -1])


@pytest.mark.parametrize("kind", ["clips", "latents"])
def test_worker_processes_give_the_same_items(tmp_path, kind):
    if kind == "clips":
        make_shard(tmp_path / "train-000.npy", {"a": 300})
        dataset = ClipDataset([tmp_path / "train-000.npy"], CLIP)
    else:
        make_latents(tmp_path / "train-000.npy", 200)
        dataset = LatentDataset([tmp_path / "train-000.npy"])
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000  # far less than the data: the files are mapped anew, not sent
    loader = DataLoader(pickle.loads(pickled), batch_size=50, num_workers=2, collate_fn=collate)
    loaded = torch.cat(list(loader))
    assert torch.equal(loaded, torch.stack([dataset[index] for index in range(len(dataset))]))


def test_no_clips_is_an_error_with_a_remedy(tmp_path):
    make_shard(tmp_path / "train-000.npy", {"a": 3})
    with pytest.raises(ValueError, match=r"train-000\.npy.*longest piece has 3; lower data\.length"):
        ClipDataset([tmp_path / "train-000.npy"], CLIP)
    with pytest.raises(ValueError, match="no clips in an empty list"):
        ClipDataset([], CLIP)


def test_shards_of_another_resolution_are_refused(tmp_path):
    make_shard(tmp_path / "train-000.npy", {"a": 8}, resolution=24)
    with pytest.raises(ValueError, match=r"24x24, but data\.resolution is 16"):
        ClipDataset([tmp_path / "train-000.npy"], CLIP)


def test_no_latents_is_an_error_with_a_remedy(tmp_path):
    make_latents(tmp_path / "train-000.npy", 0)
    with pytest.raises(ValueError, match=r"no latents in .*train-000\.npy.*lower data\.length"):
        LatentDataset([tmp_path / "train-000.npy"])
    with pytest.raises(ValueError, match="no latents in an empty list"):
        LatentDataset([])


def test_a_cache_that_does_not_fit_is_refused(tmp_path):
    make_latents(tmp_path / "train-000.npy", 2)
    make_latents(tmp_path / "train-001.npy", 2, size=4)
    with pytest.raises(ValueError, match="different shapes"):
        LatentDataset(sorted(tmp_path.glob("*.npy")))
    (tmp_path / "train-000.json").write_text('{"windows": [["a", 0]]}')
    with pytest.raises(ValueError, match="describes 1 windows"):
        LatentDataset([tmp_path / "train-000.npy"])
    (tmp_path / "train-000.json").unlink()
    with pytest.raises(FileNotFoundError, match="run stage encode"):
        LatentDataset([tmp_path / "train-000.npy"])
