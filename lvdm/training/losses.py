"""The autoencoder's losses, as VQGAN (Esser et al. 2021, arXiv:2012.09841) and LVDM publish them."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lvdm.models.autoencoder import Posterior
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.perceptual import PerceptualDistance
from lvdm.training.config import AutoencoderLossConfig

_LARGEST_ADAPTIVE_WEIGHT = 1e4


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of a discriminator (Lim and Ye 2017, arXiv:1705.02894) from its logits."""
    return 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    """The weight that gives both losses gradients of one norm at the last layer (VQGAN, equation 7)."""
    wanted = torch.autograd.grad(reconstruction, last_layer, retain_graph=True)[0].norm()
    found = torch.autograd.grad(adversarial, last_layer, retain_graph=True)[0].norm()
    return (wanted / (found + 1e-4)).clamp(0, _LARGEST_ADAPTIVE_WEIGHT).detach()


class AutoencoderLoss(nn.Module):
    """L1 and LPIPS over frames, KL of the posterior, and a discriminator from step ``disc_start``.

    Summed as in LVDM, which the published weights of the terms assume: L1 over the values of a frame, with
    LPIPS counted at each of them, averaged over frames; KL over a clip's latent, averaged over clips.
    """

    def __init__(
        self,
        config: AutoencoderLossConfig,
        discriminator: PatchDiscriminator,
        perceptual: PerceptualDistance | None,
    ):
        super().__init__()
        self.config = config
        self.discriminator = discriminator
        self.perceptual = perceptual

    def autoencoder(
        self, clip: Tensor, reconstruction: Tensor, posterior: Posterior, step: int, last_layer: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the autoencoder minimises in ``step``, and its terms. Clips are (B, 3, T, H, W) in [-1, 1]."""
        images, targets = _frames(reconstruction), _frames(clip)
        values_per_frame = targets[0].numel()
        l1 = (images.float() - targets.float()).abs().mean()
        zero = torch.zeros_like(l1)
        counts = self.perceptual is not None and self.config.perceptual_weight > 0
        lpips = self.perceptual(images, targets).mean() if counts else zero
        reconstruction_loss = values_per_frame * (l1 + self.config.perceptual_weight * lpips)
        kl = posterior.kl().float().mean()
        adversarial = weight = zero
        if self.adversarial(step):
            adversarial = -self.logits(reconstruction).mean()
            weight = adaptive_weight(reconstruction_loss, adversarial, last_layer)
        loss = reconstruction_loss + self.config.kl_weight * kl + self.config.disc_weight * weight * adversarial
        terms = {"l1": l1, "lpips": lpips, "kl": kl, "adversarial": adversarial, "adaptive_weight": weight}
        return loss, {"loss": loss, **terms}

    def discrimination(self, clip: Tensor, reconstruction: Tensor) -> Tensor:
        """What the discriminator minimises."""
        return hinge_loss(self.logits(clip), self.logits(reconstruction.detach()))

    def adversarial(self, step: int) -> bool:
        """Whether the adversarial term counts in ``step``; before, the discriminator does not train either."""
        return step >= self.config.disc_start and self.config.disc_weight > 0

    def logits(self, clip: Tensor) -> Tensor:
        """The discriminator's opinion of a clip, or of each of its frames."""
        images = clip if self.discriminator.config.dimensions == 3 else _frames(clip)
        return self.discriminator(images).float()


def _frames(clip: Tensor) -> Tensor:
    return rearrange(clip, "b c t h w -> (b t) c h w")
