"""Stage features: one source, the real clips of the protocol, and the same numbers however files are cut."""

import numpy as np
import pytest

from lvdm.data.config import ClipConfig
from lvdm.data.shards import write_shard
from lvdm.evaluation.config import ProtocolConfig
from lvdm.stages import features
from lvdm.stages.config import FeaturesConfig

CONFIG = FeaturesConfig(clip=ClipConfig(resolution=16, length=4, step=2), batch_size=4)
# Windows: 4 frames, a window every 2: 8 frames hold 3.
TRAIN = {"anna": 8, "carl": 8, "dora": 8}
HELDOUT = {"bert": 8}


def write(path, videos: dict[str, int]):
    def frames(name: str):
        generator = np.random.default_rng(sum(name.encode()))
        yield generator.integers(0, 256, (videos[name], 16, 16, 3), dtype=np.uint8)

    write_shard(path, 16, videos, frames)
    return path


@pytest.fixture
def shards(tmp_path):
    first, second = dict(list(TRAIN.items())[:2]), dict(list(TRAIN.items())[2:])
    return [
        write(tmp_path / "train-000.npy", first),
        write(tmp_path / "train-001.npy", second),
        write(tmp_path / "heldout-000.npy", HELDOUT),
    ]


def run(path, config=CONFIG, **source):
    features.run(config, features=path, **source)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_real_clips_are_ordered_by_video(shards, tmp_path):
    found = run(tmp_path / "real.npz", shards=shards)
    assert found["videos"].tolist() == ["anna"] * 3 + ["bert"] * 3 + ["carl"] * 3 + ["dora"] * 3
    assert found["features"].shape == (12, 64)


def test_real_clips_do_not_depend_on_the_shards(shards, tmp_path):
    one = write(tmp_path / "other" / "train-000.npy", {**HELDOUT, **dict(reversed(TRAIN.items()))})
    run(tmp_path / "a.npz", shards=shards[::-1])
    run(tmp_path / "b.npz", shards=[one])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_split_of_the_protocol(shards, tmp_path):
    config = CONFIG.replace(protocol={"real_split": "heldout"})
    assert set(run(tmp_path / "real.npz", config, shards=shards)["videos"]) == set(HELDOUT)
    config = CONFIG.replace(protocol={"real_split": "train"})
    assert set(run(tmp_path / "real.npz", config, shards=shards)["videos"]) == set(TRAIN)
    with pytest.raises(ValueError, match="no real clips of split 'train'"):
        run(tmp_path / "real.npz", config, shards=shards[2:])


def test_a_single_real_clip_is_used_and_remarked_on(tmp_path, caplog):
    frames = CONFIG.clip.length
    shard = tmp_path / "train-000.npy"
    write_shard(shard, 16, {"anna": frames}, lambda name: [np.zeros((frames, 16, 16, 3), np.uint8)])
    assert run(tmp_path / "real.npz", shards=[shard])["features"].shape == (1, 64)
    assert "one real clip only" in caplog.text


def test_at_most_max_real_clips(shards, tmp_path):
    everything = run(tmp_path / "all.npz", shards=shards)["features"]
    chosen = run(tmp_path / "some.npz", CONFIG.replace(protocol={"max_real": 5}), shards=shards)
    assert len(chosen["features"]) == len(chosen["videos"]) == 5
    # Each is one of all, up to the last bits that its place in a batch may change.
    gaps = np.abs(chosen["features"][:, None] - everything[None]).max(axis=-1).min(axis=1)
    assert gaps.max() < 1e-5


def test_generated_clips_do_not_depend_on_chunks(tmp_path):
    clips = np.random.default_rng(0).integers(0, 256, (7, 4, 16, 16, 3), dtype=np.uint8)
    paths = []
    for number, part in enumerate((clips[:2], clips[2:3], clips[3:])):
        paths.append(tmp_path / f"{number:04}.npy")
        np.save(paths[-1], part)
    np.save(tmp_path / "whole.npy", clips)
    found = run(tmp_path / "a.npz", clips=paths)
    run(tmp_path / "b.npz", clips=[tmp_path / "whole.npy"])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert found.keys() == {"features"}


def test_noise_is_seeded(tmp_path):
    first = run(tmp_path / "a.npz", noise=6)["features"]
    assert first.shape == (6, 64)
    np.testing.assert_array_equal(first, run(tmp_path / "a.npz", noise=6)["features"])
    other = CONFIG.replace(protocol=ProtocolConfig(seed=1).model_dump(mode="json"))
    assert not np.array_equal(first, run(tmp_path / "a.npz", other, noise=6)["features"])


def test_one_source_is_needed(shards, tmp_path):
    for source in ({}, {"noise": 3, "shards": shards}):
        with pytest.raises(ValueError, match="give one of"):
            run(tmp_path / "a.npz", **source)


def test_failure_leaves_nothing(tmp_path):
    np.save(tmp_path / "clips.npy", np.zeros((2, 8, 16, 16, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="nothing is resampled"):
        run(tmp_path / "out" / "a.npz", clips=[tmp_path / "clips.npy"])
    assert not list(tmp_path.glob("out/*"))
