"""Whatever happens to a training on the cluster, it ends as if nothing had happened.

Each test disturbs a slow training (bin/lvdm) once it has saved something, and looks at what SLURM says of its jobs, at
the weights, and at the curve. How often SLURM itself started a job again is asked of the controller: on a busy machine
the accounting can lose attempts of a job (seen with SLURM 22.05).
"""

import pandas as pd
import pytest

pytestmark = pytest.mark.slurm

WEIGHTS = "results/first/autoencoder/weights.safetensors"


def start_slowly(checkout, *arguments):
    """Snakemake, and the job of a training that has saved a checkpoint and has long to go."""
    checkout.slow_down(3.0)
    run = checkout.start(WEIGHTS, *arguments)
    run.until(checkout.training().saved, "a checkpoint")
    (job,) = checkout.queue("train_autoencoder")
    return run, job


def assert_as_undisturbed(training, undisturbed, resumed=True):
    """The same weights, bit for bit, and one curve, with the numbers of a training that went through at once."""
    assert training.weights == undisturbed.training().weights
    pd.testing.assert_frame_equal(training.curve, undisturbed.training().curve, check_exact=True)
    assert ("going on after step" in training.log) == resumed


def assert_the_same_job_ended_well(checkout, job, *states):
    """SLURM started the job again, from one of ``states``: none of Snakemake's retries is used up."""
    *before, last = checkout.jobs()
    assert {attempt.id for attempt in before} | {last.id} == {job.id}
    assert {attempt.state for attempt in before} <= set(states)
    assert last.state == "COMPLETED"


def test_a_walltime_that_is_reached_twice(prepared, undisturbed, cluster):
    # SLURM looks at the clock every 30 seconds: the notice comes 45 to 75 seconds after the start.
    limits = ["train_autoencoder:runtime=2", "train_autoencoder:slurm_extra='--signal=USR1@45'"]
    run, job = start_slowly(prepared, "--set-resources", *limits)
    prepared.slow_down(10.0)
    run.until(lambda: cluster.restarts(job) >= 2, "two walltimes")
    prepared.hurry()
    run.finish()
    assert_as_undisturbed(prepared.training(), undisturbed)
    assert_the_same_job_ended_well(prepared, job, "REQUEUED")


def test_preemption_by_a_higher_partition(prepared, undisturbed, cluster):
    run, job = start_slowly(prepared, "--set-resources", "train_autoencoder:slurm_partition=preemptible")
    cluster.ask("srun", "--partition=urgent", "--exclusive", "true")
    prepared.hurry()
    run.finish()
    assert cluster.restarts(job) >= 1
    assert_as_undisturbed(prepared.training(), undisturbed)
    assert_the_same_job_ended_well(prepared, job, "PREEMPTED", "REQUEUED")


def test_scancel(prepared, undisturbed, cluster):
    run, job = start_slowly(prepared)
    cluster.ask("scancel", job.id)
    prepared.hurry()
    run.finish()
    assert_as_undisturbed(prepared.training(), undisturbed)
    assert [attempt.state for attempt in prepared.jobs()] == ["CANCELLED", "COMPLETED"]


def test_kill_of_the_training_process(prepared, undisturbed):
    run, _ = start_slowly(prepared)
    (process,) = prepared.training().processes()
    process.kill()
    prepared.hurry()
    run.finish()
    assert_as_undisturbed(prepared.training(), undisturbed)
    assert [attempt.state for attempt in prepared.jobs()] == ["FAILED", "COMPLETED"]


def test_kill_of_snakemake_and_the_same_command_again(prepared, undisturbed):
    first, job = start_slowly(prepared)
    first.kill()
    assert prepared.queue() == [job]
    second = prepared.start(WEIGHTS)
    second.until(lambda: job not in prepared.queue(), "the end of the first job")
    prepared.hurry()
    second.finish()
    assert_as_undisturbed(prepared.training(), undisturbed)
    assert [attempt.state for attempt in prepared.jobs()] == ["CANCELLED", "COMPLETED"]


def test_a_second_snakemake_is_refused_while_one_lives(prepared):
    _, job = start_slowly(prepared)
    second = prepared.start(WEIGHTS)
    assert second.wait() != 0
    assert "cannot be locked" in second.output
    assert prepared.queue() == [job]


def test_a_node_that_goes_down(prepared, undisturbed, cluster):
    run, job = start_slowly(prepared, "--set-resources", "train_autoencoder:slurm_partition=fragile")
    cluster.ask("scontrol", "update", f"nodename={job.nodes}", "state=down", "reason=test")
    prepared.hurry()
    run.finish()
    assert cluster.restarts(job) == 1
    assert_as_undisturbed(prepared.training(), undisturbed)
    assert_the_same_job_ended_well(prepared, job, "NODE_FAIL")


@pytest.mark.without_accounting
def test_the_accounting_goes_away_while_a_job_runs(prepared, undisturbed, cluster):
    run, job = start_slowly(prepared)
    cluster.stop("slurmdbd")
    try:
        prepared.hurry()
        run.finish()
    finally:
        cluster.start("slurmdbd")
    assert_as_undisturbed(prepared.training(), undisturbed, resumed=False)
    assert [(attempt.id, attempt.state) for attempt in prepared.jobs()] == [(job.id, "COMPLETED")]
