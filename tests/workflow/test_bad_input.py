"""Configurations and data sets that cannot be used end with one message, before anything runs."""

import pytest


def refused(tree, changes):
    """What Snakemake says to a configuration that it must not accept."""
    tree.configure(changes)
    result = tree.snakemake("all")
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stdout
    assert not (tree.root / "results").exists()
    return result.stdout


def test_unknown_key_is_named_with_the_one_that_was_meant(fresh_tree):
    message = refused(fresh_tree, {"data": {"resolutoin": 64}})
    assert "data.resolutoin: unknown key; did you mean 'resolution'?" in message
    assert "tiny.yaml" in message


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"sample": {"videos": "many"}}, "sample.videos"),
        ({"autoencoder": {"training": {"steps": 1.5}}}, "autoencoder.training.steps"),
        ({"datasets": {"first": {"override": {"data": {"length": "8"}}}}}, "datasets.first.override"),
        ({"datasets": {"first": {"override": {"videos": {}}}}}, "datasets.first.override.videos"),
        ({"diffusion": {"model": {"temporal_length": 4}}}, "diffusion.model.temporal_length"),
    ],
)
def test_wrong_value_is_named(fresh_tree, changes, key):
    assert key in refused(fresh_tree, changes)


def test_missing_and_empty_folders_are_named_together_with_where_to_get_the_data(fresh_tree):
    (fresh_tree.root / "data" / "second").mkdir(parents=True)
    pages = {name: {"page": f"https://example.org/{name}"} for name in ("first", "second")}
    message = refused(fresh_tree, {"datasets": pages})
    for name in ("first", "second"):
        assert f"data/{name}" in message
        assert f"https://example.org/{name}" in message
    assert "make demo" in message


def test_a_glob_without_videos_is_refused(fresh_tree):
    folder = fresh_tree.root / "data" / "first"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("no video")
    assert "datasets.first" in refused(fresh_tree, {"datasets": {"first": {"videos": "data/first/*"}}})


def test_the_benchmark_without_its_data_says_where_to_get_it(fresh_tree):
    result = fresh_tree.snakemake("all", "--configfile", "config/config.yaml")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    for text in ("colonoscopic", "https://osf.io/dv2ag/", "data/cholect45", "make demo"):
        assert text in result.stdout
