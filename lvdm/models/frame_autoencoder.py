"""The 2D KL autoencoder of latent diffusion (Rombach et al. 2022, arXiv:2112.10752), applied to each frame.

LVDM's text model works in its latents, as it starts from an image model. Nothing joins the frames of a clip.
"""

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lvdm.models.autoencoder import Posterior
from lvdm.models.config import FrameAutoencoderConfig
from lvdm.models.layers import group_norm


class FrameAutoencoder(nn.Module):
    """Clips to latents and back, frame by frame; height and width are divided by ``config.downsample`` (8)."""

    def __init__(self, config: FrameAutoencoderConfig):
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config)
        self.to_moments = nn.Conv2d(2 * channels, 2 * channels, kernel_size=1)
        self.from_latent = nn.Conv2d(channels, channels, kernel_size=1)
        self.decoder = Decoder(config)

    def encode(self, clip: Tensor) -> Posterior:
        """The posterior over latents (B, C, T, H/8, W/8) of ``clip`` (B, 3, T, H, W), values in [-1, 1].

        Raises ``ValueError`` when H or W is no multiple of its reduction.
        """
        if any(size % factor for size, factor in zip(clip.shape[2:], self.config.downsample, strict=True)):
            raise ValueError(
                f"frames of {clip.shape[3]}x{clip.shape[4]} cannot be reduced by {self.config.downsample[1]}; "
                "use a multiple of it (data.resolution)"
            )
        moments = self.to_moments(self.encoder(rearrange(clip, "b c t h w -> (b t) c h w")))
        return Posterior.from_moments(rearrange(moments, "(b t) c h w -> b c t h w", t=clip.shape[2]))

    def decode(self, latent: Tensor) -> Tensor:
        """The clip (B, 3, T, H, W), about [-1, 1] but not clamped, of ``latent`` (B, C, T, H/8, W/8)."""
        return self.clip(self.features(latent))

    def features(self, latent: Tensor) -> Tensor:
        """What the last layer makes a clip of: (B, C, T, H, W)."""
        frames = self.decoder.features(self.from_latent(rearrange(latent, "b c t h w -> (b t) c h w")))
        return rearrange(frames, "(b t) c h w -> b c t h w", t=latent.shape[2])

    def clip(self, features: Tensor) -> Tensor:
        """The last layer, which the adaptive adversarial weight compares gradients at: (B, 3, T, H, W)."""
        frames = self.decoder.head(rearrange(features, "b c t h w -> (b t) c h w"))
        return rearrange(frames, "(b t) c h w -> b c t h w", t=features.shape[2])

    @property
    def last_layer(self) -> nn.Parameter:
        """The weight of :meth:`clip`."""
        return self.decoder.head.weight


class Encoder(nn.Module):
    """(N, 3, H, W) to (N, 2 * latent_channels, H/8, W/8)."""

    def __init__(self, config: FrameAutoencoderConfig):
        super().__init__()
        channels = config.hidden_channels
        self.stem = nn.Conv2d(3, channels, kernel_size=3, padding=1)
        self.levels = nn.ModuleList()
        for level, multiple in enumerate(config.channel_mult):
            resample = Downsample if level < len(config.channel_mult) - 1 else None
            out_channels = multiple * config.hidden_channels
            self.levels.append(Level(channels, out_channels, config.residual_blocks, config.norm_groups, resample))
            channels = out_channels
        self.middle = Middle(channels, config.norm_groups)
        self.norm = group_norm(channels, config.norm_groups)
        self.head = nn.Conv2d(channels, 2 * config.latent_channels, kernel_size=3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.stem(frames)
        for level in self.levels:
            hidden = level(hidden)
        return self.head(F.silu(self.norm(self.middle(hidden))))


class Decoder(nn.Module):
    """(N, latent_channels, H/8, W/8) to (N, 3, H, W); a residual block more a level than the encoder."""

    def __init__(self, config: FrameAutoencoderConfig):
        super().__init__()
        channels = config.channel_mult[-1] * config.hidden_channels
        self.stem = nn.Conv2d(config.latent_channels, channels, kernel_size=3, padding=1)
        self.middle = Middle(channels, config.norm_groups)
        levels = []
        for level, multiple in reversed(list(enumerate(config.channel_mult))):
            resample = Upsample if level > 0 else None
            out_channels = multiple * config.hidden_channels
            levels.append(Level(channels, out_channels, config.residual_blocks + 1, config.norm_groups, resample))
            channels = out_channels
        self.levels = nn.ModuleList(reversed(levels))  # as in the encoder, from the largest size
        self.norm = group_norm(channels, config.norm_groups)
        self.head = nn.Conv2d(channels, 3, kernel_size=3, padding=1)

    def features(self, latents: Tensor) -> Tensor:
        """All but the last layer."""
        hidden = self.middle(self.stem(latents))
        for level in reversed(self.levels):
            hidden = level(hidden)
        return F.silu(self.norm(hidden))


class Downsample(nn.Conv2d):
    """Halves height and width. Zeros are added below and to the right only, as the released weights expect."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, kernel_size=3, stride=2)

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(F.pad(frames, (0, 1, 0, 1)))


class Upsample(nn.Conv2d):
    """Doubles height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, kernel_size=3, padding=1)

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(F.interpolate(frames, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks at one size, then the change to the next."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        count: int,
        norm_groups: int,
        resample: type[Downsample] | type[Upsample] | None,
    ):
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(in_channels if number == 0 else out_channels, out_channels, norm_groups)
                for number in range(count)
            )
        )
        self.resample = resample(out_channels) if resample is not None else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        return self.resample(self.blocks(frames))


class Middle(nn.Module):
    """Attention between two residual blocks, at the smallest size."""

    def __init__(self, channels: int, norm_groups: int):
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, norm_groups)
        self.attention = FrameAttention(channels, norm_groups)
        self.block2 = ResidualBlock(channels, channels, norm_groups)

    def forward(self, frames: Tensor) -> Tensor:
        return self.block2(self.attention(self.block1(frames)))


class ResidualBlock(nn.Module):
    """Twice norm, SiLU and 3x3 convolution, added to the input."""

    def __init__(self, in_channels: int, out_channels: int, norm_groups: int):
        super().__init__()
        self.norm1 = group_norm(in_channels, norm_groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm2 = group_norm(out_channels, norm_groups)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(frames)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return self.shortcut(frames) + hidden


class FrameAttention(nn.Module):
    """Self-attention with one head among the positions of a frame; residual."""

    def __init__(self, channels: int, norm_groups: int):
        super().__init__()
        self.norm = group_norm(channels, norm_groups)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, frames: Tensor) -> Tensor:
        tokens = rearrange(self.norm(frames), "n c h w -> n 1 (h w) c")
        attended = F.scaled_dot_product_attention(self.query(tokens), self.key(tokens), self.value(tokens))
        return frames + rearrange(self.out(attended), "n 1 (h w) c -> n c h w", h=frames.shape[2])
