"""The layers of docs/architecture.md, checked by reading the imports of every module."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lvdm"
MODULES = sorted(PACKAGE.rglob("*.py"))

BASE = {"config", "files", "findings", "installation", "progress", "provenance", "read_ahead", "reading", "compute"}
ALLOWED = {
    "data": BASE,
    "models": BASE,
    "diffusion": BASE,
    "evaluation": BASE,
    "reporting": BASE,
    "cluster": BASE,
    "longvideo": BASE | {"diffusion"},
    "original": BASE | {"models"},
    "training": BASE | {"data", "models", "diffusion"},
    "stages": BASE
    | {"data", "models", "diffusion", "evaluation", "reporting", "cluster", "longvideo", "original", "training"},
    "__main__": BASE | {"stages"},
    "__init__": set(),
    **dict.fromkeys(BASE, BASE),
}

# A library to the only modules, or layers, that may import it.
ONLY_IN = {
    "pytorch_lightning": {"training", "stages/train_autoencoder.py", "stages/train_diffusion.py"},
    "lightning": set(),
    "av": {"data/recording.py", "data/picture.py", "data/pixels.py"},
    "decord": {"data/video.py"},
    "ffmpeg": {"data/video.py"},
    "imageio_ffmpeg": {"data/video.py"},
    "snakemake": set(),
}

# What the workflow imports when it is parsed, and what draws the page, start without torch.
TORCH_FREE = {
    "config.py",
    "files.py",
    "findings.py",
    "installation.py",
    "progress.py",
    "provenance.py",
    "read_ahead.py",
    "reading.py",
    "reporting",
    "cluster",
    "stages/cost.py",
    "stages/pipeline.py",
    "stages/parts.py",
    "stages/sources.py",
    "data/catalog.py",
    "data/listing.py",
    "data/manifest.py",
    "data/picture.py",
    "data/tone.py",
    "data/video.py",
    *(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/config.py")),
}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imported(path: Path) -> set[str]:
    """The dotted names that a module imports, at its top or in a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which this test does not follow"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own(names: set[str]) -> set[str]:
    """The layers of this package among some dotted names."""
    parts = (name.split(".") for name in names)
    return {part[1] for part in parts if part[0] == "lvdm" and len(part) > 1 and _exists(part[1])}


def _file(module: str) -> Path:
    return PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")


def _exists(part: str) -> bool:
    return (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()


def belongs(path: Path, places: set[str]) -> bool:
    return name(path) in places or layer(path) in places


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_layer_imports_only_those_below_it(path):
    assert own(imported(path)) <= ALLOWED[layer(path)] | {layer(path)}


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_libraries_stay_where_they_belong(path):
    found = {name.partition(".")[0] for name in imported(path)}
    for library, places in ONLY_IN.items():
        assert library not in found or belongs(path, places), f"{library} in {name(path)}"


@pytest.mark.parametrize("path", [path for path in MODULES if belongs(path, TORCH_FREE)], ids=name)
def test_modules_without_torch_stay_so(path):
    """Nothing that they import within the package leads to torch either."""
    waiting, seen = [path], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        names = imported(module)
        heavy = {"torch", "pytorch_lightning"} & {name.partition(".")[0] for name in names}
        assert not heavy, f"{name(path)} imports {heavy} through {name(module)}"
        waiting += [file for file in map(_file, names) if file in MODULES and file not in seen]


def test_configurations_import_configurations_only():
    """Code stamps leave config.py modules out, so no code may hide behind one."""
    for path in PACKAGE.rglob("config.py"):
        modules = {found for found in imported(path) if _file(found) in MODULES}
        assert {module.rpartition(".")[2] for module in modules} <= {"config"}, name(path)


def test_packages_do_nothing_on_import():
    for path in PACKAGE.glob("*/__init__.py"):
        assert path.read_text() == "", name(path)


def test_networks_reach_the_samplers_as_callables():
    assert not any("models" in own(imported(path)) for path in (PACKAGE / "diffusion").glob("*.py"))


def test_a_stage_is_imported_only_when_it_runs():
    source = "import sys, lvdm.__main__; print('torch' in sys.modules)"
    command = [sys.executable, "-c", source]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
