"""The benchmarks of the networks run, at their smallest, and their tables say what was measured."""

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lvdm.files import read_json

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from measure import BASELINE, Benchmark, Case, Clock, make_parser

SMALL = ["--tiny", "--device", "cpu", "--threads", "1", "--batch-size", "2", "--warmup", "1", "--repeats", "2"]

# The cases of each group, in the order of the table.
GROUPS = {
    "unet": {"UNet forward": ["baseline", "ours"]},
    "autoencoder": {"encode": ["baseline", "ours"], "decode": ["baseline", "ours"]},
    "encode": {"encoding": ["baseline", "stage"]},
    "sample": {"sampling": ["baseline", "stage"]},
    "train_diffusion": {"diffusion training": ["baseline", "bare step", "training loop"]},
    "train_autoencoder": {
        "reconstruction only": ["baseline", "bare step", "training loop"],
        "full loss": ["baseline", "bare step", "training loop"],
    },
}
FEWER = {"sample": ["--steps", "2"], "train_diffusion": ["--windows", "4"], "train_autoencoder": ["--videos", "1"]}


@pytest.mark.parametrize("name", GROUPS)
def test_each_benchmark_measures_its_cases(tmp_path, capsys, name):
    out = tmp_path / "result.json"
    importlib.import_module(name).main([*SMALL, *FEWER.get(name, []), "--folder", str(tmp_path), "--out", str(out)])
    result = read_json(out)
    assert (result["benchmark"], result["config"], result["device"]) == (name, "tiny.yaml", "CPU, 1 threads")
    assert result["torch"] == torch.__version__
    found: dict[str, list[str]] = {}
    for row in result["rows"]:
        found.setdefault(row["group"], []).append(row["name"])
        numbers = ["seconds", "clips_per_second", "flops_per_second", "share_of_peak"]
        numbers += [] if row["name"] == BASELINE else ["ratio"]
        numbers += ["share_of_bare_step"] if row["name"] == "training loop" else []
        assert all(math.isfinite(row[key]) and row[key] > 0 for key in numbers), row
        assert row["clips_per_second"] == pytest.approx(row["batch_size"] / row["seconds"])
        assert row["gibibytes"] is None  # of a GPU
    assert found == GROUPS[name]
    table = capsys.readouterr().out
    assert f"CPU, 1 threads, torch {torch.__version__}, {result['date']}" in table
    assert table.count("\n| ") == 1 + len(result["rows"])
    assert list(tmp_path.iterdir()) == [out]


@pytest.fixture
def make_benchmark(tmp_path) -> Callable[[list[int]], Benchmark]:
    def make(batch_sizes: list[int]) -> Benchmark:
        sizes = [str(size) for size in batch_sizes]
        arguments = ["--tiny", "--device", "cpu", "--threads", "1", "--batch-size", *sizes]
        return Benchmark("test", make_parser("A test.", []), [*arguments, "--out", str(tmp_path / "result.json")])

    return make


def case(name: str, seconds: dict[int, float], **others) -> Case:
    """A case with known times; other batches do not fit."""

    def measure(batch_size: int) -> float:
        if batch_size not in seconds:
            raise torch.OutOfMemoryError
        return seconds[batch_size]

    return Case("work", name, measure, flops=1e9, dtype=torch.float32, **others)


def test_a_row_is_compared_with_the_baseline_at_its_batch_size(make_benchmark):
    made = make_benchmark([1, 4])
    made.run([case("ours", {1: 0.25, 4: 0.5}), case(BASELINE, {1: 1.0, 4: 2.0})])
    rows = {(row["name"], row["batch_size"]): row for row in made.rows}
    assert (rows["ours", 1]["ratio"], rows["ours", 4]["ratio"]) == (4.0, 4.0)
    assert rows["ours", 4]["flops_per_second"] == 8e9
    assert "ratio" not in rows[BASELINE, 1]


def test_a_batch_that_does_not_fit_is_a_row_and_not_the_end(make_benchmark, capsys):
    made = make_benchmark([1, 4, 16])
    made.run([case(BASELINE, {1: 1.0, 4: 2.0}), case("ours", {1: 1.0, 16: 2.0})])
    made.finish()
    rows = {(row["name"], row["batch_size"]): row for row in made.rows}
    assert rows["ours", 4]["error"] == rows[BASELINE, 16]["error"] == "out of memory"
    # At 16 there is no baseline: it is compared with the best that there is, 2 clips/s at 4.
    assert (rows["ours", 16]["ratio"], rows["ours", 16]["baseline_batch_size"]) == (4.0, 4)
    table = capsys.readouterr().out
    assert "| work | ours | float32 | 4 | out of memory |" in table
    assert "4.00 (at batch 4) |" in table


def test_a_case_may_have_batch_sizes_of_its_own_and_a_note(make_benchmark, capsys):
    made = make_benchmark([4])
    made.run([case(BASELINE, {1: 1.0}, batch_sizes=(1,), note="one by one"), case("ours", {4: 1.0})])
    made.finish()
    assert "| baseline (one by one) | float32 | 1 |" in capsys.readouterr().out


def test_intervals_are_from_mark_to_mark():
    clock = Clock(torch.device("cpu"))
    for _ in range(3):
        clock.mark()
    assert len(clock.intervals()) == 2
    assert all(seconds >= 0 for seconds in clock.intervals())
