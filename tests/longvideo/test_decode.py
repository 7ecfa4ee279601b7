"""Chunks that overlap enough decode to what the whole decodes to."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lvdm.longvideo.decode import decode_pieces, decode_video
from lvdm.longvideo.plan import decoding_plan

FACTOR = 4


def decoder(reach: int):
    """A decoder that sees ``reach`` latent frames to each side, and zeros beyond the ends of what it is given.

    Whole numbers throughout, so that sums are exact in any order.
    """
    weights = torch.arange(1.0, 2 * reach + 2).reshape(1, 1, -1, 1, 1)

    def decode(latents: Tensor) -> Tensor:
        mixed = functional.conv3d(latents.sum(dim=1, keepdim=True), weights, padding=(reach, 0, 0))
        clip = mixed.repeat_interleave(FACTOR, dim=2).repeat(1, 3, 1, 8, 8)
        return clip + torch.arange(FACTOR).repeat(latents.shape[2]).reshape(1, 1, -1, 1, 1)

    return decode


def latents(length: int) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(-50, 50, (2, 4, length, 2, 2), generator=generator).float()


@pytest.mark.parametrize(("window", "reach"), [(4, 1), (5, 2), (8, 1), (8, 3)])
def test_twice_the_reach_is_overlap_enough_and_less_is_not(window, reach):
    decode = decoder(reach)
    for length in range(1, 41):
        video = latents(length)
        whole = decode(video)
        for overlap in range(window):
            found = decode_video(video, decode, decoding_plan(length, window, overlap, FACTOR))
            assert found.shape == (2, 3, length * FACTOR, 16, 16)
            if overlap >= 2 * reach or length <= window:
                assert torch.equal(found, whole)
            elif length == 2 * window - overlap:  # two chunks that share just the overlap
                assert not torch.equal(found, whole)


def test_pieces_come_in_order_one_chunk_at_a_time():
    seen = []

    def decode(part: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        seen.append(part.shape[2])
        return decoder(1)(part)

    video, chunks = latents(23), decoding_plan(23, 6, 2, FACTOR)
    whole = decoder(1)(video)
    frames = 0
    for index, piece in enumerate(decode_pieces(video, decode, chunks)):
        assert seen == [6] * (index + 1)
        assert torch.equal(piece, whole[:, :, frames : frames + piece.shape[2]])
        frames += piece.shape[2]
        assert frames == chunks[index].frames.stop
    assert frames == 23 * FACTOR
    assert torch.is_grad_enabled()


def test_a_plan_for_something_else_is_refused():
    with pytest.raises(ValueError, match=r"9 latent frames, but the plan decodes 8.*length=9"):
        decode_video(latents(9), decoder(1), decoding_plan(8, 4, 2, FACTOR))
    with pytest.raises(ValueError, match=r"4 latent frames became 16 frames.*factor of 2"):
        decode_video(latents(9), decoder(1), decoding_plan(9, 4, 2, factor=2))
