"""Where and how the networks of a stage run."""

import ctypes
import logging
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch._functorch import config as functorch_config
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from lvdm.config import ComputeConfig

# Options of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4

_logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
Function = TypeVar("Function", bound=Callable)


def count_flops(function: Callable[..., object], *inputs: Tensor) -> int:
    """Floating point operations of ``function`` of ``inputs``; nothing is computed to count them."""
    fake, counter = FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False)
    with torch.no_grad(), fake, counter:
        function(*map(fake.from_tensor, inputs))
    return counter.get_total_flops()


@dataclass(frozen=True)
class Compute:
    """The device, and the arithmetic of the networks on it."""

    device: torch.device
    dtype: torch.dtype
    compiles: bool = False
    """Whether networks are compiled, where the compiler works."""

    def autocast(self) -> AbstractContextManager:
        """Mixed precision where `dtype` is bfloat16, else nothing."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def measure_peak(self) -> float:
        """Floating point operations per second of a large matrix product in ``dtype``: the most that can be had."""
        size = 8192 if self.device.type == "cuda" else 1536
        generator = torch.Generator(self.device).manual_seed(0)
        matrix = torch.randn(size, size, generator=generator, device=self.device).to(self.dtype)
        times = []
        for _ in range(4):  # the first one chooses kernels
            self.wait()
            start = time.perf_counter()
            _ = matrix @ matrix
            self.wait()
            times.append(time.perf_counter() - start)
        return 2 * size**3 / min(times)

    def share_of_peak(self, flops: Callable[[], int]) -> Callable[[], dict[str, float]]:
        """The terms of a ``Progress`` whose unit takes as many operations as ``flops`` counts, which takes seconds.

        The peak is measured now, while there is memory for it; the operations are counted when they are asked for.
        """
        peak = self.measure_peak()
        return lambda: {"% of peak": 100 * flops() / peak}

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def fetch(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Start to copy ``tensor`` to the CPU. What is returned waits for the copy and gives it.

        Nothing that the device is given meanwhile is waited for.
        """
        copy = tensor.to("cpu", non_blocking=True)
        if self.device.type != "cuda":
            return lambda: copy
        done = torch.cuda.Event()
        done.record()

        def get() -> Tensor:
            done.synchronize()
            return copy

        return get

    def place(self, network: Network) -> Network:
        """``network`` on the device, the weights of its 3D convolutions in the layout that compiled code reads.

        Layouts are no part of a state dictionary: checkpoints are the same with and without.
        """
        network.to(self.device)
        if self._compiler_works():
            for parameter in network.parameters():
                if parameter.dim() == 5:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
        return network

    def compiled(self, function: Function) -> Function:
        """``function`` of tensors, of always the same shapes, as machine code of its own; or as it is."""
        return torch.compile(function, dynamic=False) if self._compiler_works() else function

    def replayed(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """:meth:`compiled` without gradients, and given to the device as one piece: a CUDA graph.

        For what is called often on little data, where the device would wait for the next kernel's name.
        """
        if not self._compiler_works():
            return function
        graph = torch.compile(function, dynamic=False, options={"triton.cudagraphs": True})

        def run(*inputs: Tensor, **named: Tensor) -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()
            return graph(*inputs, **named).clone()  # the next call writes its result where this one's is

        return run

    def _compiler_works(self) -> bool:
        return self.compiles and _compiler_works(self.device)


def setup(config: ComputeConfig, local_rank: int = 0) -> Compute:
    """Choose device and precision, and fix the number of CPU threads.

    The thread count comes from the configuration, not from the machine: a sum in another order
    differs in its last bit, and the same configuration must give the same table. ``local_rank`` is the number of
    the CUDA device, where several processes use one each.
    Raises ``ValueError`` when CUDA is asked for and there is none, or no such device.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ValueError("compute.device is cuda, but torch sees no CUDA device; set compute.device: auto")
    device = torch.device("cpu" if config.device == "cpu" or not available else "cuda")
    torch.set_num_threads(config.threads)
    if device.type == "cpu":
        _keep_freed_memory()
    else:
        if local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"process {local_rank + 1} of this machine has no CUDA device: torch sees {torch.cuda.device_count()}; "
                "ask for as many as `gpus`, and let every process see them all"
            )
        torch.cuda.set_device(local_rank)  # which "cuda" stands for from here on
    torch.set_float32_matmul_precision("high")
    # cuDNN's transposed convolutions otherwise add in an order that changes from call to call.
    torch.backends.cudnn.deterministic = True
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if device.type == "cuda" else "float32"
    compiles = config.compile == "auto" and device.type == "cuda"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {config.threads} threads"
    _logger.info("running on %s in %s", name, precision)
    return Compute(device, getattr(torch, precision), compiles)


@cache
def _compiler_works(device: torch.device) -> bool:
    """Whether ``torch.compile`` makes code that runs here: it needs Triton, a C compiler and Python's headers."""
    try:
        prepare_compiler()
        with _children_deaf_to_stops():
            torch.compile(lambda x: x.sin() + 1)(torch.zeros(8, device=device))
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        _logger.warning("torch.compile does not work here (%s); running without, which is slower", reason)
        return False
    _logger.info(
        "networks are compiled, which takes minutes the first time; the code is kept in %s",
        os.environ["TORCHINDUCTOR_CACHE_DIR"],  # torch sets it where nobody has
    )
    return True


def prepare_compiler() -> None:
    """What ``torch.compile`` is told before it sees a network."""
    # Else a graph could not be gone through twice, as the adaptive weight of the autoencoder's losses does.
    functorch_config.donated_buffer = False
    # Else it goes through the parsing of every pattern, most of what it does where the code is in its cache.
    torch.compiler.allow_in_graph(rearrange)


@contextmanager
def _children_deaf_to_stops() -> Iterator[None]:
    """Processes that this thread starts meanwhile never get requests to stop, and this one gets them at the end.

    Those are the compiler's, which it would wait for without end if they stopped by themselves. They end with this one.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _keep_freed_memory() -> None:
    """Let glibc keep what tensors free, for the next ones.

    It otherwise returns large blocks to the system, and a training step of small clips then spends half its
    time on having the same pages mapped and zeroed again.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
