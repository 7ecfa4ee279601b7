"""Snakemake is killed, and the same command goes on."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
from scripts import recovery

from lvdm.cluster import slurm

TARGET = "results/first/manifest.csv"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of Snakemake's with a lock, in a folder that it runs in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "locks" / "0.output.lock").write_text("manifest.csv\n")
    return tmp_path / ".snakemake"


@pytest.fixture
def run(folder):
    entered = recovery.Run(folder)
    entered.enter()
    yield entered
    entered.path.unlink()


def leave_record(folder, *, host=None, pid, started, submits=True, age=0.0):
    """What another Snakemake wrote of itself."""
    (folder / "runs").mkdir(exist_ok=True)
    path = folder / "runs" / "other.json"
    path.write_text(
        json.dumps({"host": host or socket.gethostname(), "pid": pid, "started": started, "submits": submits})
    )
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def killed_process():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(process.pid).create_time()
    process.kill()
    process.wait()
    return {"pid": process.pid, "started": started}


def this_process():
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def answers(folder, command, script):
    path = folder.parent / "bin" / command
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_lock_of_a_killed_one_is_removed(folder, run):
    leave_record(folder, **killed_process())
    said = []
    run.unlock(said.append)
    assert not (folder / "locks").exists()
    assert "was killed" in said[0]


def test_a_number_of_a_process_that_is_used_again_deceives_nobody(folder, run):
    leave_record(folder, pid=os.getpid(), started=1.0)
    run.unlock([].append)
    assert not (folder / "locks").exists()


def test_the_lock_of_a_living_one_stays(folder, run):
    leave_record(folder, **this_process())
    run.unlock(pytest.fail)
    assert (folder / "locks").exists()


def test_a_lock_that_nobody_has_a_record_of_stays(folder, run):
    run.unlock(pytest.fail)
    assert (folder / "locks").exists()


@pytest.mark.parametrize(("age", "lives"), [(10, True), (3600, False)])
def test_on_another_machine_it_lives_while_it_touches_its_record(folder, run, age, lives):
    leave_record(folder, host="elsewhere", **killed_process(), age=age)
    run.unlock([].append)
    assert (folder / "locks").exists() == lives


def test_jobs_that_a_killed_one_left_are_cancelled_and_waited_for(folder, run):
    record = leave_record(folder, **killed_process())
    here = folder.parent
    answers(
        folder,
        "squeue",
        f'[ -e gone ] || echo "17|{here}|rule_shard"; echo "18|/elsewhere|rule_shard"; echo "19|{here}|x"',
    )
    answers(folder, "scancel", 'echo "$@" >> cancelled; { /bin/sleep 1; : > gone; } &')
    said = []
    run.cancel_leftovers(said.append)
    assert (here / "cancelled").read_text() == "17\n"
    assert (here / "gone").exists()
    assert "17" in said[0]
    assert not record.exists()


def test_jobs_of_a_living_one_are_left_alone(folder, run):
    leave_record(folder, **this_process())
    answers(folder, "squeue", ": > asked")
    run.cancel_leftovers(pytest.fail)
    assert not (folder.parent / "asked").exists()


def test_one_that_submitted_nothing_leaves_nothing_to_cancel(folder, run):
    record = leave_record(folder, **killed_process(), submits=False)
    answers(folder, "squeue", "echo there is no controller >&2; exit 1")
    run.cancel_leftovers(pytest.fail)
    assert not record.exists()


def test_when_slurm_does_not_answer_the_jobs_are_not_forgotten(folder, run):
    record = leave_record(folder, **killed_process())
    answers(folder, "squeue", "echo there is no controller >&2; exit 1")
    with pytest.raises(slurm.SlurmError, match="there is no controller"):
        run.cancel_leftovers(pytest.fail)
    assert record.exists()


def test_a_run_that_submits_says_so(folder, run):
    run.will_submit()
    run.path.rename(folder / "runs" / "killed.json")
    run.enter()
    assert [other.submits for other in run.others()] == [True]


def test_the_same_command_goes_on_after_kill(unfinished_tree):
    command = unfinished_tree.command(TARGET, "--rerun-incomplete")
    locks = unfinished_tree.root / ".snakemake" / "locks"
    with subprocess.Popen(command, **unfinished_tree.settings()) as snakemake:
        while not any(locks.glob("*.lock")):
            assert snakemake.poll() is None, snakemake.stdout.read()
            time.sleep(0.01)
        snakemake.send_signal(signal.SIGSTOP)
        second = unfinished_tree.snakemake(TARGET)
        assert second.returncode != 0
        assert "LockException" in second.stdout
        children = psutil.Process(snakemake.pid).children(recursive=True)
        snakemake.kill()
        for child in children:
            child.kill()
    assert snakemake.returncode == -signal.SIGKILL
    assert any(locks.glob("*.lock"))
    assert "Removed the lock of a Snakemake that was killed" in unfinished_tree.finish(TARGET, "--rerun-incomplete")
    assert not any((unfinished_tree.root / ".snakemake" / "runs").iterdir())
