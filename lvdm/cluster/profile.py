"""A profile of Snakemake: how it runs jobs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvdm.config import ConfigError, read_mapping


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


def read_profile(folder: Path) -> Profile:
    """The profile in a folder. Raises ``ConfigError`` when there is none."""
    # As Snakemake does: of files for some version and later ones, that of the latest.
    versioned = sorted(folder.glob("config.v[0-9]*+.yaml"), key=lambda file: int(re.search(r"\d+", file.name)[0]))
    file = versioned[-1] if versioned else folder / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{folder} is no profile: there is no {file}; give a folder such as profiles/slurm")
    return Profile(file, read_mapping(file))
