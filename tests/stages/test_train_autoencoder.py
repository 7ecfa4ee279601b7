"""Stage train-autoencoder, with a network of two channels on clips of four frames of 16x16."""

import csv
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from lvdm.config import ConfigError, parse
from lvdm.data.shards import whole_videos, write_shard
from lvdm.files import write_json
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.weights import load_autoencoder, save_model
from lvdm.stages import train_autoencoder
from lvdm.stages.config import TrainAutoencoderConfig
from lvdm.training.autoencoder import AutoencoderTraining

STEPS = 10
SETTINGS = {
    "clip": {"resolution": 16, "length": 4, "step": 2},
    "model": {"hidden_channels": 2, "norm_groups": 2},
    "discriminator": {"channels": 2, "layers": 1},
    "loss": {"disc_start": 6},  # so that runs are resumed before and after
    "training": {
        "steps": STEPS,
        "batch_size": 2,
        "learning_rate": 1e-3,
        "log_every": 1,
        "validate_every": 5,
        "validate_clips": 4,
        "picture_clips": 2,
        "checkpoint_every": 1e-6,  # after each step
    },
    "compute": {"device": "cpu", "threads": 1},
}

# Trains in a process of its own, which sends itself a signal in the middle of a step.
DRIVER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_train_autoencoder import train
from lvdm.training.autoencoder import AutoencoderTraining
folder, step, number = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def after_step(self):
    if self.step == step:
        os.kill(os.getpid(), number)
AutoencoderTraining.after_step = after_step
train(folder)
"""


def config(**changes) -> TrainAutoencoderConfig:
    return parse(TrainAutoencoderConfig, {**SETTINGS, **changes}, source="the test")


def make_shard(path: Path, videos: dict[str, int], seed: int) -> Path:
    """Four fields of colour a video, which grow lighter: something to learn."""
    generator = np.random.default_rng(seed)

    def read(video: str):
        light = np.linspace(0.5, 1, videos[video])[:, None, None, None]
        fields = light * generator.integers(0, 256, (2, 2, 3))
        yield fields.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)

    write_shard(path, 16, whole_videos(videos), read)
    return path


def outputs(folder: Path) -> dict[str, Path]:
    names = {"weights": "weights.safetensors", "curve": "curve.csv", "quality": "quality.csv", "picture": "picture.png"}
    return {"run_folder": folder / "run", **{name: folder / file for name, file in names.items()}}


def train(folder: Path | str, initial: Path | None = None, perceptual: Path | None = None, **changes) -> None:
    """Train on the shards in ``folder``, which are made when they are not there."""
    folder = Path(folder)
    train_shard, heldout_shard = folder / "train-000.npy", folder / "heldout-000.npy"
    if not heldout_shard.exists():
        make_shard(train_shard, {"a": 9, "b": 3, "c": 6}, seed=0)
        make_shard(heldout_shard, {"d": 8}, seed=1)
    files = {"train": [train_shard], "heldout": [heldout_shard], "initial": initial, "perceptual": perceptual}
    train_autoencoder.run(config(**changes), **files, **outputs(folder))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def start_driver(folder: Path, step: int, number: int) -> int:
    arguments = [str(Path(__file__).parent), str(folder), str(step), str(number)]
    return subprocess.run([sys.executable, "-c", DRIVER, *arguments], check=False, capture_output=True).returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder)
    return folder


def assert_same_results(first: Path, second: Path) -> None:
    for name, path in outputs(first).items():
        if name != "run_folder":
            assert path.read_bytes() == outputs(second)[name].read_bytes(), name


def test_the_stage_writes_what_it_promises(undisturbed):
    files = outputs(undisturbed)
    curve = read(files["curve"])
    assert [int(row["step"]) for row in curve] == list(range(1, STEPS + 1))
    assert all(float(row["discriminator"]) == 0 for row in curve[:6])
    assert all(float(row["discriminator"]) > 0 for row in curve[6:])
    quality = read(files["quality"])
    assert [(row["step"], row["split"], row["clips"], row["metric"]) for row in quality] == [
        (step, "heldout", "3", metric) for step in ("5", "10") for metric in ("psnr", "ssim", "l1")
    ]
    with Image.open(files["picture"]) as picture:
        assert picture.size == (4 * 16 + 4 + 4 * 16, 2 * 16)  # originals, gap, reconstructions; two clips
    network = load_autoencoder(files["weights"])
    assert network.config == config().model


def test_quality_is_that_of_the_published_weights(undisturbed):
    """PSNR again, from the published files alone and without our code for it."""
    network = load_autoencoder(outputs(undisturbed)["weights"])
    frames = np.load(undisturbed / "heldout-000.npy")
    clips = torch.from_numpy(np.stack([frames[first : first + 4] for first in (0, 2, 4)])).permute(0, 4, 1, 2, 3)
    with torch.no_grad():
        decoded = network.decode(network.encode(clips / 127.5 - 1).mode())
    errors = ((decoded.clamp(-1, 1) + 1) / 2 - clips / 255).double().square().mean(dim=(1, 2, 3, 4))
    expected = (10 * (1 / errors).log10()).mean().item()
    reported = read(outputs(undisturbed)["quality"])[3]
    assert (reported["step"], reported["metric"]) == ("10", "psnr")
    assert float(reported["value"]) == pytest.approx(expected, rel=1e-4)


def test_it_learns(tmp_path):
    """From weights that do not depend on torch's initialisation, which is not the same in all versions."""
    generator, network = torch.Generator().manual_seed(0), VideoAutoencoder(config().model)
    state = {
        name: torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5 if value.ndim > 1 else value
        for name, value in network.state_dict().items()
    }
    state = {name: torch.zeros_like(value) if name.endswith("bias") else value for name, value in state.items()}
    save_model(tmp_path / "initial.safetensors", state, config().model.model_dump(mode="json"))
    longer = {"steps": 60, "learning_rate": 4e-3, "log_every": 10, "validate_every": 60, "checkpoint_every": 10.0}
    settings = {"training": {**SETTINGS["training"], **longer}, "loss": {"disc_start": 1000}, "init": "imported"}
    train(tmp_path, initial=tmp_path / "initial.safetensors", **settings)
    curve = [float(row["l1"]) for row in read(outputs(tmp_path)["curve"])]
    assert curve[-1] < 0.6 * curve[0]


