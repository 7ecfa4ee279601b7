"""The benchmarks of the networks run, at their smallest, and their tables say what was measured."""

import importlib
import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lvdm.config import ConfigError
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
    assert result["clip"] == [8, 32, 32]
    assert result["largest_batches"] == []  # of a GPU
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
def make_benchmark(tmp_path) -> Callable[..., Benchmark]:
    def make(batch_sizes: list[int], *others: str) -> Benchmark:
        sizes = [str(size) for size in batch_sizes]
        arguments = ["--tiny", "--device", "cpu", "--threads", "1", *others, "--batch-size", *sizes]
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


@pytest.mark.parametrize("lateness", [0.0, 0.9])
def test_a_batch_of_a_stage_takes_what_the_device_takes_for_it(make_benchmark, lateness):
    """The last batch of a stage comes early where naming the next one's kernels had held up those before it."""
    made = make_benchmark([1], "--warmup", "2", "--repeats", "4")
    compiled, device = 60.0, 1.0
    done = [compiled + device * number for number in range(made.batches)]
    told = [*(time + lateness for time in done[:-1]), done[-1]]
    marks = SimpleNamespace(intervals=lambda: [later - earlier for earlier, later in pairwise(told)])
    assert made.mean_seconds(marks) == pytest.approx(device)
    told.pop()
    with pytest.raises(RuntimeError, match="7 batches, of 8"):
        made.mean_seconds(marks)


def test_at_most_so_many_calls_are_timed(make_benchmark):
    calls = []
    made = make_benchmark([1], "--warmup", "1", "--repeats", "5")
    made.seconds(lambda: calls.append("all"))
    made.seconds(lambda: calls.append("few"), most=2)
    assert (calls.count("all"), calls.count("few")) == (6, 3)


def test_clips_of_another_size_change_the_whole_configuration(make_benchmark):
    made = make_benchmark([1], "--resolution", "64", "--length", "16")
    data, unet = made.pipeline.data, made.pipeline.diffusion.model
    assert (data.resolution, data.length, made.pipeline.window, unet.temporal_length) == (64, 16, 16, 4)
    assert made.result["clip"] == [16, 64, 64]
    assert made.pipeline.autoencoder == make_benchmark([1]).pipeline.autoencoder


def test_a_size_that_the_networks_cannot_have_is_refused(make_benchmark):
    with pytest.raises(ConfigError, match=r"data\.length: Input should be a multiple of 4 \(got 18\)"):
        make_benchmark([1], "--length", "18")


def test_all_but_the_baseline_or_a_part_alone_is_measured(make_benchmark):
    cases = [case(name, {1: 1.0}) for name in (BASELINE, "bare step", "training loop")]
    for options, names in {
        ("--no-baseline",): ["bare step", "training loop"],
        ("--only", "training loop"): ["training loop"],
        ("--only", "work"): [BASELINE, "bare step", "training loop"],
        ("--only", "work", "--no-baseline"): ["bare step", "training loop"],
    }.items():
        made = make_benchmark([1], *options)
        made.run(cases)
        assert [row["name"] for row in made.rows] == names
    with pytest.raises(ValueError, match=r"there is no such work; there are .*'training loop'"):
        make_benchmark([1], "--only", "nothing").run(cases)


def failing(error: BaseException) -> Case:
    """A case that cannot be measured."""

    def measure(batch_size: int) -> float:
        raise error

    return Case("work", "failing", measure, flops=1e9, dtype=torch.float32)


def test_a_library_without_memory_is_out_of_memory_too(make_benchmark):
    made = make_benchmark([1])
    made.run([failing(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))])
    made.run([failing(RuntimeError("CUDA error: out of memory"))])
    made.finish()
    assert [row["error"] for row in made.rows] == ["out of memory"] * 2


def test_a_row_that_fails_is_told_and_the_others_are_measured(make_benchmark, tmp_path, capsys, caplog):
    made = make_benchmark([1])
    made.run([failing(RuntimeError("no code | for this\nand so on")), case("ours", {1: 1.0})])
    with pytest.raises(SystemExit, match="1 of 2 rows failed"):
        made.finish()
    assert "| work | failing | float32 | 1 | RuntimeError: no code / for this | | | | | |" in capsys.readouterr().out
    assert "and so on" in caplog.text
    assert [row["name"] for row in read_json(tmp_path / "result.json")["rows"]] == ["failing", "ours"]


