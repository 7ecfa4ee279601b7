"""Hundreds of short jobs are tens of jobs for the cluster."""

import pytest

pytestmark = pytest.mark.slurm


def test_two_hundred_videos_take_few_submissions(checkout, write_videos):
    write_videos(checkout.root / "data" / "first", 200)
    shards = [f"results/first/shards/{name}.npy" for name in ("train-000", "heldout-000")]
    checkout.finish(*shards, "--set-resources", "extract:slurm_partition=bulk")
    assert len(list((checkout.root / "results" / "first" / "frames").glob("*.mkv"))) == 200
    jobs = checkout.jobs()
    assert len([job for job in jobs if "extract" in job.comment]) <= 20
    assert {job.state for job in jobs} == {"COMPLETED"}

    assert "Nothing to be done" in checkout.finish(*shards)
    assert len(checkout.jobs()) == len(jobs)
