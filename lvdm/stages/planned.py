"""The files that the present configuration plans: Snakemake is asked, so that the rules say it and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

_COLUMNS = ("output_file", "date", "rule", "log-file(s)", "status", "plan")


@dataclass(frozen=True)
class Planned:
    """Paths below the folder of the results, with slashes."""

    outputs: frozenset[str]
    """Files, and folders with all that is in them."""
    logs: frozenset[str]
    """Logs, and the files of benchmarks."""
    pending: frozenset[str]
    """The outputs that the next run makes anew."""

    def has(self, path: str) -> bool:
        """Whether a file is planned, or in a folder that is."""
        return path in self._files or any(str(parent) in self.outputs for parent in PurePosixPath(path).parents)

    def remade(self, path: str) -> bool:
        """Whether the next run makes the file anew, or the folder that it is in."""
        return path in self.pending or any(str(parent) in self.pending for parent in PurePosixPath(path).parents)

    @cached_property
    def _files(self) -> frozenset[str]:
        return self.outputs | self.logs


def ask(results: Path, configs: list[Path], profile: Path | None) -> Planned:
    """What Snakemake plans in the present folder. Raises ``ValueError`` with its message when it cannot plan."""
    command = [sys.executable, "-m", "snakemake", "--summary"]
    command += ["--profile", str(profile)] if profile is not None else []
    command += ["--configfile", *map(str, configs)] if configs else []
    answer = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if answer.returncode:
        said = "\n".join(line for line in answer.stderr.splitlines() if not line.startswith("  File "))
        raise ValueError(f"Snakemake cannot tell what the configuration plans, so nothing is removed:\n{said}")
    return read_summary(answer.stdout.splitlines(), results)


def read_summary(lines: Iterable[str], results: Path) -> Planned:
    """What ``snakemake --summary`` says of the files below ``results``. Raises ``ValueError`` for another table."""
    rows = [tuple(line.split("\t")) for line in lines if line.count("\t") == len(_COLUMNS) - 1]
    if not rows or rows[0] != _COLUMNS:
        raise ValueError(
            "snakemake --summary wrote no table with the columns " + ", ".join(_COLUMNS) + "; is it a version that the "
            "pipeline was made for? See pyproject.toml"
        )
    outputs, logs, pending = set(), set(), set()
    for output, _, _, log, _, plan in rows[1:]:
        path = below(output, results)
        if path is not None:
            outputs.add(path)
            if plan != "no update":
                pending.add(path)
        logs |= {path for name in log.split(",") if name and (path := below(name, results)) is not None}
    # A rule's file of benchmarks is named as its log is.
    benchmarks = {
        str(PurePosixPath("benchmarks", *PurePosixPath(log).parts[1:]).with_suffix(".tsv"))
        for log in logs
        if log.startswith("logs/")
    }
    return Planned(frozenset(outputs), frozenset(logs | benchmarks), frozenset(pending))


def below(path: str, results: Path) -> str | None:
    """A path relative to the folder of the results, with slashes; None of one that is not in it."""
    found = Path(os.path.relpath(path, results))
    return None if ".." in found.parts else found.as_posix()
