"""The parts of a released checkpoint, checked and translated; and the way back.

Names in a checkpoint, as LVDM's Lightning modules give them:

- autoencoder: ``encoder.``, ``decoder.``, ``quant_conv.``, ``post_quant_conv.``, and ``loss.`` (LPIPS, discriminator);
- diffusion: ``model.diffusion_model.``; ``model_ema.``, the averaged weights, whose names have lost their dots because
  the name of a buffer may hold none; ``first_stage_model.``, the autoencoder; ``cond_stage_model.``, CLIP; the tables
  of the noise schedule; and ``scale_factor``, where it was measured in training.

Checkpoints of the endoscopy fork (CUHK-AIM-Group/Endora, Other-Methods/LVDM) have the same modules and names: it
changes how data are read, not the networks.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import Tensor

from lvdm.models.factory import Autoencoder
from lvdm.models.frame_autoencoder import FrameAutoencoder
from lvdm.models.unet import UNet
from lvdm.original import autoencoder, frame_autoencoder, unet

_logger = logging.getLogger(__name__)

_UNET, _AVERAGED, _FIRST_STAGE = "model.diffusion_model.", "model_ema.", "first_stage_model."
_AUTOENCODER = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
_LEFT_OUT = {"loss.": "LPIPS and discriminator of the training", "cond_stage_model.": "the text encoder, CLIP"}
_AVERAGING = ("decay", "num_updates")

_TABLES = (
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    # These three do not follow from betas: two weigh a loss, one delays a text condition. All are for training alone.
    "logvar",
    "lvlb_weights",
    "cond_ids",
    "scale_factor",
)


@dataclass(frozen=True)
class Parts:
    """A checkpoint taken apart.

    Attributes:
        autoencoder, unet, averaged: tensors under their original names, without the prefix of the part; ``averaged``
            are the averaged (EMA) weights of the UNet, in names without dots. Empty where the checkpoint has none.
        tables: tables of the noise schedule, and ``scale_factor``.
        unknown: what belongs to no part.
        first_stage: what the names of the autoencoder begin with in the checkpoint.
    """

    autoencoder: dict[str, Tensor] = field(default_factory=dict)
    unet: dict[str, Tensor] = field(default_factory=dict)
    averaged: dict[str, Tensor] = field(default_factory=dict)
    tables: dict[str, Tensor] = field(default_factory=dict)
    unknown: dict[str, Tensor] = field(default_factory=dict)
    first_stage: str = ""

    @property
    def has_diffusion(self) -> bool:
        """Whether a diffusion model is in the checkpoint."""
        return bool(self.unet or self.averaged)


def split(state: Mapping[str, Tensor]) -> Parts:
    """Sort the tensors of a checkpoint's state dictionary by part. The log says what is left out."""
    is_diffusion = any(name.startswith((_UNET, _AVERAGED)) for name in state)
    parts = Parts(first_stage=_FIRST_STAGE if is_diffusion else "")
    left_out = dict.fromkeys(_LEFT_OUT, 0)
    for name, tensor in state.items():
        inner = name.removeprefix(parts.first_stage)
        useless = next((prefix for prefix in _LEFT_OUT if inner.startswith(prefix)), None)
        if useless:
            left_out[useless] += 1
        elif name.startswith(_UNET):
            parts.unet[name.removeprefix(_UNET)] = tensor
        elif name.startswith(_AVERAGED):
            parts.averaged[name.removeprefix(_AVERAGED)] = tensor
        elif name.startswith(parts.first_stage) and inner.startswith(_AUTOENCODER):
            parts.autoencoder[inner] = tensor
        elif is_diffusion and name in _TABLES:
            parts.tables[name] = tensor
        else:
            parts.unknown[name] = tensor
    for name in _AVERAGING:
        parts.averaged.pop(name, None)
    for prefix, count in left_out.items():
        if count:
            _logger.info("left out: %s (%d tensors, %s*)", _LEFT_OUT[prefix], count, prefix)
    return parts


