"""How much disk space a run needs: rules of thumb, each too much rather than too little."""

from collections.abc import Sequence
from pathlib import Path

import torch

from lvdm.data import recording
from lvdm.data.process import VideoError
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.factory import make_autoencoder
from lvdm.models.unet import UNet
from lvdm.stages.pipeline import PipelineConfig
from lvdm.training.checkpoint import KEPT

SAMPLED = 20
"""Videos of a data set that are looked at; the others are taken to have as many frames a byte."""

_RGB, _FLOAT32, _FLOAT16 = 3, 4, 2


def estimate_frames(paths: Sequence[Path], fps: float | None) -> tuple[int, list[Path]]:
    """About how many frames the videos have after extraction, and those of the looked at that cannot be read."""
    chosen = [paths[len(paths) * number // SAMPLED] for number in range(SAMPLED)] if len(paths) > SAMPLED else paths
    frames, looked_at, unreadable = 0, 0, []
    for path in chosen:
        try:
            frames += recording.stated_frames(path, fps)
        except (VideoError, OSError):
            unreadable.append(path)
            continue
        looked_at += _size(path)
    total = sum(map(_size, paths))
    return (round(frames * total / looked_at) if looked_at else 0), unreadable


def run_bytes(whole: PipelineConfig, frames: int) -> dict[str, int]:
    """Bytes that a run on ``frames`` frames writes, by folder. ``whole`` is the configuration of one data set.

    Extracted frames count like raw ones, though FFV1 makes them smaller.
    """
    picture = whole.data.height * whole.data.width * _RGB
    time, height, width = whole.autoencoder.model.downsample
    cells = (whole.data.height // height) * (whole.data.width // width)
    latent = whole.autoencoder.model.latent_channels * (whole.window // time) * cells
    windows = frames // whole.data.step
    samplers = len(whole.sample.samplers) if whole.diffusion.task == "unconditional" else 0
    return {
        "frames": frames * picture,
        "shards": frames * picture,
        "latents": windows * 2 * latent * _FLOAT16,
        "trainings": sum(map(_training_bytes, _networks(whole))),
        "samples": samplers * whole.sample.videos * whole.data.length * picture,
    }


def _networks(whole: PipelineConfig) -> list[int]:
    """Parameters of the networks that are trained. Nothing is computed: tensors on `meta` have shapes alone."""
    with torch.device("meta"):
        networks = [
            make_autoencoder(whole.autoencoder.model),
            PatchDiscriminator(whole.autoencoder.discriminator),
            UNet(whole.diffusion.model),
        ]
    return [sum(parameter.numel() for parameter in network.parameters()) for network in networks]


def _training_bytes(parameters: int) -> int:
    """Weights, and checkpoints with their average and two moments; one more is written before an old one goes."""
    return parameters * _FLOAT32 * (1 + (KEPT + 1) * 4)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size
