"""What the benchmarks of the networks share: their options, timing, floating-point operations, table and JSON.

A benchmark is a list of :class:`Case`: work that is measured at each batch size, one of it the baseline.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lvdm import compute
from lvdm.config import ComputeConfig, load
from lvdm.files import write_json
from lvdm.stages.pipeline import PipelineConfig

BASELINE = "baseline"
_FOLDER = Path(__file__).parent
_PRESET = _FOLDER.parent / "config" / "presets" / "col.yaml"
_TINY = _FOLDER / "tiny.yaml"
_MATRIX = {"cuda": 8192, "cpu": 2048}


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
        config = options.config or (_TINY if options.tiny else _PRESET)
        self.pipeline = load(PipelineConfig, config)
        self.compute = ComputeConfig(
            device=options.device, precision=options.precision, threads=options.threads, workers=options.workers
        )
        self.machine = compute.setup(self.compute)
        self.device = self.machine.device
        self.result: dict[str, Any] = {
            "benchmark": name,
            "config": config.name,
            "device": self._device_name(),
            "torch": torch.__version__,
            "date": date.today().isoformat(),
            "matrix_flops_per_second": {},
            "rows": [],
        }
        torch.manual_seed(0)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.result["rows"]

    def seconds(self, function: Callable[[], object]) -> float:
        """Median time of ``function`` after a warm-up, calls following one another without a pause."""
        for _ in range(self.options.warmup):
            function()
        clock = Clock(self.device)
        clock.mark()
        for _ in range(self.options.repeats):
            function()
            clock.mark()
        return statistics.median(clock.intervals())

    def mean_seconds(self, clock: Clock) -> float:
        """Of a batch, on a clock that was marked after each one of :attr:`batches`; the first ones do not count."""
        intervals = clock.intervals()
        if len(intervals) < self.batches - 1:
            raise RuntimeError(f"the stage told of {len(intervals) + 1} batches, of {self.batches} that it computed")
        return statistics.fmean(intervals[self.options.warmup :])

    @property
    def batches(self) -> int:
        """How many of them a stage must compute for :meth:`mean_seconds`."""
        return 1 + self.options.warmup + self.options.repeats

    def deployed(self, network: nn.Module, method: str = "forward") -> Callable[..., Any]:
        """A method of ``network`` as the stages run it: its place, its precision, without gradients."""
        function = getattr(network.eval().requires_grad_(False).to(self.device), method)

        def run(*inputs: torch.Tensor) -> Any:
            with torch.no_grad(), self.machine.autocast():
                return function(*inputs)

        return run

    def run(self, cases: Sequence[Case]) -> None:
        """Measure all cases; baselines first, so that each row has its ratio. Rows are in the order of the groups."""
        for case in sorted(cases, key=lambda case: case.name != BASELINE):
            for batch_size in case.batch_sizes or self.options.batch_size:
                self.rows.append(self._row(case, batch_size))
        self.rows.sort(key=lambda row: [case.group for case in cases].index(row["group"]))

    def finish(self) -> None:
        """The table on the terminal, the JSON to ``--out``."""
        result = self.result
        sys.stdout.write(f"{result['benchmark']}: {result['config']}, {result['device']}, torch {result['torch']}, ")
        sys.stdout.write(f"{result['date']}\n\n")
        sys.stdout.write(
            "| work | | precision | batch | ms | clips/s | TFLOP/s | share of peak | GiB | times baseline |\n"
        )
        sys.stdout.write("|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
        sys.stdout.writelines(_line(row) for row in self.rows)
        if self.options.out:
            write_json(self.options.out, result)
        else:
            sys.stdout.write("\n" + json.dumps(result) + "\n")

    def _row(self, case: Case, batch_size: int) -> dict[str, Any]:
        precision = str(case.dtype).removeprefix("torch.")
        row = {"group": case.group, "name": case.name, "note": case.note, "precision": precision}
        row["batch_size"] = batch_size
        self._start_anew()
        try:
            with case.context():
                seconds = case.measure(batch_size)
        except torch.OutOfMemoryError:
            return {**row, "error": "out of memory"}
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

    def _device_name(self) -> str:
        return torch.cuda.get_device_name() if self.device.type == "cuda" else f"CPU, {self.options.threads} threads"


def make_parser(description: str, batch_sizes: Sequence[int], repeats: int = 20) -> argparse.ArgumentParser:
    """The options that all benchmarks of networks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="configuration; default: config/presets/col.yaml")
    parser.add_argument("--tiny", action="store_true", help="networks of benchmarks/tiny.yaml, few and small batches")
    parser.add_argument("--batch-size", type=int, nargs="+", default=list(batch_sizes), help="one or several")
    parser.add_argument("--warmup", type=int, default=5, help="batches that are not timed")
    parser.add_argument("--repeats", type=int, default=repeats, help="batches that are timed")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument(
        "--precision", default="auto", choices=["auto", "float32", "bfloat16"], help="not the baseline's"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--workers", type=int, default=2, help="processes that load training data")
    parser.add_argument("--folder", type=Path, help="where temporary files are made; default: the system's")
    parser.add_argument("--out", type=Path, help="JSON file; default: the JSON goes to the terminal")
    return parser


def _line(row: dict[str, Any]) -> str:
    name = f"{row['name']} ({row['note']})" if row["note"] else row["name"]
    start = [row["group"], name, row["precision"], str(row["batch_size"])]
    if "error" in row:
        return f"| {' | '.join(start)} | {row['error']} | | | | | |\n"
    memory = f"{row['gibibytes']:.1f}" if row["gibibytes"] is not None else ""
    ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
    if ratio and row["baseline_batch_size"] != row["batch_size"]:
        ratio += f" (at batch {row['baseline_batch_size']})"
    numbers = [f"{1000 * row['seconds']:.2f}", f"{row['clips_per_second']:.2f}"]
    numbers += [f"{row['flops_per_second'] / 1e12:.3f}", f"{row['share_of_peak']:.1%}", memory, ratio]
    return f"| {' | '.join(start + numbers)} |\n"
