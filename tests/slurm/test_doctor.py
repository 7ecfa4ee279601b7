"""`lvdm doctor` knows the cluster."""

import pytest

pytestmark = pytest.mark.slurm


def test_a_run_that_would_work_passes(prepared):
    assert "FAIL" not in prepared.doctor().stdout
    assert prepared.doctor().returncode == 0


def test_a_partition_that_is_not_there_is_named(prepared):
    profile = prepared.root / "profiles" / "slurm" / "config.yaml"
    profile.write_text(profile.read_text().replace("&gpu_partition gpu", "&gpu_partition nonesuch"))
    found = prepared.doctor()
    assert found.returncode == 1
    assert "nonesuch" in found.stdout
