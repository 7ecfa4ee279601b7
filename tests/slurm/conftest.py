"""Checkouts on the cluster of cluster.sh, what Snakemake does in them, and what SLURM says about their jobs."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from filelock import FileLock
from scipy.ndimage import gaussian_filter

from lvdm.config import merge
from lvdm.data.video import write_h264
from lvdm.files import write_text

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
CONFIG = "tests/slurm/small.yaml"

# On a cluster, nobody asks for the state of a job every few seconds.
IMPATIENT = ["--slurm-init-seconds-before-status-checks", "3"]

# Far more than anything takes: a limit that is met means that what is waited for does not come.
PATIENCE_SECONDS = 1800.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that others must not run beside go last, so that no process waits while there is something to do."""
    items.sort(key=lambda item: "without_accounting" in item.keywords)


@pytest.fixture(autouse=True)
def _on_the_cluster(request) -> Iterator[None]:
    """Skips where there is no cluster; a test that stops its accounting has it alone, all others share it."""
    if "CLUSTER" not in os.environ:
        pytest.skip("no cluster; `make test-slurm` brings one up")
    alone = request.node.get_closest_marker("without_accounting")
    with Path(os.environ["CLUSTER"], "accounting.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for ``condition`` to hold and return its value."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.5)
    return value


@dataclass(frozen=True)
class Job:
    """A job of SLURM's, or one of its attempts where SLURM itself started it again.

    ``comment`` is ``rule_NAME_wildcards_VALUES``, as the executor of Snakemake writes it; ``memory`` is in MB.
    """

    id: str
    state: str
    partition: str
    nodes: str
    memory: int
    comment: str

    @classmethod
    def read(cls, line: str) -> "Job":
        """From a line of squeue or sacct: folder, then the fields above in their order.

        The last one may be the whole command that submitted the job. The accounting loses the comment of a job that
        ends while it is away, but not that.
        """
        _, id, state, partition, nodes, memory, comment = line.split("|", maxsplit=6)
        megabytes = float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]
        return cls(id, state.split()[0], partition, nodes, round(megabytes), re.search(r"\brule_[^\s']+", comment)[0])


