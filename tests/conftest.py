import pytest

from lvdm.models.config import UNetConfig


@pytest.fixture(scope="session")
def tiny_unet() -> UNetConfig:
    """The smallest UNet with every kind of layer; the original's golden numbers are of it."""
    return UNetConfig(
        model_channels=32,
        channel_mult=(1, 2),
        residual_blocks=1,
        attention_downsampling=(1, 2),
        heads=4,
        temporal_length=4,
    )


@pytest.fixture(scope="session")
def published_unets() -> dict[str, UNetConfig]:
    """The released networks: of short videos, of prediction and interpolation, of text."""
    return {
        "unet_short": UNetConfig(),
        "unet_pred": UNetConfig(noise_levels=251),
        "unet_text2video": UNetConfig(
            model_channels=320,
            channel_mult=(1, 2, 4, 4),
            residual_blocks=2,
            attention_downsampling=(4, 2, 1),
            heads=8,
            temporal_length=16,
            scale_shift_norm=False,
            context_channels=768,
        ),
    }
