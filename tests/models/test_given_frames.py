import pytest
import torch

from lvdm.models.unet import UNet


@pytest.fixture
def config(tiny_unet):
    return tiny_unet.replace(noise_levels=5)


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_mask_and_level_change_the_prediction(randomised, config):
    network = randomised(UNet(config))
    x, t = draw(2, 4, 3, 8, 8), torch.tensor([10, 900])
    mask = torch.zeros(2, 1, 3, 1, 1)
    first = mask.clone()
    first[:, :, 0] = 1
    none = torch.zeros(2, dtype=torch.long)
    before = network(x, t, mask=mask, noise_level=none)
    assert before.shape == x.shape
    assert (network(x, t, mask=first, noise_level=none) - before).abs().max() > 1e-4
    by_clip = (network(x, t, mask=mask, noise_level=torch.tensor([0, 4])) - before).abs().amax(dim=(1, 2, 3, 4))
    assert by_clip[0] == 0
    assert by_clip[1] > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 1, 3, 1, 1), (2, 1, 3, 1, 1), (2, 1, 3, 8, 8)])
def test_masks_are_broadcast(randomised, config, shape):
    network = randomised(UNet(config))
    x, t, level = draw(2, 4, 3, 8, 8), torch.tensor([10, 900]), torch.tensor([0, 4])
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, :, -1] = True
    whole = mask.float().expand(2, 1, 3, 8, 8)
    assert torch.equal(
        network(x, t, mask=mask, noise_level=level), network(x, t, mask=whole.contiguous(), noise_level=level)
    )


def test_given_frames_must_be_told_as_the_network_was_made(tiny_unet, config):
    x, t = draw(1, 4, 3, 8, 8), torch.tensor([10])
    mask, level = torch.zeros(1, 1, 3, 1, 1), torch.tensor([0])
    for given in ({}, {"mask": mask}, {"noise_level": level}):
        with pytest.raises(ValueError, match="needs mask and noise_level"):
            UNet(config)(x, t, **given)
    for given in ({"mask": mask}, {"noise_level": level}):
        with pytest.raises(ValueError, match="takes neither mask nor noise_level"):
            UNet(tiny_unet)(x, t, **given)
