import math

import pytest
import torch

from lvdm.models.autoencoder import Posterior, VideoAutoencoder
from lvdm.models.config import AutoencoderConfig
from lvdm.models.weights import load_autoencoder, load_model, save_model

TINY = AutoencoderConfig(hidden_channels=2, norm_groups=2)


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    torch.manual_seed(0)
    return VideoAutoencoder(TINY).eval()


@torch.no_grad()
@pytest.mark.parametrize("downsample", [(4, 8, 8), (2, 4, 4), (1, 4, 4), (4, 4, 8)])
def test_sizes_are_divided_and_restored(downsample):
    autoencoder = VideoAutoencoder(TINY.replace(downsample=downsample, latent_channels=3))
    clip = torch.rand(2, 3, 8, 16, 24)
    posterior = autoencoder.encode(clip)
    reduced = tuple(size // factor for size, factor in zip((8, 16, 24), downsample, strict=True))
    assert posterior.mean.shape == posterior.logvar.shape == (2, 3, *reduced)
    assert autoencoder.decode(posterior.mode()).shape == clip.shape


def test_sizes_that_cannot_be_divided_are_refused(autoencoder):
    with pytest.raises(ValueError, match=r"\(6, 16, 16\).*multiples"):
        autoencoder.encode(torch.zeros(1, 3, 6, 16, 16))


@torch.no_grad()
def test_a_clip_does_not_depend_on_the_others_of_its_batch(autoencoder):
    clips = torch.rand(3, 3, 4, 16, 16)
    together, alone = autoencoder.encode(clips), autoencoder.encode(clips[1:2])
    torch.testing.assert_close(together.mean[1:2], alone.mean)


def test_log_variance_is_clamped():
    moments = torch.tensor([0.0, 100.0]).reshape(1, 2, 1, 1, 1)
    assert Posterior.from_moments(moments).logvar.item() == 20
    assert Posterior.from_moments(-moments).logvar.item() == -30


def test_samples_have_the_moments_and_follow_the_generator():
    shape = (200, 4, 4, 4, 4)
    posterior = Posterior(torch.full(shape, 2.0), torch.full(shape, math.log(0.25)))
    sample = posterior.sample(torch.Generator().manual_seed(0))
    assert sample.mean().item() == pytest.approx(2.0, abs=0.02)
    assert sample.std().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(sample, posterior.sample(torch.Generator().manual_seed(0)))
    assert posterior.mode() is posterior.mean


def test_kl_is_that_of_torch():
    posterior = Posterior(torch.randn(3, 2, 1, 2, 2), torch.randn(3, 2, 1, 2, 2))
    ours = torch.distributions.Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(posterior.kl(), expected.flatten(1).sum(1))


@torch.no_grad()
def test_weights_come_back_as_they_were(autoencoder, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_model(path, autoencoder.state_dict(), TINY.model_dump(mode="json"))
    loaded = load_autoencoder(path)
    clip = torch.rand(1, 3, 4, 16, 16)
    assert loaded.config == TINY
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded.encode(clip).mean, autoencoder.encode(clip).mean)


def test_weights_that_cannot_be_loaded_say_why(autoencoder, tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors is missing"):
        load_model(path)
    save_model(path, autoencoder.state_dict(), TINY.replace(hidden_channels=4).model_dump(mode="json"))
    with pytest.raises(ValueError, match="do not fit the configuration"):
        load_autoencoder(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_model(path)
