"""A training of several processes is the training of one."""

import numpy as np
import pytest

pytestmark = pytest.mark.slurm

WEIGHTS = "results/first/autoencoder/weights.safetensors"

# The order in which numbers are added up differs.
TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}


@pytest.mark.parametrize("shape", [{"gpus": 2}, {"nodes": 2}], ids=["one-node", "two-nodes"])
def test_two_processes_train_like_one(prepared, undisturbed, shape):
    prepared.configure({"autoencoder": shape})
    prepared.finish(WEIGHTS)
    curve, other = prepared.training().curve, undisturbed.training().curve
    assert list(curve.columns) == list(other.columns)
    np.testing.assert_allclose(curve, other, **TOLERANCE)
    (job,) = prepared.jobs()
    assert job.state == "COMPLETED"
    assert (job.nodes == "gpu[1-2]") == ("nodes" in shape)
    assert "2 processes" in prepared.training().log
