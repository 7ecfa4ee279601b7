"""Frames that are not square, from the shard to previews and features of samples, through both trainings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvdm.config import ComputeConfig
from lvdm.data.config import ClipConfig
from lvdm.data.shards import Entry, write_shard
from lvdm.data.video import read_frames
from lvdm.diffusion.config import SamplerConfig
from lvdm.evaluation.feature_files import read_features
from lvdm.files import read_json
from lvdm.models.config import AutoencoderConfig, DiscriminatorConfig, UNetConfig
from lvdm.stages import encode, features, latent_statistics, preview, sample, train_autoencoder, train_diffusion
from lvdm.stages.config import (
    EncodeConfig,
    FeaturesConfig,
    PreviewConfig,
    SampleConfig,
    TrainAutoencoderConfig,
    TrainDiffusionConfig,
)
from lvdm.training.config import AutoencoderTrainingConfig, DiffusionTrainingConfig

CPU = ComputeConfig(device="cpu", threads=1)
SIZE = (32, 48)
CLIP = ClipConfig(resolution=SIZE, length=8, step=2)
SCHEDULE = {"batch_size": 2, "learning_rate": 1e-3, "log_every": 1, "validate_every": 2, "validate_clips": 2}
SCHEDULE |= {"steps": 2, "picture_clips": 2}
AUTOENCODER = TrainAutoencoderConfig(
    clip=CLIP,
    model=AutoencoderConfig(hidden_channels=2, norm_groups=2),
    discriminator=DiscriminatorConfig(channels=2, layers=1),
    training=AutoencoderTrainingConfig(**SCHEDULE),
    compute=CPU,
)
DIFFUSION = TrainDiffusionConfig(
    model=UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        residual_blocks=1,
        attention_downsampling=(1, 2),
        heads=2,
        temporal_length=2,
    ),
    training=DiffusionTrainingConfig(**SCHEDULE),
    preview_sampler=SamplerConfig(method="dpm-solver++", steps=2),
    compute=CPU,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run: shards, both trainings, the latent cache, and five samples."""
    folder = tmp_path_factory.mktemp("wide")
    for split, entry in (("train", Entry("a", (9, 7, 12), "anna")), ("heldout", Entry("b", (10,), "bert"))):
        frames = np.random.default_rng(len(split)).integers(0, 256, (sum(entry.pieces), *SIZE, 3), dtype=np.uint8)
        write_shard(folder / f"{split}-000.npy", SIZE, [entry], lambda _, frames=frames: [frames])
    splits = {"train": [folder / "train-000.npy"], "heldout": [folder / "heldout-000.npy"]}
    train_autoencoder.run(AUTOENCODER, **splits, **_outputs(folder / "autoencoder"))
    weights = folder / "autoencoder" / "weights.safetensors"
    latents = {split: [folder / "latents" / path.name for path in paths] for split, paths in splits.items()}
    for split, (path,) in latents.items():
        config = EncodeConfig(clip=CLIP, batch_size=2, compute=CPU)
        encode.run(config, shard=splits[split][0], autoencoder=weights, latents=path)
    latent_statistics.run(latents=latents["train"], statistics=folder / "statistics.json")
    known = {"statistics": folder / "statistics.json", "autoencoder": weights}
    train_diffusion.run(DIFFUSION, **latents, **known, **_outputs(folder / "diffusion"))
    diffusion = folder / "diffusion" / "weights.safetensors"
    config = SampleConfig(sampler=SamplerConfig(steps=2), batch_size=2, compute=CPU)
    sample.run(config, autoencoder=weights, diffusion=diffusion, first=0, count=5, clips=folder / "0000.npy")
    return folder


def _outputs(folder: Path) -> dict[str, Path]:
    names = {"weights": "weights.safetensors", "curve": "curve.csv", "quality": "quality.csv", "picture": "picture.png"}
    return {"run_folder": folder / "run", **{name: folder / file for name, file in names.items()}}


def test_latents_and_samples_have_the_shape_of_the_frames(folder):
    windows = read_json(folder / "latents" / "train-000.json")["windows"]
    assert windows == [["a", 0], ["a", 16], ["a", 18], ["a", 20]]
    assert np.load(folder / "latents" / "train-000.npy").shape == (4, 2, 4, 2, 4, 6)
    assert read_json(folder / "diffusion" / "weights.json")["latent_shape"] == [4, 2, 4, 6]
    assert np.load(folder / "0000.npy").shape == (5, 8, *SIZE, 3)


def test_pictures_of_both_trainings_have_the_shape_of_the_frames(folder):
    for part, groups in (("autoencoder", 2), ("diffusion", 1)):
        with Image.open(folder / part / "picture.png") as picture:
            width, height = picture.size
        assert height % SIZE[0] == 0
        assert (width - 4 * (groups - 1)) % (groups * SIZE[1]) == 0


def test_real_clips_and_samples_are_compared_and_shown_as_they_are(folder, tmp_path):
    config = FeaturesConfig(clip=CLIP, batch_size=2, compute=CPU)
    sources = {"fake": {"clips": [folder / "0000.npy"]}, "real": {"shards": [folder / "train-000.npy"]}}
    for name, source in sources.items():
        features.run(config, **source, features=tmp_path / f"{name}.npz")
    real, fake = (read_features(tmp_path / f"{name}.npz") for name in ("real", "fake"))
    assert (real.groups.tolist(), fake.groups.tolist()) == (["anna"], list("01234"))
    assert np.isfinite(fake.values).all()
    preview.run(PreviewConfig(clip=CLIP, videos=2, size=64), clips=[folder / "0000.npy"], folder=tmp_path / "previews")
    assert read_frames(tmp_path / "previews" / "00001.mp4").shape == (8, 64, 96, 3)
