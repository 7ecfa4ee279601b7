"""Detectors: networks whose features stand for what a clip, or a frame, shows.

Each kind of network is called in its own way (:data:`_CALLS`); all take uint8 clips (B, T, H, W, 3) and give
:class:`Features`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from lvdm.evaluation import i3d
from lvdm.evaluation.config import DetectorConfig
from lvdm.files import verified_bytes

Network = Callable[..., Tensor]

_C3D_FRAMES = 16


@dataclass(frozen=True)
class Features:
    """What a detector says of n clips or frames, on its device.

    ``values`` is float32 (n, D); ``probabilities`` float32 (n, K), where the detector classifies.
    """

    values: Tensor
    probabilities: Tensor | None = None


@dataclass(frozen=True)
class Detector:
    """A network on a device, with what is known of it; made by :func:`load_detector`."""

    config: DetectorConfig
    network: Network
    device: torch.device
    name: str

    @torch.inference_mode()
    def __call__(self, clips: Tensor) -> Features:
        """The features of uint8 clips (B, T, H, W, 3) on the detector's device.

        One row a clip, or, of detectors of frames, one a frame: those of the first clip, then of the next.
        Raises ``ValueError`` when the clips are elsewhere, too short or not square where they must be, when the
        network does not take them as its kind does, and when what it gives has not the size or the meaning that
        ``config`` states.
        """
        if clips.device != self.device:
            raise ValueError(
                f"the clips are on {clips.device}, but {self.name} is on {self.device}; move the clips there"
            )
        _check_length(self.config.kind, clips.shape[1])
        _check_square(self.config, *clips.shape[2:4])
        try:
            # Optimised, a TorchScript network computes its first batches in another way than those that follow,
            # and a clip's last bits would depend on where in the stream it is.
            with torch.jit.optimized_execution(False):
                features = _CALLS[self.config.kind](self.network, clips)
        except (RuntimeError, torch.jit.Error) as error:
            if "out of memory" in str(error):  # torch.OutOfMemoryError, but not where TorchScript passes it on
                raise ValueError(f"no memory for {len(clips)} clips at a time; lower evaluate.batch_size") from error
            raise ValueError(
                f"{self.name} cannot be called as kind `{self.config.kind}` is, with clips {tuple(clips.shape)} on "
                f"{self.device}: {_reason(error)}; set another `kind`, or use another file"
            ) from error
        return self._checked(features, len(clips) * (clips.shape[1] if self.config.sees == "frames" else 1))

    def _checked(self, features: Features, rows: int) -> Features:
        values = self._floats(features.values, rows)
        if values.shape[1] != self.config.features:
            raise ValueError(
                f"{self.name} gives {values.shape[1]} values, but `features` of this detector is "
                f"{self.config.features}; set it to {values.shape[1]}, or use another file"
            )
        if features.probabilities is None:
            return Features(values)
        probabilities = self._floats(features.probabilities, rows)
        if bool((probabilities < 0).any()) or bool(((probabilities.sum(dim=1) - 1).abs() > 1e-3).any()):
            raise ValueError(f"{self.name} gives numbers that are no probabilities (logits?); use another file")
        return Features(values, probabilities)

    def _floats(self, found: Tensor, rows: int) -> Tensor:
        """What the network returned, if it is ``rows`` rows of numbers on this device."""
        if not isinstance(found, Tensor):
            raise ValueError(f"{self.name} gives a {type(found).__name__}, but one tensor of features is needed")
        if found.dim() != 2 or len(found) != rows:
            raise ValueError(f"{self.name} gives the shape {tuple(found.shape)}, but ({rows}, values) is needed")
        if found.device != self.device:
            raise ValueError(f"{self.name} was loaded to {self.device}, but what it gives is on {found.device}")
        return found.float()


def load_detector(config: DetectorConfig, network: Path | None, device: torch.device) -> Detector:
    """The detector that ``config`` describes, on ``device``, its weights those of the file ``network``.

    The file is read once and verified against ``config.file``; what was verified is what is loaded, and no
    code in it is run but TorchScript's. Raises ``ValueError`` when it is missing, is another file, or holds no
    network of this kind.
    """
    device = torch.empty(0, device=device).device  # with its number, as tensors state theirs
    if config.kind == "random3d":
        stand_in = Random3D(config.features, torch.Generator().manual_seed(config.seed))
        return Detector(config, stand_in.eval().to(device), device, "the random3d detector")
    if network is None:
        raise ValueError(f"a detector of kind `{config.kind}` needs its file; give --network, as stage fetch writes it")
    content = verified_bytes(network, config.file)
    if config.kind == "i3d-state-dict":
        loaded = i3d.load_i3d(content, str(network)).eval().requires_grad_(False).to(device)
    else:
        loaded = _load_script(content, network, device)
    return Detector(config, loaded, device, str(network))


def _load_script(content: bytes, path: Path, device: torch.device) -> Network:
    try:
        # Unlike torch.load, this runs no pickled Python: TorchScript's reader is restricted to its own types.
        return torch.jit.load(io.BytesIO(content), map_location=device).eval()
    except RuntimeError as error:
        raise ValueError(
            f"{path} is no TorchScript file ({_reason(error)}); give one that torch.jit.save wrote"
        ) from None


def _reason(error: Exception) -> str:
    """What went wrong: the last line where TorchScript puts a trace before it, else the first."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or ["no reason given"]
    return lines[-1] if "TorchScript" in lines[0] else lines[0]


