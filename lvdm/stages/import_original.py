"""Import a released LVDM checkpoint: its weights and configuration as files of this pipeline."""

import logging
from pathlib import Path

import torch

from lvdm.diffusion.schedule import make_schedule
from lvdm.models.factory import make_autoencoder
from lvdm.models.unet import UNet
from lvdm.models.weights import save_model
from lvdm.original.checkpoint import Parts, check_fit, check_training, import_autoencoder, import_unet, split
from lvdm.original.reading import read_state
from lvdm.stages.pipeline import PipelineConfig
from lvdm.training.config import DiffusionModelConfig

_logger = logging.getLogger(__name__)


def run(config: PipelineConfig, *, checkpoint: Path, folder: Path) -> None:
    """Import the networks in `checkpoint` (.ckpt), which must be those of the configuration (config/presets).

    Nothing in the file is executed. Writes to `folder`, of what the checkpoint holds, `autoencoder.safetensors` and
    `diffusion.safetensors`, each with its configuration as .json beside it. Averaged (EMA) weights are preferred.
    """
    parts = split(read_state(checkpoint))
    with torch.device("meta"):
        autoencoder, unet = make_autoencoder(config.autoencoder.model), UNet(config.diffusion.model)
    files = {}
    try:
        check_fit(parts, autoencoder, unet)
        if parts.autoencoder:
            record = config.autoencoder.model.model_dump(mode="json")
            files["autoencoder"] = (import_autoencoder(parts, autoencoder), record)
        if parts.has_diffusion:
            record = _diffusion_model(config, parts).model_dump(mode="json")
            files["diffusion"] = (import_unet(parts, unet), record)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from None
    for name, (state, record) in files.items():
        save_model(folder / f"{name}.safetensors", state, record)
        _logger.info("%s: %d tensors", folder / f"{name}.safetensors", len(state))


def _diffusion_model(config: PipelineConfig, parts: Parts) -> DiffusionModelConfig:
    """What lies beside the weights of the diffusion model, compared with what the checkpoint says of its training."""
    diffusion = config.diffusion
    if diffusion.scaling is None:
        raise ValueError(
            "the scaling of the latents that a diffusion model was trained with is not in its checkpoint, and "
            "diffusion.scaling is null; give the published one (for models of the endoscopy fork: --set "
            "'diffusion.scaling={shift: 1.4606637, scale: 0.33422927}')"
        )
    check_training(parts, make_schedule(diffusion.schedule).betas, diffusion.scaling.scale)
    _, height, width = config.autoencoder.model.downsample
    cells = config.data.height // height, config.data.width // width
    shape = (diffusion.model.in_channels, diffusion.model.temporal_length, *cells)
    return DiffusionModelConfig(
        model=diffusion.model,
        schedule=diffusion.schedule,
        objective=diffusion.objective,
        task=diffusion.task,
        condition=diffusion.condition,
        latent_stride=diffusion.latent_stride,
        latent_shape=shape,
        scaling=diffusion.scaling,
    )
