import pytest
import torch

from lvdm.config import Config, ConfigError, parse
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AnyAutoencoderConfig, AutoencoderConfig, FrameAutoencoderConfig
from lvdm.models.factory import make_autoencoder
from lvdm.models.frame_autoencoder import FrameAutoencoder
from lvdm.models.weights import load_autoencoder, save_model

TINY = FrameAutoencoderConfig(hidden_channels=4, channel_mult=(1, 2, 2, 1), residual_blocks=1, norm_groups=2)


class Model(Config):
    model: AnyAutoencoderConfig = AutoencoderConfig()


@pytest.fixture(scope="module")
def autoencoder() -> FrameAutoencoder:
    torch.manual_seed(0)
    return FrameAutoencoder(TINY).eval()


@torch.no_grad()
@pytest.mark.parametrize(("channel_mult", "factor"), [((1, 2, 2, 1), 8), ((1, 2), 2), ((2,), 1)])
def test_height_and_width_are_divided_and_restored(channel_mult, factor):
    autoencoder = FrameAutoencoder(TINY.replace(channel_mult=channel_mult, latent_channels=3))
    clip = torch.rand(2, 3, 5, 16, 24)
    posterior = autoencoder.encode(clip)
    assert autoencoder.config.downsample == (1, factor, factor)
    assert posterior.mean.shape == posterior.logvar.shape == (2, 3, 5, 16 // factor, 24 // factor)
    assert autoencoder.decode(posterior.mode()).shape == clip.shape


@torch.no_grad()
def test_a_frame_does_not_depend_on_the_others(autoencoder):
    clips = torch.rand(2, 3, 3, 16, 16)
    together, alone = autoencoder.encode(clips), autoencoder.encode(clips[1:, :, 2:])
    torch.testing.assert_close(together.mean[1:, :, 2:], alone.mean)
    torch.testing.assert_close(autoencoder.decode(together.mean)[1:, :, 2:], autoencoder.decode(alone.mean))


def test_sizes_that_cannot_be_divided_are_refused(autoencoder):
    with pytest.raises(ValueError, match=r"12x16 cannot be reduced by 8.*data\.resolution"):
        autoencoder.encode(torch.zeros(1, 3, 1, 12, 16))


def test_gradients_reach_every_parameter(autoencoder):
    clip = torch.rand(1, 3, 2, 16, 16)
    posterior = autoencoder.encode(clip)
    reconstruction = autoencoder.decode(posterior.sample(torch.Generator().manual_seed(0)))
    parameters = dict(autoencoder.named_parameters())
    gradients = torch.autograd.grad(
        (reconstruction - clip).abs().mean() + posterior.kl().mean(), [*parameters.values(), autoencoder.last_layer]
    )
    assert [name for name, gradient in zip(parameters, gradients, strict=False) if not gradient.any()] == []


def test_weights_come_back_as_they_were(autoencoder, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_model(path, autoencoder.state_dict(), TINY.model_dump(mode="json"))
    loaded = load_autoencoder(path)
    assert isinstance(loaded, FrameAutoencoder)
    assert loaded.config == TINY
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in autoencoder.state_dict().items())


def test_the_kind_of_a_configuration_decides():
    assert parse(Model, {}, source="test").model == AutoencoderConfig()
    assert parse(Model, {"model": {"hidden_channels": 16}}, source="test").model == AutoencoderConfig(
        hidden_channels=16
    )
    assert parse(Model, {"model": {"kind": "frames"}}, source="test").model == FrameAutoencoderConfig()
    with torch.device("meta"):
        assert isinstance(make_autoencoder(AutoencoderConfig()), VideoAutoencoder)
        assert isinstance(make_autoencoder(FrameAutoencoderConfig()), FrameAutoencoder)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "frame"}, "model: an autoencoder is a mapping, whose `kind` is 'video' or 'frames'"),
        ({"hidden_chanels": 16}, r"hidden_chanels: unknown key; did you mean 'hidden_channels'"),
        ({"kind": "frames", "hidden_channels": 8}, "multiple of `norm_groups`"),
    ],
)
def test_a_configuration_that_is_not_valid_says_one_thing(model, message):
    with pytest.raises(ConfigError, match=message) as error:
        parse(Model, {"model": model}, source="test")
    assert len(str(error.value).splitlines()) == 2
