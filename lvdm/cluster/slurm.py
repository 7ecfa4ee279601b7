"""What SLURM says of itself and of its jobs: the only module that runs its commands.

All but :func:`cancel` ask; none submits or changes anything.
"""

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "srun")
TIMEOUT_SECONDS = 60.0

# Of these a node does no work, now or ever; with * it does not answer.
_GONE = re.compile(r"down|drain|fail|future|power_down|unknown|\*")

_JOB_FIELDS = ("JobIDRaw", "State", "Submit", "Start", "End", "ElapsedRaw", "AllocCPUS", "AllocTRES", "MaxRSS")
# As many as surely fit on a command line.
_JOBS_AT_ONCE = 500

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "": 1}


class SlurmError(ValueError):
    """A command of SLURM is missing, failed or did not answer; the message is what it said."""


@dataclass(frozen=True)
class Nodes:
    """Nodes of a partition that are alike; ``gpus`` is type to count a node, "" a type that is not stated."""

    count: int
    cpus: int
    memory_mb: int
    gpus: dict[str, int]
    state: str

    @property
    def usable(self) -> bool:
        """Whether they run jobs, now or when others have ended."""
        return not _GONE.search(self.state)


@dataclass(frozen=True)
class Partition:
    """A partition; ``limit_minutes`` is the longest walltime, None without one."""

    name: str
    up: bool
    default: bool
    limit_minutes: int | None
    nodes: tuple[Nodes, ...]


@dataclass(frozen=True)
class Attempt:
    """One time that a job ran. Times in seconds, memory in MB (10**6 bytes)."""

    job: str
    state: str
    queue_seconds: float
    seconds: float
    cpus: int
    gpus: int
    memory_mb: float = 0.0
    """Of the step that took most; 0 where SLURM did not measure it."""


def missing_commands() -> list[str]:
    """The commands that Snakemake's executor needs and that are not on the PATH."""
    return [command for command in COMMANDS if shutil.which(command) is None]


def partitions() -> dict[str, Partition]:
    """The partitions by name. Raises :class:`SlurmError`."""
    found: dict[str, Partition] = {}
    # %R is the name alone, %P marks the default one with *; -e keeps apart nodes that differ.
    for line in _ask("sinfo", "-h", "-e", "-o", "%R|%P|%a|%l|%D|%c|%m|%G|%T").splitlines():
        name, marked, available, limit, count, cpus, memory, gres, state = line.strip().split("|")
        nodes = Nodes(int(count), _leading_number(cpus), _leading_number(memory), read_gres(gres), state)
        before = found[name].nodes if name in found else ()
        found[name] = Partition(name, available == "up", marked.endswith("*"), read_limit(limit), (*before, nodes))
    return found


def settings() -> dict[str, str]:
    """The configuration of the controller, key to value. Raises :class:`SlurmError`."""
    pairs = (line.partition("=") for line in _ask("scontrol", "show", "config").splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def accounts() -> set[str]:
    """The accounts that this user may charge. Raises :class:`SlurmError`, also where there is no accounting."""
    return set(_ask("sacctmgr", "-nP", "show", "assoc", f"user={getpass.getuser()}", "format=account").split())


def attempts(jobs: Iterable[str]) -> list[Attempt]:
    """Each time that one of ``jobs`` ran, requeued runs included.

    Jobs that the accounting does not know, and those that never started, are left out. Raises
    :class:`SlurmError`, also where there is no accounting.
    """
    ids = sorted(set(jobs), key=int)
    found: list[Attempt] = []
    for start in range(0, len(ids), _JOBS_AT_ONCE):
        chosen = ",".join(ids[start : start + _JOBS_AT_ONCE])
        # Without --duplicates the last run of a requeued job hides those before it.
        output = _ask("sacct", "-nP", "--duplicates", "-j", chosen, "-o", ",".join(_JOB_FIELDS))
        found += _read_attempts(line.split("|") for line in output.splitlines())
    return found


def jobs_from(folder: Path) -> list[str]:
    """This user's jobs that Snakemake submitted from ``folder`` and that are not done. Raises :class:`SlurmError`."""
    # The comment is that of Snakemake's executor; jobs that the user submitted from there by hand have another.
    lines = _ask("squeue", "-h", "-u", getpass.getuser(), "-o", "%i|%Z|%k").splitlines()
    found = (line.split("|", 2) for line in lines)
    return [job for job, where, comment in found if Path(where) == folder and comment.startswith("rule_")]


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs; those that are done meanwhile are no error. Raises :class:`SlurmError`."""
    for start in range(0, len(jobs), _JOBS_AT_ONCE):
        _ask("scancel", *jobs[start : start + _JOBS_AT_ONCE])


def read_gres(text: str) -> dict[str, int]:
    """GPUs in a list of generic resources, type to count: ``gpu:h200:4(S:0-1),shard:8`` is ``{"h200": 4}``."""
    found: dict[str, int] = {}
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        name, *rest = part.strip().split(":")
        if name == "gpu":
            kind = "" if not rest or rest[0].isdigit() else rest[0]
            count = int(rest[-1]) if rest and rest[-1].isdigit() else 1
            found[kind] = found.get(kind, 0) + count
    return found


def read_limit(text: str) -> int | None:
    """Minutes of a time limit as SLURM prints it, ``[[days-]hours:]minutes:seconds``; None for ``infinite``."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", text):
        return None
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, _ = [0] * (3 - len(parts)) + parts
    return int(days or 0) * 24 * 60 + hours * 60 + minutes


def _read_attempts(lines: Iterable[Sequence[str]]) -> Iterator[Attempt]:
    """Join the line of each run with those of its steps, which follow it and know the memory."""
    attempt: Attempt | None = None
    for job, state, submit, start, _, seconds, cpus, tres, memory in lines:
        if "." in job:
            if attempt is not None and job.partition(".")[0] == attempt.job:
                attempt = replace(attempt, memory_mb=max(attempt.memory_mb, _bytes(memory) / 10**6))
            continue
        if attempt is not None:
            yield attempt
        attempt = None
        if start.isdigit():
            queued = int(start) - int(submit) if submit.isdigit() else 0
            attempt = Attempt(job, state, max(0, queued), int(seconds), int(cpus), _tres_gpus(tres))
    if attempt is not None:
        yield attempt


def _tres_gpus(tres: str) -> int:
    """GPUs in what was allocated; the total stands beside a line for each type."""
    counts = dict(part.split("=", 1) for part in tres.split(",") if "=" in part)
    total = counts.get("gres/gpu")
    return int(total) if total else sum(int(counts[key]) for key in counts if key.startswith("gres/gpu:"))


def _bytes(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)([KMGT]?)", text.strip())
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def _leading_number(text: str) -> int:
    """``8+`` is at least 8."""
    return int(re.match(r"\d+", text)[0])


def _ask(*command: str) -> str:
    try:
        # Times in seconds since 1970, whatever the time zone.
        environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
    except FileNotFoundError:
        raise SlurmError(f"there is no command {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} does not answer within {TIMEOUT_SECONDS:.0f} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SlurmError(f"{' '.join(command[:3])} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