def test_rows_are_in_the_file_as_soon_as_they_are_measured(make_benchmark, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_benchmark([1]).run([case("ours", {1: 1.0}), failing(KeyboardInterrupt())])
    assert [row["name"] for row in read_json(tmp_path / "result.json")["rows"]] == ["ours"]


def measured(name: str, gibibytes: dict[int, float]) -> list[dict]:
    """Rows of a GPU."""
    row = {"group": "work", "name": name, "note": "", "precision": "bfloat16", "seconds": 1.0, "clips_per_second": 1.0}
    row |= {"flops_per_second": 1e12, "share_of_peak": 0.5}
    return [{**row, "batch_size": size, "gibibytes": memory} for size, memory in gibibytes.items()]


def test_the_largest_batch_leaves_a_tenth_of_a_card(make_benchmark, capsys):
    made = make_benchmark([1])
    made.rows.extend(measured("ours", {1: 2.5, 16: 10.0, 64: 34.0}))  # 2 GiB, and half a GiB a clip
    made.rows.append({**measured("ours", {128: 0.0})[0], "gibibytes": None})
    made.rows.extend(measured("large", {1: 30.0, 2: 35.5}))
    made.rows.extend(measured("one batch", {1: 2.0}))
    made.finish()
    fits = {fit["name"]: fit for fit in made.result["largest_batches"]}
    assert fits.keys() == {"ours", "large"}
    assert fits["ours"]["largest"] == {"24": 39, "48": 82, "80": 140}
    assert fits["ours"]["fixed_gibibytes"] == pytest.approx(2.0)
    assert fits["ours"]["gibibytes_per_clip"] == pytest.approx(0.5)
    assert fits["large"]["largest"] == {"24": 0, "48": 3, "80": 8}
    table = capsys.readouterr().out
    assert "| work | ours | bfloat16 | 2.00 | 512.0 | 39 | ~82 | ~140 |" in table
    assert "| work | large | bfloat16 | 24.50 | 5632.0 | none | ~3 | ~8 |" in table


def test_the_latent_cache_is_timed_over_whole_processes(tmp_path, capsys):
    out = tmp_path / "result.json"
    options = ["--tiny", "--device", "cpu", "--threads", "1", "--shards", "1", "--windows", "33", "--batch-size", "24"]
    importlib.import_module("latent_cache").main([*options, "--folder", str(tmp_path), "--out", str(out)])
    result = read_json(out)
    assert (result["windows"], result["shards"], result["clip"]) == (64, 1, [8, 32, 32])  # two videos of 32 windows
    assert result["windows_per_second"] == pytest.approx(64 / result["seconds"])
    # Python and torch are loaded within the time, and are no part of the rate after the first batch.
    assert 0 < result["seconds_to_first_batch"] < result["seconds"]
    assert result["windows_per_second_after_first_batch"] > result["windows_per_second"]
    assert "64 windows in 1 shards, float32, batches of 24" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [out]


def test_a_latent_cache_of_one_batch_has_no_rate(tmp_path):
    encoding = importlib.import_module("latent_cache").Encoding(windows=8, start=0.0, end=2.0, batches=[1.0])
    with pytest.raises(ValueError, match="give more --windows"):
        importlib.import_module("latent_cache")._rates([encoding], batch_size=8)


def test_rates_of_a_latent_cache_are_of_all_processes():
    latent_cache = importlib.import_module("latent_cache")
    encodings = [latent_cache.Encoding(20, start, start + 5.0, [start + 2.0, start + 4.0]) for start in (10.0, 15.0)]
    rates = latent_cache._rates(encodings, batch_size=10)
    assert (rates["windows"], rates["seconds"], rates["windows_per_second"]) == (40, 10.0, 4.0)
    assert (rates["seconds_to_first_batch"], rates["windows_per_second_after_first_batch"]) == (2.0, 5.0)
