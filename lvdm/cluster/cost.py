"""What a run cost: time, queue, CPUs, GPUs and memory by data set and stage.

SLURM's accounting knows every attempt of every job, also of those that failed. Where it does not answer, and for
what ran without SLURM, Snakemake's benchmark files say the same of the last success of each job.

A job is known by its benchmark file, ``{dataset}/{stage}.tsv`` or ``{dataset}/{stage}/….tsv``: Snakemake names it in
the log of the SLURM job, of which the file is called ``{job id}.log``. A group of jobs names several, and is shared
out among them.
"""

import ast
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lvdm.cluster import slurm
from lvdm.cluster.slurm import Attempt, SlurmError
from lvdm.reading import read_table, wrong_file

_BENCHMARK_LINE = re.compile(r"^\s*benchmark: (.+?)\s*$", re.MULTILINE)
_HOUR = 3600.0
_MIB = 2**20 / 10**6

_logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Data set and stage."""


@dataclass(frozen=True)
class Cost:
    """The jobs of one stage of one data set, taken together; None is what is not known.

    ``hours`` is the time in which they ran, one after another; ``queue_hours`` the time that they waited;
    ``cpu_hours`` and ``gpu_hours`` what they kept for themselves (by sacct) or used (CPUs, by benchmark files);
    ``memory_mb`` the most that one of them took.
    """

    dataset: str
    stage: str
    jobs: int
    hours: float
    queue_hours: float | None
    cpu_hours: float | None
    gpu_hours: float | None
    memory_mb: float | None
    source: str


def collect(benchmarks: Path, jobs: Path | None) -> list[Cost]:
    """The cost of all that has a benchmark file under ``benchmarks``: by data set, what took longest first.

    ``jobs`` is the folder of the logs of SLURM jobs. Of each stage of a data set sacct is believed where it knows
    any job of it.
    """
    for folder, option in ((benchmarks, "--benchmarks"), (jobs, "--jobs")):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is no folder; give {option} the folder of such files")
    if not benchmarks.exists():
        raise ValueError(f"{benchmarks} is missing; check the path, or make an empty folder if nothing was measured")
    costs = [*_from_benchmarks(benchmarks), *_from_sacct(benchmarks, jobs)]
    found = {(cost.dataset, cost.stage): cost for cost in costs}
    return sorted(found.values(), key=lambda cost: (cost.dataset, -cost.hours, cost.stage))


def job_members(jobs: Path, benchmarks: Path) -> dict[str, list[Key]]:
    """SLURM job id to what ran in it, a key for each of Snakemake's jobs; jobs of other runs are left out."""
    found = {}
    for log in sorted(jobs.rglob("*.log")):
        if log.stem.isdigit():
            text = log.read_text(encoding="utf-8", errors="replace")
            # Snakemake starts itself in the job, so that each is named more than once.
            named = dict.fromkeys(_BENCHMARK_LINE.findall(text))
            keys = [key for name in named if (key := _key(Path(name), benchmarks))]
            if keys:
                found[log.stem] = keys
    return found


def _from_sacct(benchmarks: Path, jobs: Path | None) -> list[Cost]:
    members = job_members(jobs, benchmarks) if jobs is not None and jobs.is_dir() else {}
    if not members:
        return []
    try:
        attempts = slurm.attempts(members)
    except SlurmError as error:
        _logger.warning("%s, so costs are taken from benchmark files: no queue times, no failed attempts", error)
        return []
    shares: dict[Key, list[tuple[Attempt, float]]] = {}
    for attempt in attempts:
        keys = members[attempt.job]
        for key in dict.fromkeys(keys):
            shares.setdefault(key, []).append((attempt, keys.count(key) / len(keys)))
    return [_sacct_cost(key, parts) for key, parts in shares.items()]


def _sacct_cost(key: Key, parts: list[tuple[Attempt, float]]) -> Cost:
    return Cost(
        *key,
        jobs=len(parts),
        hours=_hours(attempt.seconds * share for attempt, share in parts),
        queue_hours=_hours(attempt.queue_seconds * share for attempt, share in parts),
        cpu_hours=_hours(attempt.seconds * attempt.cpus * share for attempt, share in parts),
        gpu_hours=_hours(attempt.seconds * attempt.gpus * share for attempt, share in parts),
        memory_mb=max(attempt.memory_mb for attempt, _ in parts) or None,
        source="sacct",
    )


def _from_benchmarks(folder: Path) -> Iterator[Cost]:
    records: dict[Key, list[Mapping[str, str]]] = {}
    for file in sorted(folder.rglob("*.tsv")):
        if key := _key(file, folder):
            records.setdefault(key, []).extend(_benchmarks(file))
    for key, rows in records.items():
        yield Cost(
            *key,
            jobs=len(rows),
            hours=_hours(float(row["s"]) for row in rows),
            queue_hours=None,
            cpu_hours=_hours(_number(row["cpu_time"]) for row in rows),
            gpu_hours=_hours(_gpu_seconds(row) for row in rows),
            memory_mb=max(((_number(row["max_rss"]) or 0) * _MIB for row in rows), default=0) or None,
            source="benchmark",
        )


def _benchmarks(file: Path) -> list[dict[str, str]]:
    """The rows of a benchmark file of Snakemake, whose numbers can be read."""
    what, remedy = "benchmark file of Snakemake", "delete it"
    rows = read_table(file, ("s", "max_rss", "cpu_time"), what, remedy, delimiter="\t")
    for row in rows:
        try:
            float(row["s"]), _gpu_seconds(row)
        except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError) as error:
            raise wrong_file(file, what, str(error), remedy) from None
    return rows


def _key(file: Path, benchmarks: Path) -> Key | None:
    """Data set and stage of a benchmark file; None of a file elsewhere."""
    file, benchmarks = file.absolute(), benchmarks.absolute()
    if not file.is_relative_to(benchmarks):
        return None
    dataset, *rest = file.relative_to(benchmarks).with_suffix("").parts
    return (dataset, rest[0]) if rest else None


def _gpu_seconds(row: Mapping[str, str]) -> float | None:
    """Known where the profile has ``benchmark-extended``, which writes down the job's resources."""
    written = row.get("resources")
    return float(row["s"]) * ast.literal_eval(written).get("gpu", 0) if written else None


def _number(text: str) -> float | None:
    """None of NA, which is written of a job that was too short to be measured."""
    try:
        return float(text)
    except ValueError:
        return None


def _hours(seconds: Iterable[float | None]) -> float | None:
    """Hours of what is known; None where nothing is."""
    known = [value for value in seconds if value is not None]
    return sum(known) / _HOUR if known else None
