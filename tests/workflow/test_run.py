"""A finished run has what a user is promised."""

import csv
import json

import pandas as pd

COLUMNS = ["dataset", "model", "sampler", "protocol", "detector", "metric", "value", "n_real", "n_fake", "seed"]


def test_tables_have_the_samplers_and_both_references(finished):
    for dataset in ("first", "second"):
        table = pd.read_csv(finished / f"results/tables/{dataset}.csv", keep_default_na=False)
        assert set(COLUMNS) <= set(table.columns)
        assert set(table.dataset) == {dataset}
        distances = table[table.detector == "random3d"]
        others = {"other"} if dataset == "first" else set()
        assert set(distances.model) == {"lvdm", "real", "train", "noise"} | others
        assert set(distances.loc[distances.model == "lvdm", "sampler"]) == {"ddim"}
        assert (distances.loc[distances.model == "lvdm", "n_fake"] == 6).all()
        assert (finished / f"results/tables/{dataset}.md").read_text().strip()


def test_another_generator_stands_in_the_table(finished):
    table = pd.read_csv(finished / "results/tables/first.csv", keep_default_na=False)
    rows = table[table.model == "other"].set_index("metric")
    assert set(rows.n_fake) == {"5"} or set(rows.n_fake) == {5}
    # Its videos of 12 frames are scored from frames 0 and 4, each time 8 of them.
    assert rows.loc["frechet_distance@0", "value"] == rows.loc["frechet_distance", "value"]
    assert rows.loc["frechet_distance@4", "value"] != rows.loc["frechet_distance", "value"]


def test_nearest_training_clips_are_looked_for(finished):
    for dataset, models in (("first", ["ddim", "other"]), ("second", ["ddim"])):
        folder = finished / "results" / dataset / "memorisation" / "protocol" / "random3d"
        for model in models:
            nearest = pd.read_csv(folder / f"{model}.csv")
            generated = nearest[nearest.kind == "generated"]
            assert len(generated) == (5 if model == "other" else 6)
            assert (generated.distance > 0).all()
            assert len(list((folder / model / "pairs").glob("*-training.npy"))) == len(generated)


def test_a_broken_video_is_listed_and_left_out(finished):
    results = finished / "results" / "second"
    with (results / "manifest.csv").open(encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {row["usable"] for id, row in rows.items() if id != "notes"} == {"True"}
    assert rows["notes"]["usable"] == "False"
    assert rows["notes"]["reason"]
    assert (results / "frames" / "notes.mkv").stat().st_size == 0
    assert not json.loads((results / "frames" / "notes.json").read_text())["usable"]


def test_a_name_with_spaces_quotes_and_umlauts_gets_through(finished):
    results = finished / "results" / "second"
    with (results / "manifest.csv").open(encoding="utf-8") as file:
        (row,) = (row for row in csv.DictReader(file) if "Fäll" in row["path"])
    assert (results / "frames" / f"{row['id']}.mkv").stat().st_size > 0


def test_frozen_configurations_name_stage_and_code(finished):
    files = sorted((finished / "results" / "first" / "config").glob("*.json"))
    assert "sample.ddim" in {file.stem for file in files}
    for file in files:
        frozen = json.loads(file.read_text())
        assert frozen["stage"] == file.stem
        assert len(frozen["code"]) == 16


def test_each_stage_leaves_a_log(finished):
    logs = finished / "results" / "logs" / "first"
    for name in (
        "probe",
        "train-autoencoder",
        "sample/ddim/0001",
        "features/protocol/random3d/real",
        "score/protocol/random3d/noise",
    ):
        assert (logs / f"{name}.log").read_text().strip(), name


def test_the_page_shows_every_data_set(finished):
    page = (finished / "results" / "report" / "index.html").read_text(encoding="utf-8")
    assert "first" in page
    assert "second" in page
    assert any((finished / "results" / "report" / "media").rglob("*.mp4"))
