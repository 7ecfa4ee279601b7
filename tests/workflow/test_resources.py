"""What jobs ask for, and what the SLURM executor makes of it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from lvdm.stages import sources

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
from scripts import resources


def config(device="auto", threads=2, workers=0, **sections):
    compute = {"device": device, "threads": threads, "workers": workers}
    return sources.load({"datasets": {"a": {"videos": "data/a/*.mp4"}}, "compute": compute, **sections})


def shared(gpus, nodes=1, **compute):
    section = {"gpus": gpus, "nodes": nodes, "training": {"accumulate": gpus * nodes}}
    return config(autoencoder=section, **compute)


def submitted(config):
    """What the executor would give to sbatch for the training of an autoencoder."""
    asked = {name: value for name, value in resources.training(config, "autoencoder").items() if value is not None}
    job = SimpleNamespace(
        resources=Asked(asked), threads=resources.training_threads(config, "autoencoder"), is_group=lambda: False
    )
    given = {"run_uuid": "run", "slurm_logfile": "log", "comment_str": "rule", "account": "", "partition": ""}
    command = get_submit_command(job, {**given, "workdir": "."}) + set_gres_string(job)
    return {option for option in command.split() if option.startswith("--") and "=" in option} - {"--export=ALL"}


class Asked(dict):
    """Resources of a job, which the executor reads by key and by attribute."""

    __getattr__ = dict.__getitem__


def test_an_attempt_gets_more_than_the_one_before_but_not_without_end():
    assert [resources.grown(1000, attempt) for attempt in (1, 2, 3)] == [1000, 2000, 3000]
    assert resources.grown(1000, 10) == resources.grown(1000, 100) == 4000


def test_a_video_that_is_yet_to_be_made_has_no_size(tmp_path):
    assert resources.megabytes(str(tmp_path / "video.mp4")) == 0
    (tmp_path / "video.mp4").write_bytes(bytes(3_000_000))
    assert resources.megabytes(str(tmp_path / "video.mp4")) == 3


@pytest.mark.parametrize(("device", "count"), [("auto", 1), ("cuda", 1), ("cpu", 0)])
def test_a_network_gets_a_gpu_unless_it_is_to_run_on_the_cpu(device, count):
    assert resources.gpus(config(device)) == count


@pytest.mark.parametrize(
    ("gpus", "nodes", "device", "options"),
    [
        (1, 1, "auto", {"--nodes=1", "--cpus-per-task=3", "--gpus=1"}),
        (1, 1, "cpu", {"--nodes=1", "--cpus-per-task=3", "--ntasks=1"}),
        (4, 1, "auto", {"--nodes=1", "--cpus-per-task=12", "--gpus=4"}),
        (1, 2, "auto", {"--nodes=2", "--cpus-per-task=3", "--gpus=2", "--ntasks=2"}),
        (4, 2, "auto", {"--nodes=2", "--cpus-per-task=3", "--gpus=8", "--ntasks-per-node=4"}),
        (1, 2, "cpu", {"--nodes=2", "--cpus-per-task=3", "--ntasks=2"}),
    ],
)
def test_sbatch_is_asked_for_the_tasks_and_gpus_of_a_training(gpus, nodes, device, options):
    assert submitted(shared(gpus, nodes, device=device, workers=1)) == options


def test_slurm_starts_the_processes_of_several_nodes_only():
    assert resources.steps(shared(4), "autoencoder") == []
    command = resources.steps(shared(4, 2, threads=3), "autoencoder")
    assert command[0] == "srun"
    assert {"--nodes=2", "--ntasks=8", "--ntasks-per-node=4", "--cpus-per-task=3"} < set(command)


def test_the_two_trainings_ask_for_themselves():
    whole = config(diffusion={"gpus": 2, "training": {"accumulate": 2}})
    assert resources.training(whole, "diffusion")["gpu"] == 2
    assert resources.training(whole, "autoencoder")["gpu"] == 1
