"""Several processes that train one model, one on each GPU.

Each holds the whole model. They share the batches of a step, add up their gradients, and stop at the same step, so
that a training is the same run whatever their number: the same clips, the same noise, the same learning rate, and
losses that differ by rounding. The first one alone writes files and validates, while the others wait.
"""

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist

from lvdm.training.launch import LAUNCHER, end_with_launcher, launch

# While the first process validates, saves or waits for the run folder; one that dies is noticed at once.
_PATIENCE = timedelta(days=7)

_SLURM_VARIABLES = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SLURM_JOB_ID")


class Processes:
    """The processes of a training, seen from one of them: number ``rank`` of ``gpus * nodes``.

    ``local_rank`` is its number on its node, and that of its GPU. Its methods are for all processes alike: each
    must call them in the same order. With one process they do nothing.
    """

    def __init__(self, rank: int = 0, local_rank: int = 0, gpus: int = 1, nodes: int = 1):
        self.rank, self.local_rank, self.gpus, self.nodes = rank, local_rank, gpus, nodes
        self.tensors: dist.ProcessGroup | None = None
        """The group for tensors on the devices, while connected."""

    @property
    def size(self) -> int:
        return self.gpus * self.nodes

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, batches: int) -> range:
        """The numbers of the batches of a step, of which there are ``batches``, that this process computes."""
        return range(self.rank, batches, self.size)

    @contextmanager
    def connected(self, device: torch.device) -> Iterator[None]:
        """While entered, the processes can reach one another; waits until all are there."""
        if self.size == 1:
            yield
            return
        # What Lightning reads; and it leaves the number of threads alone where this one is set.
        os.environ.update(LOCAL_RANK=str(self.local_rank), NODE_RANK=str(self.rank // self.gpus))
        os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
        with self._naming_losses():
            dist.init_process_group(
                "gloo", store=self._store(), rank=self.rank, world_size=self.size, timeout=_PATIENCE
            )
        # NCCL gives up by itself after minutes; what takes longer is waited for on the CPU.
        self.tensors = dist.new_group(backend="nccl") if device.type == "cuda" else dist.group.WORLD
        yield
        # Not after an error: NCCL would wait for processes that are gone.
        dist.destroy_process_group()

    def any(self, value: bool) -> bool:
        """Whether ``value`` is true in any process. They wait for one another, and for no GPU."""
        if self.size == 1:
            return value
        flag = torch.tensor(int(value))
        with self._naming_losses():
            dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def tell(self, number: int) -> int:
        """The ``number`` of the first process; the others wait for it."""
        if self.size == 1:
            return number
        told = torch.tensor(number)
        with self._naming_losses():
            dist.broadcast(told, src=0)
        return int(told)

    def smallest(self, number: int) -> int:
        """The smallest of the ``number`` of all processes."""
        if self.size == 1:
            return number
        found = torch.tensor(number)
        with self._naming_losses():
            dist.all_reduce(found, dist.ReduceOp.MIN)
        return int(found)

    def sum(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scalars of all processes added up, under their names, which are the same in each."""
        if self.size == 1:
            return dict(values)
        total = torch.stack([value.float() for value in values.values()])
        with self._naming_losses():
            dist.all_reduce(total, group=self.tensors)
        return dict(zip(values, total.unbind(), strict=True))

    def reduce(self, tensor: Tensor) -> dist.Work:
        """Start to add up ``tensor`` in place over the processes; whoever reads it waits for what is returned."""
        return dist.all_reduce(tensor, group=self.tensors, async_op=True)

    def wait(self, work: dist.Work) -> None:
        """Let what follows on the device wait for ``work``."""
        with self._naming_losses():
            work.wait()

    def align(self, module: nn.Module) -> None:
        """Copy the first process's parameters and buffers to the others."""
        if self.size == 1:
            return
        with self._naming_losses():
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0, group=self.tensors)

    def _store(self) -> dist.TCPStore:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        hosts = self.first and LAUNCHER not in os.environ
        return dist.TCPStore(address, port, self.size, is_master=hosts, timeout=timedelta(minutes=30))

    @contextmanager
    def _naming_losses(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # of which all of torch.distributed's are kinds
            raise ConnectionError(
                f"process {self.rank + 1} of {self.size} lost the others ({error}); why is in the log of the one that "
                "failed first; run again to resume"
            ) from error


ALONE = Processes()


def start(gpus: int, nodes: int) -> Processes:
    """This process among the ``gpus`` on each of ``nodes`` machines that train together (on CPUs: processes).

    On one node this very command is run again, once for each GPU, and the call ends in ``SystemExit`` with their
    exit code, unless this is already one of them. On several nodes SLURM has started the processes (srun);
    ``ValueError`` says how where it has not.
    """
    if gpus * nodes == 1:
        return ALONE
    if nodes > 1:
        processes = _of_slurm(gpus, nodes)
    elif LAUNCHER in os.environ:
        end_with_launcher()
        rank = int(os.environ["LOCAL_RANK"])
        processes = Processes(rank, rank, gpus)
    else:
        raise SystemExit(launch(gpus))
    if not processes.first:
        logging.getLogger("lvdm").setLevel(logging.WARNING)
    return processes


def _of_slurm(gpus: int, nodes: int) -> Processes:
    found = {name: os.environ.get(name) for name in _SLURM_VARIABLES}
    tasks, rank, local_rank = (int(found[name] or -1) for name in _SLURM_VARIABLES[:3])
    if None in found.values() or tasks != gpus * nodes or local_rank != rank % gpus:
        raise ValueError(
            f"--nodes {nodes} with --gpus {gpus} needs {gpus * nodes} tasks of SLURM, {gpus} on each node, and this is "
            f"number {local_rank} on its node and {rank} of {tasks} in all (-1: none); start it with "
            f"`srun --nodes={nodes} --ntasks-per-node={gpus} --kill-on-bad-exit`"
        )
    os.environ.setdefault("MASTER_ADDR", _first_host(found["SLURM_STEP_NODELIST"]))
    # One that each task finds by itself, and another job on the same machine does not.
    os.environ.setdefault("MASTER_PORT", str(20_000 + int(found["SLURM_JOB_ID"]) % 10_000))
    return Processes(rank, local_rank, gpus, nodes)


def _first_host(nodes: str) -> str:
    """The address of the first of SLURM's ``nodes``: "gpu[03-05,9],big1", say."""
    name = re.sub(r"\[(\d+)[^]]*\]", r"\1", nodes).partition(",")[0]
    try:
        return socket.gethostbyname(name)
    except OSError:  # SLURM's names of nodes need not be names of hosts; srun runs on the first one
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR", name)
