"""Say what a run cost: hours, queue, CPUs, GPUs and memory by data set and stage."""

import csv
import dataclasses
import logging
from pathlib import Path

from lvdm.cluster.cost import Cost, collect
from lvdm.files import publish

_logger = logging.getLogger(__name__)


def run(*, benchmarks: Path, jobs: Path | None = None, table: Path) -> None:
    """Say what a run cost: hours, queue, CPUs, GPUs and memory by data set and stage.

    ``benchmarks`` is the folder of the benchmark files of Snakemake, ``jobs`` that of the logs of SLURM jobs
    (.snakemake/slurm_logs), where there is one. Writes ``table`` (.csv): dataset, stage, jobs, hours, queue_hours,
    cpu_hours, gpu_hours, memory_mb (the largest job), source (sacct or benchmark); empty where it is not known.
    """
    costs = collect(benchmarks, jobs)
    with publish(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in dataclasses.fields(Cost))
        writer.writerows(map(_texts, costs))
    _logger.info("%s: %d stages, %.3g hours of jobs", table, len(costs), sum(cost.hours for cost in costs))


def _texts(cost: Cost) -> list[str]:
    """Numbers to a hundredth of a second, and of a megabyte."""
    digits = {float: "{:.6f}", type(None): ""}
    return [digits.get(type(value), "{}").format(value) for value in dataclasses.astuple(cost)]
