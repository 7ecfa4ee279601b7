import math

import pytest
import torch

from lvdm.models.text import RelativeAttention, TransformerBlock
from lvdm.models.unet import UNet

CHANNELS, HEADS, LENGTH = 32, 4, 5


@pytest.fixture
def text_unet(tiny_unet):
    return tiny_unet.replace(context_channels=6, transformer_depth=2)


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_relative_attention_is_the_formula_of_its_docstring(randomised):
    reach, width = 2, CHANNELS // HEADS
    layer = randomised(RelativeAttention(CHANNELS, HEADS, reach))
    tokens = draw(LENGTH, CHANNELS)
    query, key, value = (part(tokens).unflatten(1, (HEADS, width)) for part in (layer.query, layer.key, layer.value))
    out = torch.zeros(LENGTH, HEADS, width)
    for head in range(HEADS):
        for i in range(LENGTH):
            distances = [max(-reach, min(reach, j - i)) + reach for j in range(LENGTH)]
            keys = key[:, head] + layer.relative_key.table[distances]
            weights = (keys @ query[i, head] / math.sqrt(width)).softmax(dim=0)
            out[i, head] = weights @ (value[:, head] + layer.relative_value.table[distances])
    torch.testing.assert_close(layer(tokens[None])[0], layer.out(out.flatten(1)))


@torch.no_grad()
def test_every_frame_reads_the_text_of_its_own_clip(randomised, text_unet):
    block = randomised(TransformerBlock(CHANNELS, text_unet))
    tokens, context = draw(2, 3, 4, CHANNELS), draw(2, 7, 6, seed=2)
    changed = context.clone()
    changed[0, 3] += 1
    reached = (block(tokens, context) - block(tokens, changed)).abs().amax(dim=-1) > 1e-6
    assert reached[0].all()
    assert not reached[1].any()


@torch.no_grad()
def test_the_order_of_the_frames_matters_to_the_distances_alone(randomised, text_unet):
    """Played backwards, with the tables turned round, a clip gives the result backwards."""
    block = randomised(TransformerBlock(CHANNELS, text_unet))
    tokens, context = draw(1, 3, 4, CHANNELS), draw(1, 7, 6, seed=2)
    forwards = block(tokens, context)
    backwards = block(tokens.flip(1), context)
    assert (forwards - backwards.flip(1)).abs().max() > 1e-4
    for attention in (block.temporal1, block.temporal2):
        for position in (attention.relative_key, attention.relative_value):
            position.table.copy_(position.table.flip(0))
    torch.testing.assert_close(block(tokens.flip(1), context).flip(1), forwards)


@torch.no_grad()
def test_texts_of_any_length_are_read(randomised, text_unet):
    network = randomised(UNet(text_unet))
    x, t = draw(2, 4, 3, 8, 8), torch.tensor([10, 900])
    long = network(x, t, context=draw(2, 7, 6, seed=2))
    short = network(x, t, context=draw(2, 1, 6, seed=2))
    assert long.shape == short.shape == x.shape
    assert (long - short).abs().max() > 1e-4


def test_a_text_must_be_given_as_the_network_was_made(tiny_unet, text_unet):
    x, t = draw(1, 4, 3, 8, 8), torch.tensor([10])
    with pytest.raises(ValueError, match=r"needs context \(B, L, 6\), but it is None"):
        UNet(text_unet)(x, t)
    with pytest.raises(ValueError, match=r"needs context \(B, L, 6\), but it is \(1, 7, 5\)"):
        UNet(text_unet)(x, t, context=draw(1, 7, 5))
    with pytest.raises(ValueError, match="takes no context"):
        UNet(tiny_unet)(x, t, context=draw(1, 7, 6))


def test_heads_must_share_the_channels_of_a_transformer(text_unet):
    with pytest.raises(ValueError, match=r"32 channels.*3 heads.*model\.heads"):
        UNet(text_unet.replace(heads=3))
