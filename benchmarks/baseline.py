"""What LVDM computes, in plain PyTorch: what the benchmarks compare with.

The networks are the same functions as those of ``lvdm.models`` and load their weights (``tests/benchmarks`` checks
both), made of the layers that the original code has: 3D convolutions also where the temporal kernel is 1, attention as
products and a softmax, replication padding by ``functional.pad``, checkpointing of residual blocks, SiLU of the
autoencoder as a product. ``baseline_steps`` has the steps of training and sampling.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lvdm.models.config import AutoencoderConfig, UNetConfig

_GROUPS = 32
_LOG_VARIANCE_RANGE = (-30.0, 20.0)


class Pointwise(nn.Linear):
    """A 1D convolution with kernel size 1; its weight has the shape of a linear layer's."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, L)`` to ``(N, C', L)``."""
        return functional.conv1d(x, self.weight[:, :, None], self.bias)


class Spatial(nn.Module):
    """Attention among the positions of a frame."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.qkv = Pointwise(channels, 3 * channels)
        self.out = Pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        frames = rearrange(x, "b c t h w -> (b t) c (h w)")
        query, key, value = _heads(self.qkv(self.norm(frames)), self.heads)
        logits = torch.einsum("n d i, n d j -> n i j", query, key)
        attended = torch.einsum("n i j, n d j -> n d i", logits.softmax(dim=-1), value)
        out = self.out(attended.reshape(frames.shape))
        return x + rearrange(out, "(b t) c (h w) -> b c t h w", b=len(x), h=x.shape[3])


class Distances(nn.Module):
    """A vector for each distance of two frames."""

    def __init__(self, reach: int, channels: int):
        super().__init__()
        self.reach = reach
        self.table = nn.Parameter(torch.empty(2 * reach + 1, channels))
        nn.init.xavier_uniform_(self.table)

    def forward(self, length: int) -> Tensor:
        """``(length, length, channels)``."""
        frame = torch.arange(length, device=self.table.device)
        return self.table[(frame - frame[:, None]).clamp(-self.reach, self.reach) + self.reach]


