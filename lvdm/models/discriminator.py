"""PatchGAN discriminators (Isola et al. 2017, arXiv:1611.07004) on frames or clips."""

from torch import Tensor, nn

from lvdm.models.config import DiscriminatorConfig

_WIDEST = 8  # times the first layer's channels
_INITIAL_STD = 0.02


class PatchDiscriminator(nn.Module):
    """One logit for each of many overlapping patches; high means real.

    Takes frames ``(N, 3, H, W)`` with ``config.dimensions`` 2 and clips ``(B, 3, T, H, W)`` with 3, values in
    [-1, 1]. The layers are those of taming-transformers (Esser et al. 2021, arXiv:2012.09841) in 2D and of TATS
    (Ge et al. 2022, arXiv:2204.03638) in 3D, whose wider padding lets short clips through.
    """

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        convolution, norm, padding = {
            2: (nn.Conv2d, nn.BatchNorm2d, 1),
            3: (nn.Conv3d, nn.BatchNorm3d, 2),
        }[config.dimensions]
        channels = config.channels
        layers: list[nn.Module] = [convolution(3, channels, 4, stride=2, padding=padding), nn.LeakyReLU(0.2)]
        for number in range(1, config.layers + 1):
            wider = config.channels * min(2**number, _WIDEST)
            stride = 2 if number < config.layers else 1
            layers += [
                convolution(channels, wider, 4, stride=stride, padding=padding, bias=False),
                norm(wider),
                nn.LeakyReLU(0.2),
            ]
            channels = wider
        layers.append(convolution(channels, 1, 4, stride=1, padding=padding))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, 1, ...)``. Raises ``ValueError`` when frames are too small for the number of layers."""
        smallest = 3 * 2**self.config.layers
        if self.config.dimensions == 2 and min(images.shape[-2:]) < smallest:
            raise ValueError(
                f"a discriminator of {self.config.layers} layers needs frames of {smallest} pixels, but they are "
                f"{images.shape[-2]}x{images.shape[-1]}; lower discriminator.layers"
            )
        return self.layers(images)


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Conv3d):
        nn.init.normal_(layer.weight, 0.0, _INITIAL_STD)
    elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
        nn.init.normal_(layer.weight, 1.0, _INITIAL_STD)
        nn.init.zeros_(layer.bias)
