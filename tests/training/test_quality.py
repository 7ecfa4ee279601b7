import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from lvdm.training.quality import psnr, ssim


@pytest.fixture
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 4, 24, 32, generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn(target.shape, generator=generator, dtype=torch.float64)
    return (target + 0.2 * noise).clamp(-1, 1), target


def test_psnr_agrees_with_torchmetrics(clips):
    ours = psnr(*clips)
    for number in range(2):
        x, y = ((clip[number] + 1) / 2 for clip in clips)
        assert ours[number].item() == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1.0).item(), rel=1e-6)


def test_ssim_agrees_with_torchmetrics(clips):
    ours = ssim(*clips)
    for number in range(2):
        x, y = ((clip[number].transpose(0, 1) + 1) / 2 for clip in clips)
        _, similarity = structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)
        inside = similarity[..., 5:-5, 5:-5]  # the rest is of windows over the border, which it pads
        assert ours[number].item() == pytest.approx(inside.mean().item(), rel=1e-6)


def test_an_error_of_known_size_has_its_psnr():
    target = torch.zeros(1, 3, 1, 16, 16)
    assert psnr(target + 0.2, target).item() == pytest.approx(20.0)  # 0.1 of the range


def test_equal_clips_are_perfect():
    clip = torch.rand(1, 3, 2, 16, 16)
    assert psnr(clip, clip).item() == float("inf")
    assert ssim(clip, clip).item() == pytest.approx(1.0)


def test_values_outside_the_range_are_clamped():
    clip = torch.full((1, 3, 1, 16, 16), 1.0)
    assert psnr(clip + 3, clip).item() == float("inf")


def test_ssim_refuses_frames_smaller_than_its_window():
    with pytest.raises(ValueError, match="11 pixels; they are 8x8"):
        ssim(torch.zeros(1, 3, 1, 8, 8), torch.zeros(1, 3, 1, 8, 8))