def test_imported_weights_are_taken_as_they_are_and_measured(undisturbed, tmp_path):
    weights = outputs(undisturbed)["weights"]
    train(tmp_path, initial=weights, init="imported", training={**SETTINGS["training"], "steps": 0})
    assert outputs(tmp_path)["weights"].read_bytes() == weights.read_bytes()
    ours, theirs = (read(outputs(folder)["quality"]) for folder in (tmp_path, undisturbed))
    assert [row["value"] for row in ours] == [row["value"] for row in theirs if row["step"] == "10"]
    assert read(outputs(tmp_path)["curve"]) == []


def test_from_scratch_there_is_something_to_train():
    with pytest.raises(ConfigError, match="from scratch train at least 1 step"):
        config(training={**SETTINGS["training"], "steps": 0})


def test_killed_again_and_again_it_ends_with_the_same_weights(undisturbed, tmp_path):
    for step in (3, 8):
        assert start_driver(tmp_path, step, signal.SIGKILL) == -signal.SIGKILL
        assert not outputs(tmp_path)["weights"].exists()
        assert [path.name for path in (tmp_path / "run").glob("*/checkpoints/0*.pt")]
    train(tmp_path)
    assert_same_results(undisturbed, tmp_path)


def test_asked_to_stop_it_saves_exits_with_75_and_goes_on(undisturbed, tmp_path):
    assert start_driver(tmp_path, 7, signal.SIGTERM) == 75
    assert "000000007.pt" in [path.name for path in (tmp_path / "run").glob("*/checkpoints/0*.pt")]
    assert not outputs(tmp_path)["weights"].exists()
    train(tmp_path)
    assert_same_results(undisturbed, tmp_path)


