import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lvdm.config import parse
from lvdm.data.datasets import LatentDataset
from lvdm.data.shards import Entry, whole_videos, write_shard
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig
from lvdm.models.weights import load_autoencoder, save_model
from lvdm.stages import encode
from lvdm.stages.config import EncodeConfig

MODEL = AutoencoderConfig(hidden_channels=2, norm_groups=2)


def config(batch_size: int = 2) -> EncodeConfig:
    clip = {"resolution": 16, "length": 4, "step": 2}
    settings = {"clip": clip, "batch_size": batch_size, "compute": {"device": "cpu", "threads": 1}}
    return parse(EncodeConfig, settings, source="the test")


@pytest.fixture
def autoencoder(tmp_path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_model(path, VideoAutoencoder(MODEL).state_dict(), MODEL.model_dump(mode="json"))
    return path


def make_shard(path: Path, videos: dict[str, int]) -> Path:
    generator = np.random.default_rng(0)
    frames = {id: generator.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8) for id, count in videos.items()}
    write_shard(path, 16, whole_videos(videos), lambda id: iter([frames[id]]))
    return path


@pytest.fixture
def shard(tmp_path) -> Path:
    return make_shard(tmp_path / "train-000.npy", {"first": 9, "too short": 3, "second": 6})


def test_every_window_has_its_moments(tmp_path, shard, autoencoder):
    latents = tmp_path / "latents.npy"
    encode.run(config(), shard=shard, autoencoder=autoencoder, latents=latents)
    cache = np.load(latents)
    windows = json.loads(latents.with_suffix(".json").read_text())["windows"]
    assert windows == [["first", 0], ["first", 2], ["first", 4], ["second", 0], ["second", 2]]
    assert cache.dtype == np.float16
    assert cache.shape == (5, 2, 4, 1, 2, 2)
    network = load_autoencoder(autoencoder)
    frames = np.load(shard)[9 + 3 + 2 : 9 + 3 + 6]  # window ("second", 2)
    with torch.no_grad():
        posterior = network.encode(torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1)
    expected = torch.stack([posterior.mean[0], posterior.logvar[0]]).numpy()
    np.testing.assert_allclose(cache[4], expected, rtol=1e-3, atol=1e-4)  # float16
    assert len(LatentDataset([latents])) == 5


def test_windows_of_pieces_that_are_not_square(tmp_path, autoencoder):
    frames = np.random.default_rng(0).integers(0, 256, (12, 16, 24, 3), dtype=np.uint8)
    source, latents = tmp_path / "train-000.npy", tmp_path / "latents.npy"
    write_shard(source, (16, 24), [Entry("a", (5, 7), "a")], lambda id: [frames])
    settings = config().replace(clip={"resolution": [16, 24], "length": 4, "step": 2})
    encode.run(settings, shard=source, autoencoder=autoencoder, latents=latents)
    assert json.loads(latents.with_suffix(".json").read_text())["windows"] == [["a", 0], ["a", 5], ["a", 7]]
    cache = np.load(latents)
    assert cache.shape == (3, 2, 4, 1, 2, 3)
    network = load_autoencoder(autoencoder)
    with torch.no_grad():
        posterior = network.encode(torch.from_numpy(frames[5:9]).permute(3, 0, 1, 2)[None] / 127.5 - 1)
    np.testing.assert_allclose(cache[1, 0], posterior.mean[0], rtol=1e-3, atol=1e-4)  # float16


def test_a_window_does_not_depend_on_how_many_share_its_batch(tmp_path, autoencoder):
    """The same bits from a shard of one window, whose batch is filled up, and from one of five."""
    few = make_shard(tmp_path / "few.npy", {"first": 4})
    many = make_shard(tmp_path / "many.npy", {"first": 4, "second": 10})
    for source in (few, many):
        encode.run(config(3), shard=source, autoencoder=autoencoder, latents=tmp_path / f"latents-{source.name}")
    one, five = np.load(tmp_path / "latents-few.npy"), np.load(tmp_path / "latents-many.npy")
    assert (len(one), len(five)) == (1, 5)
    assert np.array_equal(one[0], five[0])


def test_a_shard_without_windows_makes_an_empty_cache(tmp_path, autoencoder):
    latents = tmp_path / "latents.npy"
    empty = make_shard(tmp_path / "empty.npy", {})
    encode.run(config(), shard=empty, autoencoder=autoencoder, latents=latents)
    assert np.load(latents).shape == (0, 2, 4, 1, 2, 2)
    assert json.loads(latents.with_suffix(".json").read_text()) == {"windows": []}


def test_latents_beyond_float16_are_an_error_and_leave_nothing(tmp_path, shard):
    network = VideoAutoencoder(MODEL)
    with torch.no_grad():
        network.to_moments.bias.fill_(1e6)
    weights = tmp_path / "weights.safetensors"
    save_model(weights, network.state_dict(), MODEL.model_dump(mode="json"))
    folder = tmp_path / "latents"
    with pytest.raises(ValueError, match="beyond the range of float16"):
        encode.run(config(), shard=shard, autoencoder=weights, latents=folder / "train-000.npy")
    assert list(folder.iterdir()) == []


def test_progress_shows_the_share_of_the_peak(tmp_path, shard, autoencoder, monkeypatch, caplog):
    monkeypatch.setattr("lvdm.progress.LINE_EVERY_SECONDS", 0.0)
    with caplog.at_level("INFO"):
        encode.run(config(), shard=shard, autoencoder=autoencoder, latents=tmp_path / "latents.npy")
    assert re.search(r"encoding train-000: 4/5 clip, .* % of peak [\d.e+-]+", caplog.text)
