"""Steps of training and sampling as the original code takes them, on the networks of ``baseline``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from baseline import PlainAutoencoder, PlainUNet
from einops import rearrange
from torch import Tensor, nn

from lvdm.diffusion.schedule import Schedule
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.training.config import AutoencoderTrainingConfig, DiffusionTrainingConfig


@contextmanager
def as_shipped() -> Iterator[None]:
    """cuDNN as the original trainer sets it: it looks for the fastest kernels, and may use TF32."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        yield


class Ancestral:
    """Sampling step by step through all levels (Ho et al. 2020, algorithm 2), for a network that predicts noise."""

    def __init__(self, schedule: Schedule, device: torch.device):
        kept, betas = schedule.alphas_cumprod, schedule.betas
        before = torch.cat([torch.ones_like(kept[:1]), kept[:-1]])
        variance = betas * (1 - before) / (1 - kept)
        tables = {
            "from_x": kept.rsqrt(),
            "from_eps": (1 / kept - 1).sqrt(),
            "mean_x0": betas * before.sqrt() / (1 - kept),
            "mean_x": (1 - betas).sqrt() * (1 - before) / (1 - kept),
            "log_variance": variance.clamp(min=1e-20).log(),
        }
        self.tables = {name: table.float().to(device) for name, table in tables.items()}

    def step(self, network: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: int, noise: Tensor) -> Tensor:
        """``x (B, C, T, H, W)`` at level ``t``, one level cleaner; with ``noise`` of its shape but at level 0."""
        levels = torch.full((len(x),), t, device=x.device)
        now = {name: table[levels].reshape(-1, 1, 1, 1, 1) for name, table in self.tables.items()}
        x0 = now["from_x"] * x - now["from_eps"] * network(x, levels)
        mean = now["mean_x0"] * x0 + now["mean_x"] * x
        noisy = (levels > 0).float().reshape(-1, 1, 1, 1, 1)
        return mean + noisy * (0.5 * now["log_variance"]).exp() * noise


def _draw(mean: Tensor, logvar: Tensor) -> Tensor:
    return mean + (0.5 * logvar).exp() * torch.randn_like(mean)


def diffusion_step(
    unet: PlainUNet, autoencoder: PlainAutoencoder, schedule: Schedule, config: DiffusionTrainingConfig, clips: Tensor
) -> Callable[[], None]:
    """One update from ``clips (B, 3, T, H, W)``: encoding, noise, L1 error, AdamW, and the average of the weights."""
    optimizer = torch.optim.AdamW(unet.parameters(), config.learning_rate, config.betas)
    average = {name: parameter.detach().clone() for name, parameter in unet.named_parameters()}
    kept = schedule.alphas_cumprod.float().to(clips.device)

    def step() -> None:
        with torch.no_grad():
            latents = _draw(*autoencoder.encode(clips))
        t = torch.randint(len(kept), (len(clips),), device=clips.device)
        rate = kept[t].reshape(-1, 1, 1, 1, 1)
        eps = torch.randn_like(latents)
        loss = (unet(rate.sqrt() * latents + (1 - rate).sqrt() * eps, t) - eps).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, parameter in unet.named_parameters():
                average[name].sub_((1 - config.ema_decay) * (average[name] - parameter))

    return step


def autoencoder_step(
    autoencoder: PlainAutoencoder,
    config: AutoencoderTrainingConfig,
    clips: Tensor,
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None,
    discriminator: PatchDiscriminator | None = None,
) -> Callable[[], None]:
    """One update from ``clips (B, 3, T, H, W)`` with Adam: of the L1 error alone, or with LPIPS and a discriminator.

    ``perceptual`` is the distance ``(N,)`` of two batches of images. With a discriminator, the clips are reconstructed
    again for its own update.
    """
    networks = [autoencoder] if discriminator is None else [autoencoder, discriminator]
    optimizers = [torch.optim.Adam(part.parameters(), config.learning_rate, config.betas) for part in networks]
    images = _frames(clips)

    def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward(inputs=optimizer.param_groups[0]["params"])
        optimizer.step()

    def step() -> None:
        found = _frames(autoencoder.decode(_draw(*autoencoder.encode(clips))))
        error = (found - images).abs()
        if perceptual is not None:
            error = error + perceptual(found, images)[:, None, None, None]
        loss = error.sum() / len(images)
        if discriminator is not None:
            fooled = -discriminator(found).mean()
            loss = loss + 0.5 * _weight(loss, fooled, autoencoder.decoder["head"].weight) * fooled
        update(optimizers[0], loss)
        if discriminator is not None:
            with torch.no_grad():
                found = _frames(autoencoder.decode(_draw(*autoencoder.encode(clips))))
            margins = (1 - discriminator(images)).relu().mean() + (1 + discriminator(found)).relu().mean()
            update(optimizers[1], 0.5 * margins)

    return step


def _weight(loss: Tensor, adversarial: Tensor, layer: nn.Parameter) -> Tensor:
    """What makes the gradients of both equally long at the last layer."""
    norms = [torch.autograd.grad(part, layer, retain_graph=True)[0].norm() for part in (loss, adversarial)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0, 1e4).detach()


def _frames(clips: Tensor) -> Tensor:
    return rearrange(clips, "b c t h w -> (b t) c h w")
