"""What is wrong between the jobs of a plan and a cluster is found before the run."""

import re
from dataclasses import replace

import pytest
import yaml

from lvdm.cluster.checks import check_cluster
from lvdm.cluster.profile import read_profile
from lvdm.cluster.requests import Request, read_requests
from lvdm.config import ConfigError

GOOD = {"executor": "slurm", "slurm-status-command": "squeue", "slurm-requeue": True, "retries": 3}
TRAINING = Request("train_diffusion", 2, "gpu", "lab", gpus=2, gpu_model="h200", minutes=240, memory_mb=8000, cpus=8)

PLAN = """\
[Mon Nov 23 11:46:35 2026]
rule freeze:
    output: results/demo/config/shard.json
    log: results/logs/demo/config/shard.log
    resources: tmpdir=/tmp, mem_mb=1000, slurm_partition=cpu
Shell command: printf

[Mon Nov 23 11:46:35 2026] Group job extract (jobs in lexicogr. order):
    [Mon Nov 23 11:46:35 2026]
    rule extract:
        output: results/demo/frames/a.mkv
        jobid: 16
        benchmark: results/benchmarks/demo/extract/a.tsv
        reason: Forced execution
        resources: tmpdir=/tmp, disk_mb=<TBD>, mem_mb=2000, mem=2 GB, slurm_partition=cpu, runtime=10
    [Mon Nov 23 11:46:35 2026]
    rule extract:
        output: results/demo/frames/b.mkv
        benchmark: results/benchmarks/demo/extract/b.tsv
        resources: tmpdir=/tmp, disk_mb=<TBD>, mem_mb=2500, slurm_partition=cpu, runtime=<TBD>

rule train_diffusion:
    output: results/demo/diffusion/weights.safetensors
    benchmark: results/benchmarks/demo/train-diffusion.tsv
    threads: 4
    resources: mem_mb=8000, slurm_partition=gpu, slurm_account=lab, runtime=1440, gpu=4, nodes=2, gpu_model=h200

rule sample:
    benchmark: results/benchmarks/demo/sample/ddim/0000.tsv
    resources: mem_mb=8000, slurm_partition=gpu, gres=gpu:h200:1, slurm_extra=--signal=USR1@300
"""


@pytest.fixture
def profile(tmp_path):
    return write_profile(tmp_path / "profile", GOOD)


def write_profile(folder, values):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return read_profile(folder)


def failures(profile, *requests):
    return [str(finding) for finding in check_cluster(profile, requests) if finding.level == "FAIL"]


def warnings(profile, *requests):
    return [str(finding) for finding in check_cluster(profile, requests) if finding.level == "WARNING"]


def test_a_plan_says_what_the_jobs_of_each_rule_ask_for():
    extract, training, sample = read_requests(PLAN)
    assert extract == Request("extract", jobs=2, partition="cpu", minutes=10, memory_mb=2500)
    assert training == Request(
        "train_diffusion", 1, "gpu", "lab", gpus=2, gpu_model="h200", nodes=2, minutes=1440, memory_mb=8000, cpus=4
    )
    assert (sample.gpus, sample.gpu_model) == (1, "h200")


def test_what_fits_is_found_good(cluster, profile):
    found = list(check_cluster(profile, [TRAINING, Request("extract"), replace(TRAINING, gpu_model="")]))
    assert {finding.level for finding in found} == {"OK"}, list(map(str, found))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partition": "gpus"}, r"no partition gpus, but cpu, gpu, old, shut; change slurm_partition in .*config.yaml"),
        ({"partition": "shut", "gpus": 0}, "partition shut is not up"),
        ({"partition": "cpu"}, "the nodes of partition cpu have none"),
        ({"gpus": 3}, "ask for 3 x h200.* have 2 x h200; change slurm_partition, gpu"),
        ({"gpu_model": "a100"}, "2 x a100 a node.* have 2 x h200"),
        ({"minutes": 241}, "241 minutes, but partition gpu allows 240; lower runtime"),
        ({"memory_mb": 10001}, "mem_mb 10001, but the largest node of partition gpu has 10000"),
        ({"cpus": 9}, "threads 9, but the largest node of partition gpu has 8"),
        ({"nodes": 2}, "2 nodes, but partition gpu has fewer"),
        ({"account": "other"}, "other is not yours, but clinic, lab"),
    ],
)
def test_what_never_runs_fails_and_says_what_to_change(cluster, profile, change, message):
    (found,) = failures(profile, replace(TRAINING, **change))
    assert re.search(message, found), found


def test_jobs_that_wait_for_nodes_are_a_warning(cluster, profile):
    (found,) = warnings(profile, replace(TRAINING, partition="old", gpu_model="v100"))
    assert "partition old are up now" in found


def test_without_slurm_there_is_one_failure(cluster, profile):
    cluster.remove("sbatch")
    cluster.remove("squeue")
    (found,) = failures(profile, TRAINING)
    assert "sbatch, squeue not found" in found


def test_a_controller_that_does_not_answer_fails(cluster, profile):
    cluster.answer("sinfo", "slurm_load_partitions: Unable to contact slurm controller\n", code=1)
    (found,) = failures(profile, TRAINING)
    assert "Unable to contact slurm controller" in found


def test_without_accounting_the_account_is_not_checked(cluster, profile):
    cluster.answer("sacctmgr", "You are not running a supported accounting_storage plugin\n", code=1)
    assert failures(profile, TRAINING) == []
    (found,) = warnings(profile, TRAINING)
    assert "cannot be checked" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slurm-status-command": "sacct"}, "set slurm-status-command: squeue"),
        ({"slurm-requeue": False}, "set slurm-requeue: true"),
        ({"retries": 0}, "set retries"),
    ],
)
def test_settings_that_do_not_survive_faults_are_warned_of(cluster, tmp_path, change, message):
    (found,) = warnings(write_profile(tmp_path / "profile", {**GOOD, **change}))
    assert message in found


def test_a_controller_that_forgets_jobs_soon_is_warned_of(cluster, profile):
    cluster.answer("scontrol", "MinJobAge               = 60 sec\n")
    (found,) = warnings(profile)
    assert "60 s after its end" in found


def test_the_profile_for_the_latest_version_is_read(tmp_path):
    write_profile(tmp_path, {"executor": "local", "configfile": "a.yaml"})
    assert [str(path) for path in read_profile(tmp_path).configfiles] == ["a.yaml"]
    (tmp_path / "config.v8+.yaml").write_text("executor: slurm\n")
    assert read_profile(tmp_path).slurm
    with pytest.raises(ConfigError, match="nothing is no profile"):
        read_profile(tmp_path / "nothing")
