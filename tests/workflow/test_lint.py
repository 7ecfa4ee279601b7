"""The workflow is in good shape by Snakemake's own judgement, also in a clone without data."""

import subprocess
import sys
from pathlib import Path


def test_snakemake_lint_is_clean_without_data(fresh_tree):
    output = fresh_tree.finish("--lint")
    assert "Congratulations" in output


def test_the_demo_plans_videos_that_do_not_exist_yet(fresh_tree):
    output = fresh_tree.finish("--dry-run", "all", "--configfile", "config/demo.yaml")
    assert "make_demo_videos" in output
    assert "data/demo/patient-12.mp4" in output


def test_the_workflow_is_formatted(checkout):
    snakefmt = Path(sys.executable).with_name("snakefmt")
    result = subprocess.run(
        [snakefmt, "--check", "workflow"], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