def test_two_processes_train_the_same(undisturbed, tmp_path):
    """From the command line: two optimisers, whose losses share a graph, before and after the second one starts."""
    write_json(tmp_path / "config.json", config().model_dump(mode="json"))
    inputs = {"train": undisturbed / "train-000.npy", "heldout": undisturbed / "heldout-000.npy"}
    files = {"config": tmp_path / "config.json", **inputs, **outputs(tmp_path)}
    options = [part for name, path in files.items() for part in (f"--{name.replace('_', '-')}", str(path))]
    command = [sys.executable, "-m", "lvdm", "train-autoencoder", *options, "--gpus", "2"]
    subprocess.run(command, check=True)
    for table in ("curve", "quality"):
        ours, theirs = (read(outputs(folder)[table]) for folder in (tmp_path, undisturbed))
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            numbers = [name for name in their if name not in ("split", "metric")]
            assert [float(our[name]) for name in numbers] == pytest.approx(
                [float(their[name]) for name in numbers], rel=1e-4, abs=1e-6
            )
    states = [load_file(outputs(folder)["weights"]) for folder in (tmp_path, undisturbed)]
    for name, value in states[1].items():
        torch.testing.assert_close(states[0][name], value, rtol=1e-4, atol=1e-6)


def test_a_run_of_another_configuration_is_not_resumed_and_the_earlier_one_is_taken_up_again(
    undisturbed, tmp_path, caplog, monkeypatch
):
    other = {**SETTINGS["training"], "learning_rate": 5e-3}
    train(tmp_path, training=other)
    before = outputs(tmp_path)["weights"].read_bytes()
    train(tmp_path)
    assert "starting anew" in caplog.text
    assert "training.learning_rate 0.005 then and 0.001 now" in caplog.text
    assert_same_results(undisturbed, tmp_path)
    monkeypatch.setattr(AutoencoderTraining, "update", None)  # nothing is trained
    train(tmp_path, training=other)
    assert outputs(tmp_path)["weights"].read_bytes() == before
    train(tmp_path)
    assert_same_results(undisturbed, tmp_path)


def test_without_windows_held_out_it_says_that_quality_is_of_training_clips(tmp_path):
    make_shard(tmp_path / "train-000.npy", {"a": 6}, seed=0)
    make_shard(tmp_path / "heldout-000.npy", {}, seed=0)
    train(tmp_path, training={**SETTINGS["training"], "steps": 1})
    assert {row["split"] for row in read(outputs(tmp_path)["quality"])} == {"train"}


class MeanColour(nn.Module):
    """A stand-in with the signature of NVIDIA's vgg16.pt."""

    def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        return x.mean(dim=[2, 3])


def test_the_perceptual_loss_counts_and_its_absence_is_logged(tmp_path, caplog):
    caplog.set_level("INFO")
    network = tmp_path / "vgg16.pt"
    torch.jit.script(MeanColour()).save(str(network))
    short = {**SETTINGS["training"], "steps": 1}
    stated = {"path": str(network), "size": network.stat().st_size}
    train(tmp_path, training=short, loss={"perceptual": stated}, perceptual=network)
    assert "(LPIPS) is off" not in caplog.text
    assert float(read(outputs(tmp_path)["curve"])[0]["lpips"]) > 0
    assert [float(row["value"]) > 0 for row in read(outputs(tmp_path)["quality"]) if row["metric"] == "lpips"] == [True]
    train(tmp_path, training=short)
    assert "the perceptual loss (LPIPS) is off" in caplog.text
    assert float(read(outputs(tmp_path)["curve"])[0]["lpips"]) == 0
    with pytest.raises(ValueError, match=r"vgg16\.pt .* has the size \d+, but 7 is wanted"):
        train(tmp_path, training=short, loss={"perceptual": {**stated, "size": 7}}, perceptual=network)
    with pytest.raises(ValueError, match="give both, or neither"):
        train(tmp_path, training=short, loss={"perceptual": stated})


def test_failure_leaves_no_output(tmp_path):
    make_shard(tmp_path / "train-000.npy", {"a": 3}, seed=0)  # shorter than a clip
    make_shard(tmp_path / "heldout-000.npy", {}, seed=0)
    with pytest.raises(ValueError, match=r"lower data\.length"):
        train(tmp_path)
    assert not any(path.exists() for name, path in outputs(tmp_path).items() if name != "run_folder")
