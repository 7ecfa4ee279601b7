"""Stage score: rows, names that do not promise too much, and halves of the real clips."""

import numpy as np
import pandas as pd
import pytest

from lvdm.evaluation.metrics import frechet_distance, kernel_distance
from lvdm.stages import score
from lvdm.stages.config import ScoreConfig

CONFIG = ScoreConfig(dataset="colon", protocol_name="lossless", detector_name="stand-in")
REQUIRED = ["dataset", "model", "sampler", "protocol", "detector", "metric", "value", "n_real", "n_fake", "seed"]


def save(path, count: int, seed: int, videos=None):
    features = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    np.savez(path, features=features, **({} if videos is None else {"videos": np.array(videos)}))
    return path, features


def rows(path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False, dtype={"value": float}).set_index("metric", drop=False)


def test_generated_against_all_real(tmp_path):
    real, real_features = save(tmp_path / "real.npz", 40, 0, ["a"] * 20 + ["b"] * 20)
    fake, fake_features = save(tmp_path / "fake.npz", 30, 1)
    score.run(CONFIG, model="lvdm", sampler="ddim-50", real=real, fake=fake, scores=tmp_path / "scores.csv")
    found = rows(tmp_path / "scores.csv")
    assert list(found.columns)[: len(REQUIRED)] == REQUIRED
    assert list(found.index) == ["frechet_distance (random3d)", "kernel_distance (random3d)"]
    row = found.iloc[0]
    assert row[["dataset", "model", "sampler", "protocol", "detector"]].tolist() == [
        "colon", "lvdm", "ddim-50", "lossless", "stand-in",
    ]  # fmt: skip
    assert row[["n_real", "n_fake", "seed"]].tolist() == [40, 30, 0]
    assert row["value"] == frechet_distance(real_features, fake_features)
    # The smaller side is whole in every subset, the larger is not.
    assert float(found.iloc[1]["value_std"]) > 0
    assert found.iloc[1]["value"] == pytest.approx(kernel_distance(real_features, fake_features), abs=0.05)


def test_only_a_file_gives_fvd(tmp_path):
    detector = {"kind": "torchscript", "path": "i3d.pt", "sha256": "0" * 64, "features": 8}
    real, _ = save(tmp_path / "real.npz", 10, 0)
    config = CONFIG.replace(detector=detector, detector_name="i3d")
    score.run(config, model="noise", sampler="", real=real, fake=real, scores=tmp_path / "scores.csv")
    assert list(rows(tmp_path / "scores.csv").index) == ["fvd", "kvd"]
    score.run(CONFIG, model="noise", sampler="", real=real, fake=real, scores=tmp_path / "scores.csv")
    assert not any("fvd" in metric.lower() for metric in rows(tmp_path / "scores.csv").index)


def test_halves_share_no_video(tmp_path):
    videos = np.repeat(["a", "b", "c", "d"], [10, 9, 2, 1])
    real, features = save(tmp_path / "real.npz", len(videos), 0, videos)
    score.run(CONFIG, model="real", sampler="", real=real, scores=tmp_path / "scores.csv")
    row = rows(tmp_path / "scores.csv").iloc[0]
    # The largest first, each to the smaller half: a | b, then c with b, then d with a.
    first = np.isin(videos, ["a", "d"])
    assert sorted([row["n_real"], row["n_fake"]]) == [11, 11]
    assert "halves of 2 and 2 videos, none in both" in row["note"]
    assert row["value"] == pytest.approx(frechet_distance(features[first], features[~first]), rel=1e-12)


@pytest.mark.parametrize("videos", [["a"] * 12, ["a"] * 11 + ["b"]])
def test_halves_of_clips_where_videos_are_too_few(videos, tmp_path):
    real, _ = save(tmp_path / "real.npz", 12, 0, videos)
    score.run(CONFIG, model="real", sampler="", real=real, scores=tmp_path / "scores.csv")
    row = rows(tmp_path / "scores.csv").iloc[0]
    assert [row["n_real"], row["n_fake"]] == [6, 6]
    assert "halves share 1 of" in row["note"]


def test_few_clips_are_remarked_on(tmp_path):
    real, _ = save(tmp_path / "real.npz", 40, 0)
    for count, remarked in ((8, True), (9, False)):
        fake, _ = save(tmp_path / "fake.npz", count, 1)
        score.run(CONFIG, model="lvdm", sampler="", real=real, fake=fake, scores=tmp_path / "scores.csv")
        assert ("biased upwards" in rows(tmp_path / "scores.csv").iloc[0]["note"]) == remarked


@pytest.mark.parametrize(("real_clips", "fake_clips"), [(1, 5), (3, None), (1, None)])
def test_too_few_clips_for_a_distance_leave_the_value_out_and_say_so(real_clips, fake_clips, tmp_path):
    real, _ = save(tmp_path / "real.npz", real_clips, 0, ["a"] * real_clips)
    fake = None if fake_clips is None else save(tmp_path / "fake.npz", fake_clips, 1)[0]
    score.run(CONFIG, model="real", sampler="", real=real, fake=fake, scores=tmp_path / "scores.csv")
    found = pd.read_csv(tmp_path / "scores.csv")
    assert found["value"].isna().all()
    assert len(found) == 2
    assert found["note"].str.contains("no distance: ").all()


def test_twice_the_same_bytes(tmp_path):
    real, _ = save(tmp_path / "real.npz", 40, 0, list("abcd") * 10)
    for name in "ab":
        score.run(CONFIG, model="real", sampler="", real=real, scores=tmp_path / f"{name}.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_features_of_different_detectors(tmp_path):
    real, _ = save(tmp_path / "real.npz", 10, 0)
    np.savez(tmp_path / "fake.npz", features=np.zeros((10, 5), np.float32))
    with pytest.raises(ValueError, match="same detector"):
        score.run(
            CONFIG, model="lvdm", sampler="", real=real, fake=tmp_path / "fake.npz", scores=tmp_path / "scores.csv"
        )
    assert not (tmp_path / "scores.csv").exists()
