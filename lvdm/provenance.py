"""What made a result: the stamp of the code, and the versions it ran with.

The stamp of a stage is a hash over the syntax trees of its module and of every module of this package
that it imports, directly or not. Comments, docstrings and formatting are not part of a syntax tree, so
they make nothing stale; a changed statement in a sampler makes the samples stale but not the training.
"""

import ast
import hashlib
import platform
import sys
from collections.abc import Iterator, Set
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = "lvdm"

# Their values are frozen in the stage's configuration (config), or they cannot change a result.
_NOT_PART_OF_A_STAMP = frozenset({"config", "progress", "provenance"})

# Files beside the modules that decide what a page looks like.
_DATA_SUFFIXES = {".html", ".css", ".js", ".j2"}


def code_stamp(module: str, root: Path | None = None) -> str:
    """16 hexadecimal digits over the code that ``module`` (``lvdm.stages.sample``, say) runs.

    ``root`` is the folder that holds the package; by default that of the package being run.
    Raises ``FileNotFoundError`` when there is no such module.
    """
    root = root or Path(__file__).parent.parent
    digest = hashlib.sha256()
    for name in sorted(_closure(module, root)):
        path = _module_file(name, root)
        digest.update(f"{name}\n{_read(path.read_bytes())[1]}\n".encode())
        for data in sorted(path.parent.iterdir()):
            if data.suffix in _DATA_SUFFIXES:
                digest.update(f"{data.relative_to(root)}\n".encode() + data.read_bytes())
    return digest.hexdigest()[:16]


def imports(module: str) -> set[str]:
    """The packages of others, and of Python itself, that ``module`` imports: directly, or through this package."""
    root = Path(__file__).parent.parent
    found: set[str] = set()
    for own in _closure(module, root, leave_out=frozenset()):
        found |= {name.partition(".")[0] for name in _read(_module_file(own, root).read_bytes())[0]}
    return found - {PACKAGE}


def versions() -> dict[str, str]:
    """The versions of Python, of this package and of the packages that results depend on, as far as they are here.

    Each group of rules may have an environment of its own, see envs/.
    """
    packages = ("torch", "pytorch-lightning", "numpy", "scipy", "pandas", "decord", "imageio-ffmpeg", "snakemake")
    found = {"python": platform.python_version(), "platform": platform.platform(), PACKAGE: _own_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _own_version() -> str:
    return getattr(sys.modules.get(PACKAGE), "__version__", "unknown")


def _closure(module: str, root: Path, leave_out: Set[str] = _NOT_PART_OF_A_STAMP) -> set[str]:
    """``module`` and all modules of the package that it imports, in functions too."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name.rpartition(".")[2] in leave_out:
            continue
        found.add(name)
        waiting += _imports(_module_file(name, root), root)
    return found


def _imports(path: Path, root: Path) -> Iterator[str]:
    for name in _read(path.read_bytes())[0]:
        if name.partition(".")[0] == PACKAGE and _exists(name, root):
            yield name


def _exists(module: str, root: Path) -> bool:
    path = root.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _module_file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _read(source: bytes) -> tuple[tuple[str, ...], str]:
    """What a module may import, and its statements in a normal form: no comments, docstrings, formatting.

    Cached by content: most modules are part of the stamps of many stages.
    """
    tree = ast.parse(source)
    imports: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _drop_docstring(node)
    return tuple(imports), ast.unparse(tree)


def _drop_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]
