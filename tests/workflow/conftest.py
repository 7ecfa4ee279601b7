"""One finished run of the whole pipeline at a tiny size, shared by the tests; each works on a copy."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml
from filelock import FileLock
from scipy.ndimage import gaussian_filter

from lvdm.config import merge
from lvdm.data.video import write_h264

REPOSITORY = Path(__file__).parents[2]
CONFIG = "tests/workflow/tiny.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the finished run come first, because it takes longest."""
    items.sort(key=lambda item: "finished" not in getattr(item, "fixturenames", ()))


@dataclass(frozen=True)
class Job:
    """A job of a dry run."""

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)


class Tree:
    """A copy of the repository in which Snakemake runs."""

    def __init__(self, root: Path):
        self.root = root
        # The copy's own code, in this process's environment, before the checkout that is installed there.
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake; stdout and stderr come together in ``stdout``."""
        return subprocess.run(self.command(*arguments), **self.settings(), check=False)

    def command(self, *arguments: str) -> list[str]:
        # The configuration goes last: options that take several values would swallow a target.
        options = [] if "--configfile" in arguments or "--lint" in arguments else ["--configfile", CONFIG]
        cores = [] if "--cores" in arguments else ["--cores", "2"]
        return [sys.executable, "-m", "snakemake", *cores, *arguments, *options]

    def settings(self) -> dict:
        return {
            "cwd": self.root,
            "env": self.environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "encoding": "utf-8",
        }

    def finish(self, *arguments: str) -> str:
        """Run Snakemake and return what it wrote; fails the test when it fails."""
        result = self.snakemake(*arguments)
        assert result.returncode == 0, result.stdout[-20_000:]
        return result.stdout

    def planned(self, *arguments: str) -> list[Job]:
        """The jobs of a dry run, without the target rule."""
        output = self.finish("--dry-run", *arguments, "all")
        jobs = []
        for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", output, re.MULTILINE):
            line = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
            pairs = (pair.split("=", 1) for pair in line[1].split(", ")) if line else ()
            jobs.append(Job(rule, dict(pairs)))
        assert jobs or "Nothing to be done" in output, output
        return [job for job in jobs if job.rule != "all"]

    def configure(self, changes: dict) -> None:
        """Lay ``changes`` over the tiny configuration."""
        path = self.root / CONFIG
        path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), changes), sort_keys=False))

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a file; ``old`` must be there."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text
        (self.root / path).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """A copy of the repository as it is now, without anything that git ignores."""
    root = tmp_path_factory.mktemp("checkout") / "repository"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (REPOSITORY / name).is_file() or (REPOSITORY / name).is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name, follow_symlinks=False)
    return root


@pytest.fixture(scope="session")
def patients(tmp_path_factory) -> list[Path]:
    """Eight small videos, each of another drifting texture."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [folder / f"patient-{number:02}.mp4" for number in range(1, 9)]
    for number, path in enumerate(paths):
        write_h264(moving_texture(number, 48, 24), path, fps=10.0)
    return paths


def moving_texture(seed: int, size: int, frames: int) -> np.ndarray:
    """A drifting texture, uint8 (frames, size, size, 3)."""
    texture = gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96, 3)), sigma=(4, 4, 0))
    texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    return np.stack([texture[shift : shift + size, shift : shift + size] for shift in range(frames)])


@pytest.fixture(scope="session")
def with_videos(checkout, patients, tmp_path_factory) -> Path:
    """A checkout with two data sets: one plain, one with a name to be careful with and a broken file.

    Beside them are videos of another generator.
    """
    root = tmp_path_factory.mktemp("videos") / "repository"
    shutil.copytree(checkout, root)
    first, second = root / "data" / "first", root / "data" / "second"
    (second / "Tag 1").mkdir(parents=True)
    first.mkdir()
    for video in patients[:4]:
        shutil.copy(video, first)
    for video, name in zip(patients[4:7], ("a.mp4", "Tag 1/Fäll 'ü' $1.mp4", "c.mp4"), strict=True):
        shutil.copy(video, second / name)
    (second / "notes.mp4").write_text("this is no video")
    for number in range(5):
        write_h264(moving_texture(100 + number, 32, 12), root / "data" / "other" / f"{number}.mp4", fps=10.0)
    return root


@pytest.fixture(scope="session")
def finished(with_videos, tmp_path_factory) -> Path:
    """The same after a complete run, made once for all the processes that the tests run in. Not to be changed."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    root, done = shared / "finished" / "repository", shared / "finished" / "done"
    with FileLock(shared / "finished.lock"):
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)  # of a process whose run failed
            shutil.copytree(with_videos, root)
            Tree(root).finish("all")
            done.touch()
    return root


@pytest.fixture
def fresh_tree(checkout, tmp_path) -> Tree:
    """A checkout without data, to change at will."""
    return Tree(shutil.copytree(checkout, tmp_path / "repository"))


@pytest.fixture
def unfinished_tree(with_videos, tmp_path) -> Tree:
    """A checkout with the two data sets, before a run."""
    return Tree(shutil.copytree(with_videos, tmp_path / "repository"))


@pytest.fixture
def tree(finished, tmp_path) -> Tree:
    """A finished run, to change at will; times are kept, so it is up to date."""
    return Tree(shutil.copytree(finished, tmp_path / "repository", symlinks=True))
