"""Check, before a long run, that it has all it needs, and say what to change."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lvdm.cluster.checks import check_cluster
from lvdm.cluster.profile import read_profile
from lvdm.cluster.requests import read_requests
from lvdm.config import ConfigError, read_mapping
from lvdm.findings import Finding, fail, ok
from lvdm.installation import check_commands, check_versions
from lvdm.stages import sources
from lvdm.stages.checks import (
    check_compute,
    check_decoder,
    check_disk,
    check_files,
    check_networks,
    check_videos,
)
from lvdm.stages.pipeline import PipelineConfig

BENCHMARK = Path("config/config.yaml")
"""What the workflow reads where no file with data sets is given."""


def run(*, config: list[Path] = [], profile: Path | None = None) -> None:  # noqa: B006  it is not changed
    """Check, before a long run, that it has all it needs, and say what to change.

    Writes a line a check: OK, WARNING, or FAIL where a run would fail. ``config`` are the files that go to
    Snakemake's --configfile, later ones laid over earlier ones (without any, the benchmark's); ``profile`` is the
    folder that goes to its --profile: what the jobs would ask for with it is then looked for in SLURM.
    Raises ``ValueError`` when a run would fail.
    """
    failed = 0
    for finding in _findings(config, profile):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        failed += finding.level == "FAIL"
    if failed:
        raise ValueError(f"{failed} checks failed; change what their lines say, then run this again")


def _findings(configs: list[Path], folder: Path | None) -> Iterator[Finding]:
    yield from check_versions()
    yield from check_commands()
    yield from check_decoder()
    try:
        profile = read_profile(folder) if folder is not None else None
        pipeline = read_pipeline(configs or (profile.configfiles if profile else []))
    except ConfigError as error:
        yield fail("configuration", str(error))
        return
    yield ok("configuration", f"{len(pipeline.datasets)} data sets: {', '.join(pipeline.datasets)}")
    cluster = profile is not None and profile.slurm
    yield from _check_inputs(pipeline, cluster)
    if cluster:
        plan = _plan(configs, folder)
        yield _check_plan(plan)
        yield from check_cluster(profile, read_requests(plan.stdout) if plan.returncode == 0 else [])


def _plan(configs: list[Path], folder: Path) -> subprocess.CompletedProcess:
    """What Snakemake would run if nothing were there, and what each job would ask for."""
    command = [sys.executable, "-m", "snakemake", "--profile", str(folder), "--dry-run", "--forceall", "all"]
    command += ["--configfile", *map(str, configs)] if configs else []
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _check_plan(plan: subprocess.CompletedProcess) -> Finding:
    if plan.returncode == 0:
        return ok("plan", "Snakemake can make it")
    said = [line for line in (plan.stderr + plan.stdout).splitlines() if line.strip()]
    return fail("plan", f"what jobs ask for is not checked, because Snakemake cannot make one: {said[-1]}")


def _check_inputs(pipeline: PipelineConfig, cluster: bool) -> Iterator[Finding]:
    frames = {}
    for name in pipeline.datasets:
        found, frames[name] = check_videos(pipeline, name)
        yield from found
        yield from check_files(pipeline, name)
    yield from check_networks(pipeline)
    yield check_disk(pipeline, frames)
    yield check_compute(pipeline.compute, cluster)


def read_pipeline(files: list[Path]) -> PipelineConfig:
    """The configuration that the workflow would run with. Raises ``ConfigError``."""
    data: dict[str, Any] = {}
    for file in files:
        _lay_over(data, read_mapping(file))
    if "datasets" not in data:
        base = read_mapping(BENCHMARK)
        _lay_over(base, data)
        data, files = base, [BENCHMARK, *files]
    return sources.load(data, " + ".join(map(str, files)))


def _lay_over(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """As Snakemake does it: mapping by mapping, whatever their kind."""
    for key, value in changes.items():
        if isinstance(base.get(key), dict) and isinstance(value, dict):
            _lay_over(base[key], value)
        else:
            base[key] = value
