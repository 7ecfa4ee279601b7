"""Floating-point operations of one clip, counted on the plain networks at batch 1."""

from collections.abc import Callable
from unittest import mock

import torch
from baseline import PlainAutoencoder, PlainUNet
from baseline_steps import autoencoder_step
from inputs import Vgg16, clip_shape, latent_shape
from torch.utils.flop_counter import FlopCounterMode

from lvdm.models.discriminator import PatchDiscriminator
from lvdm.stages.pipeline import PipelineConfig

FORWARD_AND_BACKWARD = 3  # the backward pass computes gradients of inputs and of weights


def unet(pipeline: PipelineConfig) -> int:
    """A forward pass of the UNet."""
    shape = latent_shape(pipeline)
    return _count(lambda: PlainUNet(pipeline.diffusion.model)(torch.empty(1, *shape), torch.zeros(1)))


def encode(pipeline: PipelineConfig) -> int:
    """Of the autoencoder."""
    shape = clip_shape(pipeline)
    return _count(lambda: PlainAutoencoder(pipeline.autoencoder.model).encode(torch.empty(1, *shape)))


def decode(pipeline: PipelineConfig) -> int:
    """Of the autoencoder."""
    shape = latent_shape(pipeline)
    return _count(lambda: PlainAutoencoder(pipeline.autoencoder.model).decode(torch.empty(1, *shape)))


def full_loss(pipeline: PipelineConfig, width: int) -> int:
    """A step of the autoencoder and its discriminator from one reconstruction, with LPIPS by a VGG16 of ``width``."""
    section = pipeline.autoencoder

    def step() -> None:
        vgg = Vgg16(width).requires_grad_(False)
        autoencoder_step(
            PlainAutoencoder(section.model),
            section.training,
            torch.empty(1, *clip_shape(pipeline)),
            lambda images, targets: (vgg(images) - vgg(targets)).square().sum(dim=1),
            PatchDiscriminator(section.discriminator),
        )()

    with mock.patch.object(torch.optim.Adam, "step"):  # it reads the number of its step, and here there are no data
        return _count(step) - encode(pipeline) - decode(pipeline)


def _count(function: Callable[[], object]) -> int:
    """Those of ``function``, which makes its networks and inputs itself, here without data."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
