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


class Owner:
    """This process, as owner of a run folder. It keeps its claim alive from a thread."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / NAME
        self._record = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "token": uuid.uuid4().hex,
        }
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run-folder-owner", daemon=True)

    def acquire(self, stop: StopSignals) -> None:
        """Wait for the folder and take it. Raises ``StopRequested``."""
        next_line = time.monotonic()
        while not self._take():
            if stop.received:
                raise StopRequested(f"asked to stop while waiting for {self.folder}")
            record, age = self._found()
            if record is None:  # released in between
                continue
            if _is_gone(record, age):
                self._remove(record)
                continue
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + _LINE_EVERY_SECONDS
                _logger.info("%s is in use by %s; waiting until it is free", self.folder, _name(record))
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
        """Raises ``RuntimeError`` when another process has taken the folder: this one was taken for gone.

        That can be after it was suspended, or cut off from the disk.
        """
        if time.monotonic() - self._last_beat > _GONE_AFTER_SECONDS / 2 and not self._holds():
            record, _ = self._found()
            raise RuntimeError(
                f"{self.folder} was taken over by {_name(record or {})} while this process did not run; it ends here"
            )

    def _take(self) -> bool:
        try:
            # Created or not, as one action, on network file systems too.
            with self.path.open("x", encoding="utf-8") as file:
                json.dump(self._record, file)
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
        record, _ = self._found()
        return record is not None and record.get("token") == self._record["token"]

    def _found(self) -> tuple[dict[str, Any] | None, float]:
        """What the owner wrote of itself (empty when that is not readable), and the seconds since it last touched it.

        None when there is no owner. By the clock of the file system, as those of two machines may differ.
        """
        try:
            # Opened before it is looked at: network file systems then look at the server, not at what they remember.
            with self.path.open(encoding="utf-8") as file:
                text, touched = file.read(), os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None, 0.0
        probe = self.folder / f".owner-{self._record['token']}"
        probe.write_text("", encoding="utf-8")
        age = probe.stat().st_mtime - touched
        probe.unlink()
        with suppress(ValueError):
            return dict(json.loads(text)), age
        return {}, age

    def _remove(self, judged: dict[str, Any]) -> None:
        """Remove the file of an owner that is gone, unless another process was faster and has the folder by now."""
        aside = self.folder / f".owner-{self._record['token']}-gone"
        with suppress(FileNotFoundError):
            self.path.rename(aside)
            if aside.read_text(encoding="utf-8") != json.dumps(judged) and judged:
                aside.rename(self.path)
                return
            aside.unlink()
            _logger.warning("%s was in use by %s, which is gone; going on", self.folder, _name(judged))


def _is_gone(record: dict[str, Any], age: float) -> bool:
    if age > _GONE_AFTER_SECONDS:
        return True
    return record.get("host") == socket.gethostname() and not _lives(int(record["pid"]))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _name(record: dict[str, Any]) -> str:
    if not record:
        return "an unknown process"
    job = f", SLURM job {record['job']}" if record.get("job") else ""
    return f"process {record['pid']} on {record['host']}{job}"
