"""Overlapped decoding: long latents to frames, chunk by chunk.

A decoder that sees a whole video needs memory for it, and one that sees chunks makes a seam where they meet: near its
ends a chunk is decoded without its neighbours. So chunks overlap, and what is near their ends is thrown away.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lvdm.longvideo.plan import Chunk

Decode = Callable[[Tensor], Tensor]
"""Latents ``(B, C, T, H, W)`` to a clip ``(B, 3, factor * T, ...)``."""


def decode_pieces(latents: Tensor, decode: Decode, chunks: Sequence[Chunk]) -> Iterator[Tensor]:
    """The video of ``latents (B, C, T, H, W)`` in pieces ``(B, 3, frames, ...)``, in order.

    ``chunks`` are a :func:`lvdm.longvideo.plan.decoding_plan`. The pieces are those of decoding ``latents`` at once
    where the overlap is at least twice the decoder's reach in time, in latent frames. Raises ``ValueError`` when the
    plan is one for another number of latent frames, or for a decoder of another temporal factor.
    """
    length = chunks[-1].latents.stop
    if latents.shape[2] != length:
        raise ValueError(
            f"there are {latents.shape[2]} latent frames, but the plan decodes {length}; "
            f"plan with decoding_plan(length={latents.shape[2]}, ...)"
        )
    for chunk in chunks:
        with torch.no_grad():
            clip = decode(latents[:, :, chunk.latents.start : chunk.latents.stop])
        if clip.shape[2] != chunk.factor * len(chunk.latents):
            raise ValueError(
                f"{len(chunk.latents)} latent frames became {clip.shape[2]} frames, but the plan is for a factor of "
                f"{chunk.factor}; plan with the autoencoder's temporal factor"
            )
        yield clip[:, :, chunk.kept.start : chunk.kept.stop]


def decode_video(latents: Tensor, decode: Decode, chunks: Sequence[Chunk]) -> Tensor:
    """All of :func:`decode_pieces` as one video on the CPU: ``(B, 3, factor * T, ...)``."""
    return torch.cat([piece.cpu() for piece in decode_pieces(latents, decode, chunks)], dim=2)
