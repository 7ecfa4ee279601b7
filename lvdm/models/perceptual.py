"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) by the VGG16 of NVIDIA's metrics, from its TorchScript file."""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from lvdm.config import NetworkFile
from lvdm.files import verified_bytes
from lvdm.models.lpips import find_lpips, levels

_logger = logging.getLogger(__name__)

Distance = Callable[[Tensor, Tensor], Tensor]


class PerceptualDistance:
    """LPIPS distance of images by a frozen network.

    Not a ``torch.nn.Module``: the network is an input, so it belongs in no checkpoint and no optimiser.
    ``path`` holds what ``file`` states: NVIDIA's vgg16.pt, whose features are scaled such that their squared distance
    is LPIPS. Raises ``ValueError`` when it is missing, another file, or no such network; it is not loaded before it is
    found to be the right one.

    Where the network turns out to be VGG16, its numbers are taken and the distance is computed by
    :class:`lvdm.models.lpips.Lpips`; else the file's own code runs. ``compiled`` makes a function of tensors of always
    the same shapes faster.
    """

    def __init__(
        self,
        path: str | Path,
        file: NetworkFile,
        device: torch.device | str = "cpu",
        compiled: Callable[[Distance], Distance] = lambda function: function,
    ):
        self.path = Path(path)
        content = verified_bytes(path, file)
        own = FeatureDistance(self._load(content, "cpu"))
        lpips = find_lpips(own.network.state_dict(), own)
        if lpips is None:
            _logger.warning("%s is not the VGG16 of NVIDIA's metrics: LPIPS runs as the file has it, slower", path)
            self._eager = self._compiled = FeatureDistance(self._load(content, device))
        else:
            self._eager = lpips.to(device).distance
            self._compiled = compiled(self._eager)

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distance (N,) of ``images`` to ``targets`` (N, 3, H, W) in [-1, 1]; differentiable in ``images``.

        Compiled: for a training, whose batches are all of one size.
        """
        return self._compiled(images, targets)

    def of_clips(self, clips: Tensor, targets: Tensor) -> Tensor:
        """Mean distance of the frames of each clip, (B,), for clips (B, 3, T, H, W) in [-1, 1]; any number of them."""
        images, wanted = (rearrange(part, "b c t h w -> (b t) c h w") for part in (clips, targets))
        return rearrange(self._eager(images, wanted), "(b t) -> b t", b=len(clips)).mean(dim=1)

    def _load(self, content: bytes, device: torch.device | str) -> torch.jit.ScriptModule:
        try:
            network = torch.jit.load(io.BytesIO(content), map_location=device).eval()
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{self.path}: not a TorchScript file ({reason}); fetch NVIDIA's vgg16.pt again") from None
        for parameter in network.parameters():
            parameter.requires_grad = False
        try:
            _features(network, torch.zeros(1, 3, 32, 32, device=device))
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            wanted = "images, resize_images and return_lpips as NVIDIA's vgg16.pt does"
            raise ValueError(f"{self.path}: does not take {wanted} ({reason})") from None
        return network


@dataclass(frozen=True)
class FeatureDistance:
    """The squared distance of the features of a network that is called as NVIDIA's vgg16.pt is."""

    network: Callable[..., Tensor]

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distance (N,) of ``images`` to ``targets`` (N, 3, H, W) in [-1, 1]; differentiable in ``images``."""
        with torch.no_grad():
            wanted = _features(self.network, targets)
        return (_features(self.network, images) - wanted).float().square().flatten(start_dim=1).sum(dim=1)


def _features(network: Callable[..., Tensor], images: Tensor) -> Tensor:
    return network(levels(images), resize_images=False, return_lpips=True)
