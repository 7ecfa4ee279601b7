"""What the jobs of each rule ask of a cluster, read from the plan that ``snakemake --dry-run`` prints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lvdm.cluster.slurm import read_gres

_JOB = re.compile(r"^\s*rule (?P<rule>\w+):\n(?P<lines>(?:\s+\w[\w ]*: .*\n)*)", re.MULTILINE)
_LINE = re.compile(r"^\s+(threads|resources|benchmark): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """What the jobs of a rule ask for at their first attempt, the most of each; 0 or "" where they do not say.

    ``gpus`` are those of a node, of type ``gpu_model`` if that is stated.
    """

    rule: str
    jobs: int = 1
    partition: str = ""
    account: str = ""
    gpus: int = 0
    gpu_model: str = ""
    nodes: int = 1
    minutes: int = 0
    memory_mb: int = 0
    cpus: int = 1


def read_requests(plan: str) -> list[Request]:
    """A request for each rule of a plan and each partition, account and GPU model that its jobs name.

    Light rules, which run where Snakemake does, are those without a benchmark file; a dry run marks them in no way.
    """
    found: dict[tuple[str, ...], Request] = {}
    for job in _JOB.finditer(plan):
        lines = dict(_LINE.findall(job["lines"]))
        if "benchmark" not in lines:
            continue
        resources = dict(part.split("=", 1) for part in lines.get("resources", "").split(", ") if "=" in part)
        request = _request(job["rule"], resources, int(lines.get("threads", 1)))
        key = (request.rule, request.partition, request.account, request.gpu_model)
        found[key] = _most(found[key], request) if key in found else request
    return list(found.values())


def _request(rule: str, resources: Mapping[str, str], threads: int) -> Request:
    nodes = _number(resources, "nodes", 1)
    by_gres = read_gres(resources.get("gres", ""))
    model, gpus = next(iter(by_gres.items())) if by_gres else (resources.get("gpu_model", ""), 0)
    return Request(
        rule=rule,
        partition=resources.get("slurm_partition", ""),
        account=resources.get("slurm_account", ""),
        gpus=gpus or -(-_number(resources, "gpu") // nodes),
        gpu_model=model,
        nodes=nodes,
        minutes=_number(resources, "runtime"),
        memory_mb=_number(resources, "mem_mb"),
        cpus=_number(resources, "cpus_per_task", threads),
    )


def _number(resources: Mapping[str, str], name: str, default: int = 0) -> int:
    """What follows from files that are not there yet is printed as <TBD>, and not known."""
    text = resources.get(name, "")
    return int(text) if text.isdigit() else default


def _most(one: Request, other: Request) -> Request:
    most = {field: max(getattr(one, field), getattr(other, field)) for field in vars(one)}
    return Request(**{**most, "jobs": one.jobs + other.jobs})
