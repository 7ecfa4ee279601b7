"""The baseline of the benchmarks computes what the networks compute, so that their ratio means something."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.denoiser import Denoiser
from lvdm.diffusion.samplers import ddpm
from lvdm.diffusion.schedule import make_schedule
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, DiscriminatorConfig, FrameAutoencoderConfig, UNetConfig
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.perceptual import FeatureDistance, PerceptualDistance
from lvdm.models.unet import UNet
from lvdm.training.config import AutoencoderTrainingConfig, DiffusionTrainingConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from baseline import PlainAutoencoder, PlainUNet
from baseline_steps import Ancestral, autoencoder_step, diffusion_step
from inputs import Vgg16, make_vgg16, randomise

AUTOENCODER = AutoencoderConfig(hidden_channels=4, norm_groups=4)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def unets(config: UNetConfig) -> tuple[UNet, PlainUNet]:
    """Both networks, with the same weights, none of which is 0."""
    ours, plain = randomise(UNet(config)), PlainUNet(config)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def autoencoders() -> tuple[VideoAutoencoder, PlainAutoencoder]:
    ours, plain = VideoAutoencoder(AUTOENCODER), PlainAutoencoder(AUTOENCODER)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def noisy_latents(config: UNetConfig) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 4, config.temporal_length, 8, 8), torch.tensor([3, 700])


def gradients_agree(ours: nn.Module, plain: nn.Module) -> None:
    wanted = {name: parameter.grad for name, parameter in ours.named_parameters()}
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("changes", [{}, {"scale_shift_norm": False}, {"temporal_kernel": 3}])
def test_the_unet_is_ours(tiny_unet, changes):
    ours, plain = unets(tiny_unet.replace(**changes))
    inputs = noisy_latents(tiny_unet)
    with torch.no_grad():
        torch.testing.assert_close(plain(*inputs), ours(*inputs), rtol=1e-5, atol=1e-5)


def test_its_gradients_are_ours_with_checkpointing_as_there(tiny_unet):
    ours, plain = unets(tiny_unet.replace(checkpointing=True))
    inputs = noisy_latents(tiny_unet)
    for network in (ours, plain):
        network(*inputs).square().mean().backward()
    gradients_agree(ours, plain)


def test_the_autoencoder_is_ours():
    ours, plain = autoencoders()
    clip = torch.rand(1, 3, 8, 32, 32) * 2 - 1
    posterior = ours.encode(clip)
    mean, logvar = plain.encode(clip)
    torch.testing.assert_close(mean, posterior.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logvar, posterior.logvar, rtol=1e-5, atol=1e-5)
    reconstruction, wanted = plain.decode(mean), ours.decode(posterior.mean)
    torch.testing.assert_close(reconstruction, wanted, rtol=1e-5, atol=1e-5)
    reconstruction.abs().mean().backward()
    wanted.abs().mean().backward()
    gradients_agree(ours, plain)


def test_other_forms_of_the_unet_are_refused(tiny_unet):
    with pytest.raises(ValueError, match="without given frames"):
        PlainUNet(tiny_unet.replace(noise_levels=251))


def test_another_autoencoder_is_refused():
    with pytest.raises(ValueError, match="not of frames"):
        PlainAutoencoder(FrameAutoencoderConfig())


def all_change(step: Callable[[], None], *networks: nn.Module) -> None:
    """All but biases, some of which have no gradient: before a normalisation, or of a discriminator in its margins."""
    parameters = [part for network in networks for part in network.parameters() if part.ndim > 1]
    before = [parameter.detach().clone() for parameter in parameters]
    step()
    assert not any(torch.equal(old, new) for old, new in zip(before, parameters, strict=True))


def test_a_step_of_diffusion_trains_the_whole_unet_alone(tiny_unet):
    _, unet = unets(tiny_unet)
    _, autoencoder = autoencoders()
    kept = copy.deepcopy(autoencoder.state_dict())
    clips = torch.rand(2, 3, 16, 32, 32) * 2 - 1
    schedule = make_schedule(ScheduleConfig())
    all_change(diffusion_step(unet, autoencoder, schedule, DiffusionTrainingConfig(), clips), unet)
    torch.testing.assert_close(autoencoder.state_dict(), kept, rtol=0, atol=0)


def test_a_step_of_the_full_loss_trains_both_networks():
    _, autoencoder = autoencoders()
    discriminator = PatchDiscriminator(DiscriminatorConfig(channels=4, layers=1))
    vgg = Vgg16(width=4).requires_grad_(False)
    step = autoencoder_step(
        autoencoder,
        AutoencoderTrainingConfig(),
        torch.rand(1, 3, 8, 32, 32) * 2 - 1,
        lambda images, targets: (vgg(images) - vgg(targets)).square().sum(dim=1),
        discriminator,
    )
    all_change(step, autoencoder, discriminator)


def test_lpips_of_the_benchmarks_is_ours(tmp_path, caplog):
    file = make_vgg16(tmp_path, width=4)
    images, targets = torch.rand(2, 2, 3, 32, 32) * 2 - 1
    wanted = FeatureDistance(torch.jit.load(file.path))(images, targets)
    torch.testing.assert_close(PerceptualDistance(file.path, file)(images, targets), wanted, rtol=1e-4, atol=0)
    assert not caplog.records  # else both would be the file's own code


def test_ancestral_sampling_is_ours(tiny_unet):
    """The same noise in, the same latents out, over all levels of a short schedule."""
    ours, plain = unets(tiny_unet)
    schedule = make_schedule(ScheduleConfig(steps=10, beta_start=0.02, beta_end=0.5))
    draws = torch.randn(11, 1, 4, tiny_unet.temporal_length, 8, 8)
    sampling = Ancestral(schedule, torch.device("cpu"))
    x = draws[0]
    with torch.no_grad():
        for number, t in enumerate(reversed(range(10)), start=1):
            x = sampling.step(plain, x, t, draws[number])
        times = list(reversed(range(10)))
        wanted = ddpm(Denoiser(ours, schedule, "eps"), draws[0], times, schedule, lambda step: draws[step + 1])
    torch.testing.assert_close(x, wanted, rtol=1e-3, atol=1e-4)
