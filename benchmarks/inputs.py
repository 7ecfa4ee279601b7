"""Inputs that the benchmarks make themselves: shards, latent caches, networks with random weights."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lvdm.config import NetworkFile
from lvdm.data.config import ClipConfig
from lvdm.data.shards import first_frames, whole_videos, write_shard
from lvdm.files import write_json
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.unet import UNet
from lvdm.models.weights import save_model
from lvdm.stages.pipeline import PipelineConfig
from lvdm.training.config import DiffusionModelConfig, LatentScaling

_FRAMES = 256
_LOG_VARIANCE = -5  # next to the means, a posterior is narrow
_SMALL = 0.02


def latent_shape(pipeline: PipelineConfig) -> tuple[int, int, int, int]:
    """Channels, frames, height and width of what the diffusion model learns."""
    data, model = pipeline.data, pipeline.autoencoder.model
    _, height, width = model.downsample
    cells = data.height // height, data.width // width
    return model.latent_channels, pipeline.diffusion.model.temporal_length, *cells


def clip_shape(pipeline: PipelineConfig) -> tuple[int, int, int, int]:
    """Channels, frames, height and width of a clip in memory."""
    return 3, pipeline.window, *pipeline.data.size


def clip_config(pipeline: PipelineConfig) -> ClipConfig:
    """What the diffusion model sees of a video."""
    clip = {field: getattr(pipeline.data, field) for field in ClipConfig.model_fields}
    return ClipConfig(**clip | {"length": pipeline.window})


def make_shard(folder: Path, clip: ClipConfig, videos: int) -> Path:
    """A shard of ``videos`` videos, all of the same 256 frames of noise, or of as many as a longer clip covers."""
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (_frames(clip), *clip.size, 3), dtype=np.uint8)
    path = folder / "train-000.npy"
    write_shard(
        path, clip.resolution, whole_videos({f"video-{n}": len(frames) for n in range(videos)}), lambda id: [frames]
    )
    return path


def make_shard_of(folder: Path, clip: ClipConfig, count: int) -> Path:
    """A shard of at least ``count`` windows, and few more."""
    return make_shard(folder, clip, -(-count // len(first_frames([_frames(clip)], clip))))


def _frames(clip: ClipConfig) -> int:
    """Of a video."""
    return max(_FRAMES, clip.span)


def make_latents(folder: Path, shape: tuple[int, ...], windows: int) -> Path:
    """A latent cache of ``windows`` windows, whose latents have ``shape`` (C, T, H, W)."""
    moments = np.random.default_rng(0).standard_normal((windows, 2, *shape), dtype=np.float32)
    moments[:, 1] += _LOG_VARIANCE
    path = folder / "latents.npy"
    np.save(path, moments.astype(np.float16))
    write_json(path.with_suffix(".json"), {"windows": [["video", first] for first in range(windows)]})
    return path


def randomise(network: nn.Module) -> nn.Module:
    """``network`` with small numbers for the weights that start as 0, as if it were trained."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=_SMALL)
    return network


def diffusion_model(pipeline: PipelineConfig, **changes: object) -> DiffusionModelConfig:
    """The diffusion model of a configuration; ``changes`` are fields of its network."""
    section = pipeline.diffusion
    return DiffusionModelConfig(
        model=section.model.replace(**changes),
        schedule=section.schedule,
        objective=section.objective,
        latent_shape=latent_shape(pipeline),
        scaling=LatentScaling(shift=0.0, scale=1.0),
    )


def save_autoencoder(folder: Path, pipeline: PipelineConfig) -> Path:
    """Random weights of the autoencoder, as the stages read them."""
    path, model = folder / "autoencoder.safetensors", pipeline.autoencoder.model
    save_model(path, VideoAutoencoder(model).state_dict(), model.model_dump(mode="json"))
    return path


def save_diffusion(folder: Path, pipeline: PipelineConfig) -> Path:
    """Random weights of the diffusion model, as the stages read them."""
    path, model = folder / "diffusion.safetensors", diffusion_model(pipeline)
    save_model(path, randomise(UNet(model.model)).state_dict(), model.model_dump(mode="json"))
    return path


class Vgg16(nn.Module):
    """The convolutions of VGG16 and the features of LPIPS, with random weights, called as NVIDIA's vgg16.pt is.

    The features of five depths, each of unit length along the channels, and divided by the root of their number of
    positions. ``width`` is 64 in VGG16.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        stages, channels = [], 3
        for wide, depth in ((width, 2), (2 * width, 2), (4 * width, 3), (8 * width, 3), (8 * width, 3)):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
            for _ in range(depth):
                layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU()]
                channels = wide
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor, resize_images: bool = True, return_lpips: bool = False) -> Tensor:
        x = x / 127.5 - 1
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            unit = x / (x.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
            features.append(unit.flatten(1) / (x.shape[2] * x.shape[3]) ** 0.5)
        return torch.cat(features, dim=1)


def make_vgg16(folder: Path, width: int) -> NetworkFile:
    """A file of TorchScript like NVIDIA's vgg16.pt, of random weights."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as NVIDIA's file is made, all the same
        torch.jit.save(torch.jit.script(Vgg16(width).requires_grad_(False)), buffer)
    path = folder / "vgg16.pt"
    path.write_bytes(buffer.getvalue())
    return NetworkFile(path=path, size=path.stat().st_size)
