"""A GPU is kept busy: within a training or a stage nothing waits until it is idle, from the second batch on."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lvdm.compute import Compute
from lvdm.data.config import ClipConfig
from lvdm.data.shards import whole_videos, write_shard
from lvdm.diffusion.config import FrameConditionConfig, ObjectiveConfig, SamplerConfig, ScheduleConfig
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, DiscriminatorConfig, UNetConfig
from lvdm.models.unet import UNet
from lvdm.models.weights import save_model
from lvdm.read_ahead import one_behind
from lvdm.stages import encode, sample
from lvdm.stages.config import ComputeConfig, EncodeConfig, SampleConfig
from lvdm.training.autoencoder import AutoencoderTraining
from lvdm.training.checkpoint import Run
from lvdm.training.config import (
    AutoencoderLossConfig,
    AutoencoderTrainingConfig,
    DiffusionModelConfig,
    DiffusionTrainingConfig,
    LatentScaling,
)
from lvdm.training.diffusion import DiffusionTraining
from lvdm.training.loop import fit
from lvdm.training.module import TrainingModule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU is what may be waited for")

AUTOENCODER = AutoencoderConfig(hidden_channels=4, norm_groups=4, downsample=(2, 4, 4))
COMPUTE = ComputeConfig(device="cuda", threads=1, compile="off")
# The curve's row, the checkpoint and the validation of the last step do wait.
STEPS = {"steps": 8, "log_every": 8, "batch_size": 2, "learning_rate": 1e-3}
TASKS = ["unconditional", "prediction", "interpolation"]


@pytest.fixture(autouse=True)
def _waiting_allowed_again():
    yield
    torch.cuda.set_sync_debug_mode("default")


def allow_waiting(allowed: bool) -> None:
    """Or else whatever waits for the GPU raises ``RuntimeError``."""
    torch.cuda.set_sync_debug_mode("default" if allowed else "error")


def diffusion_model(task: str = "unconditional") -> DiffusionModelConfig:
    network = UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        residual_blocks=1,
        attention_downsampling=(2,),
        heads=2,
        temporal_length=3,
        noise_levels=0 if task == "unconditional" else 251,
    )
    return DiffusionModelConfig(
        model=network,
        schedule=ScheduleConfig(),
        objective=ObjectiveConfig(min_snr_gamma=5.0),
        task=task,
        condition=FrameConditionConfig(given=(1, 2)),
        latent_shape=(4, 3, 4, 4),
        scaling=LatentScaling(shift=0.5, scale=2.0),
    )


class Watched(TrainingModule):
    """Nothing may wait from its third step to its seventh, neither in them nor between them."""

    def training_step(self, batch: Tensor, batch_index: int) -> dict[str, Tensor]:
        allow_waiting(not 2 <= self.step < 7)
        return super().training_step(batch, batch_index)


class WatchedDiffusion(Watched, DiffusionTraining):
    """The diffusion model's training."""


class WatchedAutoencoder(Watched, AutoencoderTraining):
    """The autoencoder's training."""


def assert_trains(module: TrainingModule, items: Tensor, folder: Path) -> None:
    fit(module, train=items, heldout=None, run=Run(folder, "test"))
    assert module.step == STEPS["steps"]


@pytest.mark.parametrize("task", TASKS)
def test_training_of_the_diffusion_model(tmp_path, task):
    module = WatchedDiffusion(
        diffusion_model(task),
        DiffusionTrainingConfig(**STEPS, gradient_clip=1.0),
        Compute(torch.device("cuda"), torch.bfloat16),
        lambda network, latents: torch.zeros(len(latents), 3, 4, 8, 8),
    )
    assert_trains(module, torch.zeros(4, 2, 4, 3, 4, 4), tmp_path / "run")


def test_training_of_the_autoencoder(tmp_path):
    module = WatchedAutoencoder(
        AUTOENCODER,
        DiscriminatorConfig(channels=4, layers=2),
        AutoencoderLossConfig(disc_start=0),
        AutoencoderTrainingConfig(**STEPS),
        Compute(torch.device("cuda"), torch.bfloat16),
    )
    assert_trains(module, torch.randint(256, (4, 4, 32, 32, 3), dtype=torch.uint8), tmp_path / "run")


def watched_one_behind(made: Iterable) -> Iterator:
    """``one_behind``; nothing may wait while a batch after the first one is made or dealt with."""

    def items() -> Iterator:
        rest = iter(made)
        yield next(rest)
        allow_waiting(False)
        yield from rest
        allow_waiting(True)

    return one_behind(items())


@pytest.fixture
def autoencoder(tmp_path) -> Path:
    path = tmp_path / "autoencoder.safetensors"
    save_model(path, VideoAutoencoder(AUTOENCODER).state_dict(), AUTOENCODER.model_dump(mode="json"))
    return path


@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpm-solver++", "euler", "heun"])
@pytest.mark.parametrize("task", TASKS)
def test_sampling(tmp_path, autoencoder, monkeypatch, task, method):
    model, diffusion = diffusion_model(task), tmp_path / "diffusion.safetensors"
    save_model(diffusion, UNet(model.model).state_dict(), model.model_dump(mode="json"))
    monkeypatch.setattr(sample, "one_behind", watched_one_behind)
    sampler = SamplerConfig(method=method, steps=3, **({"eta": 1.0} if method == "ddim" else {}))
    config = SampleConfig(sampler=sampler, batch_size=2, compute=COMPUTE)
    sample.run(config, autoencoder=autoencoder, diffusion=diffusion, first=1, count=7, clips=tmp_path / "clips.npy")
    assert len(np.load(tmp_path / "clips.npy")) == 7


def test_encoding(tmp_path, autoencoder, monkeypatch):
    frames = np.zeros((12, 16, 16, 3), dtype=np.uint8)
    shard = tmp_path / "shard.npy"
    write_shard(shard, 16, whole_videos({"video": len(frames)}), lambda _: iter([frames]))
    monkeypatch.setattr(encode, "one_behind", watched_one_behind)
    config = EncodeConfig(clip=ClipConfig(resolution=16, length=4, step=1), batch_size=2, compute=COMPUTE)
    encode.run(config, shard=shard, autoencoder=autoencoder, latents=tmp_path / "latents.npy")
    assert len(np.load(tmp_path / "latents.npy")) == 9
