"""What SLURM's commands print, as data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.cluster import slurm
from lvdm.cluster.slurm import Attempt, SlurmError

# Job 7 was requeued once; job 9 has two steps and four GPUs; job 11 never started; of 12 no memory is known.
SACCT = """\
7|PREEMPTED|1000|1060|1160|100|2|billing=2,cpu=2,mem=4000M,node=1|
7.batch|CANCELLED|1060|1060|1160|100|2|cpu=2,mem=4000M,node=1|150000K
7|COMPLETED|1170|1300|1500|200|2|billing=2,cpu=2,mem=4000M,node=1|
7.batch|COMPLETED|1300|1300|1500|200|2|cpu=2,mem=4000M,node=1|142952K
9|TIMEOUT|1000|1000|4600|3600|16|billing=16,cpu=16,gres/gpu:h200=4,gres/gpu=4,mem=64G,node=2|
9.batch|CANCELLED|1000|1000|4600|3600|8|cpu=8,gres/gpu=2,mem=32G,node=1|512M
9.0|CANCELLED|1000|1000|4600|3600|16|cpu=16,gres/gpu=4,mem=64G,node=2|30.5G
11|CANCELLED by 0|1000|Unknown|1200|0|0||
12|RUNNING|1000|1010|Unknown|5|1|cpu=1,gres/gpu:a100=1,mem=1G,node=1|
"""


def test_partitions_have_their_limits_and_nodes(cluster):
    found = slurm.partitions()
    assert list(found) == ["cpu", "gpu", "old", "shut"]
    assert (found["cpu"].default, found["gpu"].default) == (True, False)
    assert [found[name].limit_minutes for name in found] == [1440, 240, None, None]
    assert [nodes.count for nodes in found["cpu"].nodes] == [2, 1]
    assert [nodes.usable for nodes in found["cpu"].nodes] == [True, False]
    assert found["gpu"].nodes[0].gpus == {"h200": 2}
    assert not found["shut"].up


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("(null)", {}),
        ("gpu", {"": 1}),
        ("gpu:2", {"": 2}),
        ("gpu:h200:4(S:0-1)", {"h200": 4}),
        ("gpu:a100:1,gpu:a100:2,shard:8", {"a100": 3}),
        ("gpu:1g.10gb:7", {"1g.10gb": 7}),
    ],
)
def test_gpus_of_generic_resources(text, gpus):
    assert slurm.read_gres(text) == gpus


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_limits_are_read_as_they_are_printed(days, hours, minutes, seconds):
    total = (days * 24 + hours) * 60 + minutes
    clock = f"{hours:02}:{minutes:02}:{seconds:02}"
    assert slurm.read_limit(f"{days}-{clock}" if days else clock) == total
    if not days and not hours:
        assert slurm.read_limit(f"{minutes}:{seconds:02}") == total


@pytest.mark.parametrize("text", ["infinite", "UNLIMITED", "n/a"])
def test_no_limit(text):
    assert slurm.read_limit(text) is None


def test_every_time_that_a_job_ran_counts(cluster):
    cluster.answer("sacct", SACCT)
    first, second, timeout, running = slurm.attempts(["9", "7", "11", "12"])
    assert first == Attempt("7", "PREEMPTED", 60, 100, 2, 0, pytest.approx(153.6))
    assert (second.state, second.queue_seconds, second.seconds) == ("COMPLETED", 130, 200)
    assert (timeout.cpus, timeout.gpus, timeout.seconds) == (16, 4, 3600)
    assert timeout.memory_mb == pytest.approx(30.5 * 2**30 / 1e6), "that of the largest step"
    assert (running.gpus, running.memory_mb) == (1, 0)
    (call,) = cluster.called("sacct")
    assert "--duplicates" in call
    assert "7,9,11,12" in call


def test_a_thousand_jobs_take_a_few_calls(cluster):
    slurm.attempts(map(str, range(1200)))
    assert len(cluster.called("sacct")) == 3


def test_what_slurm_says_is_in_the_error(cluster):
    cluster.answer("sacct", "Slurm accounting storage is disabled\n", code=1)
    with pytest.raises(SlurmError, match=r"sacct.*Slurm accounting storage is disabled"):
        slurm.attempts(["1"])
    cluster.remove("sinfo")
    with pytest.raises(SlurmError, match="no command sinfo"):
        slurm.partitions()
    assert slurm.missing_commands() == ["sinfo"]
