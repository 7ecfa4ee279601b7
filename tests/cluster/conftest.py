"""A cluster of which only the answers are there: commands of SLURM that print what a real one printed."""

import os
import stat
from pathlib import Path

import pytest

SINFO = """\
cpu|cpu*|up|1-00:00:00|2|8|10000|(null)|idle
cpu|cpu*|up|1-00:00:00|1|64|500000|(null)|down*
gpu|gpu|up|04:00:00|1|8|10000|gpu:h200:2(S:0-1)|mixed
old|old|up|infinite|1|8|10000|gpu:v100:4,shard:8|drained
shut|shut|inact|infinite|1|8|10000|(null)|idle
"""
CONTROLLER = """\
Configuration data as of 2026-11-23T11:17:47
MinJobAge               = 300 sec
SLURM_VERSION           = 22.05.8
"""


class Cluster:
    """Commands of SLURM in a folder, each of which prints a text."""

    def __init__(self, folder: Path):
        self.folder = folder

    def answer(self, command: str, text: str, code: int = 0) -> None:
        """Let ``command`` print ``text``, to its errors where it fails, and leave its arguments in a file."""
        (self.folder / f"{command}.txt").write_text(text)
        path = self.folder / command
        path.write_text(
            f'#!/bin/sh\necho "$@" >> {self.folder}/{command}.called\n'
            f"cat {self.folder}/{command}.txt{' >&2' if code else ''}\nexit {code}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def remove(self, command: str) -> None:
        (self.folder / command).unlink()

    def called(self, command: str) -> list[str]:
        """The arguments of each call."""
        path = self.folder / f"{command}.called"
        return path.read_text().splitlines() if path.is_file() else []


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Cluster:
    """A cluster with the partitions cpu, gpu, old (drained) and shut, and the accounts lab and clinic."""
    folder = tmp_path / "bin"
    folder.mkdir()
    found = Cluster(folder)
    for command in ("sbatch", "squeue", "scancel", "srun"):
        found.answer(command, "")
    found.answer("sinfo", SINFO)
    found.answer("scontrol", CONTROLLER)
    found.answer("sacctmgr", "lab\nclinic\n")
    found.answer("sacct", "")
    # Only these and what their scripts need: the machine that runs the test may be a node of a cluster.
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin")
    if Path("/bin/sinfo").exists():
        for command in ("cat", "sh"):
            (folder / command).symlink_to(f"/bin/{command}")
        monkeypatch.setenv("PATH", str(folder))
    return found
