import math

import pytest
import torch
from einops import rearrange

from lvdm.models.attention import SpaceTimeAttention, TemporalAttention
from lvdm.models.unet import Convolution, UNet, sinusoidal_embedding


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"channel_mult": (2, 1, 3)},
        {"residual_blocks": 2, "attention_downsampling": ()},
        {"scale_shift_norm": False},
        {"temporal_kernel": 3},
        {"in_channels": 5},
    ],
    ids=str,
)
@torch.no_grad()
def test_every_configuration_keeps_the_shape_of_the_latent(randomised, tiny_unet, change):
    config = tiny_unet.replace(**change)
    network = randomised(UNet(config))
    x = torch.randn(2, config.in_channels, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    output = network(x, torch.tensor([0, 999]))
    assert output.shape == (2, 4, 3, 8, 12)
    assert output.isfinite().all()


def test_an_untrained_network_predicts_zero(tiny_unet):
    x = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert UNet(tiny_unet)(x, torch.tensor([500])).abs().max() == 0


def test_latents_that_cannot_be_halved_are_refused(tiny_unet):
    with pytest.raises(ValueError, match=r"7x8.*data\.resolution"):
        UNet(tiny_unet)(torch.zeros(1, 4, 3, 7, 8), torch.tensor([0]))


def test_heads_must_share_the_channels(tiny_unet):
    with pytest.raises(ValueError, match=r"32 channels.*3 heads.*model\.heads"):
        UNet(tiny_unet.replace(heads=3))


@torch.no_grad()
def test_clips_of_a_batch_do_not_see_each_other(randomised, tiny_unet):
    network = randomised(UNet(tiny_unet))
    x = torch.randn(3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([10, 500, 900])
    alone = torch.cat([network(x[n : n + 1], t[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(network(x, t), alone)


@torch.no_grad()
def test_frames_meet_only_where_they_should(randomised, tiny_unet):
    """Without attention a change in one frame reaches others through the norms alone; the level changes all."""
    network = randomised(UNet(tiny_unet))
    x = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    changed = x.clone()
    changed[:, :, 0] += 1
    before, after = network(x, torch.tensor([10])), network(changed, torch.tensor([10]))
    assert ((before - after).abs().amax(dim=(0, 1, 3, 4)) > 1e-4).all()
    assert (network(x, torch.tensor([11])) - before).abs().max() > 1e-4


def test_checkpointing_changes_neither_output_nor_gradient(randomised, tiny_unet):
    plain = randomised(UNet(tiny_unet))
    saving = UNet(tiny_unet.replace(checkpointing=True))
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    results = []
    for network in (plain, saving):
        output = network(x, torch.tensor([10, 900]))
        output.square().mean().backward()
        results.append((output.detach(), [parameter.grad for parameter in network.parameters()]))
    (output, gradients), (saved_output, saved_gradients) = results
    assert torch.equal(output, saved_output)
    for gradient, saved in zip(gradients, saved_gradients, strict=True):
        torch.testing.assert_close(gradient, saved)


@pytest.mark.parametrize("spatial", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_temporal_size_1_runs_as_the_same_sum_in_two_dimensions(randomised, spatial, stride):
    layer = randomised(Convolution(4, 6, temporal=1, spatial=spatial, stride=stride))
    x = torch.randn(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(x), torch.nn.Conv3d.forward(layer, x))


@torch.no_grad()
def test_temporal_attention_is_the_formula_of_its_docstring(randomised):
    channels, heads, reach, length = 64, 2, 2, 5
    layer = randomised(TemporalAttention(channels, heads, reach))
    x = torch.randn(1, channels, length, 1, 1, generator=torch.Generator().manual_seed(1))
    width = channels // heads
    tokens = layer.norm(x[..., 0, 0])[0].T
    query, key, value = layer.qkv(tokens).reshape(length, 3, heads, width).unbind(dim=1)
    out = torch.zeros(length, heads, width)
    for head in range(heads):
        for i in range(length):
            logits = []
            for j in range(length):
                relative = layer.relative_key.table[max(-reach, min(reach, i - j)) + reach]
                logits.append(
                    query[i, head] @ key[j, head] / math.sqrt(width) + query[j, head] @ relative / width**0.25
                )
            weights = torch.stack(logits).softmax(dim=0)
            for j in range(length):
                relative = layer.relative_value.table[max(-reach, min(reach, j - i)) + reach]
                out[i, head] += weights[j] * (value[j, head] + relative)
    expected = x[0, :, :, 0, 0].T + layer.out(rearrange(out, "t k d -> t (k d)"))
    torch.testing.assert_close(layer(x)[0, :, :, 0, 0].T, expected)


def test_what_the_compiler_is_given_of_few_frames_is_the_same_function(randomised):
    layer = randomised(TemporalAttention(channels=32, heads=2, reach=4))
    # Traces as the compiler does, without making machine code.
    traced = torch.compile(layer, backend="eager", fullgraph=True)
    x = torch.randn(2, 32, 4, 2, 3, requires_grad=True)
    wanted = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    found = torch.autograd.grad(traced(x).square().sum(), [x, *layer.parameters()])
    torch.testing.assert_close(traced(x), layer(x))
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_attention_is_within_frames_and_within_tracks(randomised):
    """A change at one position reaches its frame (space) and, from there, all frames (time)."""
    layer = randomised(SpaceTimeAttention(32, 2, 3))
    x = torch.randn(1, 32, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    changed = x.clone()
    changed[:, :, 1, 2, 2] += 1
    reached = (layer.spatial(x) - layer.spatial(changed)).abs().amax(dim=(0, 1)) > 1e-6
    assert reached[1].all()
    assert not reached[[0, 2]].any()
    reached = (layer.temporal(x) - layer.temporal(changed)).abs().amax(dim=(0, 1)) > 1e-6
    assert reached[:, 2, 2].all()
    assert reached.sum() == 3


def test_sinusoidal_embedding_starts_at_one_radian_a_level():
    embedding = sinusoidal_embedding(torch.tensor([0, 3]), 8)
    assert embedding.shape == (2, 8)
    assert embedding[0].tolist() == [1.0] * 4 + [0.0] * 4
    assert embedding[1, 0].item() == pytest.approx(math.cos(3))
    assert embedding[1, 5].item() == pytest.approx(math.sin(3 * 10_000**-0.25), rel=1e-6)
