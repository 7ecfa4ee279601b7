"""The environments of the rules: what their stages import, no more, in the versions of pyproject.toml."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lvdm.provenance import imports

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENTS = sorted((REPOSITORY / "envs").glob("*.yaml"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# pandas imports it when a table is written as Markdown.
BY_PANDAS = {"tabulate"}


def pip_packages(environment: Path) -> dict[str, Requirement]:
    """What pip installs there, by name."""
    dependencies = yaml.safe_load(environment.read_text(encoding="utf-8"))["dependencies"]
    (listed,) = (item["pip"] for item in dependencies if isinstance(item, dict))
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, listed)}


def stages(environment: Path) -> set[str]:
    """The stages that rules run in it."""
    found = set()
    for rules in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        for block in re.split(r"^\s*rule \w+:\n", rules.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            if f'"../../envs/{environment.name}"' in block:
                found |= set(re.findall(r'"(?:\{resources\.launcher\} )?lvdm ([a-z-]+)', block))
    return found


def needed(environment: Path) -> set[str]:
    """The packages that these stages and the command line import, by name."""
    modules = {"lvdm.__main__"} | {f"lvdm.stages.{stage.replace('-', '_')}" for stage in stages(environment)}
    others = {name for module in modules for name in imports(module)} - set(sys.stdlib_module_names)
    distributions = packages_distributions()
    return {canonicalize_name(distributions[name][0]) for name in others}


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_has_what_its_stages_import_and_no_more(environment):
    packages = set(pip_packages(environment))
    assert stages(environment), "no rule uses it"
    by_pandas = BY_PANDAS if "pandas" in packages else set()
    assert packages == needed(environment) | by_pandas


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_are_those_of_the_project(environment):
    project = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dicom"]]
    stated = {canonicalize_name(item.name): item for item in map(Requirement, project)}
    for name, requirement in pip_packages(environment).items():
        assert requirement.specifier == stated[name].specifier, name
    text = environment.read_text(encoding="utf-8")
    (python,) = re.findall(r"- python =(\S+)", text)
    assert f"{python}.0" in Requirement(f"python{PROJECT['requires-python']}").specifier


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_each_environment_installs_the_checkout(environment):
    """Snakemake runs the script that is named like the environment."""
    script = environment.with_suffix(".post-deploy.sh")
    assert "--no-deps --editable ." in script.read_text(encoding="utf-8")


def test_every_rule_with_a_command_has_an_environment():
    for rules in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        text = rules.read_text(encoding="utf-8")
        assert text.count("    shell:\n") == text.count("    conda:\n") == len(re.findall(r"envs/\w+\.yaml", text))
    known = {f"../../envs/{path.name}" for path in ENVIRONMENTS}
    used = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"))
    assert set(re.findall(r'"(\.\./\.\./envs/[^"]+)"', used)) == known


def test_the_container_is_the_one_that_is_described():
    """What its recipe copies is there, and its Python is recent enough."""
    recipe = (REPOSITORY / "envs" / "lvdm.def").read_text(encoding="utf-8")
    files = re.search(r"%files\n((?:    .*\n)+)", recipe)[1]
    for line in files.splitlines():
        source, target = line.split()
        assert (REPOSITORY / source).exists()
        assert target == f"/opt/lvdm/{source}"
    (python,) = re.findall(r"^From: python:([\d.]+)", recipe, flags=re.MULTILINE)
    assert f"{python}.0" in Requirement(f"python{PROJECT['requires-python']}").specifier
    assert 'container: "envs/lvdm.sif"' in (REPOSITORY / "workflow" / "Snakefile").read_text(encoding="utf-8")
