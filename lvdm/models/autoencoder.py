"""The 3D convolutional KL autoencoder of LVDM (He et al. 2022, arXiv:2211.13221, section 3.1).

Its layout is that of TATS (Ge et al. 2022, arXiv:2204.03638) with a Gaussian posterior in place of the
codebook. A parameter's name here and in a released checkpoint differ; ``lvdm.original.autoencoder`` maps them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lvdm.models.config import AutoencoderConfig
from lvdm.models.layers import ResidualBlock, SameConv3d, SameConvTranspose3d, Triple, group_norm, norm_silu

_LOG_VARIANCE_RANGE = (-30.0, 20.0)


@dataclass(frozen=True)
class Posterior:
    """Gaussian over latents with independent components: ``mean`` and ``logvar`` (B, C, T/4, H/8, W/8)."""

    mean: Tensor
    logvar: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> "Posterior":
        """Split ``moments`` (B, 2C, ...) into mean and log-variance, the latter clamped to [-30, 20]."""
        mean, logvar = moments.chunk(2, dim=1)
        return cls(mean, logvar.clamp(*_LOG_VARIANCE_RANGE))

    def sample(self, generator: torch.Generator) -> Tensor:
        """One latent a clip, differentiable in the moments. ``generator`` is on the device of the moments."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * self.logvar) * noise

    def mode(self) -> Tensor:
        """The most probable latent of each clip."""
        return self.mean

    def kl(self) -> Tensor:
        """Divergence from the standard normal, summed over a clip's latent, in nats: (B,)."""
        terms = self.mean.square() + self.logvar.exp() - 1.0 - self.logvar
        return 0.5 * terms.flatten(start_dim=1).sum(dim=1)


class VideoAutoencoder(nn.Module):
    """Clips to latents and back; all sizes are divided by ``config.downsample`` (4 in time, 8 in space)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config)
        self.to_moments = SameConv3d(2 * channels, 2 * channels, kernel=1)
        self.from_latent = SameConv3d(channels, channels, kernel=1)
        self.decoder = Decoder(config)

    def encode(self, clip: Tensor) -> Posterior:
        """The posterior over latents of ``clip`` (B, 3, T, H, W), values in [-1, 1].

        Raises ``ValueError`` when T, H or W is no multiple of its reduction.
        """
        if any(size % factor for size, factor in zip(clip.shape[2:], self.config.downsample, strict=True)):
            raise ValueError(
                f"a clip of {tuple(clip.shape[2:])} (time, height, width) cannot be reduced by "
                f"{self.config.downsample}; use multiples of it (data.length, data.resolution)"
            )
        return Posterior.from_moments(self.to_moments(self.encoder(clip)))

    def decode(self, latent: Tensor) -> Tensor:
        """The clip (B, 3, T, H, W), about [-1, 1] but not clamped, of ``latent`` (B, C, T/4, H/8, W/8)."""
        return self.clip(self.features(latent))

    def features(self, latent: Tensor) -> Tensor:
        """What the last layer makes a clip of: (B, C, T, H, W)."""
        return self.decoder.features(self.from_latent(latent))

    def clip(self, features: Tensor) -> Tensor:
        """The last layer, which the adaptive adversarial weight compares gradients at: (B, 3, T, H, W)."""
        return self.decoder.head(features)

    @property
    def last_layer(self) -> nn.Parameter:
        """The weight of :meth:`clip`."""
        return self.decoder.head.weight


class Encoder(nn.Module):
    """(B, 3, T, H, W) to (B, 2 * latent_channels, T/4, H/8, W/8)."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        channels = config.hidden_channels
        self.stem = SameConv3d(3, channels, kernel=3)
        self.levels = nn.ModuleList()
        for stride in _strides(config):
            self.levels.append(EncoderLevel(channels, stride, config.norm_groups))
            channels *= 2
        self.norm = group_norm(channels, config.norm_groups)
        self.head = SameConv3d(channels, 2 * config.latent_channels, kernel=3)

    def forward(self, clip: Tensor) -> Tensor:
        hidden = self.stem(clip)
        for level in self.levels:
            hidden = level(hidden)
        return self.head(norm_silu(self.norm, hidden))


class EncoderLevel(nn.Module):
    """Strided convolution to twice the channels, then a residual block."""

    def __init__(self, channels: int, stride: Triple, norm_groups: int):
        super().__init__()
        self.down = SameConv3d(channels, 2 * channels, kernel=4, stride=stride)
        self.block = ResidualBlock(2 * channels, norm_groups)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.block(self.down(hidden))


class Decoder(nn.Module):
    """(B, latent_channels, T/4, H/8, W/8) to (B, 3, T, H, W).

    The time axis is doubled in the first levels, as the encoder halves it in its first ones.
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        strides = list(_strides(config))
        channels = config.latent_channels
        self.levels = nn.ModuleList()
        for level, stride in enumerate(strides):
            out_channels = config.hidden_channels * 2 ** (len(strides) - level)
            self.levels.append(DecoderLevel(channels, out_channels, stride, config.norm_groups))
            channels = out_channels
        self.head = SameConv3d(channels, 3, kernel=3)

    def features(self, latent: Tensor) -> Tensor:
        """All but the last layer."""
        hidden = latent
        for level in self.levels:
            hidden = level(hidden)
        return hidden


class DecoderLevel(nn.Module):
    """Transposed convolution, then two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int, stride: Triple, norm_groups: int):
        super().__init__()
        self.up = SameConvTranspose3d(in_channels, out_channels, kernel=4, stride=stride)
        self.block1 = ResidualBlock(out_channels, norm_groups)
        self.block2 = ResidualBlock(out_channels, norm_groups)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.block2(self.block1(self.up(hidden)))


def _strides(config: AutoencoderConfig) -> Iterator[Triple]:
    """The stride of each level: 2 along an axis until its reduction is reached, then 1."""
    halvings = [factor.bit_length() - 1 for factor in config.downsample]
    for level in range(max(halvings)):
        yield tuple(2 if level < count else 1 for count in halvings)
