"""Attention over space and over time, factorised (LVDM, section 3.2).

Both layers take and return a feature map ``(B, C, T, H, W)`` and add their result to it. Attention within a
frame and attention along the frames of one position follow each other, so that the cost is
``T (HW)^2 + HW T^2`` and not ``(THW)^2``.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

NORM_GROUPS = 32

# Up to this many frames the compiler's own code for attention along time is faster than a kernel made for long rows.
_FEW_FRAMES = 8


def zero_initialised(module: nn.Module) -> nn.Module:
    """``module`` with all parameters 0: a residual branch that ends in it starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def check_heads(channels: int, heads: int) -> None:
    """Raises ``ValueError`` where heads cannot have the same number of channels."""
    if channels % heads:
        raise ValueError(f"{channels} channels cannot be shared among {heads} heads; change model.heads")


class SpatialAttention(nn.Module):
    """Multi-head self-attention among the positions of each frame; residual. ``channels`` is a multiple of 32."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = zero_initialised(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, T, H, W)`` to the same shape."""
        frames = self.norm(rearrange(x, "b c t h w -> (b t) c (h w)"))
        # One flat matrix product for all frames: with frames as a batch of matrices, it is many small ones.
        qkv = self.qkv(rearrange(frames, "n c s -> (n s) c"))
        query, key, value = rearrange(qkv, "(n s) (three k d) -> three n k s d", n=len(frames), three=3, k=self.heads)
        attended = F.scaled_dot_product_attention(query, key, value)
        out = self.out(rearrange(attended, "n k s d -> (n s) (k d)"))
        return x + rearrange(out, "(b t h w) c -> b c t h w", t=x.shape[2], h=x.shape[3], w=x.shape[4])


class RelativePosition(nn.Module):
    """A learned vector for each distance of two frames, clipped at ``reach`` (Shaw et al. 2018, section 3.2)."""

    def __init__(self, reach: int, channels: int):
        super().__init__()
        self.reach = reach
        self.table = nn.Parameter(torch.empty(2 * reach + 1, channels))
        nn.init.xavier_uniform_(self.table)

    def forward(self, length: int) -> Tensor:
        """``(length, length, channels)``; entry ``[i, j]`` belongs to the distance ``j - i``."""
        position = torch.arange(length, device=self.table.device)
        distance = (position[None, :] - position[:, None]).clamp(-self.reach, self.reach)
        return self.table[distance + self.reach]


def relative_logits(query: Tensor, relative_key: Tensor) -> Tensor:
    """``q_i . r[i, j]`` of ``query (N, heads, T, d)`` and ``relative_key (T, T, d)``: ``(N, heads, T, T)``."""
    return torch.einsum("n k i d, i j d -> n k i j", query, relative_key.to(query.dtype))


def relative_attention(query: Tensor, key: Tensor, value: Tensor, logits: Tensor, relative_value: Tensor) -> Tensor:
    """Attention with an additional logit and an additional value for each pair of a query and a key::

        out[i] = sum_j softmax_j((q_i . k_j + logits[i, j]) / sqrt(d)) (v_j + relative_value[i, j])

    ``query``, ``key`` and ``value`` are ``(N, heads, T, d)`` as is the result, ``logits (N, heads, T, T)``,
    ``relative_value (T, T, d)``. Both additions are folded into one call of ``scaled_dot_product_attention`` by
    widening the heads by ``T``: a unit vector beside each key picks one of its query's logits, and a unit vector
    beside each value brings the attention weights out, which ``relative_value`` is then contracted with. Under
    ``torch.compile`` a few frames are written out instead: element by element it fuses into two passes over the
    data, where an attention kernel pads four frames to a tile of 64.
    """
    count, heads, length, width = query.shape
    scale = width**-0.5
    if torch.compiler.is_compiling() and length <= _FEW_FRAMES:
        return _written_out(query, key, value, logits, relative_value, scale)
    unit = torch.eye(length, dtype=query.dtype, device=query.device).expand(count, heads, length, length)
    attended = F.scaled_dot_product_attention(
        torch.cat([query, logits], dim=-1),
        torch.cat([key, unit], dim=-1),
        torch.cat([value, unit], dim=-1),
        scale=scale,
    )
    out, weights = attended.split([width, length], dim=-1)
    return out + _relative_values(weights, relative_value)


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, logits: Tensor, relative_value: Tensor, scale: float
) -> Tensor:
    """:func:`relative_attention` as its formula has it, in memory that grows by a factor ``T`` unless it is fused."""
    products = (query[:, :, :, None].float() * key[:, :, None].float()).sum(dim=-1)
    weights = ((products + logits) * scale).softmax(dim=-1).to(value.dtype)
    out = (weights[..., None].float() * value[:, :, None].float()).sum(dim=-2).to(value.dtype)
    return out + _relative_values(weights, relative_value)


def _relative_values(weights: Tensor, relative_value: Tensor) -> Tensor:
    """``sum_j weights[i, j] u[i, j]``: a matrix product, so that the gradient of the few ``u`` is one as well."""
    return torch.einsum("n k i j, i j d -> n k i d", weights, relative_value.to(weights.dtype))


class TemporalAttention(nn.Module):
    """Multi-head self-attention among the frames of each position, aware of their distances; residual.

    With head dimension ``d``, relative keys ``r`` and values ``u`` (Shaw et al. 2018, equations 3 and 4)::

        logit[i, j] = q_i . k_j / sqrt(d) + q_j . r[j, i] / d^(1/4)
        out[i]      = sum_j softmax_j(logit[i, j]) (v_j + u[i, j])

    In the paper the second term is ``q_i . r[i, j] / sqrt(d)``. The released weights were trained with the form
    above, query and key exchanged and divided once by the fourth root, and are wrong with any other.
    """

    def __init__(self, channels: int, heads: int, reach: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.relative_key = RelativePosition(reach, channels // heads)
        self.relative_value = RelativePosition(reach, channels // heads)
        self.out = zero_initialised(nn.Linear(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, T, H, W)`` to the same shape."""
        tracks = self.norm(rearrange(x, "b c t h w -> (b h w) c t"))
        qkv = self.qkv(rearrange(tracks, "n c t -> (n t) c"))
        query, key, value = rearrange(qkv, "(n t) (three k d) -> three n k t d", n=len(tracks), three=3, k=self.heads)
        out = self.out(rearrange(self._attend(query, key, value), "n k t d -> (n t) (k d)"))
        return x + rearrange(out, "(b h w t) c -> b c t h w", h=x.shape[3], w=x.shape[4], t=x.shape[2])

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Each ``(N, heads, T, d)``."""
        length, width = query.shape[2:]
        # The common factor 1/sqrt(d) turns d^(1/4) into the d^(-1/4) of the formula.
        logits = relative_logits(query, self.relative_key(length)).transpose(-1, -2) * width**0.25
        return relative_attention(query, key, value, logits, self.relative_value(length))


class SpaceTimeAttention(nn.Module):
    """Attention within frames, then along time."""

    def __init__(self, channels: int, heads: int, reach: int):
        super().__init__()
        check_heads(channels, heads)
        self.spatial = SpatialAttention(channels, heads)
        self.temporal = TemporalAttention(channels, heads, reach)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, T, H, W)`` to the same shape."""
        return self.temporal(self.spatial(x))
