"""A run folder has one owner, and finds another when that one is gone."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lvdm.training import owner
from lvdm.training.owner import owned
from lvdm.training.stop import StopRequested, StopSignals


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(owner, "_LOOK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(owner, "_HEARTBEAT_SECONDS", 0.01)


def leave(folder: Path, host: str = "elsewhere", pid: int = 1, seconds: float = 0.0) -> None:
    """The file of another owner, last touched some seconds ago."""
    path = folder / owner.NAME
    path.write_text(json.dumps({"host": host, "pid": pid, "job": "17", "token": "theirs"}))
    os.utime(path, (time.time() - seconds,) * 2)


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_folder_is_free_again_afterwards(tmp_path):
    folder = tmp_path / "run"
    with owned(folder, StopSignals()):
        record = json.loads((folder / owner.NAME).read_text())
        assert (record["host"], record["pid"]) == (socket.gethostname(), os.getpid())
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_who_comes_second_waits_and_says_for_whom(tmp_path, caplog, seconds):
    caplog.set_level("INFO")
    leave(tmp_path, seconds=seconds)
    threading.Timer(0.3, (tmp_path / owner.NAME).unlink).start()
    start = time.monotonic()
    with owned(tmp_path, StopSignals()):
        assert time.monotonic() - start > 0.25
    assert "in use by process 1 on elsewhere, SLURM job 17; waiting until it is free" in caplog.text


def test_two_at_once_take_turns(tmp_path):
    inside, most = [], []

    def work():
        with owned(tmp_path, StopSignals()):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


@pytest.mark.parametrize("who", [{"seconds": 61.0}, {"host": socket.gethostname(), "pid": dead_pid()}])
def test_who_is_gone_is_followed(tmp_path, caplog, who):
    leave(tmp_path, **who)
    with owned(tmp_path, StopSignals()):
        assert json.loads((tmp_path / owner.NAME).read_text())["pid"] == os.getpid()
    assert "which is gone; going on" in caplog.text


def test_a_file_that_cannot_be_read_is_somebodys_until_it_is_old(tmp_path):
    (tmp_path / owner.NAME).write_text("{")
    stop = StopSignals()
    stop.received = True
    with pytest.raises(StopRequested), owned(tmp_path, stop):
        pass
    os.utime(tmp_path / owner.NAME, (time.time() - 61,) * 2)
    with owned(tmp_path, StopSignals()):
        pass


def test_asked_to_stop_it_waits_no_longer(tmp_path):
    leave(tmp_path)
    stop = StopSignals()
    threading.Timer(0.1, lambda: setattr(stop, "received", True)).start()
    with pytest.raises(StopRequested, match="while waiting"), owned(tmp_path, stop):
        pass
    assert json.loads((tmp_path / owner.NAME).read_text())["token"] == "theirs"


def test_an_owner_shows_that_it_lives(tmp_path):
    with owned(tmp_path, StopSignals()):
        path = tmp_path / owner.NAME
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.01)


def test_who_was_taken_for_gone_writes_no_more(tmp_path, monkeypatch):
    with owned(tmp_path, StopSignals()) as ours:
        ours.check()
        leave(tmp_path)
        monkeypatch.setattr(owner, "_GONE_AFTER_SECONDS", 0.0)
        with pytest.raises(OSError, match="taken over by process 1 on elsewhere"):
            ours.check()
    assert json.loads((tmp_path / owner.NAME).read_text())["token"] == "theirs"


def test_who_is_faster_keeps_the_folder(tmp_path):
    """Found to be gone, but by now another one has come: that one's file is put back."""
    leave(tmp_path, pid=5)
    late = owner.Owner(tmp_path)
    judged = {"host": "elsewhere", "pid": 4, "job": None, "token": "dead"}
    late._remove(owner.Claim(json.dumps(judged), 0.0))
    assert [path.name for path in tmp_path.iterdir()] == [owner.NAME]
    assert json.loads((tmp_path / owner.NAME).read_text())["pid"] == 5
