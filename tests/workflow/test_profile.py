"""The profile for SLURM, as far as it can be seen without a cluster."""

import re

import pytest
import yaml

NETWORKS = {"train_autoencoder", "encode", "train_diffusion", "sample", "features"}


@pytest.fixture
def profile(checkout) -> dict:
    return yaml.safe_load((checkout / "slurm" / "config.yaml").read_text())


def blocks(output):
    """Rule to the text about one of its jobs in a dry run."""
    return dict(re.findall(r"^ *(?:local)?rule (\w+):\n((?: +.*\n)*)", output, re.MULTILINE))


def test_it_names_rules_that_there_are(profile, unfinished_tree):
    rules = set(unfinished_tree.finish("--list-rules").split())
    assert set(profile["set-resources"]) | set(profile["groups"]) <= rules
    assert set(profile["group-components"]) == set(profile["groups"].values())


def test_networks_go_where_the_gpus_are(unfinished_tree, profile):
    output = unfinished_tree.finish("--dry-run", "--profile", "slurm", "all")
    jobs = blocks(output)
    on_gpus = {rule for rule, text in jobs.items() if "slurm_partition=gpu" in text}
    assert on_gpus == NETWORKS == set(profile["set-resources"])
    assert "--signal=USR1@300" in jobs["train_diffusion"]


def test_no_job_asks_for_more_than_a_node_has(unfinished_tree):
    output = unfinished_tree.finish(
        "--dry-run", "--profile", "slurm", "all", "--resources", "mem_mb=1500", "runtime=15"
    )
    asked = [int(mb) for mb in re.findall(r"mem_mb=(\d+)", output)]
    assert max(asked) == 1500
    assert max(int(minutes) for minutes in re.findall(r"runtime=(\d+)", output)) == 15


def test_what_was_run_here_is_not_run_again_on_a_cluster(tree):
    assert tree.planned("--profile", "slurm") == []
