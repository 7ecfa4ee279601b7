"""How well clips are reconstructed: PSNR and SSIM, in float64.

Both take clips (B, C, T, H, W) in [-1, 1], clamp them to that range and return a value a clip, (B,).
"""

import torch
from einops import rearrange
from torch import Tensor

_WINDOW = 11
_WINDOW_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(clips: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio, dB, of the mean squared error over a clip; infinite for equal clips."""
    error = (_unit(clips) - _unit(targets)).square().flatten(start_dim=1).mean(dim=1)
    return -10 * torch.log10(error)


def ssim(clips: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, equation 13): of each channel of each frame, averaged.

    Gaussian window of 11x11 and sigma 1.5, K1 = 0.01, K2 = 0.03, where the window lies inside the frame.
    Raises ``ValueError`` when frames are smaller than the window.
    """
    if min(clips.shape[-2:]) < _WINDOW:
        raise ValueError(f"SSIM needs frames of {_WINDOW} pixels; they are {clips.shape[-2]}x{clips.shape[-1]}")
    x, y = (rearrange(_unit(clip), "b c t h w -> b (c t) h w") for clip in (clips, targets))
    rows, columns = (_window_matrix(size, clips.device) for size in clips.shape[-2:])

    def local_mean(images: Tensor) -> Tensor:
        # The window is separable: two products with banded matrices, which BLAS does fast in float64.
        return rows @ images @ columns.T

    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    )
    return similarity.flatten(start_dim=1).mean(dim=1)


def _unit(clips: Tensor) -> Tensor:
    """To float64 in [0, 1]."""
    return (clips.double().clamp(-1, 1) + 1) / 2


def _window_matrix(size: int, device: torch.device) -> Tensor:
    """(size - 10, size): row i holds the window's weights from column i on."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64, device=device) - _WINDOW // 2
    weights = torch.exp(-0.5 * (offsets / _WINDOW_SIGMA) ** 2)
    weights = weights / weights.sum()
    matrix = torch.zeros(size - _WINDOW + 1, size, dtype=torch.float64, device=device)
    for row in range(len(matrix)):
        matrix[row, row : row + _WINDOW] = weights
    return matrix
