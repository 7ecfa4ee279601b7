from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lvdm.config import NetworkFile
from lvdm.models.perceptual import PerceptualDistance


class MeanColour(nn.Module):
    """Has the signature of NVIDIA's vgg16.pt; its features are the mean levels of the three channels."""

    def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        if resize_images or not return_lpips:
            raise RuntimeError("wrong call")
        return x.mean(dim=[2, 3])


class OtherSignature(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def load(path: Path) -> PerceptualDistance:
    return PerceptualDistance(path, NetworkFile(path=path, size=path.stat().st_size))


@pytest.fixture
def network(tmp_path) -> Path:
    path = tmp_path / "vgg16.pt"
    torch.jit.script(MeanColour()).save(str(path))
    return path


def test_distance_is_the_squared_distance_of_features_of_levels(network):
    distance = load(network)
    targets = torch.zeros(2, 3, 8, 8)
    images = targets.clone()
    images[1] = 2 / 127.5  # two levels in each of three channels
    torch.testing.assert_close(distance(images, targets), torch.tensor([0.0, 12.0]))


def test_only_the_images_get_gradients(network):
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    targets = torch.rand(1, 3, 8, 8, requires_grad=True)
    load(network)(images, targets).sum().backward()
    assert images.grad.abs().sum() > 0
    assert targets.grad is None


def test_frames_of_clips_are_averaged(network):
    clips = torch.zeros(2, 3, 4, 8, 8)
    clips[1, :, 0] = 2 / 127.5
    torch.testing.assert_close(load(network).of_clips(clips, torch.zeros_like(clips)), torch.tensor([0.0, 3.0]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.pt.*check the path"):
        PerceptualDistance(tmp_path / "nothing.pt", NetworkFile(path=tmp_path / "nothing.pt", size=1))


def test_a_file_that_is_not_the_stated_one_is_not_loaded(network):
    with pytest.raises(ValueError, match="it was not loaded"):
        PerceptualDistance(network, NetworkFile(path=network, sha256="0" * 64))


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "vgg16.pt"
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"vgg16\.pt: not a TorchScript file"):
        load(path)


def test_a_network_of_another_signature_is_refused(tmp_path):
    path = tmp_path / "vgg16.pt"
    torch.jit.script(OtherSignature()).save(str(path))
    with pytest.raises(ValueError, match="does not take images, resize_images and return_lpips"):
        load(path)
