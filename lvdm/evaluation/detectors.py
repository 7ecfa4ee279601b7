"""Detectors: networks whose features stand for what a clip shows.

A detector maps uint8 clips (B, T, H, W, 3) to float32 features (B, D).
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from lvdm.evaluation.config import DetectorConfig

Detector = Callable[[Tensor], Tensor]


def load_detector(config: DetectorConfig, device: torch.device) -> Detector:
    """The detector that ``config`` describes, on ``device``.

    Raises ``ValueError`` when its file is missing, is not the file that the checksum names, or is no
    TorchScript; and, when called, when its output has not the size that ``config`` states.
    """
    if config.kind == "random3d":
        network = Random3D(config.features, torch.Generator().manual_seed(config.seed))
        return network.eval().requires_grad_(False).to(device)
    return TorchScriptDetector(_load_verified(config.path, config.sha256, device), config.features, config.path)


@dataclass(frozen=True)
class TorchScriptDetector:
    """A TorchScript network with the call contract of StyleGAN-V's I3D (Skorokhodov et al. 2022).

    The network takes float (B, 3, T, H, W) in [0, 255] and the keywords ``rescale=True`` (to [-1, 1]),
    ``resize=True`` (to its own resolution) and ``return_features=True``, and returns (B, ``features``).
    """

    network: Callable[..., Tensor]
    features: int
    path: Path

    @torch.inference_mode()
    def __call__(self, clips: Tensor) -> Tensor:
        videos = rearrange(clips, "b t h w c -> b c t h w").float().contiguous()
        features = self.network(videos, rescale=True, resize=True, return_features=True)
        expected = (len(clips), self.features)
        if tuple(features.shape) != expected:
            raise ValueError(
                f"{self.path} gives features of shape {tuple(features.shape)}, but {expected} is expected; "
                "set `features` of this detector to the values it gives a clip, or use another file"
            )
        return features.float()


def _load_verified(path: Path, sha256: str, device: torch.device) -> Callable[..., Tensor]:
    """Load a TorchScript file, but only after its checksum is found right.

    The bytes that were hashed are the bytes that are loaded, so a file that changes in between is no risk.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: the detector's file cannot be read: {error.strerror}; check `path`") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path} ({len(content)} bytes) has the SHA-256 {found}, but the configuration says {sha256}; it was "
            "not loaded. Fetch it again, or correct `sha256` if you trust this file"
        )
    try:
        # Unlike torch.load, this runs no pickled Python: TorchScript's reader is restricted to its own types.
        return torch.jit.load(io.BytesIO(content), map_location=device).eval()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} is no TorchScript file ({reason}); save it with torch.jit.save") from None


class Random3D(nn.Module):
    """A stand-in for a trained detector: a small 3D network with random weights.

    Random convolutions respond to colour, texture and motion, so that their statistics tell noise, blur
    or frozen frames from real clips; they know nothing of what is shown. Distances of its features
    compare runs with the same seed; they are no FVD and compare with no published number.

    A pyramid shows the clip to the same two layers at several scales. A third of the first layer's
    kernels is left as drawn and sees colour, a third sums to zero in space and sees texture, a third sums
    to zero in time and sees motion. Texture and motion are small beside colour, so those kernels are
    amplified; frozen frames and a blur of one pixel are then as far from real clips as a loss of colour.
    The mean and the standard deviation of every channel over the clip, at every scale, are projected to
    ``features`` values. Takes any T >= 4 and H, W >= 16.
    """

    scales = (1, 2, 4)
    channels = 24
    gain = 4.0

    def __init__(self, features: int, generator: torch.Generator):
        super().__init__()
        colour, texture, motion = torch.randn(self.channels, 3, 3, 3, 3, generator=generator).chunk(3)
        texture = texture - reduce(texture, "o i t h w -> o i t 1 1", "mean")
        motion = motion - reduce(motion, "o i t h w -> o i 1 h w", "mean")
        first = [_unit_norm(colour), self.gain * _unit_norm(texture), self.gain * _unit_norm(motion)]
        self.register_buffer("first", torch.cat(first))
        second = torch.randn(self.channels, self.channels, 3, 3, 3, generator=generator)
        self.register_buffer("second", _unit_norm(second))
        statistics = len(self.scales) * 2 * 2 * self.channels
        projection = torch.randn(statistics, features, generator=generator) / statistics**0.5
        self.register_buffer("projection", projection)

    @torch.inference_mode()
    def forward(self, clips: Tensor) -> Tensor:
        """Features (B, D) of uint8 clips (B, T, H, W, 3)."""
        videos = rearrange(clips, "b t h w c -> b c t h w").float() / 127.5 - 1
        statistics = []
        for scale in self.scales:
            shrunk = functional.avg_pool3d(videos, (1, scale, scale))
            low = functional.leaky_relu(functional.conv3d(shrunk, self.first, stride=(1, 2, 2)), 0.2)
            high = functional.leaky_relu(functional.conv3d(low, self.second, padding=1), 0.2)
            statistics += [*_mean_and_deviation(low), *_mean_and_deviation(high)]
        return torch.cat(statistics, dim=1) @ self.projection


def _unit_norm(kernels: Tensor) -> Tensor:
    return kernels / kernels.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)


def _mean_and_deviation(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over the clip: two of (B, C) from (B, C, T, H, W)."""
    mean = reduce(activations, "b c t h w -> b c", "mean")
    square = reduce(activations.square(), "b c t h w -> b c", "mean")
    return mean, (square - mean.square()).clamp(min=0).sqrt()
