"""Stage memorise: copies of training clips are found, and shown beside what they copy."""

import json

import numpy as np
import pandas as pd
import pytest

from lvdm.data.config import ClipConfig
from lvdm.data.shards import Entry, whole_videos, write_shard
from lvdm.evaluation.config import SelectionConfig
from lvdm.stages import features, memorise
from lvdm.stages.config import FeaturesConfig, MemoriseConfig

CLIP = ClipConfig(resolution=16, length=4, stride=2, step=2)
CONFIG = MemoriseConfig(clip=CLIP, pairs=2)
REFERENCE = FeaturesConfig(clip=CLIP, everything=True, batch_size=4, selection=SelectionConfig(clips=2))
GENERATED = FeaturesConfig(clip=CLIP.replace(stride=1), batch_size=4)


def video(name: str, frames: int) -> np.ndarray:
    return np.random.default_rng(sum(name.encode())).integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path):
    """Features and videos: of four generated clips, number 2 is a clip of anna with one value changed."""
    for split, names in (("train", ["anna", "bert"]), ("heldout", ["carl"])):
        lengths = dict.fromkeys(names, 13)
        write_shard(tmp_path / f"{split}-000.npy", 16, whole_videos(lengths), lambda name: [video(name, 13)])
        features.run(REFERENCE, shards=[tmp_path / f"{split}-000.npy"], features=tmp_path / f"{split}.npz")
    clips = np.random.default_rng(0).integers(0, 256, (4, 4, 16, 16, 3), dtype=np.uint8)
    clips[2] = video("anna", 13)[4:11:2]
    clips[2, 0, 0, 0, 0] ^= 1
    np.save(tmp_path / "0000.npy", clips[:3])
    np.save(tmp_path / "0001.npy", clips[3:])
    chunks = [tmp_path / "0000.npy", tmp_path / "0001.npy"]
    features.run(GENERATED, clips=chunks, features=tmp_path / "generated.npz")
    return {
        "generated": tmp_path / "generated.npz",
        "train": tmp_path / "train.npz",
        "heldout": tmp_path / "heldout.npz",
        "clips": chunks,
        "shards": [tmp_path / "train-000.npy"],
    }


def run(folder, files, config=CONFIG):
    out = {"distances": folder / "out.csv", "summary": folder / "out.json", "pairs": folder / "pairs"}
    memorise.run(config, **files, **out)
    return pd.read_csv(out["distances"]), json.loads(out["summary"].read_text()), out["pairs"]


def test_a_copy_is_nearest_and_shown_first(files, tmp_path):
    table, summary, pairs = run(tmp_path, files)
    assert list(table.columns) == ["clip", "nearest", "distance", "kind"]
    generated = table[table.kind == "generated"].reset_index(drop=True)
    assert generated["clip"].tolist() == ["0", "1", "2", "3"]
    assert generated.loc[2, "nearest"] == "anna:4"
    assert generated.loc[2, "distance"] < 0.01 * generated["distance"].drop(2).min()
    assert sorted(path.name for path in pairs.iterdir()) == [
        f"{rank:02}-{kind}.npy" for rank in range(2) for kind in ("generated", "training")
    ]
    found = np.load(pairs / "00-generated.npy")
    training = np.load(pairs / "00-training.npy")
    np.testing.assert_array_equal(training, video("anna", 13)[4:11:2])
    assert (found != training).sum() == 1
    assert summary["median_generated"] == pytest.approx(generated["distance"].median())


def test_every_training_window_is_a_candidate(files, tmp_path):
    """Also those that the protocol would not choose: it takes two clips, of frame 0."""
    with np.load(files["train"]) as arrays:
        assert len(arrays["values"]) == 2 * 4
        assert arrays["firsts"][arrays["runs"][0]].tolist() == [0, 0]
    table, _, _ = run(tmp_path, files)
    heldout = table[table.kind == "heldout"]
    assert heldout["clip"].tolist() == [f"carl:{first}" for first in (0, 2, 4, 6)]


def test_without_held_out_clips(files, tmp_path):
    table, summary, _ = run(tmp_path, {**files, "heldout": None})
    assert set(table["kind"]) == {"generated"}
    assert summary == {}


def test_held_out_clips_of_trained_groups_are_not_compared(files, tmp_path, caplog):
    """A sibling of what is trained on is near to it, which would make copies look usual."""
    entries = [Entry("anna-2", (13,), "anna"), Entry("carl", (13,), "carl")]
    write_shard(tmp_path / "heldout-001.npy", 16, entries, lambda name: [video(name, 13)])
    features.run(REFERENCE, shards=[tmp_path / "heldout-001.npy"], features=tmp_path / "siblings.npz")
    table, summary, _ = run(tmp_path, {**files, "heldout": tmp_path / "siblings.npz"})
    assert table[table.kind == "heldout"]["clip"].tolist() == [f"carl:{first}" for first in (0, 2, 4, 6)]
    assert "4 of 8 held-out clips are not compared" in caplog.text
    assert "(anna)" in caplog.text
    _, alone, _ = run(tmp_path, files)
    assert summary == pytest.approx(alone, rel=1e-5)


def test_without_training_clips(files, tmp_path):
    write_shard(tmp_path / "train-001.npy", 16, [], lambda name: [])
    features.run(REFERENCE, shards=[tmp_path / "train-001.npy"], features=tmp_path / "none.npz")
    table, summary, pairs = run(tmp_path, {**files, "train": tmp_path / "none.npz"})
    assert table.empty
    assert summary == {}
    assert list(pairs.iterdir()) == []


def test_twice_the_same_bytes(files, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        run(tmp_path / name, files)
    for name in ("out.csv", "out.json", "pairs/01-training.npy"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