class Cluster:
    """The cluster of cluster.sh."""

    def __init__(self, folder: Path):
        self.folder = folder

    def ask(self, *command: str) -> str:
        """The output of one of SLURM's commands. Raises ``ConnectionError`` when it fails."""
        result = subprocess.run(command, capture_output=True, encoding="utf-8")
        if result.returncode:
            raise ConnectionError(f"{' '.join(command)}: {result.stderr}")
        return result.stdout

    def queue(self, folder: Path, rule: str = "") -> list[Job]:
        """Jobs that were submitted from ``folder`` and are not done."""
        return _submitted(self.ask("squeue", "--noheader", "--format=%Z|%i|%T|%P|%N|%m|%k"), folder, rule)

    def jobs(self, folder: Path, rule: str = "") -> list[Job]:
        """All that the accounting knows of jobs that were submitted from ``folder``, in their order."""
        fields = "--format=WorkDir,JobID,State,Partition,NodeList,ReqMem,SubmitLine"
        lines = self.ask("sacct", "--allocations", "--duplicates", "--noheader", "--parsable2", fields)
        return _submitted(lines, folder, rule)

    def restarts(self, job: Job) -> int:
        """How often SLURM has put a job back into the queue."""
        return int(re.search(r"\bRestarts=(\d+)", self.ask("scontrol", "show", "job", job.id))[1])

    def stop(self, daemon: str) -> None:
        """End a daemon of the cluster."""
        process = psutil.Process(int((self.folder / "pid" / f"{daemon}.pid").read_text()))
        process.terminate()
        process.wait()

    def start(self, daemon: str) -> None:
        """Start a daemon of the cluster again."""
        environment = {**os.environ, "SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}
        subprocess.run([daemon], env=environment, check=True)


def _submitted(lines: str, folder: Path, rule: str) -> list[Job]:
    jobs = [Job.read(line) for line in lines.splitlines() if line.startswith(f"{folder}|")]
    return [job for job in jobs if job.comment.startswith(f"rule_{rule}")]


class Checkout:
    """A copy of the repository, in which Snakemake submits jobs."""

    def __init__(self, root: Path, cluster: Cluster):
        self.root, self.cluster = root, cluster
        self.runs: list[Snakemake] = []
        self._pace = root.parent / "pace"
        self.environment = {
            **os.environ,
            "PACE": str(self._pace),
            "PYTHONPATH": str(root),
            "PATH": os.pathsep.join(
                [str(cluster.folder / "bin"), str(HERE / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
        }

    def configure(self, changes: dict) -> None:
        """Lay ``changes`` over the small configuration."""
        path = self.root / CONFIG
        path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), changes), sort_keys=False))

    def slow_down(self, seconds: float) -> None:
        """Let each step of a training take so many seconds more, now and in later jobs."""
        write_text(self._pace, str(seconds))

    def hurry(self) -> None:
        """Let trainings run as fast as they can again."""
        self._pace.unlink()

    def start(self, *arguments: str, profile: str | None = "slurm", **environment: str) -> "Snakemake":
        """Start Snakemake, with a profile or on this machine alone; more variables of the environment by name."""
        where = ["--cores", "2"] if profile is None else ["--profile", profile, *IMPATIENT]
        # The configuration goes last: options that take several values would swallow a target.
        options = [] if "--configfile" in arguments else ["--configfile", CONFIG]
        command = [sys.executable, "-m", "snakemake", *where, *arguments, *options]
        log = self.root.parent / f"snakemake-{len(self.runs)}.log"
        self.runs.append(Snakemake(command, self.root, {**self.environment, **environment}, log))
        return self.runs[-1]

    def finish(self, *arguments: str, **options: Any) -> str:
        """Run Snakemake to its end and return what it wrote; fails the test when it fails."""
        return self.start(*arguments, **options).finish()

    def doctor(self) -> subprocess.CompletedProcess:
        """What `lvdm doctor` says of a run with the profile."""
        command = ["lvdm", "doctor", "--config", CONFIG, "--profile", "slurm"]
        return subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, encoding="utf-8")

    def queue(self, rule: str = "") -> list[Job]:
        """Jobs that are not done."""
        return self.cluster.queue(self.root, rule)

    def jobs(self, rule: str = "") -> list[Job]:
        """All jobs, once none is left in the queue and the accounting knows how each ended."""

        def settled() -> bool:
            if self.queue():
                return False
            try:
                jobs = self.cluster.jobs(self.root)
            except ConnectionError:  # the accounting is starting again
                return False
            return not any(job.state in ("PENDING", "RUNNING", "COMPLETING") for job in jobs)

        until(settled, "the end of all jobs")
        return self.cluster.jobs(self.root, rule)

    def training(self, section: str = "autoencoder") -> "Training":
        return Training(self.root, section)


