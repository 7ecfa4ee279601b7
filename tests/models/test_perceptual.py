from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lvdm.config import NetworkFile
from lvdm.models.config import DiscriminatorConfig
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.perceptual import FeatureDistance, PerceptualDistance
from lvdm.training.config import AutoencoderLossConfig
from lvdm.training.losses import AutoencoderLoss

IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
SYMMETRIC = ([127.5] * 3, [127.5] * 3)


class MeanColour(nn.Module):
    """Has the signature of NVIDIA's vgg16.pt; its features are the mean levels of the three channels."""

    def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        if resize_images or not return_lpips:
            raise RuntimeError("wrong call")
        return x.mean(dim=[2, 3])


class OtherSignature(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Depth(nn.Module):
    """The convolutions of VGG16 between two pools, and the features after them."""

    def __init__(self, inputs: int, outputs: int, count: int):
        super().__init__()
        self.register_buffer("lpips", torch.rand(outputs, 1, 1))
        self.layers = nn.Sequential()
        for _ in range(count):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            self.layers.extend([convolution, nn.ReLU()])
            inputs = outputs

    def forward(self, x: Tensor, power: float) -> tuple[Tensor, Tensor]:
        x = self.layers(x)
        unit = x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
        return x, (self.lpips**power * unit / (x.shape[2] * x.shape[3]) ** 0.5).flatten(1)


class Vgg16(nn.Module):
    """Narrow, and otherwise as NVIDIA's vgg16.pt: called so, with a layer for classes, and weights of LPIPS.

    ``power`` makes the weights of features from those that are kept.
    """

    def __init__(self, mean: list[float], deviation: list[float], power: float = 0.5, kernel: int = 2):
        super().__init__()
        self.mean, self.deviation = (torch.tensor(values)[:, None, None] for values in (mean, deviation))
        self.power, self.kernel = power, kernel
        channels = [(3, 4, 2), (4, 6, 2), (6, 8, 3), (8, 8, 3), (8, 8, 3)]
        self.depths = nn.ModuleList(Depth(*numbers) for numbers in channels)
        self.classes = nn.Linear(8, 10)

    def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        if resize_images or not return_lpips:
            raise RuntimeError("wrong call")
        x = (x - self.mean) / self.deviation
        features: list[Tensor] = []
        for depth in self.depths:
            x, found = depth(x, self.power)
            features.append(found)
            x = nn.functional.max_pool2d(x, self.kernel, stride=2, padding=self.kernel // 2 - 1)
        return torch.cat(features, dim=1)


def load(path: Path, **options: Callable) -> PerceptualDistance:
    return PerceptualDistance(path, NetworkFile(path=path, size=path.stat().st_size), **options)


def save_vgg16(path: Path, *arguments: object) -> Path:
    torch.manual_seed(0)
    torch.jit.script(Vgg16(*arguments).requires_grad_(False)).save(str(path))
    return path


def never(*arguments: object) -> Tensor:
    raise AssertionError("compiled")


def by_its_own_code(path: Path) -> FeatureDistance:
    return FeatureDistance(torch.jit.load(path))


def pairs(count: int = 3) -> tuple[Tensor, Tensor]:
    """Images that want gradients, and targets that are somewhat like them."""
    targets = torch.rand(count, 3, 32, 32) * 2 - 1
    return (targets + 0.2 * torch.randn_like(targets)).requires_grad_(), targets


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


@pytest.mark.parametrize(
    "arguments", [IMAGENET, SYMMETRIC, (*IMAGENET, 1.0)], ids=["imagenet", "symmetric", "roots of weights"]
)
def test_vgg16_is_recognised_and_is_the_same_function(tmp_path, caplog, arguments):
    path = save_vgg16(tmp_path / "vgg16.pt", *arguments)
    distance, own = load(path), by_its_own_code(path)
    assert not caplog.records
    images, targets = pairs()
    found, wanted = distance(images, targets), own(images, targets)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=0)
    gradients = [torch.autograd.grad(values.sum(), images)[0] for values in (found, wanted)]
    assert (gradients[0] - gradients[1]).norm() < 1e-4 * gradients[1].norm()
    clips = images.detach().expand(2, -1, -1, -1, -1).transpose(1, 2)
    same = targets.expand(2, -1, -1, -1, -1).transpose(1, 2)
    torch.testing.assert_close(distance.of_clips(clips, same), wanted.detach().mean().expand(2), rtol=1e-4, atol=0)


def test_identical_images_have_no_distance_and_finite_gradients(tmp_path):
    images = torch.zeros(1, 3, 32, 32, requires_grad=True)
    found = load(save_vgg16(tmp_path / "vgg16.pt", *IMAGENET))(images, torch.zeros(1, 3, 32, 32))
    found.sum().backward()
    assert found.tolist() == [0.0]
    assert images.grad.isfinite().all()


@pytest.mark.parametrize(
    "arguments",
    [([100.0] * 3, [50.0] * 3), (*IMAGENET, 0.3), (*IMAGENET, 0.5, 4)],
    ids=["another input", "other weights", "another pool"],
)
def test_what_is_not_quite_vgg16_runs_as_the_file_has_it(tmp_path, caplog, arguments):
    path = save_vgg16(tmp_path / "vgg16.pt", *arguments)
    distance = load(path, compiled=never)
    assert "LPIPS runs as the file has it" in caplog.text
    images, targets = pairs()
    torch.testing.assert_close(distance(images, targets), by_its_own_code(path)(images, targets), rtol=0, atol=0)


def test_a_network_without_convolutions_runs_as_the_file_has_it(network, caplog):
    load(network, compiled=never)
    assert "LPIPS runs as the file has it" in caplog.text


def test_compiled_it_is_the_same(tmp_path):
    path = save_vgg16(tmp_path / "vgg16.pt", *IMAGENET)
    images, targets = pairs(count=2)
    compiled = load(path, compiled=lambda function: torch.compile(function, backend="aot_eager", fullgraph=True))
    values = [distance(images, targets) for distance in (compiled, load(path))]
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*(torch.autograd.grad(value.sum(), images)[0] for value in values))


def test_clips_of_any_number_are_not_compiled(tmp_path):
    distance = load(save_vgg16(tmp_path / "vgg16.pt", *IMAGENET), compiled=lambda function: never)
    assert distance.of_clips(torch.zeros(1, 3, 2, 32, 32), torch.ones(1, 3, 2, 32, 32)) > 0
    with pytest.raises(AssertionError, match="compiled"):
        distance(*pairs())


def test_in_bfloat16_it_is_nearly_the_same(tmp_path):
    distance = load(save_vgg16(tmp_path / "vgg16.pt", *IMAGENET))
    images, targets = pairs()
    wanted = distance(images, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(images, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0.03, atol=0)


def test_nothing_of_it_is_in_a_checkpoint(tmp_path):
    distance = load(save_vgg16(tmp_path / "vgg16.pt", *IMAGENET))
    discriminator = PatchDiscriminator(DiscriminatorConfig(channels=4, layers=1))
    loss = AutoencoderLoss(AutoencoderLossConfig(), discriminator, distance)
    own = {f"discriminator.{name}" for name in discriminator.state_dict()}
    assert set(loss.state_dict()) == own
    assert len(list(loss.parameters())) == len(list(discriminator.parameters()))
