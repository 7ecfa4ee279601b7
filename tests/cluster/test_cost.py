"""Costs: from SLURM's accounting where it answers, from benchmark files where it does not."""

import logging

import pytest

from lvdm.cluster.cost import collect, job_members

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
SACCT = """\
7|NODE_FAIL|1000|1360|4960|3600|4|cpu=4,gres/gpu=2,mem=4000M,node=1|
7|COMPLETED|5000|5000|8600|3600|4|cpu=4,gres/gpu=2,mem=4000M,node=1|
7.batch|COMPLETED|5000|5000|8600|3600|4|cpu=4,mem=4000M,node=1|2000000K
8|COMPLETED|1000|1036|1396|360|8|cpu=8,mem=4000M,node=1|
8.batch|COMPLETED|1036|1036|1396|360|8|cpu=8,mem=4000M,node=1|100000K
"""


class Run:
    """The folders that a run leaves: benchmark files, and logs of SLURM jobs."""

    def __init__(self, root):
        self.benchmarks, self.jobs = root / "results" / "benchmarks", root / "slurm_logs"

    def benchmark(self, name, seconds, cpu, memory="100.00", resources=None):
        path = self.benchmarks / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = f"{seconds}\t0:00:00\t{memory}\t1\t1\t1\t0\t0\t99.0\t{cpu}"
        extended = ("\tresources", f"\t{resources}") if resources else ("", "")
        path.write_text(f"{HEADER}{extended[0]}\n{row}{extended[1]}\n")

    def log(self, job, folder, *names, text=""):
        path = self.jobs / folder / f"{job}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        blocks = [
            f"rule a:\n    jobid: 0\n    benchmark: {self.benchmarks}/{name}.tsv\n    reason: Forced\n"
            for name in names
        ]
        # Snakemake starts itself in the job, and says all of it twice.
        path.write_text(text + "".join(blocks) * 2)


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    run.benchmark("one/train-diffusion", 3500, 9000)
    for video, name in enumerate(("one/extract/a", "one/extract/b", "two/extract/a")):
        run.benchmark(name, 36 * (video + 1), 72)
    run.log(7, "rule_train_diffusion/one", "one/train-diffusion", text="benchmark: elsewhere/one/train-diffusion.tsv\n")
    run.log(8, "group_extract_extract", "one/extract/a", "one/extract/b", "two/extract/a")
    return run


def costs(run):
    return {(cost.dataset, cost.stage): cost for cost in collect(run.benchmarks, run.jobs)}


def test_a_job_is_known_by_the_benchmark_files_that_its_log_names(run):
    run.log(9, "rule_other", text="no job started\n")
    run.log("notes", "rule_other", "one/train-diffusion")
    extract = [("one", "extract"), ("one", "extract"), ("two", "extract")]
    assert job_members(run.jobs, run.benchmarks) == {"7": [("one", "train-diffusion")], "8": extract}


def test_every_attempt_counts_and_a_group_is_shared_out(cluster, run):
    cluster.answer("sacct", SACCT)
    found = costs(run)
    training = found["one", "train-diffusion"]
    assert (training.jobs, training.source) == (2, "sacct")
    assert (training.hours, training.cpu_hours, training.gpu_hours) == (2.0, 8.0, 4.0)
    assert training.queue_hours == pytest.approx(0.1)
    assert training.memory_mb == pytest.approx(2048)
    assert found["one", "extract"].cpu_hours == pytest.approx(0.8 * 2 / 3)
    assert found["two", "extract"].hours == pytest.approx(0.1 / 3)
    assert found["two", "extract"].jobs == 1


def test_what_ran_without_slurm_stands_beside_what_ran_with_it(cluster, run):
    cluster.answer("sacct", SACCT)
    run.benchmark("one/score/lossless/i3d/real", 7.2, "NA", memory="NA")
    score = costs(run)["one", "score"]
    assert (score.jobs, score.hours, score.source) == (1, 0.002, "benchmark")
    assert (score.cpu_hours, score.gpu_hours, score.queue_hours, score.memory_mb) == (None, None, None, None)


def test_without_accounting_benchmark_files_are_taken(cluster, run, caplog):
    cluster.answer("sacct", "Slurm accounting storage is disabled\n", code=1)
    with caplog.at_level(logging.WARNING):
        found = costs(run)
    assert "accounting storage is disabled" in caplog.text
    extract = found["one", "extract"]
    assert (extract.jobs, extract.hours, extract.cpu_hours) == (2, pytest.approx(0.03), pytest.approx(0.04))
    assert extract.memory_mb == pytest.approx(104.8576)
    assert {cost.source for cost in found.values()} == {"benchmark"}


def test_extended_benchmarks_know_the_gpus(run):
    run.benchmark("one/sample/ddim/0000", 1800, 1800, resources="{'mem_mb': 8000, 'gpu': 2, '_cores': 1}")
    run.benchmark("one/sample/ddim/0001", 1800, 1800, resources="{'mem_mb': 8000, '_cores': 1}")
    (sample,) = [cost for cost in collect(run.benchmarks, None) if cost.stage == "sample"]
    assert sample.gpu_hours == 1.0


def test_slurm_is_not_asked_where_it_ran_nothing(cluster, run):
    assert collect(run.benchmarks, run.jobs.with_name("nothing"))
    assert collect(run.benchmarks, None)
    assert cluster.called("sacct") == []


def test_the_longest_stage_of_a_data_set_comes_first(run):
    assert [(cost.dataset, cost.stage) for cost in collect(run.benchmarks, None)] == [
        ("one", "train-diffusion"),
        ("one", "extract"),
        ("two", "extract"),
    ]


def test_a_run_without_benchmark_files_costs_nothing(tmp_path):
    assert collect(tmp_path, tmp_path) == []
