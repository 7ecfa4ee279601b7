"""Whether the packages and commands that the pipeline runs are there, in versions that it is made for."""

import platform
import re
import shutil
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lvdm.findings import Finding, fail, ok

DISTRIBUTION = "lvdm-endoscopy"
COMMANDS = ("snakemake", "lvdm")

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def check_versions() -> Iterator[Finding]:
    """Python and every package against what the project states; one line when all are as they should be."""
    python, needed = requirements()
    problems = 0
    if platform.python_version() not in python:
        problems += 1
        yield fail("Python", f"{platform.python_version()} runs this, but {python} is needed; install another")
    for requirement in needed:
        found = _installed(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            problems += 1
            what = f"{found or 'nothing'} is installed, but {requirement.specifier} is needed"
            yield fail(requirement.name, f"{what}: python -m pip install '{requirement}'")
    if not problems:
        shown = ", ".join(f"{name} {_installed(name)}" for name in ("torch", "snakemake"))
        yield ok("versions", f"Python {platform.python_version()}, {shown} and {len(needed) - 2} more packages")


def check_commands() -> Iterator[Finding]:
    """The commands that rules run."""
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    for command in missing:
        yield fail(command, f"no such command: activate the environment that {DISTRIBUTION} is installed in")
    if not missing:
        yield ok("commands", ", ".join(str(shutil.which(command)) for command in COMMANDS))


@cache
def requirements() -> tuple[SpecifierSet, tuple[Requirement, ...]]:
    """Versions of Python, and the packages, that the project needs.

    Those of pyproject.toml in a checkout, where what was noted down when it was installed may be out of date.
    """
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        return SpecifierSet(project["requires-python"]), tuple(map(Requirement, project["dependencies"]))
    stated = metadata.metadata(DISTRIBUTION)
    needed = [line for line in stated.get_all("Requires-Dist") or [] if not re.search(r"extra\s*==", line)]
    return SpecifierSet(stated["Requires-Python"]), tuple(map(Requirement, needed))


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
