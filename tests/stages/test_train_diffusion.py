"""Training as a stage: what it writes, and that a killed run ends as if it had not been disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lvdm.diffusion.config import SamplerConfig
from lvdm.files import read_json, write_json
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, UNetConfig
from lvdm.models.weights import save_model
from lvdm.provenance import _closure
from lvdm.stages import train_diffusion
from lvdm.stages.config import ComputeConfig, TrainDiffusionConfig
from lvdm.training.config import DiffusionTrainingConfig

CONFIG = TrainDiffusionConfig(
    model=UNetConfig(
        model_channels=32,
        channel_mult=(1,),
        residual_blocks=1,
        attention_downsampling=(1,),
        heads=2,
        temporal_length=2,
        dropout=0.1,
    ),
    training=DiffusionTrainingConfig(
        steps=60,
        batch_size=2,
        accumulate=2,
        learning_rate=1e-3,
        ema_decay=0.9,
        log_every=7,
        validate_every=25,
        validate_clips=3,
        picture_clips=2,
        checkpoint_every=0.002,
    ),
    preview_sampler=SamplerConfig(method="dpm-solver++", steps=2),
    compute=ComputeConfig(device="cpu", threads=1),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path | list[Path]]:
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    for split, windows in (("train", 7), ("heldout", 3), ("empty", 0)):
        np.save(folder / f"{split}-000.npy", rng.normal(size=(windows, 2, 4, 2, 4, 4)).astype(np.float16))
        write_json(folder / f"{split}-000.json", {"windows": [["video", n] for n in range(windows)]})
    write_json(folder / "statistics.json", {"shift": 0.1, "scale": 0.9, "clips": 7})
    autoencoder = AutoencoderConfig(hidden_channels=4, norm_groups=4, downsample=(2, 4, 4))
    torch.manual_seed(0)
    state = VideoAutoencoder(autoencoder).state_dict()
    save_model(folder / "autoencoder.safetensors", state, autoencoder.model_dump(mode="json"))
    return {
        "train": [folder / "train-000.npy"],
        "heldout": [folder / "heldout-000.npy"],
        "statistics": folder / "statistics.json",
        "autoencoder": folder / "autoencoder.safetensors",
    }


def outputs(folder: Path) -> dict[str, Path]:
    return {
        "run_folder": folder / "run",
        "weights": folder / "weights.safetensors",
        "curve": folder / "curve.csv",
        "quality": folder / "quality.csv",
        "picture": folder / "samples.png",
    }


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train_diffusion.run(CONFIG, **inputs, **outputs(folder))
    return folder


def test_what_it_writes(undisturbed):
    record = read_json(undisturbed / "weights.json")
    assert record["latent_shape"] == [4, 2, 4, 4]
    assert record["model"] == CONFIG.model.model_dump(mode="json")
    assert record["schedule"] == CONFIG.schedule.model_dump(mode="json")
    assert record["objective"] == CONFIG.objective.model_dump(mode="json")
    curve = pd.read_csv(undisturbed / "curve.csv")
    assert curve["step"].tolist() == [*range(7, 57, 7), 60]
    quality = pd.read_csv(undisturbed / "quality.csv")
    assert list(quality) == ["step", "split", "clips", "metric", "value"]
    assert quality["step"].unique().tolist() == [25, 50, 60]
    assert set(quality["split"]) == {"heldout"}
    assert quality.groupby("step")["metric"].count().tolist() == [11, 11, 11]
    assert Image.open(undisturbed / "samples.png").mode == "RGB"


def test_the_published_weights_are_the_average(undisturbed):
    published = load_file(undisturbed / "weights.safetensors")
    checkpoint = max((undisturbed / "run").glob("*/checkpoints/*.pt"))
    module = torch.load(checkpoint, weights_only=True)["module"]
    assert all(torch.equal(value, module[f"averaged.average.{name}"]) for name, value in published.items())
    assert any(not torch.equal(value, module[f"unet.{name}"]) for name, value in published.items())


def test_a_killed_training_ends_as_an_undisturbed_one(inputs, undisturbed, tmp_path):
    arguments = {
        name: [str(p) for p in value] if isinstance(value, list) else str(value) for name, value in inputs.items()
    }
    arguments |= {name: str(value) for name, value in outputs(tmp_path).items()}
    program = (
        "import json, sys; from pathlib import Path; from lvdm.config import parse\n"
        "from lvdm.stages import train_diffusion; from lvdm.stages.config import TrainDiffusionConfig\n"
        "config, paths = json.loads(sys.argv[1])\n"
        "paths = {k: [Path(p) for p in v] if isinstance(v, list) else Path(v) for k, v in paths.items()}\n"
        "train_diffusion.run(parse(TrainDiffusionConfig, config, 'test'), **paths)\n"
    )
    command = [sys.executable, "-c", program, json.dumps([CONFIG.model_dump(mode="json"), arguments])]
    checkpoints = tmp_path / "run"
    wanted = random.Random().randrange(2, CONFIG.training.steps - 10)
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        while process.poll() is None and newest(checkpoints) < wanted:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed after step {wanted}"
    assert not (tmp_path / "weights.safetensors").exists()
    assert 0 < newest(checkpoints) < CONFIG.training.steps
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    ours, theirs = load_file(tmp_path / "weights.safetensors"), load_file(undisturbed / "weights.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), f"killed after step {wanted}"
    for table in ("curve.csv", "quality.csv", "samples.png"):
        assert (tmp_path / table).read_bytes() == (undisturbed / table).read_bytes()


def newest(checkpoints: Path) -> int:
    return max((int(path.stem) for path in checkpoints.glob("*/checkpoints/[0-9]*.pt")), default=0)


def test_without_heldout_windows_the_table_says_so(inputs, tmp_path):
    config = CONFIG.replace(training={**CONFIG.training.model_dump(mode="json"), "steps": 2})
    empty = inputs["train"][0].with_name("empty-000.npy")
    train_diffusion.run(config, **{**inputs, "heldout": [empty]}, **outputs(tmp_path))
    assert set(pd.read_csv(tmp_path / "quality.csv")["split"]) == {"train"}


def test_key_frames_and_prediction(inputs, tmp_path):
    """Every second of four latent frames, the first one given: the record says all that sampling has to know."""
    rng = np.random.default_rng(1)
    for name in ("long", "held"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(5, 2, 4, 4, 4, 4)).astype(np.float16))
        write_json(tmp_path / f"{name}.json", {"windows": [["video", n] for n in range(5)]})
    config = CONFIG.replace(
        task="prediction",
        latent_stride=2,
        condition={"max_noise_level": 10},
        model={**CONFIG.model.model_dump(mode="json"), "noise_levels": 11},
        training={**CONFIG.training.model_dump(mode="json"), "steps": 3},
    )
    files = {**inputs, "train": [tmp_path / "long.npy"], "heldout": [tmp_path / "held.npy"]}
    train_diffusion.run(config, **files, **outputs(tmp_path))
    record = read_json(tmp_path / "weights.json")
    assert (record["task"], record["latent_stride"], record["latent_shape"]) == ("prediction", 2, [4, 2, 4, 4])
    assert record["scaling"] == {"shift": 0.1, "scale": 0.9, "clips": 7}
    # Key frames are decoded one by one: two latent frames make two clips of two frames.
    assert Image.open(tmp_path / "samples.png").size == (4 * 16, 2 * 16)


def imported(inputs, source: Path, steps: int, **changes):
    """A configuration that starts from the weights of another run, and its inputs."""
    training = {**CONFIG.training.model_dump(mode="json"), "steps": steps}
    return CONFIG.replace(init="imported", training=training, **changes), {
        **inputs,
        "initial": source / "weights.safetensors",
    }


def test_imported_weights_are_taken_as_they_are(inputs, undisturbed, tmp_path):
    config, files = imported(inputs, undisturbed, steps=0)
    train_diffusion.run(config, **files, **outputs(tmp_path))
    for name in ("weights.safetensors", "samples.png"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()
    ours, theirs = (pd.read_csv(folder / "quality.csv") for folder in (tmp_path, undisturbed))
    assert set(ours["step"]) == {0}
    assert ours["value"].tolist() == theirs[theirs["step"] == 60]["value"].tolist()
    assert pd.read_csv(tmp_path / "curve.csv").empty


def test_imported_weights_are_trained_on_with_their_own_scaling(inputs, undisturbed, tmp_path):
    other = tmp_path / "other.json"
    write_json(other, {"shift": 7.0, "scale": 0.1, "clips": 2})
    config, files = imported({**inputs, "statistics": other}, undisturbed, steps=1)
    train_diffusion.run(config, **files, **outputs(tmp_path))
    assert read_json(tmp_path / "weights.json")["scaling"]["shift"] == 0.1
    before, after = (load_file(folder / "weights.safetensors") for folder in (undisturbed, tmp_path))
    moved = [(after[name] - before[name]).abs().max().item() for name in before]
    assert 0 < max(moved) < 5e-3  # one step of Adam at 1e-3


def test_weights_of_another_network_are_refused(inputs, undisturbed, tmp_path):
    model = {**CONFIG.model.model_dump(mode="json"), "heads": 4}
    config, files = imported(inputs, undisturbed, steps=1, model=model)
    with pytest.raises(ValueError, match=r"weights\.safetensors was made with.*model\.heads is 2 there and 4 here"):
        train_diffusion.run(config, **files, **outputs(tmp_path))
    with pytest.raises(ValueError, match="`init` is scratch"):
        train_diffusion.run(CONFIG, **files, **outputs(tmp_path))


def test_latents_of_another_width_are_refused(inputs, tmp_path):
    config = CONFIG.replace(model={**CONFIG.model.model_dump(mode="json"), "in_channels": 8})
    with pytest.raises(ValueError, match=r"latents of 4 channels.*in_channels is 8.*set both to 4"):
        train_diffusion.run(config, **inputs, **outputs(tmp_path))


def test_a_changed_sampler_does_not_make_the_training_stale():
    root = Path(train_diffusion.__file__).parents[2]
    modules = _closure("lvdm.stages.train_diffusion", root)
    assert "lvdm.diffusion.objective" in modules
    assert not modules & {"lvdm.diffusion.samplers", "lvdm.diffusion.denoiser", "lvdm.data.video"}
    assert "lvdm.diffusion.samplers" in _closure("lvdm.stages.sample", root)
