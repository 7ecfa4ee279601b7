"""The autoencoder that a configuration describes: of clips, or of their frames."""

from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AnyAutoencoderConfig, FrameAutoencoderConfig
from lvdm.models.frame_autoencoder import FrameAutoencoder

Autoencoder = VideoAutoencoder | FrameAutoencoder


def make_autoencoder(config: AnyAutoencoderConfig) -> Autoencoder:
    """The network of ``config``, with weights drawn from torch's global generator."""
    if isinstance(config, FrameAutoencoderConfig):
        return FrameAutoencoder(config)
    return VideoAutoencoder(config)
