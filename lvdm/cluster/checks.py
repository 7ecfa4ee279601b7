"""Whether a cluster has what a profile asks for."""

import re
from collections.abc import Iterable, Iterator, Mapping

from lvdm.cluster import slurm
from lvdm.cluster.profile import DEFAULT, Profile, Request
from lvdm.cluster.slurm import Nodes, Partition, SlurmError
from lvdm.findings import Finding, fail, ok, warning

# Between two looks of the executor plugin at the queue, when nothing happens.
POLLING_SECONDS = 180


def check_cluster(profile: Profile, gpus: Mapping[str, int]) -> Iterator[Finding]:
    """Ask SLURM for all that ``profile`` names; ``gpus`` are those of a node that rules ask for by configuration."""
    missing = slurm.missing_commands()
    if missing:
        yield fail("SLURM", f"{', '.join(missing)} not found; run this on a login node, or load its module")
        return
    try:
        partitions = slurm.partitions()
        settings = slurm.settings()
    except SlurmError as error:
        yield fail("SLURM", f"{error}; ask the administrators whether the controller is up")
        return
    yield ok("SLURM", f"{settings.get('SLURM_VERSION', 'answers')}, partitions {', '.join(partitions)}")
    requests = profile.requests(gpus)
    yield from _check_accounts(profile, requests)
    for request in requests:
        yield from check_request(profile, request, partitions)
    yield from check_settings(profile, settings)


def check_request(profile: Profile, request: Request, partitions: Mapping[str, Partition]) -> Iterator[Finding]:
    """Whether a partition takes such a job, and a node of it can run it."""
    subject = request.rule if request.rule == DEFAULT else f"rule {request.rule}"
    where = f"in {profile.path}"
    partition = partitions.get(request.partition) if request.partition else _default(partitions)
    if partition is None and request.partition:
        yield fail(
            subject, f"there is no partition {request.partition}, but {', '.join(partitions)}; change it {where}"
        )
        return
    if partition is None:
        yield fail(subject, f"the cluster has no default partition; set slurm_partition {where}")
        return
    if not partition.up:
        yield fail(subject, f"partition {partition.name} is not up; choose another {where}, or wait")
        return
    problems = [*_too_long(request, partition), *_no_node(request, partition)]
    for problem in problems:
        yield fail(subject, f"{problem} {where}")
    if problems:
        return
    usable = sum(nodes.count for nodes in partition.nodes if nodes.usable)
    if usable:
        yield ok(subject, f"partition {partition.name}, {_words(request)}; {usable} nodes")
    else:
        yield warning(subject, f"no node of partition {partition.name} is up now, so its jobs will wait")


def check_settings(profile: Profile, settings: Mapping[str, str]) -> Iterator[Finding]:
    """Whether what the profile sets survives the faults of a cluster (see profiles/slurm/README.md)."""
    values = profile.values
    if values.get("slurm-status-command") != "squeue":
        yield warning(
            "job states",
            f"set slurm-status-command: squeue in {profile.path}; "
            "with sacct a job that is cancelled makes Snakemake wait for ever",
        )
    else:
        age = int(re.match(r"\d*", settings.get("MinJobAge", ""))[0] or 0)
        if age <= POLLING_SECONDS:
            yield warning(
                "job states",
                f"SLURM forgets a job {age} s after its end (MinJobAge), but Snakemake may look only every "
                f"{POLLING_SECONDS} s; ask the administrators for MinJobAge=300, its default",
            )
        else:
            yield ok("job states", f"by squeue, which remembers a job for {age} s after its end")
    if not values.get("slurm-requeue"):
        yield warning("requeue", f"set slurm-requeue: true in {profile.path}, or a node that dies ends the run")
    if not values.get("retries"):
        yield warning("retries", f"set retries in {profile.path}, or a job that is preempted ends the run")


def _check_accounts(profile: Profile, requests: list[Request]) -> Iterator[Finding]:
    named = sorted({request.account for request in requests if request.account})
    try:
        known = slurm.accounts()
    except SlurmError as error:
        yield warning("account", f"cannot be checked, and the table of costs will lack queue times ({error})")
        return
    lower = {account.lower() for account in known}
    for account in named:
        if known and account.lower() not in lower:
            yield fail(
                "account",
                f"{account} is not yours, but {', '.join(sorted(known))}; change slurm_account in {profile.path}",
            )
        else:
            yield ok("account", account)
    if not named:
        yield ok("account", "none is named, so SLURM charges your default one")


def _too_long(request: Request, partition: Partition) -> Iterator[str]:
    limit = partition.limit_minutes
    if request.minutes is not None and limit is not None and request.minutes > limit:
        yield f"runtime {request.minutes:g} minutes, but partition {partition.name} allows {limit}; lower it"


def _no_node(request: Request, partition: Partition) -> Iterator[str]:
    """Why no node of the partition has what is asked for: what it lacks most often comes first."""
    fitting = [nodes for nodes in partition.nodes if _has_gpus(nodes, request)]
    if not fitting:
        there = sorted(
            {f"{kind or 'gpu'} x {count}" for nodes in partition.nodes for kind, count in nodes.gpus.items()}
        )
        asked = ", ".join(f"{count} {kind or 'GPU'}" for kind, count in request.gpus)
        yield (
            f"{asked} a node, but the nodes of partition {partition.name} have {', '.join(there) or 'no GPU'}; "
            "change slurm_partition, gpu or gpu_model"
        )
        return
    memory = max(nodes.memory_mb for nodes in fitting)
    cpus = max(nodes.cpus for nodes in fitting)
    if request.memory_mb is not None and request.memory_mb > memory:
        yield f"mem_mb {request.memory_mb:g}, but the largest node of partition {partition.name} has {memory}; lower it"
    if request.cpus is not None and request.cpus > cpus:
        yield f"{request.cpus} CPUs, but the largest node of partition {partition.name} has {cpus}; lower them"


def _has_gpus(nodes: Nodes, request: Request) -> bool:
    return all(count <= (nodes.gpus.get(kind, 0) if kind else sum(nodes.gpus.values())) for kind, count in request.gpus)


def _default(partitions: Mapping[str, Partition]) -> Partition | None:
    return next((partition for partition in partitions.values() if partition.default), None)


def _words(request: Request) -> str:
    words = [_gpus(request.gpus)] if request.gpus else []
    words += [f"{request.minutes:g} minutes"] if request.minutes is not None else []
    words += [f"{request.memory_mb:g} MB"] if request.memory_mb is not None else []
    return ", ".join(words) or "nothing else asked"


def _gpus(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} x {kind or 'GPU'}" for kind, count in counts)
