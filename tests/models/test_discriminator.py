import pytest
import torch

from lvdm.models.config import DiscriminatorConfig
from lvdm.models.discriminator import PatchDiscriminator


@torch.no_grad()
@pytest.mark.parametrize(("size", "layers", "logits"), [(64, 3, 6), (32, 2, 6), (256, 3, 30)])
def test_a_frame_has_a_logit_a_patch(size, layers, logits):
    discriminator = PatchDiscriminator(DiscriminatorConfig(channels=4, layers=layers))
    assert discriminator(torch.zeros(1, 3, size, size)).shape == (1, 1, logits, logits)


@torch.no_grad()
@pytest.mark.parametrize("length", [4, 16])
def test_clips_are_taken_whole_in_3d(length):
    discriminator = PatchDiscriminator(DiscriminatorConfig(dimensions=3, channels=4))
    logits = discriminator(torch.zeros(2, 3, length, 16, 16))
    assert logits.shape[:2] == (2, 1)
    assert min(logits.shape[2:]) >= 1


def test_a_published_discriminator_sees_patches_of_70_pixels():
    discriminator = PatchDiscriminator(DiscriminatorConfig()).eval()
    frame = torch.randn(1, 3, 128, 128, requires_grad=True)
    logits = discriminator(frame)
    logits[0, 0, 6, 6].backward()
    touched = frame.grad.abs().sum(dim=(0, 1, 2)).nonzero()
    assert touched.max() - touched.min() + 1 == 70


def test_frames_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match=r"16x16; lower discriminator\.layers"):
        PatchDiscriminator(DiscriminatorConfig(channels=4))(torch.zeros(1, 3, 16, 16))
