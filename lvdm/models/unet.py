"""The factorised space-time UNet that predicts noise in latents (LVDM, section 3.2).

Three-dimensional feature maps, two-dimensional work: convolutions see one frame (or ``temporal_kernel`` frames)
at a time, and frames meet in the temporal attention and in the statistics of the normalisations. The encoder
halves height and width between levels and leaves time alone; the decoder mirrors it and takes every
intermediate result of the encoder as a skip connection.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lvdm.models import dense
from lvdm.models.attention import NORM_GROUPS, SpaceTimeAttention, zero_initialised
from lvdm.models.config import UNetConfig
from lvdm.models.text import SpatialTemporalTransformer


def sinusoidal_embedding(t: Tensor, channels: int, longest: float = 10_000.0) -> Tensor:
    """``(B, channels)``: cosines and sines of ``t (B,)`` at frequencies that fall from 1 to about ``1 / longest``."""
    half = channels // 2
    exponent = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angle = t[:, None].float() * torch.exp(-math.log(longest) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class Convolution(nn.Conv3d):
    """A 3D convolution of kernel ``(temporal, spatial, spatial)`` that keeps the number of frames.

    With temporal size 1 it runs as a 2D convolution over the frames, which is the same sum and faster; the
    weights keep their three-dimensional shape.
    """

    def __init__(self, in_channels: int, out_channels: int, temporal: int, spatial: int = 3, stride: int = 1):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(temporal, spatial, spatial),
            stride=(1, stride, stride),
            padding=(temporal // 2, spatial // 2, spatial // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, T, H, W)`` to ``(B, C', T, H / stride, W / stride)``."""
        if self.kernel_size[0] > 1:
            return self._convolve(x, self.weight, self.stride, self.padding)
        frames = rearrange(x, "b c t h w -> (b t) c h w")
        frames = self._convolve(frames, self.weight.squeeze(2), self.stride[1:], self.padding[1:])
        return rearrange(frames, "(b t) c h w -> b c t h w", t=x.shape[2])

    def _convolve(self, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> Tensor:
        """Of clips or of frames."""
        if torch.compiler.is_compiling():
            x, weight, bias = map(dense.in_working_precision, (x, weight, self.bias))
            return dense.convolve(x, weight, stride, padding) + bias.reshape(-1, *[1] * len(stride))
        return (F.conv3d if x.dim() == 5 else F.conv2d)(x, weight, self.bias, stride, padding)


class ResidualBlock(nn.Module):
    """Two normalised convolutions, modulated by the embedding of the noise level between them."""

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig):
        super().__init__()
        self.scale_shift = config.scale_shift_norm
        embedding_channels = 4 * config.model_channels
        self.norm_in = nn.GroupNorm(NORM_GROUPS, in_channels)
        self.conv_in = Convolution(in_channels, out_channels, config.temporal_kernel)
        self.modulation = nn.Linear(embedding_channels, (2 if self.scale_shift else 1) * out_channels)
        self.norm_out = nn.GroupNorm(NORM_GROUPS, out_channels)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = zero_initialised(Convolution(out_channels, out_channels, config.temporal_kernel))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else Convolution(in_channels, out_channels, temporal=1, spatial=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x (B, C, T, H, W)``, ``embedding (B, E)``; returns ``(B, C', T, H, W)``."""
        h = self.conv_in(F.silu(self.norm_in(x)))
        modulation = rearrange(self.modulation(F.silu(embedding)), "b c -> b c 1 1 1")
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.norm_out(h) * (1 + scale) + shift
        else:
            h = self.norm_out(h + modulation)
        return self.shortcut(x) + self.conv_out(self.dropout(F.silu(h)))


class Block(nn.Module):
    """One entry of the encoder, the middle or the decoder: a residual block and, on some levels, attention."""

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig, attention: bool):
        super().__init__()
        self.checkpointing = config.checkpointing
        self.residual = ResidualBlock(in_channels, out_channels, config)
        self.attention = _attention(out_channels, config) if attention else None

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        """``x (B, C, T, H, W)``, ``embedding (B, E)``, ``context (B, L, D)``; returns ``(B, C', T, H, W)``."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(self._forward, x, embedding, context, use_reentrant=False)
        return self._forward(x, embedding, context)

    def _forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        x = self.residual(x, embedding)
        if self.attention is None:
            return x
        return self.attention(x) if context is None else self.attention(x, context)


def _attention(channels: int, config: UNetConfig) -> nn.Module:
    if config.context_channels is None:
        return SpaceTimeAttention(channels, config.heads, config.temporal_length)
    return SpatialTemporalTransformer(channels, config)


class Downsample(nn.Module):
    """Halves height and width by a convolution of stride 2."""

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        self.conv = Convolution(channels, channels, config.temporal_kernel, stride=2)

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        """``(B, C, T, H, W)`` to ``(B, C, T, H / 2, W / 2)``; embedding and context are not used."""
        return self.conv(x)


class UpsampleBlock(Block):
    """A block of the decoder that ends a level: doubles height and width, nearest neighbour and convolution."""

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig, attention: bool):
        super().__init__(in_channels, out_channels, config, attention)
        self.upsample = Convolution(out_channels, out_channels, config.temporal_kernel)

    def _forward(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        x = super()._forward(x, embedding, context)
        return self.upsample(F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest"))


class UNet(nn.Module):
    """The denoising network.

    ``model_channels * channel_mult[level]`` channels at each level; height and width of the input are multiples of
    ``2 ** (levels - 1)``. Every block sees an embedding of the noise level, of ``4 * model_channels``.

    Two forms more are a matter of configuration. With ``noise_levels``, some frames of the input may be given
    (LVDM, section 3.3): a mask, one more input channel, says which, and the level of the noise that was put on them
    has an embedding of its own, added to that of the noise level. With ``context_channels``, the attention blocks
    are transformers that read an embedded text.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        width = config.model_channels
        self.time_embedding = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.level_embedding = nn.Embedding(config.noise_levels, 4 * width) if config.noise_levels else None
        inputs = config.in_channels + (1 if config.noise_levels else 0)
        self.stem = Convolution(inputs, width, config.temporal_kernel)
        self.encoder, skips = _encoder(config)
        channels = skips[-1]
        self.middle = nn.ModuleList(
            [Block(channels, channels, config, attention=True), Block(channels, channels, config, attention=False)]
        )
        self.decoder = _decoder(config, skips)
        self.norm = nn.GroupNorm(NORM_GROUPS, width * config.channel_mult[0])
        self.head = zero_initialised(
            Convolution(width * config.channel_mult[0], config.out_channels, config.temporal_kernel)
        )

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        mask: Tensor | None = None,
        noise_level: Tensor | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """The prediction for noisy latents.

        ``x (B, in_channels, T, H, W)``; ``t (B,)``: index of the noise level, 0 is the cleanest. Returns
        ``(B, out_channels, T, H, W)``.

        A network with ``noise_levels`` takes ``mask``, which broadcasts to ``(B, 1, T, H, W)`` and is 1 where ``x``
        holds given frames, and ``noise_level (B,)``, the integer level, below ``noise_levels``, of their noise.
        A network with ``context_channels`` takes ``context (B, L, context_channels)``.

        Raises ``ValueError`` where height or width cannot be halved often enough, and where a condition is missing
        or is none of the network's.
        """
        self._check(x, mask, noise_level, context)
        embedding = self.time_embedding(sinusoidal_embedding(t, self.config.model_channels))
        if self.level_embedding is not None:
            embedding = embedding + self.level_embedding(noise_level)
            x = torch.cat([x, mask.to(x.dtype).expand(x.shape[0], 1, *x.shape[2:])], dim=1)
        return self._predict(x, embedding, context)

    def _check(self, x: Tensor, mask: Tensor | None, noise_level: Tensor | None, context: Tensor | None) -> None:
        config = self.config
        halvings = len(config.channel_mult) - 1
        if x.shape[3] % 2**halvings or x.shape[4] % 2**halvings:
            raise ValueError(
                f"latents of {x.shape[3]}x{x.shape[4]} cannot be halved {halvings} times; choose data.resolution so "
                f"that they are multiples of {2**halvings}, or fewer model.channel_mult"
            )
        given = mask is not None and noise_level is not None
        if config.noise_levels and not given:
            raise ValueError(
                "a network with model.noise_levels needs mask and noise_level; without given frames, the mask is 0"
            )
        if not config.noise_levels and not (mask is None and noise_level is None):
            raise ValueError("a network without model.noise_levels takes neither mask nor noise_level")
        if config.context_channels is None and context is not None:
            raise ValueError("a network without model.context_channels takes no context")
        if config.context_channels is not None and (context is None or context.shape[2:] != (config.context_channels,)):
            raise ValueError(
                f"a network with model.context_channels needs context (B, L, {config.context_channels}), "
                f"but it is {None if context is None else tuple(context.shape)}"
            )

    def _predict(self, x: Tensor, embedding: Tensor, context: Tensor | None) -> Tensor:
        if torch.compiler.is_compiling():
            x = dense.channels_last(x)  # frames and tokens are then views of the clip
        h = self.stem(x)
        skips = [h]
        for block in self.encoder:
            h = block(h, embedding, context)
            skips.append(h)
        for block in self.middle:
            h = block(h, embedding, context)
        for block in self.decoder:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding, context)
        return self.head(F.silu(self.norm(h)))


