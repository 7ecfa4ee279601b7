"""One run folder, one training: who writes there, and whether it still lives."""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvdm.training.stop import StopRequested, StopSignals

NAME = "owner.json"

_HEARTBEAT_SECONDS = 10.0
_GONE_AFTER_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 2.0
_LINE_EVERY_SECONDS = 60.0

_logger = logging.getLogger(__name__)


@contextmanager
def owned(folder: Path, stop: StopSignals) -> Iterator["Owner"]:
    """While entered, no other process has ``folder``; waits, with lines in the log, until its owner is done or gone.

    An owner is gone when its process is (on this machine), or when it has not touched its file ``owner.json``
    for a minute. Raises ``StopRequested`` when the process is asked to stop while it waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owner = Owner(folder)
    owner.acquire(stop)
    try:
        yield owner
    finally:
        owner.release()


@dataclass(frozen=True)
class Claim:
    """What an owner wrote of itself, and the seconds since it last touched it."""

    text: str
    age: float

    def __str__(self) -> str:
        record = self._record()
        if not record:
            return "an unknown process"
        job = f", SLURM job {record['job']}" if record["job"] else ""
        return f"process {record['pid']} on {record['host']}{job}"

    @property
    def gone(self) -> bool:
        """Whether nobody stands behind it any more."""
        record = self._record()
        dead = record.get("host") == socket.gethostname() and not _lives(record["pid"])
        return dead or self.age > _GONE_AFTER_SECONDS

    def _record(self) -> dict[str, Any]:
        with suppress(ValueError):  # not written to the end, yet or ever
            return json.loads(self.text)
        return {}


class Owner:
    """This process, as owner of a run folder. It keeps its claim alive from a thread."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / NAME
        self._token = uuid.uuid4().hex
        job = os.environ.get("SLURM_JOB_ID")
        self._text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "job": job, "token": self._token})
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-folder-owner", daemon=True)

    def acquire(self, stop: StopSignals) -> None:
        """Wait for the folder and take it. Raises ``StopRequested``."""
        next_line = time.monotonic()
        while not self._take():
            if stop.received:
                raise StopRequested(f"asked to stop while waiting for {self.folder}")
            claim = self._found()
            if claim is None:  # given up in between
                continue
            if claim.gone:
                self._remove(claim)
                continue
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + _LINE_EVERY_SECONDS
                _logger.info("%s is in use by %s; waiting until it is free", self.folder, claim)
            time.sleep(_LOOK_EVERY_SECONDS)
        self._last_beat = time.monotonic()
        self._thread.start()

    def release(self) -> None:
        """Give the folder up."""
        self._released.set()
        self._thread.join()
        if self._holds():
            self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises ``OSError`` when another process has the folder by now, because this one was taken for gone.

        That can be after it was suspended, or cut off from the disk.
        """
        if time.monotonic() - self._last_beat > _GONE_AFTER_SECONDS / 2 and not self._holds():
            raise OSError(
                f"{self.folder} was taken over by {self._found() or 'another process'} while this one did not run; "
                "it ends here"
            )

    def _take(self) -> bool:
        try:
            # Created or not, as one action, on network file systems too.
            with self.path.open("x", encoding="utf-8") as file:
                file.write(self._text)
        except FileExistsError:
            return False
        return True

    def _beat(self) -> None:
        while not self._released.wait(_HEARTBEAT_SECONDS):
            try:
                if self._holds():
                    os.utime(self.path)
                    self._last_beat = time.monotonic()
            except OSError as error:
                _logger.warning("%s cannot be touched (%s); trying again", self.path, error)

    def _holds(self) -> bool:
        try:
            return self.path.read_text(encoding="utf-8") == self._text
        except FileNotFoundError:
            return False

    def _found(self) -> Claim | None:
        """The claim that is there. Its age is by the clock of the file system: those of two machines may differ."""
        try:
            # Opened before it is looked at: network file systems then look at the server, not at what they remember.
            with self.path.open(encoding="utf-8") as file:
                text, touched = file.read(), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        now = self.folder / f".{self._token}.now"
        now.write_text("", encoding="utf-8")
        age = now.stat().st_mtime - touched
        now.unlink(missing_ok=True)
        return Claim(text, age)

    def _remove(self, gone: Claim) -> None:
        """Remove the claim of an owner that is gone, unless another process was faster and has the folder by now."""
        aside = self.folder / f".{self._token}.gone"
        with suppress(FileNotFoundError):
            self.path.rename(aside)
            if aside.read_text(encoding="utf-8") != gone.text:
                aside.rename(self.path)
                return
            aside.unlink()
            _logger.warning("%s was in use by %s, which is gone; going on", self.folder, gone)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
