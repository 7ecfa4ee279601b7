"""The whole pipeline on the cluster, as a user starts it."""

import pandas as pd
import pytest

pytestmark = pytest.mark.slurm


def test_the_demo_ends_with_the_tables_of_a_local_run(checkout, repository):
    local = repository / "results" / "tables"
    if not (local / "demo.csv").exists():
        pytest.skip("there is no local run to compare with; `make demo` makes one")
    command = ["all", "--configfile", "config/demo.yaml"]
    checkout.finish(*command)
    for name in ("demo.csv", "demo.md", "demo.tex"):
        assert (checkout.root / "results" / "tables" / name).read_bytes() == (local / name).read_bytes()

    jobs = checkout.jobs()
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert {job.partition for job in jobs if "train" in job.comment} == {"gpu"}
    cost = pd.read_csv(checkout.root / "results" / "report" / "cost.csv").set_index("stage")
    trainings = cost.loc[["train-autoencoder", "train-diffusion"]]
    assert set(trainings.source) == {"sacct"}
    assert (trainings.gpu_hours > 0).all()

    assert "Nothing to be done" in checkout.finish(*command)
    assert len(checkout.jobs()) == len(jobs)
