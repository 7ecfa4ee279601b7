"""What the benchmarks of the networks share: their options, timing, floating-point operations, memory and JSON.

A benchmark is a list of :class:`Case`: work that is measured at each batch size, one of it the baseline.
"""

import argparse
import gc
import logging
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from typing import Any

import torch
from inputs import clip_shape
from memory import largest_batches
from options import add_common_options, config_path, load_pipeline
from output import write_result
from table import BASELINE, head_line, largest_table, row_line, rows_table
from torch import nn

from lvdm import compute
from lvdm.config import ComputeConfig
from lvdm.files import write_json
from lvdm.stages.pipeline import PipelineConfig

_MATRIX = {"cuda": 8192, "cpu": 2048}

# Torch's allocator has an exception of its own; the libraries that allocate for themselves, cuBLAS and cuDNN, do not.
_OUT_OF_MEMORY = "out of memory"
_NO_MEMORY_LEFT = (_OUT_OF_MEMORY, "ALLOC_FAILED")

_logger = logging.getLogger(__name__)


class Clock:
    """Points in time on the device's own clock. Nothing waits in between, so the device stays as busy as it was."""

    def __init__(self, device: torch.device):
        self.device = device
        self._marks: list[Any] = []

    def mark(self) -> None:
        """When the device has done what it was given so far."""
        if self.device.type == "cuda":
            mark = torch.cuda.Event(enable_timing=True)
            mark.record()
        else:
            mark = time.perf_counter()
        self._marks.append(mark)

    def intervals(self) -> list[float]:
        """Seconds from each mark to the next."""
        pairs = list(zip(self._marks, self._marks[1:], strict=False))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return [first.elapsed_time(second) / 1000 for first, second in pairs]
        return [second - first for first, second in pairs]


@dataclass(frozen=True)
class Case:
    """Work to be measured.

    ``measure(batch_size)`` returns the seconds of one batch. ``flops`` are those of one clip, of the function alone and
    not of what is computed again for it. Cases of one ``group`` are compared, with that whose ``name`` is "baseline".
    ``batch_sizes`` are other ones than the benchmark's. ``context`` is entered around the measurement. ``note`` stands
    beside the name in the table.
    """

    group: str
    name: str
    measure: Callable[[int], float]
    flops: float
    dtype: torch.dtype
    batch_sizes: tuple[int, ...] | None = None
    context: Callable[[], AbstractContextManager] = nullcontext
    note: str = ""


