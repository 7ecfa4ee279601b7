"""Configuration of the networks."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from lvdm.config import Config


class AutoencoderConfig(Config):
    """The 3D convolutional KL autoencoder (LVDM, section 3.1): 4x in time, 8x8 in space."""

    kind: Literal["video"] = "video"
    hidden_channels: int = Field(32, ge=1, description="Channels after the first convolution (n_hiddens).")
    downsample: tuple[int, int, int] = Field(
        (4, 8, 8), description="Reduction in time, height and width; powers of two."
    )
    latent_channels: int = Field(4, ge=1)
    norm_groups: int = Field(32, ge=1, description="Groups of each group normalisation.")

    @model_validator(mode="after")
    def _shapes_fit(self):
        if any(factor < 1 or factor & (factor - 1) for factor in self.downsample):
            raise ValueError("`downsample` takes powers of two")
        if (2 * self.hidden_channels) % self.norm_groups:
            raise ValueError("twice `hidden_channels` must be a multiple of `norm_groups`")
        return self


class FrameAutoencoderConfig(Config):
    """The 2D KL autoencoder of latent diffusion on each frame, as of LVDM's text model: 8x8 in space."""

    kind: Literal["frames"] = "frames"
    hidden_channels: int = Field(128, ge=1, description="Channels after the first convolution (ch).")
    channel_mult: tuple[int, ...] = Field(
        (1, 2, 4, 4), min_length=1, description="Channels of each level, times `hidden_channels`."
    )
    residual_blocks: int = Field(2, ge=1, description="Residual blocks a level.")
    latent_channels: int = Field(4, ge=1)
    norm_groups: int = Field(32, ge=1, description="Groups of each group normalisation.")

    @property
    def downsample(self) -> tuple[int, int, int]:
        """Reduction in time, height and width: height and width are halved between levels."""
        factor = 2 ** (len(self.channel_mult) - 1)
        return 1, factor, factor

    @model_validator(mode="after")
    def _shapes_fit(self):
        if any((multiple * self.hidden_channels) % self.norm_groups for multiple in (1, *self.channel_mult)):
            raise ValueError("the channels of each level must be a multiple of `norm_groups`")
        return self


def _kind(config: Any) -> str | None:
    """Which autoencoder a mapping, or a configuration, is of; the video autoencoder where it does not say."""
    return config.get("kind", "video") if isinstance(config, dict) else getattr(config, "kind", None)


AnyAutoencoderConfig = Annotated[
    Annotated[AutoencoderConfig, Tag("video")] | Annotated[FrameAutoencoderConfig, Tag("frames")],
    Discriminator(
        _kind,
        custom_error_type="autoencoder_kind",
        custom_error_message="an autoencoder is a mapping, whose `kind` is 'video' or 'frames'",
    ),
]


class DiscriminatorConfig(Config):
    """PatchGAN discriminator on frames (2D) or clips (3D)."""

    dimensions: Literal[2, 3] = 2
    channels: int = Field(64, ge=1)
    layers: int = Field(3, ge=1)


class UNetConfig(Config):
    """The factorised space-time UNet (LVDM, section 3.2)."""

    in_channels: int = Field(4, ge=1)
    out_channels: int = Field(4, ge=1)
    model_channels: int = Field(256, ge=32, multiple_of=32)
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    residual_blocks: int = Field(3, ge=1, description="Residual blocks a level.")
    attention_downsampling: tuple[int, ...] = Field(
        (2, 4, 8), description="Downsampling factors (1 is the latent's own size) with attention."
    )
    heads: int = Field(4, ge=1)
    temporal_length: int = Field(4, ge=1, description="Latent frames; the reach of the relative position.")
    temporal_kernel: int = Field(1, ge=1, description="Temporal size of the 3D convolutions; odd.")
    dropout: float = Field(0.0, ge=0, lt=1)
    scale_shift_norm: bool = Field(True, description="The time embedding scales and shifts the norm.")
    checkpointing: bool = Field(False, description="Recompute activations in the backward pass.")
    noise_levels: int = Field(
        0,
        ge=0,
        description="Noise levels of given frames that the network can be told (LVDM: 251); 0: it takes none.",
    )
    context_channels: int | None = Field(
        None, ge=1, description="Channels of the text embedding that the network reads; null: it reads no text."
    )
    transformer_depth: int = Field(1, ge=1, description="Blocks of each transformer of a network that reads text.")

    @model_validator(mode="after")
    def _kernel_is_odd(self):
        if self.temporal_kernel % 2 == 0:
            raise ValueError("`temporal_kernel` must be odd")
        return self
