"""Runs a training, and where it was stopped before its time lets SLURM start its job again.

    python requeue.py RUN_FOLDER COMMAND...

A training that is told to stop saves its state and ends with exit code 75. SLURM then puts the job back into the queue:
so a training may take any number of walltimes and preemptions, and uses up none of Snakemake's retries. The exit code
is that of the command where this is not a job of SLURM, where the job is being cancelled, where SLURM refuses, and
where a walltime went by without anything new to save: the next would, too.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# A walltime shorter than this may have been too short for a first step only because the machine was busy.
_WASTED_SECONDS = 600.0

# SLURM ends the processes of a job that it requeues within seconds.
_PATIENCE_SECONDS = 600.0


def main(folder: Path, command: list[str]) -> int:
    """Run ``command``; its exit code, unless SLURM ends this process first."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        os.execvp(command[0], command)
    before, start = _saved(folder), time.monotonic()
    code, walltime_ends = _run(command)
    if code == os.EX_TEMPFAIL:
        wasted = time.monotonic() - start > _WASTED_SECONDS and _saved(folder) == before
        if walltime_ends and wasted:
            _say(f"nothing new was saved in {folder} within the walltime of job {job}; set a longer one")
        elif _ask("squeue", "--noheader", "--jobs", job, "--format=%T") == "RUNNING":  # and not about to be cancelled
            _say(f"stopped and saved; job {job} goes back into the queue")
            if _ask("scontrol", "requeue", job) is not None:
                time.sleep(_PATIENCE_SECONDS)
    return code


def _run(command: list[str]) -> tuple[int, bool]:
    """The exit code of ``command``, and whether the end of the walltime was announced."""
    received, processes = [], []

    def pass_on(number, frame):
        received.append(number)
        for process in processes:
            process.send_signal(number)

    former = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    processes.append(subprocess.Popen(command))
    code = processes[0].wait()
    for number, handler in former.items():
        signal.signal(number, handler)
    # A process that a signal ended is reported as a shell reports it.
    return (code if code >= 0 else 128 - code), signal.SIGUSR1 in received


def _saved(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*/checkpoints/*.pt")}


def _ask(*command: str) -> str | None:
    """What a command of SLURM answers; None where it is missing or refuses."""
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        _say(f"{' '.join(command)} failed: {(getattr(error, 'stderr', '') or str(error)).strip()}")
        return None


def _say(line: str) -> None:
    sys.stderr.write(f"requeue: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
