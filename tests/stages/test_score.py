"""Stage score: rows, names that do not promise too much, and halves of the real clips."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from lvdm.evaluation.metrics import frechet_distance, inception_score, kernel_distance
from lvdm.stages import score
from lvdm.stages.config import ScoreConfig

CONFIG = ScoreConfig(
    dataset="colon",
    protocol_name="lossless",
    detector_name="stand-in",
    metrics={"bootstrap": 20, "curve_points": 3, "kernel": {"subsets": 5}},
    threads=1,
)
REQUIRED = ["dataset", "model", "sampler", "protocol", "detector", "metric", "value", "n_real", "n_fake", "seed"]
DISTANCES = ["frechet_distance", "frechet_distance_infinity", "kernel_distance"]
MANIFOLD = ["precision", "recall", "density", "coverage"]
FILE = {"path": "network.pt", "size": 1}


def save(path, count: int, seed: int, videos=None, runs=None, groups=None, **arrays):
    values = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    videos = np.arange(count).astype(str) if videos is None else np.array(videos)
    rows = {
        "videos": videos,
        "groups": videos if groups is None else np.array(groups),
        "firsts": np.zeros(count, np.int64),
        "runs": np.arange(count)[None] if runs is None else np.array(runs),
    }
    np.savez(path, values=values, **rows, **arrays)
    return path, values


def run(tmp_path, config=CONFIG, model="lvdm", sampler="", **features) -> pd.DataFrame:
    score.run(
        config, model=model, sampler=sampler, scores=tmp_path / "scores.csv", curve=tmp_path / "curve.csv", **features
    )
    table = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False, na_values={"value": [""]})
    return table.set_index("metric", drop=False)


def with_metrics(**metrics):
    return CONFIG.replace(metrics={**CONFIG.metrics.model_dump(mode="json"), **metrics})


def detector(kind: str, **fields):
    return CONFIG.replace(detector={"kind": kind, "file": FILE, **fields}, detector_name=kind)


def test_generated_against_all_real(tmp_path):
    real, real_values = save(tmp_path / "real.npz", 40, 0, ["a", "b", "c", "d"] * 10)
    fake, fake_values = save(tmp_path / "fake.npz", 30, 1)
    found = run(tmp_path, sampler="ddim-50", real=real, fake=fake)
    assert list(found.columns)[: len(REQUIRED)] == REQUIRED
    assert list(found.index) == DISTANCES + MANIFOLD
    row = found.iloc[0]
    assert row[["dataset", "model", "sampler", "protocol", "detector"]].tolist() == [
        "colon", "lvdm", "ddim-50", "lossless", "stand-in",
    ]  # fmt: skip
    assert row[["n_real", "n_fake", "seed"]].tolist() == [40, 30, 0]
    assert row["value"] == pytest.approx(frechet_distance(real_values, fake_values), rel=1e-12)
    # The smaller side is whole in every subset, the larger is not.
    assert float(found.loc["kernel_distance", "std"]) > 0
    assert found.loc["kernel_distance", "value"] == pytest.approx(kernel_distance(real_values, fake_values), abs=0.1)
    for name in ("frechet_distance", "kernel_distance"):
        low, high = (float(found.loc[name, end]) for end in ("low", "high"))
        assert low < high
        assert low < found.loc[name, "value"] + (high - low)
    assert found.loc["frechet_distance_infinity", "value"] < found.loc["frechet_distance", "value"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("i3d", ["fvd", "fvd_infinity", "kvd"]),
        ("i3d-state-dict", ["fvd", "fvd_infinity", "kvd"]),
        ("videomae", ["cd_fvd", "cd_fvd_infinity", "kernel_distance"]),
        ("v-jepa", ["frechet_distance", "frechet_distance_infinity", "jedi"]),
        ("video", DISTANCES),
        ("image", DISTANCES),
    ],
)
def test_only_the_networks_of_papers_give_their_metrics(kind, names, tmp_path):
    real, _ = save(tmp_path / "real.npz", 10, 0)
    assert list(run(tmp_path, detector(kind, features=8), real=real, fake=real).index) == names + MANIFOLD


@pytest.mark.parametrize(("kind", "names"), [("inception", ["fid", "fid_infinity", "kid"]), ("c3d", [])])
def test_classifiers_give_inception_scores(kind, names, tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 40).astype(np.float32)
    real, _ = save(tmp_path / "real.npz", 40, 0, probabilities=probabilities)
    fake, _ = save(tmp_path / "fake.npz", 40, 1, probabilities=probabilities)
    config = detector(kind).replace(metrics={**CONFIG.metrics.model_dump(mode="json"), "inception_shuffle": "clips"})
    found = run(tmp_path, config, real=real, fake=fake)
    name = "is" if kind == "inception" else "video_is"
    assert list(found.index) == [*names, *(MANIFOLD if names else []), name]
    unshuffled = inception_score(probabilities, 10)
    assert (found.loc[name, "value"] == pytest.approx(unshuffled[0], rel=1e-9)) == (kind == "inception")
    if kind == "inception":
        assert float(found.loc[name, "std"]) == pytest.approx(unshuffled[1], rel=1e-9)
    few, _ = save(tmp_path / "few.npz", 9, 1, probabilities=probabilities[:9])
    assert np.isnan(run(tmp_path, config, real=real, fake=few).loc[name, "value"])


def test_repetitions_are_averaged(tmp_path):
    runs = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]]
    real, values = save(tmp_path / "real.npz", 15, 0, runs=runs)
    fake, fake_values = save(tmp_path / "fake.npz", 12, 1)
    config = with_metrics(ddof=0, kernel={"subsets": None})
    found = run(tmp_path, config, real=real, fake=fake)
    for name, distance in (
        ("frechet_distance", lambda rows: frechet_distance(values[rows], fake_values, 0)),
        ("kernel_distance", lambda rows: kernel_distance(values[rows], fake_values)),
    ):
        singles = [distance(rows) for rows in runs]
        assert found.loc[name, "value"] == pytest.approx(np.mean(singles), rel=1e-9)
        assert float(found.loc[name, "std"]) == pytest.approx(np.std(singles), rel=1e-9)
    assert found.iloc[0][["n_real", "n_fake"]].tolist() == [10, 12]


def test_longer_videos_are_scored_over_time(tmp_path):
    real, values = save(tmp_path / "real.npz", 10, 0)
    windows = np.array([[0, 2, 4], [1, 3, 5]])
    fake, fake_values = save(tmp_path / "fake.npz", 6, 1, runs=[[0, 2, 4]], starts=np.array([0, 16]), windows=windows)
    found = run(tmp_path, real=real, fake=fake)
    assert found.loc["frechet_distance@0", "value"] == found.loc["frechet_distance", "value"]
    expected = frechet_distance(values, fake_values[[1, 3, 5]])
    assert found.loc["frechet_distance@16", "value"] == pytest.approx(expected, rel=1e-12)


def test_the_curve_ends_at_all_clips(tmp_path):
    real, values = save(tmp_path / "real.npz", 400, 0)
    fake, fake_values = save(tmp_path / "fake.npz", 200, 1)
    found = run(tmp_path, real=real, fake=fake)
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve["n"].tolist() == [25, 50, 75, 100, 150, 200]
    assert curve["value"].iloc[-1] == pytest.approx(frechet_distance(values, fake_values), rel=1e-12)
    assert curve["value"].iloc[0] > 3 * curve["value"].iloc[-1]
    fit = np.polyfit(1 / curve["n"].to_numpy()[3:], curve["value"].to_numpy()[3:], 1)
    assert found.loc["frechet_distance_infinity", "value"] == pytest.approx(fit[1], rel=1e-6)
    np.testing.assert_allclose(curve["fit"], np.polyval(fit, 1 / curve["n"]), rtol=1e-6)
    # 200 against 200 real clips of one distribution.
    assert 0 < curve["floor"].iloc[-1] < curve["floor"].iloc[0]


def test_halves_share_no_video(tmp_path):
    videos = np.repeat(["a", "b", "c", "d"], [10, 9, 2, 1])
    real, values = save(tmp_path / "real.npz", len(videos), 0, videos)
    row = run(tmp_path, model="real", real=real).iloc[0]
    # The largest first, each to the smaller half: a | b, then c with b, then d with a.
    first = np.isin(videos, ["a", "d"])
    assert sorted([row["n_real"], row["n_fake"]]) == [11, 11]
    assert "halves of 2 and 2 videos, none in both" in row["note"]
    assert row["value"] == pytest.approx(frechet_distance(values[first], values[~first]), rel=1e-12)


@pytest.mark.parametrize("videos", [["a"] * 12, ["a"] * 11 + ["b"]])
def test_halves_of_clips_where_videos_are_too_few(videos, tmp_path):
    real, _ = save(tmp_path / "real.npz", 12, 0, videos)
    row = run(tmp_path, model="real", real=real).iloc[0]
    assert [row["n_real"], row["n_fake"]] == [6, 6]
    assert "halves share 1 of" in row["note"]
    assert row["low"] == ""  # one video says nothing of others


def test_halves_share_no_group(tmp_path):
    """Four videos of three patients: without groups, the two of the first patient go to both halves."""
    videos = np.repeat(["a1", "a2", "b", "c"], [6, 5, 4, 3])
    real, values = save(tmp_path / "real.npz", len(videos), 0, videos, groups=[name[0] for name in videos])
    row = run(tmp_path, model="real", real=real).iloc[0]
    first = np.isin(videos, ["a1", "a2"])
    assert sorted([row["n_real"], row["n_fake"]]) == [7, 11]
    assert "halves of 1 and 2 groups, none in both" in row["note"]
    assert row["value"] == pytest.approx(frechet_distance(values[first], values[~first]), rel=1e-9)


def test_resamples_are_of_groups(tmp_path):
    """The interval is that of groups, whatever the videos are called; three groups are too few for one."""
    fake, _ = save(tmp_path / "fake.npz", 30, 1)
    by_group = list("abcd") * 10
    single, _ = save(tmp_path / "single.npz", 40, 0, by_group)
    many, _ = save(tmp_path / "many.npz", 40, 0, np.arange(40).astype(str), groups=by_group)
    few, _ = save(tmp_path / "few.npz", 40, 0, by_group, groups=["a" if name == "d" else name for name in by_group])
    expected, found, none = (run(tmp_path, real=real, fake=fake).drop(columns="note") for real in (single, many, few))
    pd.testing.assert_frame_equal(found, expected)
    assert (found["low"].head(2) != "").any()
    assert (none["low"] == "").all()


def test_few_clips_are_remarked_on(tmp_path):
    real, _ = save(tmp_path / "real.npz", 40, 0)
    for count, remarked in ((8, True), (9, False)):
        fake, _ = save(tmp_path / "fake.npz", count, 1)
        assert ("biased upwards" in run(tmp_path, real=real, fake=fake).iloc[0]["note"]) == remarked


@pytest.mark.parametrize(("real_clips", "fake_clips"), [(1, 5), (3, None), (1, None), (0, 5), (0, None)])
def test_too_few_clips_for_a_distance_leave_the_value_out_and_say_so(real_clips, fake_clips, tmp_path):
    real, _ = save(tmp_path / "real.npz", real_clips, 0, ["a"] * real_clips)
    fake = None if fake_clips is None else save(tmp_path / "fake.npz", fake_clips, 1)[0]
    found = run(tmp_path, model="real", real=real, fake=fake)
    assert found["value"].isna().all()
    assert list(found.index) == DISTANCES + MANIFOLD
    assert found["note"].str.contains("no distance: ").all()
    assert pd.read_csv(tmp_path / "curve.csv").empty


def test_without_resamples_there_is_no_interval(tmp_path):
    real, _ = save(tmp_path / "real.npz", 20, 0)
    found = run(tmp_path, with_metrics(bootstrap=0), real=real, fake=real)
    assert (found["low"] == "").all()


def test_twice_the_same_bytes_on_any_number_of_cores(tmp_path):
    real, _ = save(tmp_path / "real.npz", 40, 0, list("abcd") * 10)
    files = []
    for threads in (1, 4):
        with threadpool_limits(limits=threads):
            run(tmp_path, model="real", real=real)
        files.append([(tmp_path / name).read_bytes() for name in ("scores.csv", "curve.csv")])
    assert files[0] == files[1]


def test_features_of_different_detectors(tmp_path):
    real, _ = save(tmp_path / "real.npz", 10, 0)
    names = np.array(["a"] * 10)
    rows = {"videos": names, "groups": names, "firsts": np.zeros(10, int), "runs": np.arange(10)[None]}
    np.savez(tmp_path / "fake.npz", values=np.zeros((10, 5), np.float32), **rows)
    with pytest.raises(ValueError, match="same detector"):
        run(tmp_path, real=real, fake=tmp_path / "fake.npz")
    assert not (tmp_path / "scores.csv").exists()
