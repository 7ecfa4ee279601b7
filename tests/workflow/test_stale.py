"""What runs again after a change, read from the dry run."""

import shutil

import pytest

SCORING = {"score", "table", "cost", "report"}


def rules(jobs, dataset=None):
    """The rules of some planned jobs, of one data set if given, without the writing of configurations."""
    chosen = (job for job in jobs if dataset in (None, job.wildcards.get("dataset")))
    return {job.rule for job in chosen} - {"freeze", "freeze_report"}


def frozen(jobs):
    """The stages whose frozen configuration is written again."""
    return {job.wildcards["stage"] for job in jobs if job.rule == "freeze"}


def test_nothing_to_do_after_a_finished_run(tree):
    assert tree.planned() == []


def test_a_new_video_is_extracted_alone(tree, patients):
    shutil.copy(patients[7], tree.root / "data" / "first" / "new.mp4")
    jobs = tree.planned()
    assert [job.wildcards["video"] for job in jobs if job.rule == "extract"] == ["new"]
    shards = [job for job in jobs if job.rule == "shard"]
    assert len(shards) == 1
    assert rules(jobs, "second") == set()
    assert frozen(jobs) == set()

    before = _times(tree, "results/first/frames/*", "results/first/shards/*")
    tree.finish(
        "results/first/shards/train-000.npy",
        "results/first/shards/train-001.npy",
        "results/first/shards/heldout-000.npy",
    )
    after = _times(tree, "results/first/frames/*", "results/first/shards/*")
    changed = {path for path in after if after[path] != before.get(path)}
    shard = "{split}-{index}".format(**shards[0].wildcards)
    assert changed == {"new.mkv", "new.json", f"{shard}.npy", f"{shard}.json"}


def test_a_replaced_video_is_extracted_again_alone(tree, patients):
    shutil.copy(patients[7], tree.root / "data" / "first" / "patient-02.mp4")
    jobs = tree.planned()
    assert [job.wildcards["video"] for job in jobs if job.rule == "extract"] == ["patient-02"]
    assert len([job for job in jobs if job.rule == "shard"]) == 1


def test_a_removed_video_leaves_its_shard(tree):
    (tree.root / "data" / "first" / "patient-01.mp4").unlink()
    jobs = tree.planned()
    assert "extract" not in rules(jobs)
    assert len([job for job in jobs if job.rule == "shard"]) == 1


def test_other_sampler_steps_sample_and_score_but_train_nothing(tree):
    tree.configure({"sample": {"samplers": {"ddim": {"steps": 1}}}})
    jobs = tree.planned()
    assert frozen(jobs) == {"sample.ddim"}
    assert rules(jobs, "first") == {"sample", "preview", "features", "score", "memorise", "table"}
    assert {job.wildcards["model"] for job in jobs if "model" in job.wildcards} == {"ddim"}


def test_what_decides_no_weight_trains_nothing(tree):
    """Keys that are about records, pictures, checkpoints and the machine; the metadata of a run has none of them."""
    looks = {"log_every": 2, "validate_every": 3, "validate_clips": 1, "picture_clips": 1, "checkpoint_every": 5.0}
    sections = {"autoencoder": {"training": looks}, "diffusion": {"training": looks}}
    sections["diffusion"] |= {"preview_sampler": {"steps": 3}, "model": {"checkpointing": True}}
    tree.configure(sections)
    assert tree.planned() == []
    tree.configure({"diffusion": {"training": {"learning_rate": 1e-3}}})
    jobs = tree.planned()
    assert frozen(jobs) == {"train-diffusion"}
    assert "train_autoencoder" not in rules(jobs)