class Snakemake:
    """A running Snakemake."""

    def __init__(self, command: list[str], root: Path, environment: dict[str, str], log: Path):
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"Snakemake does not end:\n{self.output[-20_000:]}") from None

    def finish(self) -> str:
        """What it wrote, when it has ended well."""
        assert self.wait() == 0, self.output[-20_000:]
        return self.output

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for ``condition`` while this runs."""

        def met_or_over():
            value = condition()
            assert value or self.process.poll() is None, f"Snakemake ended before {what}:\n{self.output[-20_000:]}"
            return value

        return until(met_or_over, what)

    def kill(self) -> None:
        """SIGKILL: it can tidy nothing up."""
        self.process.kill()
        self.process.wait()


class Training:
    """What can be seen of a training from outside."""

    def __init__(self, root: Path, section: str):
        self.root, self.stage = root, f"train-{section}"
        self.folder = root / "results" / "first" / section

    @property
    def log(self) -> str:
        """The log of its last attempt."""
        return (self.root / "results" / "logs" / "first" / f"{self.stage}.log").read_text(encoding="utf-8")

    @property
    def weights(self) -> bytes:
        """What the training ended with."""
        return (self.folder / "weights.safetensors").read_bytes()

    @property
    def curve(self) -> pd.DataFrame:
        """The published training curve."""
        return pd.read_csv(self.folder / "curve.csv")

    def saved(self) -> int:
        """Steps in the last checkpoint so far."""
        return max((int(path.stem) for path in self.folder.glob("run/*/checkpoints/[0-9]*.pt")), default=0)

    def processes(self) -> list[psutil.Process]:
        """The processes of the stage that run now, wherever SLURM started them."""
        found = []
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
                if self.stage in line[:3] and process.cwd() == str(self.root):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return Cluster(Path(os.environ["CLUSTER"]))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository that is tested."""
    return REPOSITORY


def _checkout(root: Path, cluster: Cluster) -> Checkout:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if os.path.lexists(REPOSITORY / name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, root / name, follow_symlinks=False)
    return Checkout(root, cluster)


@pytest.fixture(scope="session")
def undisturbed(cluster) -> Checkout:
    """Both trainings of the small configuration, finished on this machine without SLURM. Not to be changed.

    Made once for all the processes that the tests run in.
    """
    root = cluster.folder / "undisturbed" / "repository"
    with FileLock(cluster.folder / "undisturbed.lock"):
        if not root.exists():
            made = _checkout(cluster.folder / "making" / "repository", cluster)
            _write_videos(made.root / "data" / "first", 4)
            shards = [f"results/first/shards/{name}.npy" for name in ("train-000", "heldout-000")]
            made.finish(*shards, profile=None)
            shutil.copytree(made.root, cluster.folder / "prepared", symlinks=True)
            made.finish("results/first/diffusion/weights.safetensors", profile=None)
            made.root.parent.rename(root.parent)
    return Checkout(root, cluster)


@pytest.fixture
def checkout(cluster, tmp_path) -> Iterator[Checkout]:
    """A copy of the repository as it is now, without anything that git ignores."""
    with _cancelling(_checkout(tmp_path / "repository", cluster)) as made:
        yield made


@pytest.fixture
def prepared(cluster, undisturbed, tmp_path) -> Iterator[Checkout]:
    """One with all that the autoencoder is trained on, where no training has begun."""
    root = shutil.copytree(cluster.folder / "prepared", tmp_path / "repository", symlinks=True)
    with _cancelling(Checkout(root, cluster)) as copied:
        yield copied


@pytest.fixture
def trained(cluster, undisturbed, tmp_path) -> Iterator[Checkout]:
    """One where both trainings are done."""
    root = shutil.copytree(undisturbed.root, tmp_path / "repository", symlinks=True)
    with _cancelling(Checkout(root, cluster)) as copied:
        yield copied


@contextmanager
def _cancelling(checkout: Checkout) -> Iterator[Checkout]:
    """Leave nothing behind, also where a test fails half-way."""
    try:
        yield checkout
    finally:
        for run in checkout.runs:
            run.kill()
        for job in checkout.queue():
            checkout.cluster.ask("scancel", job.id)


@pytest.fixture(scope="session")
def write_videos() -> Callable[[Path, int], None]:
    """A function that writes so many small videos into a folder."""
    return _write_videos


def _write_videos(folder: Path, count: int) -> None:
    """Small videos, each of another drifting texture."""
    for number in range(count):
        texture = gaussian_filter(np.random.default_rng(number).normal(size=(96, 96, 3)), sigma=(4, 4, 0))
        texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
        frames = np.stack([texture[shift : shift + 48, shift : shift + 48] for shift in range(24)])
        write_h264(frames, folder / f"patient-{number:03}.mp4", fps=10.0)
