import pytest
import torch

from lvdm.models.autoencoder import Posterior
from lvdm.models.config import DiscriminatorConfig
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.training.config import AutoencoderLossConfig
from lvdm.training.losses import AutoencoderLoss, adaptive_weight, hinge_loss


def make_loss(dimensions: int = 2, perceptual=None, **settings) -> AutoencoderLoss:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(DiscriminatorConfig(dimensions=dimensions, channels=4, layers=1))
    return AutoencoderLoss(AutoencoderLossConfig(**settings), discriminator, perceptual)


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.rand(2, 3, 4, 8, 8) * 2 - 1


@pytest.fixture
def posterior() -> Posterior:
    return Posterior(torch.ones(2, 4, 1, 1, 1), torch.zeros(2, 4, 1, 1, 1))


def reconstruct(clip: torch.Tensor) -> tuple[torch.Tensor, torch.nn.Parameter]:
    """A reconstruction that depends on a last layer: half the clip."""
    last_layer = torch.nn.Parameter(torch.tensor(0.5))
    return clip * last_layer, last_layer


def test_l1_is_summed_over_a_frame(clip, posterior):
    reconstruction, last_layer = reconstruct(clip)
    loss, values = make_loss().autoencoder(clip, reconstruction, posterior, 0, last_layer)
    expected = 0.5 * clip.abs().sum() / (2 * 4)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(values["l1"], 0.5 * clip.abs().mean())


def test_kl_counts_with_its_weight(clip, posterior):
    reconstruction, last_layer = reconstruct(clip)
    without, values = make_loss().autoencoder(clip, reconstruction, posterior, 0, last_layer)
    with_kl, _ = make_loss(kl_weight=3.0).autoencoder(clip, reconstruction, posterior, 0, last_layer)
    assert values["kl"].item() == pytest.approx(2.0)  # four components of mean one
    assert (with_kl - without).item() == pytest.approx(6.0, rel=1e-4)


def test_lpips_counts_at_each_value_of_a_frame(clip, posterior):
    reconstruction, last_layer = reconstruct(clip)

    def distance(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert images.shape == targets.shape == (8, 3, 8, 8)
        return torch.full((8,), 0.25)

    without, _ = make_loss().autoencoder(clip, reconstruction, posterior, 0, last_layer)
    with_lpips, values = make_loss(perceptual=distance, perceptual_weight=2.0).autoencoder(
        clip, reconstruction, posterior, 0, last_layer
    )
    assert values["lpips"].item() == pytest.approx(0.25)
    assert (with_lpips - without).item() == pytest.approx(2.0 * 0.25 * 3 * 8 * 8, rel=1e-5)


def test_the_discriminator_counts_from_disc_start(clip, posterior):
    loss = make_loss(disc_start=10, disc_weight=0.5)
    reconstruction, last_layer = reconstruct(clip)
    before, values_before = loss.autoencoder(clip, reconstruction, posterior, 9, last_layer)
    after, values = loss.autoencoder(clip, reconstruction, posterior, 10, last_layer)
    assert not loss.adversarial(9)
    assert loss.adversarial(10)
    assert values_before["adaptive_weight"].item() == values_before["adversarial"].item() == 0
    assert values_before.keys() == values.keys()
    torch.testing.assert_close(after - before, 0.5 * values["adaptive_weight"] * values["adversarial"])


def test_adaptive_weight_is_the_ratio_of_gradient_norms():
    last_layer = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    clip, ones = 7 * last_layer, torch.ones(2)
    weight = adaptive_weight(2 * ones, 0.5 * ones, clip, last_layer)
    assert weight.item() == pytest.approx(4.0, rel=1e-3)
    assert not weight.requires_grad
    nothing = adaptive_weight(2 * ones, 0 * ones, clip, last_layer)
    assert nothing.item() == 1e4


def test_gradients_are_those_of_the_weighted_sum(clip, posterior):
    """All losses written out, and differentiated by autograd as one."""
    loss = make_loss(perceptual=lambda images, targets: (images - targets).square().mean((1, 2, 3)), disc_weight=0.5)
    reconstruction, last_layer = reconstruct(clip)
    total, values = loss.autoencoder(clip, reconstruction, posterior, 0, last_layer)
    found = torch.autograd.grad(2 * total, last_layer, retain_graph=True)[0]
    terms = clip.abs().mean() * (1 - last_layer), (clip * (1 - last_layer)).square().mean()
    adversarial = -loss.logits(reconstruction).mean()
    expected = 3 * 8 * 8 * sum(terms) + 0.5 * values["adaptive_weight"] * adversarial
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(found, torch.autograd.grad(2 * expected, last_layer)[0])


def test_hinge_loss():
    assert hinge_loss(torch.tensor([2.0]), torch.tensor([-2.0])).item() == 0
    assert hinge_loss(torch.tensor([0.0]), torch.tensor([1.0])).item() == pytest.approx(1.5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_discrimination_teaches_the_discriminator_only(clip, dimensions):
    loss = make_loss(dimensions=dimensions)
    reconstruction, last_layer = reconstruct(clip)
    loss.discrimination(clip, reconstruction).backward()
    assert last_layer.grad is None
    assert all(parameter.grad is not None for parameter in loss.discriminator.parameters())
