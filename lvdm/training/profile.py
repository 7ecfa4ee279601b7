"""Where the time of a training goes: a trace of a few steps, and the share of time by kind of work."""

import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path

from pytorch_lightning import Callback, Trainer
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lvdm.files import publish
from lvdm.training.module import TrainingModule

# Kernels of CUDA libraries and of torch's compiler, and torch's operators on the CPU. The first that fits holds: a
# fused kernel of the compiler ("triton_") has the names of all that it does.
KINDS = {
    "fused by the compiler": r"^triton_",
    "changes of layout": r"nchwtonhwc|nhwctonchw|addpadding",
    "attention": r"sdpa|scaled_dot_product|flash|fmha|softmax",
    "convolution": r"conv|fprop|dgrad|wgrad",
    "matrix products": r"gemm|nvjet|cutlass|::(add|b|badd)?mm\b|linear",
    "normalisation": r"norm|rowwisemoments|fusedparams",
    "optimiser and average": r"adam|multi_tensor|foreach|lerp",
    "communication": r"nccl|allreduce|all_reduce",
    "copies": r"memcpy|memset|copy|::cat$|catarray|index|::pad|clone|contiguous",
    "elementwise": r"elementwise|reduce|::(add|mul|sub|div|silu|sum|mean|exp|pow|fill|zero|normal|random)",
}
OTHER = "other"

# Before them come compilation, the choice of kernels, and the first blocks of memory.
SKIPPED_STEPS = 20
STEPS = 5

_logger = logging.getLogger(__name__)


def kind_of(name: str) -> str:
    """The kind of work that a kernel or an operator of this name does: a key of :data:`KINDS`, or ``OTHER``."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name.lower())), OTHER)


def by_kind(times: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums of the times of kernels or operators by kind, the largest first."""
    sums: dict[str, float] = {}
    for name, spent in times:
        sums[kind_of(name)] = sums.get(kind_of(name), 0.0) + spent
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


class Profile(Callback):
    """Looks at ``STEPS`` steps, after ``SKIPPED_STEPS``: ``folder/trace.json``, and in the log what took the time.

    The training is the same with it, but for the time that these steps take.
    """

    def __init__(self, folder: Path):
        self.path = folder / "trace.json"
        self._profiler: profile | None = None

    def on_train_start(self, trainer: Trainer, module: TrainingModule) -> None:
        self._first = min(module.step + SKIPPED_STEPS, max(module.step, module.config.steps - STEPS))

    def on_train_batch_start(self, trainer: Trainer, module: TrainingModule, batch: Tensor, batch_idx: int) -> None:
        if module.step == self._first:
            on_gpu = [ProfilerActivity.CUDA] if module.device.type == "cuda" else []
            self._profiler = profile(activities=[ProfilerActivity.CPU, *on_gpu])
            self._profiler.start()
            self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: TrainingModule, outputs: dict[str, Tensor], batch: Tensor, batch_idx: int
    ) -> None:
        if self._profiler is None or module.step not in (self._first + STEPS, module.config.steps):
            return
        module.compute.wait()
        seconds = time.perf_counter() - self._start
        self._profiler.stop()
        with publish(self.path) as temporary:
            self._profiler.export_chrome_trace(str(temporary))
        self._tell(module, seconds)
        self._profiler = None

    def _tell(self, module: TrainingModule, seconds: float) -> None:
        on_gpu = module.device.type == "cuda"
        events = self._profiler.key_averages()
        if on_gpu:
            # An operator's entry repeats the time of its kernels, which have entries of their own.
            events = [item for item in events if item.device_type == DeviceType.CUDA and not item.is_user_annotation]
        spent = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        times = by_kind((event.key, getattr(event, spent) / 1e6) for event in events)
        where, busy, steps = "GPU" if on_gpu else "CPU", sum(times.values()), module.step - self._first
        _logger.info(
            "profile of steps %d to %d: %.1f ms a step, the %s at work for %.0f %% of it; trace in %s, for "
            "https://ui.perfetto.dev",
            self._first + 1, module.step, 1e3 * seconds / steps, where, 100 * busy / seconds, self.path,
        )  # fmt: skip
        for kind, taken in times.items():
            _logger.info("  %5.1f %%  %8.2f ms a step  %s", 100 * taken / busy, 1e3 * taken / steps, kind)