class Temporal(nn.Module):
    """Attention among the frames of a position, with relative positions."""

    def __init__(self, channels: int, heads: int, reach: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.qkv = Pointwise(channels, 3 * channels)
        self.relative_key = Distances(reach, channels // heads)
        self.relative_value = Distances(reach, channels // heads)
        self.out = Pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        tracks = rearrange(x, "b c t h w -> (b h w) c t")
        query, key, value = _heads(self.qkv(self.norm(tracks)), self.heads)
        length = tracks.shape[-1]
        logits = torch.einsum("n d i, n d j -> n i j", query, key)
        logits = logits + torch.einsum("n d j, j i d -> n i j", query, self.relative_key(length))
        weights = logits.softmax(dim=-1)
        attended = torch.einsum("n i j, n d j -> n d i", weights, value)
        attended = attended + torch.einsum("n i j, i j d -> n d i", weights, self.relative_value(length))
        out = self.out(attended.reshape(tracks.shape))
        return x + rearrange(out, "(b h w) c t -> b c t h w", b=len(x), h=x.shape[3])


def _heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query and key, each divided by the fourth root of its width, and value, all ``(N * heads, d, L)``."""
    query, key, value = (rearrange(part, "n (k d) l -> (n k) d l", k=heads) for part in qkv.chunk(3, dim=1))
    scale = query.shape[1] ** -0.25
    return query * scale, key * scale, value


def _conv(inputs: int, outputs: int, config: UNetConfig, stride: int = 1) -> nn.Conv3d:
    time = config.temporal_kernel
    return nn.Conv3d(inputs, outputs, (time, 3, 3), stride=(1, stride, stride), padding=(time // 2, 1, 1))


class Residual(nn.Module):
    """Residual block of the UNet, which reads the embedding of the noise level."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig):
        super().__init__()
        self.config = config
        self.norm_in = nn.GroupNorm(_GROUPS, inputs)
        self.conv_in = _conv(inputs, outputs, config)
        self.modulation = nn.Linear(4 * config.model_channels, (2 if config.scale_shift_norm else 1) * outputs)
        self.norm_out = nn.GroupNorm(_GROUPS, outputs)
        self.conv_out = _conv(outputs, outputs, config)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        if self.config.checkpointing and torch.is_grad_enabled():
            return checkpoint(self._forward, x, embedding, use_reentrant=True, preserve_rng_state=False)
        return self._forward(x, embedding)

    def _forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        hidden = self.conv_in(functional.silu(self.norm_in(x)))
        modulation = self.modulation(functional.silu(embedding))[..., None, None, None]
        if self.config.scale_shift_norm:
            scale, shift = modulation.chunk(2, dim=1)
            hidden = self.norm_out(hidden) * (1 + scale) + shift
        else:
            hidden = self.norm_out(hidden + modulation)
        hidden = functional.dropout(functional.silu(hidden), self.config.dropout, self.training)
        return self.shortcut(x) + self.conv_out(hidden)


class Entry(nn.Module):
    """An entry of the UNet: a residual block, attention and doubling of the size on some."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, attends: bool, grows: bool = False):
        super().__init__()
        self.residual = Residual(inputs, outputs, config)
        if attends:
            spatial = Spatial(outputs, config.heads)
            temporal = Temporal(outputs, config.heads, config.temporal_length)
            self.attention = nn.ModuleDict({"spatial": spatial, "temporal": temporal})
        self.attends, self.grows = attends, grows
        if grows:
            self.upsample = _conv(outputs, outputs, config)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        x = self.residual(x, embedding)
        if self.attends:
            x = self.attention["temporal"](self.attention["spatial"](x))
        return self.upsample(functional.interpolate(x, scale_factor=(1, 2, 2))) if self.grows else x


class Shrink(nn.Module):
    """Half the height and width."""

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        self.conv = _conv(channels, channels, config, stride=2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.conv(x)


class PlainUNet(nn.Module):
    """The unconditional UNet. Raises ``ValueError`` for the other forms, whose layers are not all here."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        if config.noise_levels or config.context_channels:
            raise ValueError("the baseline is of the UNet without given frames and without text; take another --config")
        self.config = config
        width, depth = config.model_channels, config.residual_blocks
        self.time_embedding = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.stem = _conv(config.in_channels, width, config)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        kept, channels = [width], width
        levels = [(width * times, 2**n in config.attention_downsampling) for n, times in enumerate(config.channel_mult)]
        for level, (wide, attends) in enumerate(levels):
            if level:
                self.encoder.append(Shrink(channels, config))
                kept.append(channels)
            for _ in range(depth):
                self.encoder.append(Entry(channels, wide, config, attends))
                channels = wide
                kept.append(channels)
        self.middle = nn.ModuleList(Entry(channels, channels, config, attends) for attends in (True, False))
        for level, (wide, attends) in reversed(list(enumerate(levels))):
            for number in range(depth + 1):
                grows = level > 0 and number == depth
                self.decoder.append(Entry(channels + kept.pop(), wide, config, attends, grows))
                channels = wide
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.head = _conv(channels, config.out_channels, config)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The prediction ``(B, C, T, H, W)`` for noisy latents ``x``, of the same shape, at levels ``t (B,)``."""
        half = self.config.model_channels // 2
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half, device=x.device) / half)
        angles = t[:, None].float() * frequencies
        embedding = self.time_embedding(torch.cat([angles.cos(), angles.sin()], dim=1))
        x = self.stem(x)
        kept = [x]
        for entry in self.encoder:
            x = entry(x, embedding)
            kept.append(x)
        for entry in self.middle:
            x = entry(x, embedding)
        for entry in self.decoder:
            x = entry(torch.cat([x, kept.pop()], dim=1), embedding)
        return self.head(functional.silu(self.norm(x)))


class PaddedConv(nn.Conv3d):
    """A 3D convolution behind replication padding, that returns ``size / stride``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: tuple[int, int, int] = (1, 1, 1)):
        super().__init__(inputs, outputs, kernel, stride)
        self.sides = _sides(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.sides, mode="replicate"))


class PaddedConvTranspose(nn.ConvTranspose3d):
    """A transposed 3D convolution behind replication padding, that returns ``size * stride``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: tuple[int, int, int]):
        super().__init__(inputs, outputs, kernel, stride, padding=kernel - 1)
        self.sides = _sides(kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.sides, mode="replicate"))


def _sides(kernel: int, stride: tuple[int, int, int]) -> list[int]:
    """As ``functional.pad`` takes them: before and after of the last axis, then of those before it."""
    return [side for step in reversed(stride) for side in (-(-(kernel - step) // 2), (kernel - step) // 2)]


def _swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def _normalised(channels: int, config: AutoencoderConfig) -> nn.GroupNorm:
    return nn.GroupNorm(config.norm_groups, channels, eps=1e-6)


class PlainBlock(nn.Module):
    """Residual block of the autoencoder."""

    def __init__(self, channels: int, config: AutoencoderConfig):
        super().__init__()
        self.norm1, self.norm2 = _normalised(channels, config), _normalised(channels, config)
        self.conv1, self.conv2 = PaddedConv(channels, channels, 3), PaddedConv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(_swish(self.norm2(self.conv1(_swish(self.norm1(x))))))


class PlainAutoencoder(nn.Module):
    """The video autoencoder. Raises ``ValueError`` for another."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        if config.kind != "video":
            raise ValueError("the baseline is of the autoencoder of clips, not of frames; take another --config")
        halvings = [factor.bit_length() - 1 for factor in config.downsample]
        strides = [tuple(2 if level < count else 1 for count in halvings) for level in range(max(halvings))]
        wide = [config.hidden_channels * 2**level for level in range(len(strides) + 1)]
        latent = config.latent_channels
        down, up = nn.ModuleList(), nn.ModuleList()
        for inputs, outputs, stride in zip(wide, wide[1:], strides, strict=False):
            layers = {"down": PaddedConv(inputs, outputs, 4, stride), "block": PlainBlock(outputs, config)}
            down.append(nn.ModuleDict(layers))
        for inputs, outputs, stride in zip([latent, *wide[:1:-1]], wide[:0:-1], strides, strict=True):
            layers = {name: PlainBlock(outputs, config) for name in ("block1", "block2")}
            up.append(nn.ModuleDict({"up": PaddedConvTranspose(inputs, outputs, 4, stride), **layers}))
        stem, head = PaddedConv(3, wide[0], 3), PaddedConv(wide[-1], 2 * latent, 3)
        encoder = {"stem": stem, "levels": down, "norm": _normalised(wide[-1], config), "head": head}
        self.encoder = nn.ModuleDict(encoder)
        self.to_moments, self.from_latent = PaddedConv(2 * latent, 2 * latent, 1), PaddedConv(latent, latent, 1)
        self.decoder = nn.ModuleDict({"levels": up, "head": PaddedConv(wide[1], 3, 3)})

    def encode(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(B, C, T/4, H/8, W/8)`` of a clip ``(B, 3, T, H, W)``."""
        x = self.encoder["stem"](clip)
        for level in self.encoder["levels"]:
            x = level["block"](level["down"](x))
        moments = self.to_moments(self.encoder["head"](_swish(self.encoder["norm"](x))))
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(*_LOG_VARIANCE_RANGE)

    def decode(self, latent: Tensor) -> Tensor:
        """The clip ``(B, 3, T, H, W)`` of a latent."""
        x = self.from_latent(latent)
        for level in self.decoder["levels"]:
            x = level["block2"](level["block1"](level["up"](x)))
        return self.decoder["head"](x)
