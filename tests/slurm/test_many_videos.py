"""Hundreds of short jobs are tens of jobs for the cluster, and long ones run side by side."""

import shutil

import pytest

pytestmark = pytest.mark.slurm


def test_two_hundred_videos_take_few_submissions(checkout, write_videos):
    write_videos(checkout.root / "data" / "first", 200)
    shards = [f"results/first/shards/{name}.npy" for name in ("train-000", "heldout-000")]
    checkout.finish(*shards, "--set-resources", "extract:slurm_partition=bulk", "--jobs", "3")
    assert len(list((checkout.root / "results" / "first" / "frames").glob("*.mkv"))) == 200
    jobs = checkout.jobs()
    extractions = [job for job in jobs if "extract" in job.comment]
    assert len(extractions) <= 20
    assert {job.memory for job in extractions} == {2000}, "as much as one of a group, because they take turns"
    assert {job.state for job in jobs} == {"COMPLETED"}

    assert "Nothing to be done" in checkout.finish(*shards)
    assert len(checkout.jobs()) == len(jobs)


def test_trainings_of_two_data_sets_run_at_the_same_time(prepared):
    for folder in ("data", "results"):
        shutil.copytree(prepared.root / folder / "first", prepared.root / folder / "second")
    prepared.configure({"datasets": {"second": {"videos": "data/second/*.mp4"}}})
    prepared.slow_down(10.0)
    run = prepared.start(*(f"results/{name}/autoencoder/weights.safetensors" for name in ("first", "second")))
    run.until(lambda: [job.state for job in prepared.queue("train_autoencoder")] == ["RUNNING"] * 2, "two trainings")
