"""A generated video depends on the seed and its number, and on nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lvdm.config import ConfigError
from lvdm.diffusion.config import ObjectiveConfig, SamplerConfig, ScheduleConfig
from lvdm.files import read_json, write_json
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, UNetConfig
from lvdm.models.unet import UNet
from lvdm.models.weights import save_model
from lvdm.stages import sample
from lvdm.stages.config import ComputeConfig, SampleConfig
from lvdm.training.config import DiffusionModelConfig, LatentScaling

AUTOENCODER = AutoencoderConfig(hidden_channels=4, norm_groups=4, downsample=(2, 4, 4))
MODEL = DiffusionModelConfig(
    model=UNetConfig(model_channels=32, channel_mult=(1, 2), residual_blocks=1, attention_downsampling=(2,), heads=2),
    schedule=ScheduleConfig(),
    objective=ObjectiveConfig(),
    latent_shape=(4, 2, 4, 4),
    scaling=LatentScaling(shift=0.5, scale=2.0),
)
CPU = ComputeConfig(device="cpu", threads=1)


def config(method: str = "ddim", **changes) -> SampleConfig:
    return SampleConfig(
        **{"sampler": SamplerConfig(method=method, steps=4), "batch_size": 4, "compute": CPU, **changes}
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A small model with random weights, none of them 0: an untrained network would ignore its input."""
    folder = tmp_path_factory.mktemp("model")
    generator = torch.Generator().manual_seed(0)
    networks = {"autoencoder": VideoAutoencoder(AUTOENCODER), "diffusion": UNet(MODEL.model)}
    records = {"autoencoder": AUTOENCODER.model_dump(mode="json"), "diffusion": MODEL.model_dump(mode="json")}
    paths = {}
    for name, network in networks.items():
        state = {
            key: 0.1 * torch.randn(value.shape, generator=generator) for key, value in network.state_dict().items()
        }
        paths[name] = folder / f"{name}.safetensors"
        save_model(paths[name], state, records[name])
    return paths


def draw(config: SampleConfig, files, path: Path, first: int, count: int) -> np.ndarray:
    sample.run(config, **files, first=first, count=count, clips=path)
    return np.load(path)


@pytest.mark.parametrize("method", ["ddpm", "ddim", "dpm-solver++"])
def test_chunks_do_not_change_a_video(files, tmp_path, method):
    whole = draw(config(method), files, tmp_path / "whole.npy", 0, 10)
    assert whole.shape == (10, 4, 16, 16, 3)
    assert whole.dtype == np.uint8
    for first, count in ((0, 3), (3, 5), (8, 2), (9, 1)):
        part = draw(config(method), files, tmp_path / f"{first}.npy", first, count)
        assert np.array_equal(part, whole[first : first + count])


def test_videos_differ_from_each_other_and_between_seeds(files, tmp_path):
    videos = draw(config(), files, tmp_path / "a.npy", 0, 5)
    assert all(not np.array_equal(videos[0], other) for other in videos[1:])
    others = draw(config(seed=1), files, tmp_path / "b.npy", 0, 5)
    assert all(not np.array_equal(video, other) for video, other in zip(videos, others, strict=True))


def test_batch_size_is_a_matter_of_rounding(files, tmp_path):
    """The last bit of a sum may depend on the batch's size; a video does not."""
    one, four = (
        draw(config("ddpm", batch_size=size), files, tmp_path / f"{size}.npy", 0, 4).astype(int) for size in (1, 4)
    )
    assert np.abs(one - four).max() <= 1
    assert (one != four).mean() < 0.01


def test_every_video_keeps_its_row():
    for first, count, size in ((0, 8, 4), (3, 6, 4), (5, 1, 16), (2, 9, 1)):
        batches = list(sample.rows(first, count, size))
        assert all(len(batch) == size for batch in batches)
        found = [(n, row) for batch in batches for row, n in enumerate(batch) if n is not None]
        assert [n for n, _ in found] == list(range(first, first + count))
        assert all(row == n % size for n, row in found)


def test_a_failure_leaves_nothing_behind(files, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sample, "to_uint8", full)
    with pytest.raises(OSError, match="No space left"):
        draw(config(), files, tmp_path / "a.npy", 0, 2)
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_belong_together_are_refused(files, tmp_path):
    other = AUTOENCODER.replace(latent_channels=3)
    path = tmp_path / "other.safetensors"
    save_model(path, VideoAutoencoder(other).state_dict(), other.model_dump(mode="json"))
    with pytest.raises(ValueError, match=r"latents of 4 channels.*reads 3"):
        draw(config(), {**files, "autoencoder": path}, tmp_path / "a.npy", 0, 1)


def test_a_record_that_is_not_a_diffusion_model_is_refused(files, tmp_path):
    path = tmp_path / "diffusion.safetensors"
    path.write_bytes(files["diffusion"].read_bytes())
    record = read_json(files["diffusion"].with_suffix(".json"))
    del record["latent_shape"]
    write_json(path.with_suffix(".json"), record)
    with pytest.raises(ConfigError, match="latent_shape: required"):
        draw(config(), {**files, "diffusion": path}, tmp_path / "a.npy", 0, 1)


@pytest.mark.parametrize(("first", "count"), [(-1, 2), (0, 0)])
def test_a_chunk_without_videos_is_refused(files, tmp_path, first, count):
    with pytest.raises(ValueError, match="at least"):
        draw(config(), files, tmp_path / "a.npy", first, count)


def test_progress_shows_the_share_of_the_peak(files, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("lvdm.progress.LINE_EVERY_SECONDS", 0.0)
    with caplog.at_level("INFO"):
        draw(config(), files, tmp_path / "clips.npy", 0, 8)
    assert re.search(r"sampling \(ddim, 4 steps\): 8/8 clip, .* % of peak [\d.e+-]+", caplog.text)
