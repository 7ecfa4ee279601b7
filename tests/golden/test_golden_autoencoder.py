"""The autoencoders compute what the originals compute (numbers made with the original modules)."""

import pytest
import torch

from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, FrameAutoencoderConfig
from lvdm.models.frame_autoencoder import FrameAutoencoder
from lvdm.original import autoencoder as video_names
from lvdm.original import frame_autoencoder as frame_names

TINY_FRAMES = FrameAutoencoderConfig(hidden_channels=32, channel_mult=(1, 2), residual_blocks=1)
SAME_NAMES = [
    ("autoencoder_3d", video_names, lambda: VideoAutoencoder(AutoencoderConfig())),
    ("autoencoder_2d_tiny", frame_names, lambda: FrameAutoencoder(TINY_FRAMES)),
]


@pytest.fixture(scope="module")
def video(original) -> VideoAutoencoder:
    network = VideoAutoencoder(AutoencoderConfig()).eval()
    network.load_state_dict(video_names.from_original(original("autoencoder_3d", 1), network))
    return network


@pytest.fixture(scope="module")
def frames(original) -> FrameAutoencoder:
    network = FrameAutoencoder(TINY_FRAMES).eval()
    network.load_state_dict(frame_names.from_original(original("autoencoder_2d_tiny", 5), network))
    return network


@pytest.mark.parametrize(("model", "names", "make"), SAME_NAMES, ids=["video", "frames"])
def test_names_and_shapes_are_the_originals(shapes, model, names, make):
    with torch.device("meta"):
        network = make()
    assert names.expected(network) == shapes[model]


@pytest.mark.parametrize(("model", "names", "make"), SAME_NAMES, ids=["video", "frames"])
def test_export_gives_back_what_was_imported(original, model, names, make):
    state = original(model, 0)
    exported = names.to_original(names.from_original(state, make()))
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[name], tensor) for name, tensor in state.items())


@torch.no_grad()
def test_video_encode(video, golden, relative_error, form):
    posterior = form(video.encode)(golden["ae_video"])
    moments = torch.cat([posterior.mean, posterior.logvar], dim=1)
    assert relative_error(moments, golden["ae_moments"]) < form.tolerance


@torch.no_grad()
def test_video_decode(video, golden, relative_error, form):
    assert relative_error(form(video.decode)(golden["ae_latent"]), golden["ae_reconstruction"]) < form.tolerance


@torch.no_grad()
def test_frames_encode(frames, golden, relative_error, form):
    posterior = form(frames.encode)(golden["ae2d_image"][None].transpose(1, 2))
    moments = torch.cat([posterior.mean, posterior.logvar], dim=1)[0].transpose(0, 1)
    assert relative_error(moments, golden["ae2d_moments"]) < form.tolerance


@torch.no_grad()
def test_frames_decode(frames, golden, relative_error, form):
    decoded = form(frames.decode)(golden["ae2d_latent"][None].transpose(1, 2))[0].transpose(0, 1)
    assert relative_error(decoded, golden["ae2d_reconstruction"]) < form.tolerance