def _check_length(kind: str, frames: int) -> None:
    if kind == "c3d" and frames != _C3D_FRAMES:
        raise ValueError(f"a detector of kind `c3d` takes clips of {_C3D_FRAMES} frames, but these have {frames}")
    if kind == "i3d-state-dict" and frames < i3d.MIN_FRAMES:
        raise ValueError(f"a detector of kind `{kind}` takes at least {i3d.MIN_FRAMES} frames, but clips have {frames}")


def _check_square(config: DetectorConfig, height: int, width: int) -> None:
    if config.takes_squares and height != width:
        raise ValueError(
            f"a detector of kind `{config.kind}` takes square frames and would stretch those of {width}x{height} "
            "pixels; give the protocol `resize`, which cuts the centre out (`keep_aspect: false` stretches)"
        )


def _videos(clips: Tensor) -> Tensor:
    return rearrange(clips, "b t h w c -> b c t h w").contiguous()


def _frames(clips: Tensor) -> Tensor:
    return rearrange(clips, "b t h w c -> (b t) c h w").contiguous()


def _call_i3d(network: Network, clips: Tensor) -> Features:
    """StyleGAN-V's I3D (Skorokhodov et al. 2022): it resizes to 224 x 224 and scales to [-1, 1] by itself."""
    return Features(network(_videos(clips), rescale=True, resize=True, return_features=True))


def _call_inception(network: Network, clips: Tensor) -> Features:
    """NVIDIA's Inception 2015-12-05: features for FID; a softmax without bias, as the first inception scores took."""
    frames = _frames(clips)
    return Features(network(frames, return_features=True), network(frames, no_output_bias=True))


def _call_c3d(network: Network, clips: Tensor) -> Features:
    """StyleGAN-V's C3D of UCF-101: levels in [0, 255] in, a softmax out, which stands for the features too."""
    probabilities = network(_videos(clips))
    return Features(probabilities, probabilities)


def _call_i3d_state_dict(network: Network, clips: Tensor) -> Features:
    return Features(network(i3d.preprocess(clips)))


def _call_video(network: Network, clips: Tensor) -> Features:
    return Features(network(_videos(clips).float() / 127.5 - 1))


def _call_image(network: Network, clips: Tensor) -> Features:
    return Features(network(_frames(clips).float() / 127.5 - 1))


def _call_random3d(network: Network, clips: Tensor) -> Features:
    return Features(network(clips))


_CALLS: dict[str, Callable[[Network, Tensor], Features]] = {
    "i3d": _call_i3d,
    "inception": _call_inception,
    "c3d": _call_c3d,
    "i3d-state-dict": _call_i3d_state_dict,
    "video": _call_video,
    "videomae": _call_video,
    "v-jepa": _call_video,
    "image": _call_image,
    "random3d": _call_random3d,
}


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
