"""The autoencoder's losses, as VQGAN (Esser et al. 2021, arXiv:2012.09841) and LVDM publish them."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from lvdm.models.autoencoder import Posterior
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.perceptual import PerceptualDistance
from lvdm.training.config import AutoencoderLossConfig

_LARGEST_ADAPTIVE_WEIGHT = 1e4


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of a discriminator (Lim and Ye 2017, arXiv:1705.02894) from its logits."""
    return 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())


def adaptive_weight(wanted: Tensor, found: Tensor, clip: Tensor, last_layer: Tensor) -> Tensor:
    """The weight that gives two losses gradients of one norm at the last layer (VQGAN, equation 7).

    ``wanted`` and ``found`` are their gradients at ``clip``, which that layer has made.
    """
    norms = [torch.autograd.grad(clip, last_layer, part, retain_graph=True)[0].norm() for part in (wanted, found)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0, _LARGEST_ADAPTIVE_WEIGHT)


class _Differentiated(torch.autograd.Function):
    """A loss of a clip whose gradient there is known already."""

    @staticmethod
    def forward(ctx: FunctionCtx, clip: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.detach().clone()

    @staticmethod
    def backward(ctx: FunctionCtx, factor: Tensor) -> tuple[Tensor, None, None]:
        return factor * ctx.saved_tensors[0], None, None


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
        adversarial_counts = self.adversarial(step)
        # The losses' gradients at the clip serve twice: for their weight, and for the update.
        judged = reconstruction.detach().requires_grad_() if adversarial_counts else reconstruction
        images, targets = _frames(judged), _frames(clip)
        values_per_frame = targets[0].numel()
        l1 = (images.float() - targets.float()).abs().mean()
        zero = torch.zeros_like(l1)
        counts = self.perceptual is not None and self.config.perceptual_weight > 0
        lpips = self.perceptual(images, targets).mean() if counts else zero
        loss = values_per_frame * (l1 + self.config.perceptual_weight * lpips)
        adversarial = weight = zero
        if adversarial_counts:
            adversarial = -self.logits(judged).mean()
            wanted, found = (torch.autograd.grad(part, judged)[0] for part in (loss, adversarial))
            weight = adaptive_weight(wanted, found, reconstruction, last_layer)
            share = self.config.disc_weight * weight
            loss = _Differentiated.apply(reconstruction, loss + share * adversarial, wanted + share * found)
        kl = posterior.kl().float().mean()
        loss = loss + self.config.kl_weight * kl
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
