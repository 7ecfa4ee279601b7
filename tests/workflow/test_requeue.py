"""A training that was stopped before its time puts its job back into SLURM's queue: with stand-ins for its commands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
from scripts import requeue

STOPPED = "exit 75"


class Job:
    """A job of SLURM, in which a training runs as the rules run it."""

    def __init__(self, folder: Path):
        self.folder, self.commands = folder, folder / "bin"
        self.commands.mkdir()
        self.answers("squeue", "echo RUNNING")
        # SLURM ends the processes of a job that it requeues.
        self.answers("scontrol", f'echo "$@" >> {folder}/requeued; kill -KILL $PPID')

    def answers(self, command: str, script: str) -> None:
        (self.commands / command).write_text(f"#!/bin/sh\n{script}\n")
        (self.commands / command).chmod(0o755)

    def start(self, training: str, **variables: str) -> subprocess.Popen:
        environment = {**os.environ, "PATH": f"{self.commands}:{os.environ['PATH']}", **variables}
        command = [sys.executable, requeue.__file__, str(self.folder), "sh", "-c", training]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def run(self, training: str, **variables: str) -> tuple[int, str]:
        """The exit code, and what was said."""
        with self.start(training, **variables) as process:
            _, said = process.communicate()
        return process.returncode, said

    @property
    def requeued(self) -> str:
        path = self.folder / "requeued"
        return path.read_text().strip() if path.exists() else ""


@pytest.fixture
def job(tmp_path) -> Job:
    return Job(tmp_path)


def test_a_stopped_training_is_requeued(job):
    code, said = job.run(STOPPED, SLURM_JOB_ID="17")
    assert job.requeued == "requeue 17"
    assert code == -signal.SIGKILL
    assert "job 17 goes back into the queue" in said


@pytest.mark.parametrize("code", [0, 1, 137])
def test_one_that_ended_or_failed_is_not(job, code):
    assert job.run(f"exit {code}", SLURM_JOB_ID="17") == (code, "")
    assert not job.requeued


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", ""])
def test_one_whose_job_is_cancelled_is_not(job, state):
    job.answers("squeue", f"echo {state}")
    assert job.run(STOPPED, SLURM_JOB_ID="17") == (75, "")
    assert not job.requeued


def test_one_that_was_killed_is_reported_as_a_shell_does(job):
    assert job.run("kill -KILL $$", SLURM_JOB_ID="17") == (137, "")


def test_without_slurm_the_command_alone_runs(job, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for command in ("squeue", "scontrol"):
        job.answers(command, f"touch {job.folder}/asked")
    assert job.run(STOPPED) == (75, "")
    assert not (job.folder / "asked").exists()


def test_where_slurm_refuses_snakemake_takes_over(job):
    job.answers("scontrol", "echo no such job >&2; exit 1")
    code, said = job.run(STOPPED, SLURM_JOB_ID="17")
    assert code == 75
    assert "no such job" in said


def test_without_its_commands_as_in_a_container_too(job):
    job.answers("squeue", "exit 127")
    assert job.run(STOPPED, SLURM_JOB_ID="17")[0] == 75


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_the_training_gets_the_signals(job, number):
    training = (
        f"trap 'touch {job.folder}/told; exit 75' USR1 TERM; touch {job.folder}/ready; while :; do sleep 0.1; done"
    )
    with job.start(training, SLURM_JOB_ID="17") as process:
        while not (job.folder / "ready").exists():
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate()
    assert (job.folder / "told").exists()
    assert job.requeued == "requeue 17"


@pytest.mark.parametrize("saves", [True, False])
def test_a_walltime_that_brought_nothing_is_not_repeated(job, monkeypatch, capsys, saves):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("PATH", f"{job.commands}:{os.environ['PATH']}")
    monkeypatch.setattr(requeue, "_WASTED_SECONDS", 0.0)
    job.answers("scontrol", f"touch {job.folder}/asked; exit 1")
    (job.folder / "identity" / "checkpoints").mkdir(parents=True)
    training = f"{f'touch {job.folder}/identity/checkpoints/1.pt;' * saves} kill -USR1 $PPID; sleep 0.5; {STOPPED}"
    assert requeue.main(job.folder, ["sh", "-c", f"trap : USR1; {training}"]) == 75
    assert (job.folder / "asked").exists() == saves
    assert ("set a longer one" in capsys.readouterr().err) != saves
