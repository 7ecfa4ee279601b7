"""``batch_size: auto``: as many clips at a time as the memory of the device holds.

A step is of ``clips_per_step`` clips on any device and with any number of processes; what is looked for is into how few
batches it can be cut. Real updates of the module at some sizes show their memory, and all that they change is put
back, so that the training is the one with the same numbers written by hand, bit for bit.
"""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lvdm.files import read_json, write_json
from lvdm.training.config import TrainingConfig
from lvdm.training.distributed import ALONE, Processes
from lvdm.training.gradients import GradientSum
from lvdm.training.module import TrainingModule

RECORD = "batch_size.json"

GIB = 2**30

# The rest is for what the allocator cannot use of what it holds, and for validations.
_USED_SHARE = 0.9

# From one size that fits to the next that is tried: small ones say little about those that are far away.
_LARGEST_STRIDE = 4

_logger = logging.getLogger(__name__)


class Memory(Protocol):
    """The memory of a device, in bytes."""

    limit: int
    """What this process can have in all."""

    def start(self) -> None:
        """Give back what nothing is in, and measure from here on."""

    def peak(self) -> int:
        """The most that was in use at once since then."""


class CudaMemory:
    """That of the current CUDA device, which other programs may use too."""

    def __init__(self):
        self.start()
        free, total = torch.cuda.mem_get_info()
        allowed = torch.cuda.get_per_process_memory_fraction() * total
        self.limit = int(min(allowed, free + torch.cuda.memory_reserved()))

    def start(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated()


def memory_of(device: torch.device) -> Memory | None:
    """The memory of ``device``; None where its peaks cannot be measured, as on the CPU."""
    return CudaMemory() if device.type == "cuda" else None


def resolve(module: TrainingModule, train: Dataset, folder: Path) -> TrainingConfig:
    """The module's configuration, with numbers for ``batch_size: auto``.

    They are those in ``folder/batch_size.json``, where a run began with them: it goes on as it began on another device
    too. Else they are looked for and written there. All processes, in each of which this is called, get the same ones.
    Raises ``ValueError`` when no batch fits, or when the processes cannot share the batches of a run that began.
    """
    config, processes = module.config, module.processes
    if config.batch_size != "auto":
        return config
    record = folder / RECORD
    size = processes.tell(read_json(record)["batch_size"] if processes.first and record.exists() else 0)
    if size:
        _check(size, config, processes, record)
        _logger.info("batch_size: auto takes %d clips at a time, as %s says", size, record)
    else:
        size = _choose(module, train[0], record)
    return config.replace(batch_size=size, accumulate=config.clips_per_step // size, clips_per_step=None)


@contextmanager
def naming_remedy(config: TrainingConfig, folder: Path) -> Iterator[None]:
    """Where the memory does not suffice, raises ``ValueError`` with what to do about it."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        record = folder / RECORD
        if record.exists():
            remedy = (
                f"batch_size: auto found that number, which is in {record}, on another GPU or with more memory free; "
                "delete that file and run again: a number that fits is looked for, and the training resumes"
            )
        else:
            remedy = "lower training.batch_size and raise training.accumulate, or set `batch_size: auto`"
        raise ValueError(
            f"{config.batch_size} clips at a time do not fit in the memory of this GPU ({error}); {remedy}"
        ) from error


def largest(sizes: Sequence[int], peak: Callable[[int], int | None], limit: float) -> tuple[int, int] | None:
    """The largest of the ascending ``sizes`` whose ``peak`` is within ``limit``, and its peak; None where none is.

    ``peak`` of a size that does not fit at all is None. What is returned was measured: the straight line through the
    two largest sizes that fit only chooses what to measure next, and where to stop. So where the peak grows more slowly
    than that line, a larger size may be missed.
    """
    fitting: list[tuple[int, int]] = []
    ahead = list(sizes)
    while hopeful := [size for size in ahead if _expected(size, fitting) <= limit]:
        reach = _LARGEST_STRIDE * fitting[-1][0] if fitting else 0
        size = max((size for size in hopeful if size <= reach), default=hopeful[0])
        taken = peak(size)
        if taken is not None and taken <= limit:
            fitting.append((size, taken))
            ahead = [other for other in ahead if other > size]
        else:
            ahead = [other for other in ahead if other < size]
    return fitting[-1] if fitting else None


def _expected(size: int, fitting: Sequence[tuple[int, int]]) -> float:
    """The peak of ``size`` by those of the last two that fit; 0 where nothing can be said."""
    if len(fitting) < 2:
        return 0
    (first, low), (second, high) = fitting[-2:]
    return high + (high - low) / (second - first) * (size - second)


def _check(size: int, config: TrainingConfig, processes: Processes, record: Path) -> None:
    batches, left = divmod(config.clips_per_step, size)
    if left or batches % processes.size:
        raise ValueError(
            f"{record} says {size} clips at a time of the {config.clips_per_step} of a step, which {processes.size} "
            "processes cannot share equally; delete that file and run again: another number is looked for, and the "
            "training resumes"
        )


def _choose(module: TrainingModule, item: Tensor, record: Path) -> int:
    """The number for all processes, which the first of them writes to ``record`` and tells the log."""
    config, processes, device = module.config, module.processes, module.compute.device
    memory = memory_of(device)
    size, peak = (1, 0) if memory is None else _search(module, item, memory)
    size = processes.smallest(size)
    batches = config.clips_per_step // size
    if not processes.first:
        return size
    found = {"batch_size": size, "accumulate": batches}
    if memory is None:
        _logger.warning(
            "batch_size: auto measures memory on GPUs only and takes 1 clip at a time here (accumulate %d), which is "
            "slow; set training.batch_size and training.accumulate, whose product is the clips of a step",
            batches,
        )
        found |= {"device": "CPU"}
    else:
        _logger.info(
            "batch_size: auto took %d clips at a time (accumulate %d): %.1f of %.1f GiB",
            size, batches, peak / GIB, memory.limit / GIB,
        )  # fmt: skip
        name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
        found |= {"device": name, "memory_gib": memory.limit / GIB, "peak_gib": peak / GIB}
    write_json(record, found)
    return size


def _search(module: TrainingModule, item: Tensor, memory: Memory) -> tuple[int, int]:
    """The most clips at a time that fit with a margin, and their peak in bytes. ``module`` is left as it was.

    Raises ``ValueError`` when not even one does.
    """
    share = module.config.clips_per_step // module.processes.size
    sizes = [size for size in range(1, share + 1) if share % size == 0]
    limit = _USED_SHARE * memory.limit
    if module.processes.size > 1:  # GradientSum has the gradients twice
        limit -= sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
    _logger.info("batch_size: auto looks for the largest batch that fits")
    # Compiled code needs no more memory than this, and compiling it for each size would take minutes.
    with _undone(module), torch.compiler.set_stance("force_eager"):
        found = largest(sizes, _Trials(module, item, share, memory).peak, limit)
    memory.start()
    if found is None:
        raise ValueError(
            f"batch_size: auto found that not even 1 clip at a time fits in {limit / GIB:.2f} of the "
            f"{memory.limit / GIB:.2f} GiB that are free on this GPU; free some, take a GPU with more, or train a "
            "smaller network or smaller clips (for diffusion there is also `model.checkpointing`)"
        )
    return found


class _Trials:
    """Updates of ``module`` for the sake of their memory, with copies of ``item`` for the ``share`` clips of a step.

    They are those of the training's last step, in which all terms of the losses count.
    """

    def __init__(self, module: TrainingModule, item: Tensor, share: int, memory: Memory):
        self.module, self.memory, self.config = module, memory, module.config
        module.train()
        module.processes = ALONE  # each process searches for itself
        self.batch = item.to(module.device).expand(share, *item.shape).contiguous()
        self.optimizers = module.configure_optimizers()
        self.gradients = GradientSum([], ALONE)

    def peak(self, size: int) -> int | None:
        """The peak with ``size`` clips at a time, in bytes; None when the memory does not suffice."""
        batches = min(2, len(self.batch) // size)  # the second one meets the gradients of the first
        self.module.config = self.config.replace(batch_size=size, accumulate=batches, clips_per_step=None)
        self.memory.start()
        try:
            for _ in range(2):  # the second one meets the states of the optimisers, which the first makes
                self.module.step = max(0, self.config.steps - 1)
                self.module.update(self.batch[: batches * size], self.optimizers, self.gradients)
            peak = self.memory.peak()
        except torch.OutOfMemoryError:
            peak = None
        _logger.debug("%d clips at a time take %s bytes", size, peak)
        self.module.zero_grad()
        return peak


@contextmanager
def _undone(module: TrainingModule) -> Iterator[None]:
    """Puts back, at its end, all that updates change in ``module``, and the states of torch's global generators."""
    tensors = [*module.parameters(), *module.buffers()]
    kept = [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    settings = module.config, module.processes, module.step
    on_cuda = module.compute.device.type == "cuda"
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_cuda else []):
            yield
    finally:
        module.config, module.processes, module.step = settings
        module.zero_grad()
        with torch.no_grad():
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
