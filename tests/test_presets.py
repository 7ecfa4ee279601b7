"""The presets state what was published, and describe networks that the released weights fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lvdm.config import load
from lvdm.models.factory import make_autoencoder
from lvdm.models.unet import UNet
from lvdm.original import autoencoder, unet
from lvdm.stages.pipeline import PipelineConfig

FOLDER = Path(__file__).parents[1] / "config" / "presets"
SHAPES = json.loads((Path(__file__).parent / "golden" / "state_dict_shapes.json").read_text())

VIDEO_AUTOENCODER = {
    "kind": "video",
    "hidden_channels": 32,
    "downsample": (4, 8, 8),
    "latent_channels": 4,
}
AUTOENCODER_TRAINING = {
    "batch_size": 1,
    "accumulate": 2,
    "learning_rate": 3.6e-5,
    "betas": (0.5, 0.9),
    "weight_decay": 0.0,
}
AUTOENCODER_LOSS = {"perceptual_weight": 1.0, "kl_weight": 0.0, "disc_start": 50001, "disc_weight": 0.5}
NETWORK = {
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 256,
    "channel_mult": (1, 2, 3, 4),
    "residual_blocks": 3,
    "attention_downsampling": (2, 4, 8),
    "heads": 4,
    "temporal_length": 4,
    "temporal_kernel": 1,
    "scale_shift_norm": True,
    "checkpointing": True,
    "noise_levels": 0,
    "context_channels": None,
}
DIFFUSION_TRAINING = {
    "batch_size": 3,
    "accumulate": 2,
    "learning_rate": 6e-5,
    "betas": (0.9, 0.999),
    "weight_decay": 0.01,
    "ema_decay": 0.9999,
}
ENDOSCOPY: dict[str, Any] = {
    "data": {"resolution": 128, "length": 16, "stride": 1},
    "autoencoder.model": VIDEO_AUTOENCODER,
    "autoencoder.loss": AUTOENCODER_LOSS,
    "autoencoder.training": AUTOENCODER_TRAINING,
    "diffusion": {"task": "unconditional", "latent_stride": 1, "scaling": None},
    "diffusion.model": NETWORK,
    "diffusion.schedule": {"kind": "linear", "steps": 1000, "beta_start": 0.0015, "beta_end": 0.0155},
    "diffusion.objective": {"prediction": "eps", "loss": "l1"},
    "diffusion.training": DIFFUSION_TRAINING,
}
SKY = ENDOSCOPY | {
    "data": {"resolution": 256, "length": 16, "stride": 1},
    "diffusion.scaling": {"shift": 1.4606637, "scale": 0.33422927},
    "diffusion": {"task": "unconditional", "latent_stride": 1},
}
LONG = SKY | {"diffusion.training": DIFFUSION_TRAINING | {"batch_size": 2, "accumulate": 1, "learning_rate": 8e-5}}

PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {
    "col": ENDOSCOPY,
    "kvasir": ENDOSCOPY,
    "cholec": ENDOSCOPY,
    "sky": SKY,
    "ucf": SKY
    | {
        "diffusion.scaling": {"shift": 0.5837740898, "scale": 0.220142075},
        "diffusion.training": DIFFUSION_TRAINING | {"batch_size": 2},
    },
    "taichi": SKY
    | {
        "data": {"resolution": 256, "length": 16, "stride": 4},
        "diffusion.scaling": {"shift": 0.03291025, "scale": 0.175733933},
        "autoencoder.training": AUTOENCODER_TRAINING | {"learning_rate": 3.2e-5},
    },
    "sky_pred": LONG
    | {
        "diffusion": {"task": "prediction", "latent_stride": 4},
        "diffusion.condition": {"share": 0.5, "given": (1,), "max_noise_level": 250},
        "diffusion.model": NETWORK | {"noise_levels": 251},
    },
    "sky_interp": LONG
    | {
        "diffusion": {"task": "interpolation", "latent_stride": 1},
        "diffusion.condition": {"share": 0.9, "max_noise_level": 250},
        "diffusion.model": NETWORK | {"noise_levels": 251, "temporal_length": 5},
    },
    "text2video": {
        "data": {"resolution": 256, "length": 16, "stride": 1},
        "autoencoder.model": {
            "kind": "frames",
            "hidden_channels": 128,
            "channel_mult": (1, 2, 4, 4),
            "residual_blocks": 2,
            "latent_channels": 4,
        },
        "diffusion.model": NETWORK
        | {
            "model_channels": 320,
            "channel_mult": (1, 2, 4, 4),
            "residual_blocks": 2,
            "attention_downsampling": (1, 2, 4),
            "heads": 8,
            "temporal_length": 16,
            "scale_shift_norm": False,
            "context_channels": 768,
            "transformer_depth": 1,
        },
        "diffusion.schedule": {"kind": "linear", "steps": 1000, "beta_start": 0.00085, "beta_end": 0.012},
        "diffusion.objective": {"prediction": "eps", "loss": "l2"},
        "diffusion.scaling": {"shift": 0.0, "scale": 0.18215},
        "diffusion.training": {"ema_decay": 0.0},
    },
}
UNETS = {"sky_pred": "unet_pred", "sky_interp": "unet_pred", "text2video": "unet_text2video"}
# Frames of the windows that the diffusion model is trained on.
WINDOWS = {"sky_pred": 64, "sky_interp": 20}


def preset(name: str) -> PipelineConfig:
    return load(PipelineConfig, FOLDER / f"{name}.yaml")


def lookup(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = getattr(config, part)
    return config


def test_there_is_a_preset_for_each_published_configuration():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_values(name):
    config = preset(name)
    for section, values in PUBLISHED[name].items():
        found = lookup(config, section)
        assert {key: getattr(found, key) for key in values} == values, section
    assert config.window == WINDOWS.get(name, 16)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_is_usable_as_it_is(name):
    """One data set with a folder and a page, the source in the first lines, nothing imported from a path of ours."""
    config = preset(name)
    (dataset,) = config.datasets.values()
    assert (dataset.videos or dataset.frames).startswith("data/")
    assert dataset.page.startswith("http")
    assert (config.autoencoder.init, config.diffusion.init) == ("scratch", "scratch")
    assert "# Source: github.com/" in (FOLDER / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_diffusion_network_has_the_released_names_and_shapes(name):
    config = preset(name).diffusion.model
    with torch.device("meta"):
        found = unet.expected(UNet(config))
    released = {key: tuple(shape) for key, shape in SHAPES[UNETS.get(name, "unet_short")].items()}
    if name == "sky_interp":  # The reference is of 4 latent frames; of 5, relative positions reach from -5 to 5.
        for key in released:
            if "relative_position" in key:
                released[key] = (11, *released[key][1:])
    assert found == released


@pytest.mark.parametrize("name", sorted(PUBLISHED.keys() - {"text2video"}))
def test_the_autoencoder_has_the_released_names_and_shapes(name):
    with torch.device("meta"):
        found = autoencoder.expected(make_autoencoder(preset(name).autoencoder.model))
    assert found == {key: tuple(shape) for key, shape in SHAPES["autoencoder_3d"].items()}
