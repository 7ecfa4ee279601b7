"""A profile of Snakemake: how it runs, and what the jobs of each rule ask of a cluster."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvdm.cluster.slurm import read_gres
from lvdm.config import ConfigError, read_mapping

DEFAULT = "default-resources"

_MINUTES = {"s": 1 / 60, "m": 1, "h": 60, "d": 24 * 60, "w": 7 * 24 * 60}
_MEGABYTES = {"B": 1e-6, "K": 1e-3, "M": 1, "G": 1e3, "T": 1e6}


@dataclass(frozen=True)
class Request:
    """What a job asks for; None or empty where it does not say, or says it in an expression.

    ``gpus`` is type to count a node, "" a type that is not stated.
    """

    rule: str
    partition: str = ""
    account: str = ""
    gpus: tuple[tuple[str, int], ...] = ()
    minutes: float | None = None
    memory_mb: float | None = None
    cpus: int | None = None


@dataclass(frozen=True)
class Profile:
    """A profile as it is written; ``path`` is its file."""

    path: Path
    values: Mapping[str, Any]

    @property
    def slurm(self) -> bool:
        """Whether jobs go to SLURM."""
        return self.values.get("executor") == "slurm"

    @property
    def configfiles(self) -> list[Path]:
        """The configuration files that it names."""
        named = self.values.get("configfile", [])
        return [Path(name) for name in ([named] if isinstance(named, str) else named)]

    def requests(self, gpus: Mapping[str, int] | None = None) -> list[Request]:
        """What the jobs of each rule ask for, those of all other rules first.

        ``gpus`` has the GPUs of rules whose number is not in the profile, but follows from a configuration.
        """
        default = _pairs(self.values.get(DEFAULT))
        threads = _pairs(self.values.get("set-threads"))
        changed = {rule: _pairs(resources) for rule, resources in _pairs(self.values.get("set-resources")).items()}
        rules = dict.fromkeys([*changed, *(gpus or {})])
        found = [_request(DEFAULT, default)]
        for rule in rules:
            resources = {**default, **({"gpu": gpus[rule]} if gpus and rule in gpus else {}), **changed.get(rule, {})}
            found.append(_request(rule, {**resources, "threads": threads.get(rule)}))
        return found


def read_profile(path: Path) -> Profile:
    """The profile in a folder. Raises ``ConfigError`` when there is none."""
    # Snakemake's own order: the file for the latest version that it is not too old for.
    versioned = sorted(path.glob("config.v[0-9]*+.yaml"), key=lambda file: int(re.search(r"\d+", file.name)[0]))
    file = versioned[-1] if versioned else path / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{path} is no profile: there is no {file}; give a folder such as profiles/slurm")
    return Profile(file, read_mapping(file))


def _request(rule: str, resources: Mapping[str, Any]) -> Request:
    gpus = read_gres(str(resources.get("gres", "")))
    if not gpus and (count := _number(resources.get("gpu"), {"": 1})):
        gpus = {str(resources.get("gpu_model") or ""): int(count)}
    cpus = _number(resources.get("cpus_per_task") or resources.get("threads"), {"": 1})
    memory = resources.get("mem_mb")
    return Request(
        rule=rule,
        partition=str(resources.get("slurm_partition") or ""),
        account=str(resources.get("slurm_account") or ""),
        gpus=tuple(sorted(gpus.items())),
        minutes=_number(resources.get("runtime"), {**_MINUTES, "": 1}),
        memory_mb=_number(resources.get("mem"), _MEGABYTES) if memory is None else _number(memory, {"": 1}),
        cpus=None if cpus is None else int(cpus),
    )


def _pairs(value: Any) -> dict[str, Any]:
    """A mapping, which a profile may also write as a list of ``key=value``."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    return dict(str(item).split("=", 1) for item in value)


def _number(value: Any, units: Mapping[str, float]) -> float | None:
    """A number with a unit (``2h``, ``16 GB``); None of an expression, whose value only Snakemake knows."""
    found = re.fullmatch(r"([\d.]+)\s*([A-Za-z]?)[A-Za-z]*", str(value).strip())
    if not found:
        return None
    letter = found[2] if found[2] in units else found[2].swapcase()
    return float(found[1]) * units[letter] if letter in units else None