@pytest.mark.slow
def test_more_steps_go_on_and_fewer_are_taken_up_again_with_the_present_settings(tree):
    weights = "results/first/autoencoder/weights.safetensors"
    before = (tree.root / weights).read_bytes()
    tree.configure({"autoencoder": {"training": {"steps": 6, "log_every": 2, "checkpoint_every": 0.5}}})
    assert frozen(tree.planned(weights)) >= {"train-autoencoder"}
    log = tree.root / "results/logs/first/train-autoencoder.log"
    tree.finish(weights)
    assert "going on after step 3 of 6" in log.read_text()
    curve = (tree.root / "results/first/autoencoder/curve.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in curve] == ["step", "1", "2", "4", "6"]  # a row every two steps by now
    after = (tree.root / weights).read_bytes()
    assert after != before
    tree.configure({"autoencoder": {"training": {"steps": 3}}})
    tree.finish(weights)
    assert (tree.root / weights).read_bytes() == before
    assert "it was trained for 3 steps before" in log.read_text()


def test_a_sampler_that_is_added_leaves_the_other_alone(tree):
    tree.configure({"sample": {"samplers": {"dpm": {"method": "dpm-solver++", "steps": 1}}}})
    jobs = tree.planned()
    assert {job.wildcards["sampler"] for job in jobs if job.rule == "sample"} == {"dpm"}
    assert {job.wildcards["model"] for job in jobs if job.rule in ("features", "score")} == {"dpm"}


def test_comments_and_docstrings_make_nothing_stale(tree):
    tree.edit("lvdm/evaluation/metrics.py", '"""', '"""Another docstring. ')
    for path in ("lvdm/models/unet.py", "lvdm/stages/sample.py", "lvdm/data/video.py", "lvdm/config.py"):
        text = (tree.root / path).read_text(encoding="utf-8")
        (tree.root / path).write_text(f"# A comment.\n{text}\n# Another.\n", encoding="utf-8")
    assert tree.planned() == []


def test_changed_code_of_a_metric_scores_again_and_no_more(tree):
    _add_statement(tree, "lvdm/evaluation/metrics.py")
    jobs = tree.planned()
    assert rules(jobs) == SCORING
    assert frozen(jobs) == {"score.protocol@random3d"}
    tree.finish("results/tables/first.csv")
    assert tree.planned("results/tables/first.csv") != []  # the other data set
    assert rules(tree.planned(), "first") == set()


def test_changed_code_of_a_detector_computes_features_again_and_no_more(tree):
    _add_statement(tree, "lvdm/evaluation/detectors.py")
    assert rules(tree.planned()) == {"features", "memorise", *SCORING}


def test_another_number_of_resamples_scores_again_and_no_more(tree):
    tree.edit("tests/workflow/protocol.yaml", "bootstrap: 8", "bootstrap: 9")
    jobs = tree.planned()
    assert rules(jobs) == SCORING
    assert frozen(jobs) == {"score.protocol@random3d"}


def test_another_jpeg_quality_of_the_fakes_leaves_features_of_real_clips_alone(tree):
    tree.edit("tests/workflow/protocol.yaml", "fake: {", "fake: {jpeg_quality: 75, ")
    jobs = tree.planned()
    assert rules(jobs) == {"features", "memorise", *SCORING}
    assert {job.wildcards["model"] for job in jobs if job.rule == "features"} == {"ddim", "other", "noise"}
    assert frozen(jobs) == {"features.protocol@random3d@fake"}


def test_a_protocol_that_is_added_leaves_the_other_alone(tree):
    tree.edit("tests/workflow/protocol.yaml", "# The", "# Another comment. The")
    text = (tree.root / "tests/workflow/protocol.yaml").read_text()
    (tree.root / "tests/workflow/second.yaml").write_text(text.replace("bootstrap: 8", "bootstrap: 0"))
    tree.configure({"evaluate": {"protocols": ["tests/workflow/protocol.yaml", "tests/workflow/second.yaml"]}})
    jobs = tree.planned()
    assert rules(jobs) == {"features", "memorise", *SCORING}
    assert {job.wildcards["protocol"] for job in jobs if "protocol" in job.wildcards} == {"second"}


def test_a_replaced_video_of_another_generator_is_imported_and_scored_alone(tree):
    shutil.copy(tree.root / "data" / "other" / "0.mp4", tree.root / "data" / "other" / "1.mp4")
    jobs = tree.planned()
    assert rules(jobs) == {"import_clips", "preview", "features", "memorise", *SCORING}
    assert {job.wildcards["model"] for job in jobs if "model" in job.wildcards} == {"other"}


def test_changed_code_of_the_sampler_samples_again_and_trains_nothing_of_the_autoencoder(tree):
    _add_statement(tree, "lvdm/stages/sample.py")
    assert rules(tree.planned()) == {"sample", "preview", "features", "memorise", *SCORING}


def test_another_autoencoder_runs_again_from_there_for_that_data_set_alone(tree):
    tree.configure({"datasets": {"first": {"override": {"autoencoder": {"model": {"hidden_channels": 8}}}}}})
    jobs = tree.planned()
    assert rules(jobs, "second") == set()
    assert rules(jobs, "first") == {
        "train_autoencoder",
        "encode",
        "latent_statistics",
        "train_diffusion",
        "sample",
        "preview",
        "features",
        "score",
        "memorise",
        "table",
    }
    assert {job.wildcards.get("model") for job in jobs if job.rule in ("preview", "features")} == {"ddim"}


def test_a_finished_training_that_is_pinned_does_not_follow_the_code(tree):
    tree.configure({"autoencoder": {"pin_code": True}, "diffusion": {"pin_code": True}})
    assert tree.planned() == []
    _add_statement(tree, "lvdm/models/unet.py")
    assert frozen(tree.planned()) & {"sample.ddim", "train-diffusion", "train-autoencoder"} == {"sample.ddim"}
    tree.configure({"diffusion": {"pin_code": False}})
    assert "train_diffusion" in rules(tree.planned())


def _add_statement(tree, path):
    text = (tree.root / path).read_text(encoding="utf-8")
    (tree.root / path).write_text(f"{text}\n_ADDED = 1\n", encoding="utf-8")


def _times(tree, *globs):
    return {path.name: path.stat().st_mtime_ns for glob in globs for path in tree.root.glob(glob)}
