"""The Inception I3D network (Carreira and Zisserman 2017, arXiv:1705.07750, figure 3) in plain PyTorch.

Modules bear the names of the public PyTorch ports, so that the weights which VideoGPT, TATS and LVDM score with
(``i3d_pretrained_400.pt``) load as they are.
"""

import io
import pickle
import zipfile
from collections import OrderedDict

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

RESOLUTION = 224
MIN_FRAMES = 9  # fewer leave one time step, and the last pooling takes two

# Channels of the branches of each mixed block: 1x1x1; 1x1x1 then 3x3x3, twice; pooling then 1x1x1.
_MIXED_CHANNELS = {
    "3b": (64, (96, 128), (16, 32), 32),
    "3c": (128, (128, 192), (32, 96), 64),
    "4b": (192, (96, 208), (16, 48), 64),
    "4c": (160, (112, 224), (24, 64), 64),
    "4d": (128, (128, 256), (24, 64), 64),
    "4e": (112, (144, 288), (32, 64), 64),
    "4f": (256, (160, 320), (32, 128), 128),
    "5b": (256, (160, 320), (32, 128), 128),
    "5c": (384, (192, 384), (48, 128), 128),
}

Size = tuple[int, int, int]


class InceptionI3D(nn.Sequential):
    """I3D on colour frames: ``forward`` maps videos (B, 3, T, 224, 224) in [-1, 1] to logits (B, classes).

    ``T`` is at least 9. The logits of all time steps are averaged; there is no softmax.
    """

    def __init__(self, classes: int = 400):
        layers: list[tuple[str, nn.Module]] = [
            ("Conv3d_1a_7x7", Unit(3, 64, kernel=(7, 7, 7), stride=(2, 2, 2))),
            ("MaxPool3d_2a_3x3", SameMaxPool((1, 3, 3), (1, 2, 2))),
            ("Conv3d_2b_1x1", Unit(64, 64)),
            ("Conv3d_2c_3x3", Unit(64, 192, kernel=(3, 3, 3))),
            ("MaxPool3d_3a_3x3", SameMaxPool((1, 3, 3), (1, 2, 2))),
            *_mixed_blocks("3", 192),
            ("MaxPool3d_4a_3x3", SameMaxPool((3, 3, 3), (2, 2, 2))),
            *_mixed_blocks("4", 480),
            ("MaxPool3d_5a_2x2", SameMaxPool((2, 2, 2), (2, 2, 2))),
            *_mixed_blocks("5", 832),
            ("average", nn.AvgPool3d((2, 7, 7), stride=1)),
            ("logits", Unit(1024, classes, normalised=False)),
        ]
        super().__init__(OrderedDict(layers))

    def forward(self, videos: Tensor) -> Tensor:
        return reduce(super().forward(videos), "b classes t 1 1 -> b classes", "mean")


class Unit(nn.Module):
    """Convolution with "same" padding; then, where ``normalised``, batch normalisation and a ReLU, else a bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size = (1, 1, 1),
        stride: Size = (1, 1, 1),
        normalised: bool = True,
    ):
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=not normalised)
        if normalised:
            self.bn = nn.BatchNorm3d(out_channels, eps=1e-5)
        self.normalised = normalised

    def forward(self, videos: Tensor) -> Tensor:
        videos = self.conv3d(pad_same(videos, self.conv3d.kernel_size, self.conv3d.stride))
        return functional.relu(self.bn(videos), inplace=True) if self.normalised else videos


class SameMaxPool(nn.MaxPool3d):
    """Max pooling with "same" padding. It pads with zeros, which are no maximum because a ReLU comes before it."""

    def forward(self, videos: Tensor) -> Tensor:
        return super().forward(pad_same(videos, self.kernel_size, self.stride))


class Mixed(nn.Module):
    """An Inception block: four branches side by side, whose channels are stacked."""

    def __init__(self, in_channels: int, single: int, first: tuple[int, int], second: tuple[int, int], pooled: int):
        super().__init__()
        self.b0 = Unit(in_channels, single)
        self.b1a, self.b1b = Unit(in_channels, first[0]), Unit(*first, kernel=(3, 3, 3))
        self.b2a, self.b2b = Unit(in_channels, second[0]), Unit(*second, kernel=(3, 3, 3))
        self.b3a, self.b3b = SameMaxPool((3, 3, 3), (1, 1, 1)), Unit(in_channels, pooled)

    def forward(self, videos: Tensor) -> Tensor:
        branches = [
            self.b0(videos),
            self.b1b(self.b1a(videos)),
            self.b2b(self.b2a(videos)),
            self.b3b(self.b3a(videos)),
        ]
        return torch.cat(branches, dim=1)


def _mixed_blocks(stage: str, in_channels: int) -> list[tuple[str, nn.Module]]:
    blocks: list[tuple[str, nn.Module]] = []
    for name, (single, first, second, pooled) in _MIXED_CHANNELS.items():
        if name.startswith(stage):
            blocks.append((f"Mixed_{name}", Mixed(in_channels, single, first, second, pooled)))
            in_channels = single + first[1] + second[1] + pooled
    return blocks


def pad_same(videos: Tensor, kernel: Size, stride: Size) -> Tensor:
    """Pad (B, C, T, H, W) with zeros as TensorFlow's "SAME" does, so that a window of ``kernel`` with ``stride`` gives
    ``ceil(size / stride)`` values along each axis; of an odd number of zeros, the end gets one more."""
    padding: list[int] = []
    for size, width, step in zip(videos.shape[2:], kernel, stride, strict=True):
        missing = max((-(-size // step) - 1) * step + width - size, 0)
        padding = [missing // 2, missing - missing // 2, *padding]
    return functional.pad(videos, padding)


def preprocess(clips: Tensor) -> Tensor:
    """uint8 clips (B, T, H, W, 3) as VideoGPT, TATS and LVDM give them to I3D: (B, 3, T, 224, 224) in [-1, 1].

    Frames are stretched to a square, bilinearly and without antialiasing.
    """
    frames = rearrange(clips, "b t h w c -> (b t) c h w").float()
    frames = functional.interpolate(frames, size=(RESOLUTION, RESOLUTION), mode="bilinear", align_corners=False)
    return rearrange(frames, "(b t) c h w -> b c t h w", b=len(clips)) / 127.5 - 1


def load_i3d(content: bytes, source: str) -> InceptionI3D:
    """The network with the weights of ``i3d_pretrained_400.pt``, whose bytes are ``content``.

    Raises ``ValueError`` that names ``source`` when they are no state dictionary of tensors, or that of another
    network.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{source} holds no tensors as torch.save writes them ({reason}); fetch it again") from None
    bias = state.get("logits.conv3d.bias") if isinstance(state, dict) else None
    if not isinstance(bias, Tensor) or bias.dim() != 1:
        raise ValueError(f"{source} holds no weights of I3D: there is no `logits.conv3d.bias`; is it another file?")
    network = InceptionI3D(len(bias))
    wanted, found = _shapes(network.state_dict()), _shapes(state)
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise ValueError(
            f"{source} holds the weights of another network: {len(wrong)} tensors are missing, unknown or of another "
            f"shape, such as {', '.join(wrong[:3])}"
        )
    network.load_state_dict(state, strict=False)
    return network


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor but the counters of batches, which no score depends on and old files lack."""
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
