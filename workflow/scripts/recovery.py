"""After a Snakemake that was killed: its lock, and those of its jobs that SLURM still has.

Every Snakemake that runs jobs keeps a record in its folder, which it touches while it lives and removes when it ends. A
record that is left says that its Snakemake was killed. Nothing here knows Snakemake's own objects.
"""

import atexit
import json
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from lvdm.cluster import slurm
from lvdm.files import write_text

_HEARTBEAT_SECONDS = 30.0
# Of another machine (clusters have several login nodes), where nobody here can look for the process.
_GONE_AFTER_SECONDS = 300.0

_LOOK_EVERY_SECONDS = 2.0
_LINE_EVERY_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Other:
    """What another Snakemake of this folder wrote of itself."""

    path: Path
    name: str
    lives: bool
    submits: bool


class Run:
    """This Snakemake among those of a folder (``.snakemake``)."""

    def __init__(self, folder: Path):
        self.folder = folder / "runs"
        self.locks = folder / "locks"
        self.path = self.folder / f"{uuid.uuid4().hex}.json"
        process = psutil.Process()
        self._record = {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}

    def enter(self) -> None:
        """Leave a record until this process ends. Goes before any look at others, so that two see each other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self._record))
        atexit.register(self.path.unlink, missing_ok=True)
        threading.Thread(target=self._beat, name="run-record", daemon=True).start()

    def will_submit(self) -> None:
        """Add to the record that jobs may be in SLURM's queue from now on."""
        self._record["submits"] = True
        write_text(self.path, json.dumps(self._record))

    def others(self) -> list[Other]:
        """The other Snakemakes of the folder: those that live, and those that were killed."""
        now = self.path.stat().st_mtime  # by the clock of the file system, as those of two machines may differ
        found = []
        for path in sorted(self.folder.glob("[!.]*.json")):
            if path != self.path:
                # One that ends just now takes its record with it.
                with suppress(FileNotFoundError):
                    record = json.loads(path.read_text(encoding="utf-8"))
                    name = f"process {record['pid']} on {record['host']}"
                    lives = _lives(record, now - path.stat().st_mtime)
                    found.append(Other(path, name, lives, record.get("submits", False)))
        return found

    def unlock(self, say: Say) -> None:
        """Remove the lock that a killed Snakemake left. One that may be a living one's is left to Snakemake."""
        others = self.others()
        if not others or any(other.lives for other in others) or not self.locks.is_dir():
            return
        shutil.rmtree(self.locks)
        say(f"Removed the lock of a Snakemake that was killed ({', '.join(other.name for other in others)}).")

    def cancel_leftovers(self, say: Say) -> None:
        """Cancel the jobs that a killed Snakemake left in SLURM, and wait until they are gone.

        Nobody would look at their results, and started anew they would run twice; trainings save before they end.
        Raises ``lvdm.cluster.slurm.SlurmError`` when SLURM does not answer.
        """
        others = self.others()
        if not others or any(other.lives for other in others):
            return
        if any(other.submits for other in others):
            _cancel(Path.cwd(), say)
        for other in others:
            other.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while True:
            time.sleep(_HEARTBEAT_SECONDS)
            with suppress(OSError):
                os.utime(self.path)


def _lives(record: dict, age: float) -> bool:
    if record["host"] != socket.gethostname():
        return age < _GONE_AFTER_SECONDS
    try:
        # Numbers of processes are used again, also after a restart of the machine.
        return abs(psutil.Process(record["pid"]).create_time() - record["started"]) < 1
    except psutil.NoSuchProcess:
        return False


def _cancel(folder: Path, say: Say) -> None:
    jobs = slurm.jobs_from(folder)
    if not jobs:
        return
    say(f"Cancelling {len(jobs)} jobs that a killed Snakemake left: {', '.join(jobs)}.")
    slurm.cancel(jobs)
    next_line = time.monotonic() + _LINE_EVERY_SECONDS
    while left := slurm.jobs_from(folder):
        if time.monotonic() > next_line:
            next_line = time.monotonic() + _LINE_EVERY_SECONDS
            say(f"Waiting for jobs {', '.join(left)} to end.")
        time.sleep(_LOOK_EVERY_SECONDS)
