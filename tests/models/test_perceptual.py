from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

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


@pytest.fixture
def network(tmp_path) -> Path:
    path = tmp_path / "vgg16.pt"
    torch.jit.script(MeanColour()).save(str(path))
    return path


def test_distance_is_the_squared_distance_of_features_of_levels(network):
    distance = PerceptualDistance(network)
    targets = torch.zeros(2, 3, 8, 8)
    images = targets.clone()
    images[1] = 2 / 127.5  # two levels in each of three channels
    torch.testing.assert_close(distance(images, targets), torch.tensor([0.0, 12.0]))


def test_only_the_images_get_gradients(network):
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    targets = torch.rand(1, 3, 8, 8, requires_grad=True)
    PerceptualDistance(network)(images, targets).sum().backward()
    assert images.grad.abs().sum() > 0
    assert targets.grad is None


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt is missing.*perceptual: null"):
        PerceptualDistance(tmp_path / "nothing.pt")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "vgg16.pt"
    path.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"vgg16\.pt: not a TorchScript file"):
        PerceptualDistance(path)


def test_a_network_of_another_signature_is_refused(tmp_path):
    path = tmp_path / "vgg16.pt"
    torch.jit.script(OtherSignature()).save(str(path))
    with pytest.raises(ValueError, match="does not take images, resize_images and return_lpips"):
        PerceptualDistance(path)
