"""The spatial-temporal transformer of the text-conditional UNet.

The transformer of latent diffusion (Rombach et al. 2022, arXiv:2112.10752), which attends within a frame and to the
text, with attention along the frames after each of the two. It takes the place of
:class:`~lvdm.models.attention.SpaceTimeAttention` where the network reads a text.
"""

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lvdm.models.attention import (
    NORM_GROUPS,
    RelativePosition,
    check_heads,
    relative_attention,
    relative_logits,
    zero_initialised,
)
from lvdm.models.config import UNetConfig
from lvdm.models.layers import group_norm

_WIDENING = 4  # of the feed-forward layer


class SpatialTemporalTransformer(nn.Module):
    """Normalisation, projection, ``config.transformer_depth`` blocks and a projection that starts at 0; residual."""

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        check_heads(channels, config.heads)
        self.norm = group_norm(channels, NORM_GROUPS)
        self.project_in = nn.Linear(channels, channels)
        self.blocks = nn.ModuleList(TransformerBlock(channels, config) for _ in range(config.transformer_depth))
        self.project_out = zero_initialised(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """``x (B, C, T, H, W)`` to the same shape; ``context (B, L, D)`` is the embedded text."""
        tokens = self.project_in(rearrange(self.norm(x), "b c t h w -> b t (h w) c"))
        for block in self.blocks:
            tokens = block(tokens, context)
        return x + rearrange(self.project_out(tokens), "b t (h w) c -> b c t h w", h=x.shape[3])


class TransformerBlock(nn.Module):
    """Attention within frames, along time, to the text, along time again, and a gated feed-forward layer.

    Each is behind a layer normalisation and added to its input.
    """

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        self.norm_spatial = nn.LayerNorm(channels)
        self.spatial = Attention(channels, channels, config.heads)
        self.norm_temporal1 = nn.LayerNorm(channels)
        self.temporal1 = RelativeAttention(channels, config.heads, config.temporal_length)
        self.norm_text = nn.LayerNorm(channels)
        self.text = Attention(channels, config.context_channels, config.heads)
        self.norm_temporal2 = nn.LayerNorm(channels)
        self.temporal2 = RelativeAttention(channels, config.heads, config.temporal_length)
        self.norm_feed_forward = nn.LayerNorm(channels)
        self.feed_forward = GatedFeedForward(channels)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """``tokens (B, T, S, C)``, S positions of T frames, to the same shape; ``context (B, L, D)``."""
        count, length = tokens.shape[:2]
        frames = rearrange(tokens, "b t s c -> (b t) s c")
        frames = frames + self.spatial(self.norm_spatial(frames))

        tracks = rearrange(frames, "(b t) s c -> (b s) t c", b=count)
        tracks = tracks + self.temporal1(self.norm_temporal1(tracks))

        # All frames read the same text, so a clip is one sequence of queries and keys are computed once.
        clip = rearrange(tracks, "(b s) t c -> b (t s) c", b=count)
        clip = clip + self.text(self.norm_text(clip), context)

        tracks = rearrange(clip, "b (t s) c -> (b s) t c", t=length)
        tracks = tracks + self.temporal2(self.norm_temporal2(tracks))

        tracks = tracks + self.feed_forward(self.norm_feed_forward(tracks))
        return rearrange(tracks, "(b s) t c -> b t s c", b=count)


class Attention(nn.Module):
    """Multi-head attention, to a context or among the tokens; query, key and value are projected without bias."""

    def __init__(self, channels: int, context_channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(context_channels, channels, bias=False)
        self.value = nn.Linear(context_channels, channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """``tokens (N, S, C)`` to the same shape; ``context (N, L, D)``, or None for the tokens themselves."""
        context = tokens if context is None else context
        projected = self.query(tokens), self.key(context), self.value(context)
        attended = self._attend(*(rearrange(part, "n s (k d) -> n k s d", k=self.heads) for part in projected))
        return self.out(rearrange(attended, "n k s d -> n s (k d)"))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``query (N, heads, S, d)``, ``key`` and ``value (N, heads, L, d)``; returns ``(N, heads, S, d)``."""
        return F.scaled_dot_product_attention(query, key, value)


class RelativeAttention(Attention):
    """Attention among the tokens of a sequence, aware of their distances (Shaw et al. 2018, equations 3 and 4)::

        logit[i, j] = q_i . (k_j + r[i, j]) / sqrt(d)
        out[i]      = sum_j softmax_j(logit[i, j]) (v_j + u[i, j])

    Its result starts at 0, so that a network whose other layers come from an image model still makes those images.
    (The original starts query, key and value at 0 as well, where learning can only begin through u; here they are
    drawn as in any linear layer.)
    """

    def __init__(self, channels: int, heads: int, reach: int):
        super().__init__(channels, channels, heads)
        self.relative_key = RelativePosition(reach, channels // heads)
        self.relative_value = RelativePosition(reach, channels // heads)
        zero_initialised(self.out)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        length = query.shape[2]
        logits = relative_logits(query, self.relative_key(length))
        return relative_attention(query, key, value, logits, self.relative_value(length))


class GatedFeedForward(nn.Module):
    """Two linear layers with a gated nonlinearity between them (GEGLU; Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, channels: int):
        super().__init__()
        self.widen = nn.Linear(channels, 2 * _WIDENING * channels)
        self.narrow = nn.Linear(_WIDENING * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        values, gate = self.widen(tokens).chunk(2, dim=-1)
        return self.narrow(values * F.gelu(gate))
