"""Whatever happens to a training on the cluster, it ends as if nothing had happened.

Each test disturbs a training that takes its time (bin/lvdm), and looks at what SLURM says
of its jobs, at the weights, and at the curve.
"""

import pandas as pd
import pytest

pytestmark = pytest.mark.slurm

WEIGHTS = "results/first/autoencoder/weights.safetensors"

# 60 steps: at least 210 seconds, or 60 where a single disturbance has to find the training at work.
SLOWLY = {"STEP_SECONDS": "3.5"}
BRISKLY = {"STEP_SECONDS": "1"}


def assert_as_undisturbed(training, undisturbed):
    """The same weights, bit for bit, and one curve, with the numbers of a training that went through at once."""
    other = undisturbed.training()
    assert training.weights == other.weights
    pd.testing.assert_frame_equal(training.curve, other.curve, check_exact=True)


def test_a_walltime_that_is_reached_twice(prepared, undisturbed):
    # SLURM looks at the clock every 30 seconds: the notice comes 60 to 90 seconds after the start.
    limits = ["train_autoencoder:runtime=2", "train_autoencoder:slurm_extra='--signal=USR1@30'"]
    prepared.finish(WEIGHTS, "--set-resources", *limits, **SLOWLY)
    assert_as_undisturbed(prepared.training(), undisturbed)
    attempts = prepared.jobs("train_autoencoder")
    assert len(attempts) >= 3
    assert attempts[-1].state == "COMPLETED"
    # The same job all the time: none of Snakemake's retries is used up.
    assert {(job.id, job.state) for job in attempts[:-1]} == {(attempts[-1].id, "REQUEUED")}


def test_preemption_by_a_higher_partition(prepared, undisturbed, cluster):
    run = prepared.start(WEIGHTS, "--set-resources", "train_autoencoder:slurm_partition=gpu_preempt", **BRISKLY)
    training = prepared.training()
    run.until(lambda: training.steps() >= 10, "ten steps")
    (job,) = prepared.queue("train_autoencoder")
    cluster.ask("srun", "--partition=gpu", f"--nodelist={job.nodes}", "--exclusive", "true")
    run.finish()
    assert_as_undisturbed(training, undisturbed)
    attempts = prepared.jobs("train_autoencoder")
    assert len(attempts) == 2
    assert attempts[-1].state == "COMPLETED"


def test_scancel(prepared, undisturbed, cluster):
    run = prepared.start(WEIGHTS, **BRISKLY)
    training = prepared.training()
    run.until(lambda: training.steps() >= 10, "ten steps")
    (job,) = prepared.queue("train_autoencoder")
    cluster.ask("scancel", job.id)
    run.wait()
    steps = training.saved()
    assert steps >= 10
    # Given up or retried, as the profile says: the same command ends well.
    prepared.finish(WEIGHTS)
    assert_as_undisturbed(training, undisturbed)
    attempts = prepared.jobs("train_autoencoder")
    assert attempts[0].state == "CANCELLED"
    assert attempts[-1].state == "COMPLETED"


def test_kill_of_the_training_process(prepared, undisturbed):
    run = prepared.start(WEIGHTS, **BRISKLY)
    training = prepared.training()
    run.until(lambda: training.saved() >= 10, "a checkpoint")
    (process,) = training.processes()
    process.kill()
    run.finish()
    assert_as_undisturbed(training, undisturbed)
    attempts = prepared.jobs("train_autoencoder")
    assert [job.state for job in attempts] == ["FAILED", "COMPLETED"]


def test_kill_of_snakemake_and_the_same_command_again(prepared, undisturbed):
    first = prepared.start(WEIGHTS, **BRISKLY)
    training = prepared.training()
    first.until(lambda: training.steps() >= 10, "ten steps")
    (job,) = prepared.queue("train_autoencoder")
    first.kill()
    assert prepared.queue() == [job]
    second = prepared.start(WEIGHTS, **BRISKLY)
    second.finish()
    assert_as_undisturbed(training, undisturbed)
    assert not prepared.queue()


def test_a_second_snakemake_is_refused_while_one_lives(prepared):
    first = prepared.start(WEIGHTS, **BRISKLY)
    first.until(lambda: prepared.queue("train_autoencoder"), "a job")
    second = prepared.start(WEIGHTS)
    assert second.wait() != 0
    assert "lock" in second.output.lower()
    assert len(prepared.queue("train_autoencoder")) == 1
    first.kill()


def test_a_node_that_goes_down(prepared, undisturbed, cluster):
    run = prepared.start(WEIGHTS, "--set-resources", "train_autoencoder:slurm_partition=fragile", **BRISKLY)
    training = prepared.training()
    run.until(lambda: training.saved() >= 10, "a checkpoint")
    cluster.ask("scontrol", "update", "nodename=cpu2", "state=down", "reason=test")
    run.until(lambda: [job.state for job in prepared.queue()] != ["RUNNING"], "the end of the job")
    run.finish()
    assert_as_undisturbed(training, undisturbed)
    attempts = prepared.jobs("train_autoencoder")
    assert [job.state for job in attempts] == ["NODE_FAIL", "COMPLETED"]


def test_the_accounting_goes_away_while_a_job_runs(prepared, undisturbed, cluster):
    run = prepared.start(WEIGHTS, **BRISKLY)
    training = prepared.training()
    run.until(lambda: training.steps() >= 10, "ten steps")
    cluster.stop("slurmdbd")
    try:
        run.finish()
    finally:
        cluster.start("slurmdbd")
    assert_as_undisturbed(training, undisturbed)
    (job,) = prepared.jobs("train_autoencoder")
    assert job.state == "COMPLETED"