def _encoder(config: UNetConfig) -> tuple[nn.ModuleList, list[int]]:
    """The blocks of the encoder, and the channels of the stem's and of each block's result."""
    blocks: list[nn.Module] = []
    skips = [config.model_channels]
    for level, multiple in enumerate(config.channel_mult):
        if level > 0:
            blocks.append(Downsample(skips[-1], config))
            skips.append(skips[-1])
        channels = multiple * config.model_channels
        for _ in range(config.residual_blocks):
            blocks.append(Block(skips[-1], channels, config, attention=2**level in config.attention_downsampling))
            skips.append(channels)
    return nn.ModuleList(blocks), skips


def _decoder(config: UNetConfig, skips: list[int]) -> nn.ModuleList:
    """The blocks of the decoder: at each level one more than in the encoder, each with one skip connection."""
    blocks: list[nn.Module] = []
    channels, skips = skips[-1], list(skips)
    for level, multiple in reversed(list(enumerate(config.channel_mult))):
        attention = 2**level in config.attention_downsampling
        for index in range(config.residual_blocks + 1):
            ends_level = level > 0 and index == config.residual_blocks
            kind = UpsampleBlock if ends_level else Block
            blocks.append(kind(channels + skips.pop(), multiple * config.model_channels, config, attention))
            channels = multiple * config.model_channels
    return nn.ModuleList(blocks)
