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
