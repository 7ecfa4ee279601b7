"""Two real processes (gloo, on the CPU) that train together, and what becomes of them when one is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from test_loop import NAME, STEPS, Rows, TwoLayers, config, read

from lvdm.data.sampler import ShareBatchSampler, StepBatchSampler
from lvdm.training import distributed
from lvdm.training.checkpoint import Run
from lvdm.training.config import check_processes
from lvdm.training.distributed import Processes
from lvdm.training.loop import INTERRUPTED, fit

# Sums in another order: the last bits of float32, over a dozen steps.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}

# The launcher imports next to nothing.
DRIVER = """
import sys
from lvdm.training.distributed import start
processes = start(int(sys.argv[2]), int(sys.argv[3]))
sys.path.insert(0, sys.argv[1])
from test_distributed import main
main(processes, *sys.argv[4:])
"""


class Plan(TwoLayers):
    """A training in which things happen to one of the processes."""

    def after_step(self) -> None:
        if self.step in self.events and self.processes.rank != self.rank_of_events:
            del self.events[self.step]
        super().after_step()


def train(folder: Path, processes: Processes = distributed.ALONE, rank: int = 0, events: dict | None = None) -> Plan:
    module = Plan(config(accumulate=4), events)
    module.rank_of_events = rank
    fit(module, train=Rows(), heldout=Rows(5), run=Run(folder, NAME), processes=processes)
    return module


def main(processes: Processes, folder: str, rank: str, events: str) -> None:
    """What the driver runs: a training with ``events`` in the process ``rank``, signals or errors by step."""
    found = json.loads(events).items()
    train(
        Path(folder),
        processes,
        int(rank),
        {int(step): RuntimeError(what) if isinstance(what, str) else what for step, what in found},
    )


def command(
    folder: Path, rank: int = 0, events: dict[int, int | str] | None = None, gpus: int = 2, nodes: int = 1
) -> list[str]:
    arguments = [Path(__file__).parent, gpus, nodes, folder, rank, json.dumps(events or {})]
    return [sys.executable, "-c", DRIVER, *map(str, arguments)]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments, **options), stderr=subprocess.PIPE, encoding="utf-8", check=False)


def assert_close_training(first: Path, second: Path) -> None:
    for name in ("metrics.csv", "quality.csv"):
        ours, theirs = read(first / NAME / name), read(second / NAME / name)
        assert [row["step"] for row in ours] == [row["step"] for row in theirs]
        for column in {"loss", "noise", "value"} & set(ours[0]):
            values = [[float(row[column]) for row in rows] for rows in (ours, theirs)]
            np.testing.assert_allclose(*values, **TOLERANCE)
    states = [max((folder / NAME / "checkpoints").glob("*.pt")) for folder in (first, second)]
    ours, theirs = (torch.load(path, weights_only=True)["module"] for path in states)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, **TOLERANCE)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    train(folder)
    return folder


def test_two_processes_train_what_one_trains_and_hand_over_to_one_and_back(undisturbed, tmp_path):
    """SIGTERM to one of two stops both after the same step; one process goes on, and then two again."""
    stopped = run(tmp_path, 1, {4: int(signal.SIGTERM)})
    assert stopped.returncode == INTERRUPTED, stopped.stderr
    assert f"saved after step 4 of {STEPS}" in stopped.stderr
    with pytest.raises(SystemExit):
        train(tmp_path, events={9: int(signal.SIGUSR1)})
    finished = run(tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert_close_training(tmp_path, undisturbed)
    assert not (tmp_path / "owner.json").exists()


def test_tasks_of_slurm_are_the_processes(undisturbed, tmp_path):
    """As `srun` starts them on two nodes."""
    port = str(29_000 + os.getpid() % 1000)
    tasks = [
        subprocess.Popen(
            command(tmp_path, gpus=1, nodes=2),
            env={
                **os.environ,
                "SLURM_PROCID": str(rank),
                "SLURM_JOB_ID": "1",
                "SLURM_LOCALID": "0",
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_STEP_NODELIST": "localhost,other",
                "MASTER_PORT": port,
            },
        )
        for rank in range(2)
    ]
    assert [task.wait() for task in tasks] == [0, 0]
    assert_close_training(tmp_path, undisturbed)


@pytest.mark.parametrize(("rank", "event"), [(1, int(signal.SIGKILL)), (0, "something broke")])
def test_when_one_is_lost_the_others_end_and_it_is_a_failure(tmp_path, rank, event):
    ended = run(tmp_path, rank, {3: event})
    assert ended.returncode == 1
    what = f"process {rank + 1} of 2 was killed by signal 9" if event == signal.SIGKILL else "something broke"
    assert what in ended.stderr


def test_no_process_outlives_its_launcher(tmp_path):
    launcher = psutil.Popen(command(tmp_path, 1, {3: int(signal.SIGSTOP)}), stderr=subprocess.DEVNULL)
    wait_for(lambda: any(tmp_path.rglob("metrics.csv")))
    children = launcher.children()
    assert len(children) == 2
    launcher.kill()
    launcher.wait()
    children[1].resume()
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_asked_to_stop_while_they_start_they_do_no_more(tmp_path):
    launcher = psutil.Popen(command(tmp_path), stderr=subprocess.DEVNULL)
    wait_for(launcher.children)
    launcher.terminate()
    assert launcher.wait() == INTERRUPTED
    assert not any(tmp_path.rglob("metrics.csv"))


def wait_for(happened) -> None:
    while not happened():
        time.sleep(0.02)


def tasks_of_slurm(monkeypatch, **variables: str) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


def test_a_task_of_slurm_knows_its_place(monkeypatch):
    variables = {"PROCID": "5", "LOCALID": "1", "STEP_NUM_TASKS": "8", "JOB_ID": "1234567"}
    tasks_of_slurm(monkeypatch, **variables, STEP_NODELIST="no-such-host[03-05,9]", LAUNCH_NODE_IPADDR="10.0.0.7")
    monkeypatch.setattr(distributed.logging.getLogger("lvdm"), "level", 0)
    processes = distributed.start(gpus=2, nodes=4)
    assert (processes.rank, processes.local_rank, processes.size, processes.first) == (5, 1, 8, False)
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("10.0.0.7", "24567")


@pytest.mark.parametrize(("nodes", "host"), [("gpu[03-05,9],big1", "gpu03"), ("a-1,b[2-3]", "a-1"), ("n[7]", "n7")])
def test_the_first_of_slurms_nodes_is_where_they_meet(monkeypatch, nodes, host):
    monkeypatch.setattr(distributed.socket, "gethostbyname", lambda name: f"address of {name}")
    assert distributed._first_host(nodes) == f"address of {host}"


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ({}, "-1 on its node and -1 of -1"),
        ({"STEP_NUM_TASKS": "2", "PROCID": "1", "LOCALID": "1"}, "1 on its node and 1 of 2"),
        ({"STEP_NUM_TASKS": "4", "PROCID": "1", "LOCALID": "0"}, "0 on its node and 1 of 4"),  # dealt out in turn
    ],
)
def test_several_nodes_need_a_task_for_each_gpu(monkeypatch, found, place):
    for name in distributed._SLURM_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    tasks_of_slurm(monkeypatch, JOB_ID="1", STEP_NODELIST="a[1-2]", **found)
    with pytest.raises(
        ValueError, match=rf"needs 4 tasks of SLURM, 2 on each node.* number {place} .* `srun --nodes=2 "
    ):
        distributed.start(gpus=2, nodes=2)


def test_batches_that_cannot_be_shared_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"`training\.accumulate` is 4, and 3 processes .* such as 6"):
        check_processes(config(accumulate=4), gpus=3, nodes=1)
    check_processes(config(accumulate=4), gpus=2, nodes=2)


def test_the_processes_share_all_batches():
    shares = [list(Processes(rank, gpus=3).share(6)) for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2, 5]]
    steps = StepBatchSampler(size=40, batch_size=12, seed=0, steps=2)
    shared = [list(ShareBatchSampler(steps, 2, share)) for share in shares]
    for number, items in enumerate(steps):
        assert shared[0][number] == items[0:2] + items[6:8]
        assert sorted(shared[0][number] + shared[1][number] + shared[2][number]) == sorted(items)
