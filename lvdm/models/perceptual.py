"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) through the TorchScript VGG16 of NVIDIA's metrics."""

import io
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from lvdm.config import NetworkFile
from lvdm.files import verified_bytes


class PerceptualDistance:
    """LPIPS distance of images by a frozen network.

    Not a ``torch.nn.Module``: the network is an input, so it belongs in no checkpoint and no optimiser.
    ``path`` holds what ``file`` states: NVIDIA's vgg16.pt, whose features are scaled such that their squared distance
    is LPIPS. Raises ``ValueError`` when it is missing, another file, or no such network; it is not loaded before it is
    found to be the right one.
    """

    def __init__(self, path: str | Path, file: NetworkFile, device: torch.device | str = "cpu"):
        self.path = Path(path)
        content = verified_bytes(path, file)
        try:
            self.network = torch.jit.load(io.BytesIO(content), map_location=device).eval()
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise ValueError(f"{path}: not a TorchScript file ({reason}); fetch NVIDIA's vgg16.pt again") from None
        for parameter in self.network.parameters():
            parameter.requires_grad = False
        try:
            self._features(torch.zeros(1, 3, 32, 32, device=device))
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise ValueError(
                f"{path}: does not take images, resize_images and return_lpips as NVIDIA's vgg16.pt does ({reason})"
            ) from None

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distance (N,) of ``images`` to ``targets`` (N, 3, H, W) in [-1, 1]; differentiable in ``images``."""
        with torch.no_grad():
            wanted = self._features(targets)
        return (self._features(images) - wanted).float().square().flatten(start_dim=1).sum(dim=1)

    def of_clips(self, clips: Tensor, targets: Tensor) -> Tensor:
        """Mean distance of the frames of each clip, (B,), for clips (B, 3, T, H, W) in [-1, 1]."""
        images, wanted = (rearrange(part, "b c t h w -> (b t) c h w") for part in (clips, targets))
        return rearrange(self(images, wanted), "(b t) -> b t", b=len(clips)).mean(dim=1)

    def _features(self, images: Tensor) -> Tensor:
        levels = (images.float() + 1) * 127.5
        return self.network(levels, resize_images=False, return_lpips=True)
