"""Hundreds of short jobs are tens of jobs for the cluster, and long ones run side by side."""

import re
import shutil

import pytest

pytestmark = pytest.mark.slurm

SHARDS = [f"results/first/shards/{name}.npy" for name in ("train-000", "heldout-000")]
FROZEN = 3  # jobs of the rule freeze, which run where Snakemake does


def started(run):
    """Jobs, and groups of them, that Snakemake has started."""
    return sum(map(int, re.findall(r"^Execute (\d+) jobs", run.output, re.MULTILINE)))


def submitted(run):
    return run.output.count(" has been submitted")


def test_two_hundred_videos_take_few_submissions(checkout, write_videos):
    write_videos(checkout.root / "data" / "first", 200)
    # Held in the queue, because running them all takes two cores ten minutes.
    run = checkout.start(*SHARDS, "--set-resources", "inspect:slurm_extra='--hold'")
    run.until(lambda: started(run) > FROZEN and submitted(run) == started(run) - FROZEN, "all jobs in the queue")
    jobs = checkout.queue()
    assert submitted(run) == len(jobs)
    assert len(jobs) <= 20
    assert all("inspect" in job.comment for job in jobs)
    assert {job.memory for job in jobs} == {2000}, "as much as one of a group, because they take turns"


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_when_all_is_extracted_nothing_more_is_submitted(checkout, write_videos, count):
    write_videos(checkout.root / "data" / "first", count)
    checkout.finish(*SHARDS)
    assert len(list((checkout.root / "results" / "first" / "frames").glob("*.mkv"))) == count
    jobs = checkout.jobs()
    assert len([job for job in jobs if "extract" in job.comment]) == -(-count // 32)
    assert {job.state for job in jobs} == {"COMPLETED"}

    assert "Nothing to be done" in checkout.finish(*SHARDS)
    assert len(checkout.jobs()) == len(jobs)


def test_trainings_of_two_data_sets_run_at_the_same_time(prepared):
    for folder in ("data", "results"):
        shutil.copytree(prepared.root / folder / "first", prepared.root / folder / "second")
    prepared.configure({"datasets": {"second": {"videos": "data/second/*.mp4"}}})
    prepared.slow_down(10.0)
    run = prepared.start(*(f"results/{name}/autoencoder/weights.safetensors" for name in ("first", "second")))
    run.until(lambda: [job.state for job in prepared.queue("train_autoencoder")] == ["RUNNING"] * 2, "two trainings")