def check_fit(parts: Parts, autoencoder_network: Autoencoder, unet_network: UNet) -> None:
    """Compare names and shapes with those of the networks, which may be on the meta device.

    Raises ``ValueError`` that lists every key that is missing, unknown or of another shape.
    """
    if not (parts.autoencoder or parts.has_diffusion):
        some = ", ".join(list(parts.unknown)[:5]) or "none"
        raise ValueError(f"neither an autoencoder nor a diffusion model of LVDM is in it; its first keys: {some}")
    shapes = unet.expected(unet_network)
    sections = (
        (parts.first_stage, parts.autoencoder, _names(autoencoder_network).expected(autoencoder_network)),
        (_UNET, parts.unet, shapes),
        (_AVERAGED, parts.averaged, {_averaged(name): shape for name, shape in shapes.items()}),
    )
    found = dict(parts.unknown)
    wanted: dict[str, tuple[int, ...]] = {}
    for prefix, tensors, expected in sections:
        if tensors:
            found |= {prefix + name: tensor for name, tensor in tensors.items()}
            wanted |= {prefix + name: shape for name, shape in expected.items()}
    groups = {
        "missing": [f"{name}: wanted {wanted[name]}" for name in wanted.keys() - found.keys()],
        "unknown": [f"{name}: found {tuple(found[name].shape)}" for name in found.keys() - wanted.keys()],
        "of another shape": [
            f"{name}: found {tuple(found[name].shape)}, wanted {wanted[name]}"
            for name in wanted.keys() & found.keys()
            if tuple(found[name].shape) != wanted[name]
        ],
    }
    _raise("its keys do not fit the configuration of the networks", groups)


def import_autoencoder(parts: Parts, network: Autoencoder) -> dict[str, Tensor]:
    """The state dictionary for ``network``. Raises ``ValueError`` that lists the tensors whose aliases differ."""
    return _translated(parts.autoencoder, network, parts.first_stage)


def import_unet(parts: Parts, network: UNet) -> dict[str, Tensor]:
    """The state dictionary for ``network``: the averaged weights where there are any. The log says which."""
    if not parts.averaged:
        _logger.info("the weights of the last training step are taken: the checkpoint has no averaged (EMA) ones")
        return _translated(parts.unet, network, _UNET)
    _logger.info("the averaged (EMA) weights are taken")
    averaged = {name: parts.averaged[_averaged(name)] for name in unet.expected(network)}
    return _translated(averaged, network, _AVERAGED)


def check_training(parts: Parts, betas: Tensor, scale: float) -> None:
    """Compare the noise schedule ``betas (steps,)`` and the ``scale`` of latents with what was trained with.

    Raises ``ValueError`` where one is in the checkpoint and differs by more than 1e-6 relatively.
    """
    trained = parts.tables.get("betas")
    if trained is not None and not _close(trained, betas):
        raise ValueError(
            f"it was trained on {len(trained)} noise levels with betas from {trained[0]:.6g} to {trained[-1]:.6g}, but "
            f"diffusion.schedule has {len(betas)}, from {betas[0]:.6g} to {betas[-1]:.6g}; set it to those"
        )
    factor = parts.tables.get("scale_factor")
    if factor is not None and not _close(factor, torch.tensor(scale)):
        raise ValueError(f"it was trained on latents scaled by {factor:.8g}; set diffusion.scaling.scale to that")


def export(autoencoder_network: Autoencoder | None, unet_network: UNet | None) -> dict[str, Tensor]:
    """The state dictionary of a checkpoint, in original names: of either network, or of a diffusion model with both.

    The UNet's weights are there twice, as trained and as averaged, because the original samples with the latter.
    Tables of the schedule and counters are left out: the original makes them from its configuration.
    """
    state: dict[str, Tensor] = {}
    if unet_network is not None:
        for name, tensor in unet.to_original(unet_network.state_dict()).items():
            state[_UNET + name] = state[_AVERAGED + _averaged(name)] = tensor
    if autoencoder_network is not None:
        prefix = "" if unet_network is None else _FIRST_STAGE
        tensors = _names(autoencoder_network).to_original(autoencoder_network.state_dict())
        state |= {prefix + name: tensor for name, tensor in tensors.items()}
    return state


def _names(network: Autoencoder | UNet) -> ModuleType:
    if isinstance(network, UNet):
        return unet
    return frame_autoencoder if isinstance(network, FrameAutoencoder) else autoencoder


def _averaged(name: str) -> str:
    return f"diffusion_model.{name}".replace(".", "")


def _translated(tensors: Mapping[str, Tensor], network: Autoencoder | UNet, prefix: str) -> dict[str, Tensor]:
    names = _names(network)
    ours = names.from_original(tensors, network)
    # Back again everything must be as it was, each alias included, of which only one was read.
    different = [
        f"{prefix}{name}"
        for name, tensor in names.to_original(ours).items()
        if tensor.data_ptr() != tensors[name].data_ptr() and not torch.equal(tensor, tensors[name])
    ]
    _raise("a tensor that it holds twice has two values", {"differ from the other": different})
    return ours


def _close(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    wanted = wanted.double()
    return bool(((found.double() - wanted).abs() <= 1e-6 * wanted.abs()).all())


def _raise(what: str, groups: Mapping[str, list[str]]) -> None:
    lines = [
        line
        for title, entries in groups.items()
        if entries
        for line in (f"  {title} ({len(entries)}):", *(f"    {entry}" for entry in sorted(entries)))
    ]
    if lines:
        raise ValueError("\n".join([what, *lines]))