class Benchmark:
    """A command's options, the machine, and what was measured so far."""

    def __init__(self, name: str, parser: argparse.ArgumentParser, arguments: Sequence[str] | None):
        if parser.parse_args(arguments).tiny:
            parser.set_defaults(batch_size=[1, 2], warmup=1, repeats=3, workers=0)
        self.options = options = parser.parse_args(arguments)
        self.pipeline = load_pipeline(options)
        self.compute = ComputeConfig(
            device=options.device, precision=options.precision, threads=options.threads, workers=options.workers
        )
        self.machine = compute.setup(self.compute)
        self.device = self.machine.device
        self.result = describe(name, options, self.pipeline, self.device) | {"matrix_flops_per_second": {}, "rows": []}
        torch.manual_seed(0)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.result["rows"]

    def seconds(self, function: Callable[[], object], most: int | None = None) -> float:
        """Median time of ``function`` after a warm-up, calls following one another without a pause.

        Of ``most`` calls, if ``--repeats`` are more.
        """
        repeats = self.options.repeats
        for _ in range(self.options.warmup):
            function()
        clock = Clock(self.device)
        clock.mark()
        for _ in range(repeats if most is None else min(repeats, most)):
            function()
            clock.mark()
        return statistics.median(clock.intervals())

    def mean_seconds(self, clock: Clock) -> float:
        """Of a batch, on a clock that was marked after each one of :attr:`batches`.

        The first ones do not count, nor does the last one: a stage begins a batch before it is done with the one
        before, and beside its last one there is no other to begin.
        """
        intervals = clock.intervals()
        if len(intervals) < self.batches - 1:
            raise RuntimeError(f"the stage told of {len(intervals) + 1} batches, of {self.batches} that it computed")
        return statistics.fmean(intervals[self.options.warmup : -1])

    @property
    def batches(self) -> int:
        """How many of them a stage must compute for :meth:`mean_seconds`."""
        return 2 + self.options.warmup + self.options.repeats

    def deployed(self, network: nn.Module, method: str = "forward", replayed: bool = False) -> Callable[..., Any]:
        """A method of ``network`` as the stages run it: its precision, compiled, without gradients.

        It is given to the device kernel by kernel, or as one piece, which stage sample does with the UNet.
        """
        bound = getattr(network.to(self.device).eval().requires_grad_(False), method)
        function = self.machine.replayed(bound) if replayed else self.machine.compiled(bound)

        def run(*inputs: torch.Tensor) -> Any:
            with torch.no_grad(), self.machine.autocast():
                return function(*inputs)

        return run

    def run(self, cases: Sequence[Case]) -> None:
        """Measure the cases that are asked for; baselines first, so that each row has its ratio.

        Each row is on the terminal and in ``--out`` as soon as it is measured. In the end they are in the order of the
        groups. Raises ``ValueError`` where ``--only`` names no case.
        """
        cases = self._chosen(cases)
        for case in sorted(cases, key=lambda case: case.name != BASELINE):
            for batch_size in case.batch_sizes or self.options.batch_size:
                self.rows.append(self._row(case, batch_size))
                sys.stderr.write(row_line(self.rows[-1]))
                if self.options.out:
                    write_json(self.options.out, self.result)
        self.rows.sort(key=lambda row: [case.group for case in cases].index(row["group"]))

    def finish(self) -> None:
        """The tables on the terminal, the JSON to ``--out``. Ends the command with status 1 where a row failed."""
        result = self.result
        largest = result["largest_batches"] = largest_batches(self.rows)
        tables = [head_line(result), rows_table(self.rows), *([largest_table(largest)] if largest else [])]
        sys.stdout.write("\n".join([*tables, ""]))
        write_result(result, self.options.out)
        failed = [row for row in self.rows if row.get("error", _OUT_OF_MEMORY) != _OUT_OF_MEMORY]
        if failed:
            sys.exit(f"{len(failed)} of {len(self.rows)} rows failed; their errors are above")

    def _chosen(self, cases: Sequence[Case]) -> list[Case]:
        only = set(self.options.only or ())
        if unknown := only - {name for case in cases for name in (case.group, case.name)}:
            names = sorted({case.group for case in cases}) + sorted({case.name for case in cases})
            raise ValueError(f"--only {sorted(unknown)}: there is no such work; there are {names}")
        return [
            case
            for case in cases
            if (not only or only & {case.group, case.name}) and (self.options.baseline or case.name != BASELINE)
        ]

    def _row(self, case: Case, batch_size: int) -> dict[str, Any]:
        precision = str(case.dtype).removeprefix("torch.")
        row = {"group": case.group, "name": case.name, "note": case.note, "precision": precision}
        row["batch_size"] = batch_size
        self._start_anew()
        try:
            with case.context():
                seconds = case.measure(batch_size)
        except RuntimeError as error:  # of torch, its compiler and its libraries
            return {**row, "error": _reason(error)}
        # Of live tensors and what libraries have from torch: what a batch needs, and not what the allocator keeps.
        memory = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else None
        rate = batch_size / seconds
        row |= {"seconds": seconds, "clips_per_second": rate, "gibibytes": memory}
        row |= {"flops_per_second": rate * case.flops, "share_of_peak": rate * case.flops / self._peak(case.dtype)}
        return row | self._ratio(row)

    def _ratio(self, row: dict[str, Any]) -> dict[str, Any]:
        """Of the rate to that of the baseline: at this batch size, or else at that which it is fastest at."""
        found = [other for other in self.rows if other["name"] == BASELINE and other["group"] == row["group"]]
        found = [other for other in found if "seconds" in other]
        same = [other for other in found if other["batch_size"] == row["batch_size"]]
        if row["name"] == BASELINE or not found:
            return {}
        base = max(same or found, key=lambda other: other["clips_per_second"])
        return {
            "ratio": row["clips_per_second"] / base["clips_per_second"],
            "baseline_batch_size": base["batch_size"],
        }

    def _peak(self, dtype: torch.dtype) -> float:
        """Floating-point operations per second of a large matrix product."""
        peaks, name = self.result["matrix_flops_per_second"], str(dtype).removeprefix("torch.")
        if name not in peaks:
            size = _MATRIX[self.device.type]
            matrix = torch.randn(size, size, device=self.device, dtype=dtype)
            peaks[name] = 2 * size**3 / self.seconds(lambda: matrix @ matrix)
        return peaks[name]

    def _start_anew(self) -> None:
        """Without the memory and the compiled code of the case before."""
        gc.collect()
        if self.device.type == "cuda":
            torch.compiler.reset()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def describe(name: str, options: argparse.Namespace, pipeline: PipelineConfig, device: torch.device) -> dict[str, Any]:
    """What a result says of itself: the benchmark, the configuration, the clip [T, H, W], the machine, the date."""
    cuda = device.type == "cuda"
    return {
        "benchmark": name,
        "config": config_path(options).name,
        "clip": list(clip_shape(pipeline)[1:]),
        "device": torch.cuda.get_device_name() if cuda else f"CPU, {options.threads} threads",
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def _reason(error: RuntimeError) -> str:
    """What a row says of its failure. Too little memory is a result; anything else is told in full."""
    if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY_LEFT):
        return _OUT_OF_MEMORY
    _logger.error("this row failed, and the others go on", exc_info=error)
    return " ".join(f"{type(error).__name__}: {error}".partition("\n")[0].replace("|", "/").split())


def make_parser(description: str, batch_sizes: Sequence[int], repeats: int = 20) -> argparse.ArgumentParser:
    """The options that all benchmarks of networks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser)
    parser.add_argument("--batch-size", type=int, nargs="+", default=list(batch_sizes), help="one or several")
    parser.add_argument("--warmup", type=int, default=5, help="batches that are not timed")
    parser.add_argument("--repeats", type=int, default=repeats, help="batches that are timed")
    parser.add_argument("--workers", type=int, default=2, help="processes that load training data")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="measure ours alone")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="the work of these names alone, from the first two columns"
    )
    return parser
