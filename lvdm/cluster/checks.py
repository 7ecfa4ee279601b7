"""Whether a cluster has what a profile asks for."""

import re
from collections.abc import Iterator, Mapping, Sequence

from lvdm.cluster import slurm
from lvdm.cluster.profile import Profile
from lvdm.cluster.requests import Request
from lvdm.cluster.slurm import Nodes, Partition, SlurmError
from lvdm.findings import Finding, fail, ok, warning

# Between two looks of the executor plugin at the queue, when nothing happens.
POLLING_SECONDS = 180


def check_cluster(profile: Profile, requests: Sequence[Request]) -> Iterator[Finding]:
    """Ask SLURM for all that the jobs of a plan ask for, and for what ``profile`` relies on."""
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
    yield from check_accounts(profile, requests)
    for request in requests:
        yield check_request(profile, request, partitions)
    yield from check_settings(profile, settings)


def check_request(profile: Profile, request: Request, partitions: Mapping[str, Partition]) -> Finding:
    """Whether a partition takes such a job, and its nodes can run it."""
    subject = f"rule {request.rule}"
    partition = partitions.get(request.partition) if request.partition else _default(partitions)
    if partition is None:
        problem = f"there is no partition {request.partition or 'by default'}, but {', '.join(partitions)}"
        return fail(subject, f"{problem}; change slurm_partition in {profile.path}")
    problem = _problem(request, partition)
    if problem:
        return fail(subject, f"{problem} in {profile.path}")
    usable = sum(nodes.count for nodes in partition.nodes if nodes.usable and _has_gpus(nodes, request))
    if usable < request.nodes:
        return warning(subject, f"too few nodes of partition {partition.name} are up now, so its jobs will wait")
    return ok(subject, f"jobs: {request.jobs}, each {_words(request)}; {usable} nodes of {partition.name} fit")


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


def check_accounts(profile: Profile, requests: Sequence[Request]) -> Iterator[Finding]:
    """Whether this user may charge the accounts that are named."""
    named = sorted({request.account for request in requests if request.account})
    try:
        known = slurm.accounts()
    except SlurmError as error:
        yield warning("account", f"cannot be checked, and the table of costs will know no queue times ({error})")
        return
    lower = {account.lower() for account in known}
    for account in named:
        if known and account.lower() not in lower:
            message = f"{account} is not yours, but {', '.join(sorted(known))}; change slurm_account in {profile.path}"
            yield fail("account", message)
        else:
            yield ok("account", account)
    if not named:
        yield ok("account", "none is named, so SLURM charges your default one")


def _problem(request: Request, partition: Partition) -> str:
    """Why no job of this kind ever runs in the partition, and what to change; nothing where it may."""
    name, limit = partition.name, partition.limit_minutes
    fitting = [nodes for nodes in partition.nodes if _has_gpus(nodes, request)]
    if not partition.up:
        return f"partition {name} is not up; wait, or change slurm_partition"
    if limit is not None and request.minutes > limit:
        return f"its jobs ask for {request.minutes} minutes, but partition {name} allows {limit}; lower runtime"
    if not fitting:
        there = sorted({_gpus(nodes) for nodes in partition.nodes})
        return (
            f"its jobs ask for {_words(request)}, but the nodes of partition {name} have {' or '.join(there)}; "
            "change slurm_partition, gpu or gpu_model"
        )
    if request.nodes > sum(nodes.count for nodes in fitting):
        return f"its jobs ask for {request.nodes} nodes, but partition {name} has fewer; lower nodes"
    for what, asked, most in (
        ("mem_mb", request.memory_mb, max(nodes.memory_mb for nodes in fitting)),
        ("threads", request.cpus, max(nodes.cpus for nodes in fitting)),
    ):
        if asked > most:
            return f"its jobs ask for {what} {asked}, but the largest node of partition {name} has {most}; lower it"
    return ""


def _has_gpus(nodes: Nodes, request: Request) -> bool:
    there = nodes.gpus.get(request.gpu_model, 0) if request.gpu_model else sum(nodes.gpus.values())
    return request.gpus <= there


def _default(partitions: Mapping[str, Partition]) -> Partition | None:
    return next((partition for partition in partitions.values() if partition.default), None)


def _words(request: Request) -> str:
    words = [f"{request.gpus} x {request.gpu_model or 'GPU'} a node"] if request.gpus else []
    words += [f"{request.nodes} nodes"] if request.nodes > 1 else []
    words += [f"{request.minutes} minutes"] if request.minutes else []
    words += [f"{request.memory_mb} MB"] if request.memory_mb else []
    return ", ".join([*words, f"{request.cpus} CPU threads"])


def _gpus(nodes: Nodes) -> str:
    return ", ".join(f"{count} x {kind or 'GPU'}" for kind, count in nodes.gpus.items()) or "none"
