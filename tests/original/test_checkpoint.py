"""Released checkpoints come apart, fit and translate; what does not is listed in one error."""

import re

import pytest
import torch
from torch import Tensor

from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.schedule import make_schedule
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig, FrameAutoencoderConfig, UNetConfig
from lvdm.models.frame_autoencoder import FrameAutoencoder
from lvdm.models.unet import UNet
from lvdm.original import frame_autoencoder
from lvdm.original.checkpoint import check_fit, check_training, export, import_autoencoder, import_unet, split

TEXT = UNetConfig(
    model_channels=320,
    channel_mult=(1, 2, 4, 4),
    residual_blocks=2,
    attention_downsampling=(1, 2, 4),
    heads=8,
    temporal_length=16,
    scale_shift_norm=False,
    context_channels=768,
)
UNETS = {"unet_short": UNetConfig(), "unet_pred": UNetConfig(noise_levels=251), "unet_text2video": TEXT}
BETAS = make_schedule(ScheduleConfig()).betas
TABLES = {
    "betas": BETAS.float(),
    "alphas_cumprod": torch.cumprod(1 - BETAS, 0).float(),
    "posterior_mean_coef1": torch.zeros(1000),
    "logvar": torch.zeros(1000),
}
COUNTERS = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7, dtype=torch.int32)}
CLIP = {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.zeros(1, 77)}

Shapes = dict[str, tuple[int, ...]]


def tensors(shapes: Shapes, prefix: str = "", value: float = 0.0) -> dict[str, Tensor]:
    """Of any size, in the memory of a number."""
    return {prefix + name: torch.tensor(value).expand(shape) for name, shape in shapes.items()}


def diffusion_checkpoint(unet: Shapes, first_stage: Shapes) -> dict[str, Tensor]:
    """As Lightning saved it; the averaged weights are 1 and the others 0."""
    averaged = {f"diffusion_model.{name}".replace(".", ""): shape for name, shape in unet.items()}
    return {
        **TABLES,
        **tensors(unet, "model.diffusion_model."),
        **COUNTERS,
        **tensors(averaged, "model_ema.", value=1.0),
        **tensors(first_stage, "first_stage_model."),
        **CLIP,
    }


def meta(kind, config):
    with torch.device("meta"):
        return kind(config)


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    return meta(VideoAutoencoder, AutoencoderConfig())


@pytest.fixture(scope="module")
def unet(tiny_unet) -> UNet:
    return meta(UNet, tiny_unet)


@pytest.fixture
def checkpoint(shapes) -> dict[str, Tensor]:
    return diffusion_checkpoint(shapes["unet_tiny"], shapes["autoencoder_3d"])


def shape_of(state) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("model", UNETS)
def test_a_released_diffusion_model_imports_completely_and_exports_its_names(shapes, autoencoder, model):
    unet = meta(UNet, UNETS[model])
    made = diffusion_checkpoint(shapes[model], shapes["autoencoder_3d"])
    parts = split(made)
    check_fit(parts, autoencoder, unet)
    assert shape_of(import_unet(parts, unet)) == shape_of(unet.state_dict())
    assert shape_of(import_autoencoder(parts, autoencoder)) == shape_of(autoencoder.state_dict())
    left_out = {**TABLES, **COUNTERS, **CLIP}
    wanted = {name: shape for name, shape in shape_of(made).items() if name not in left_out}
    assert shape_of(export(autoencoder, unet)) == wanted


def test_a_released_autoencoder_imports_without_its_losses_and_exports_its_names(shapes, autoencoder, caplog):
    caplog.set_level("INFO")
    made = tensors(shapes["autoencoder_3d"])
    losses = {
        "loss.discriminator.main.0.weight": (64, 3, 4, 4),
        "loss.logvar": (),
        "loss.perceptual_loss.lin0": (1, 64),
    }
    parts = split(made | tensors(losses))
    check_fit(parts, autoencoder, meta(UNet, UNetConfig()))
    assert not parts.has_diffusion
    assert shape_of(import_autoencoder(parts, autoencoder)) == shape_of(autoencoder.state_dict())
    assert shape_of(export(autoencoder, None)) == shape_of(made)
    assert "left out: LPIPS and discriminator of the training (3 tensors, loss.*)" in caplog.text


def test_a_frame_autoencoder_as_first_stage(shapes):
    config = FrameAutoencoderConfig(hidden_channels=32, channel_mult=(1, 2), residual_blocks=1)
    network, unet = meta(FrameAutoencoder, config), meta(UNet, TEXT)
    assert frame_autoencoder.expected(network) == shapes["autoencoder_2d_tiny"]
    made = diffusion_checkpoint(shapes["unet_text2video"], shapes["autoencoder_2d_tiny"])
    parts = split(made)
    check_fit(parts, network, unet)
    assert shape_of(import_autoencoder(parts, network)) == shape_of(network.state_dict())
    assert shape_of(export(network, unet)).items() <= shape_of(made).items()


def test_averaged_weights_are_preferred(checkpoint, unet, caplog):
    caplog.set_level("INFO")
    taken = import_unet(split(checkpoint), unet)
    assert all((tensor == 1).all() for tensor in taken.values())
    assert "the averaged (EMA) weights are taken" in caplog.text


def test_without_averaged_weights_the_others_are_taken(checkpoint, autoencoder, unet, caplog):
    caplog.set_level("INFO")
    parts = split({name: tensor for name, tensor in checkpoint.items() if not name.startswith("model_ema.")})
    check_fit(parts, autoencoder, unet)
    assert all((tensor == 0).all() for tensor in import_unet(parts, unet).values())
    assert "no averaged (EMA) ones" in caplog.text


def test_averaged_weights_alone_are_enough(checkpoint, autoencoder, unet):
    parts = split({name: tensor for name, tensor in checkpoint.items() if not name.startswith("model.")})
    check_fit(parts, autoencoder, unet)
    assert all((tensor == 1).all() for tensor in import_unet(parts, unet).values())


def test_every_key_that_does_not_fit_is_in_one_error(checkpoint, autoencoder, unet):
    del checkpoint["model.diffusion_model.out.2.bias"]
    del checkpoint["model_ema.diffusion_modelinput_blocks00weight"]
    del checkpoint["first_stage_model.encoder.conv_first.weight"]
    checkpoint["model.diffusion_model.time_embed.0.weight"] = torch.zeros(128, 31)
    checkpoint["model_ema.diffusion_modeltime_embed0bias"] = torch.zeros(7)
    checkpoint["model.diffusion_model.label_emb.weight"] = torch.zeros(251, 128)
    checkpoint["model_ema.diffusion_modellabel_embweight"] = torch.zeros(251, 128)
    checkpoint["first_stage_model.colorize"] = torch.zeros(3)
    checkpoint["lora.weight"] = torch.zeros(2)
    with pytest.raises(ValueError, match="do not fit the configuration") as error:
        check_fit(split(checkpoint), autoencoder, unet)
    assert str(error.value).splitlines()[1:] == [
        "  missing (3):",
        "    first_stage_model.encoder.conv_first.weight: wanted (32, 3, 3, 3, 3)",
        "    model.diffusion_model.out.2.bias: wanted (4,)",
        "    model_ema.diffusion_modelinput_blocks00weight: wanted (32, 4, 1, 3, 3)",
        "  unknown (4):",
        "    first_stage_model.colorize: found (3,)",
        "    lora.weight: found (2,)",
        "    model.diffusion_model.label_emb.weight: found (251, 128)",
        "    model_ema.diffusion_modellabel_embweight: found (251, 128)",
        "  of another shape (2):",
        "    model.diffusion_model.time_embed.0.weight: found (128, 31), wanted (128, 32)",
        "    model_ema.diffusion_modeltime_embed0bias: found (7,), wanted (128,)",
    ]


def test_a_checkpoint_of_something_else_is_refused_by_its_keys(autoencoder, unet):
    parts = split({"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"neither an autoencoder nor a diffusion model .* conv1\.weight, fc\.bias"):
        check_fit(parts, autoencoder, unet)


def test_a_prefix_is_no_licence(checkpoint, autoencoder, unet):
    """Of a diffusion model, the autoencoder's names count behind their prefix alone."""
    checkpoint["encoder.conv_first.weight"] = checkpoint["first_stage_model.encoder.conv_first.weight"]
    with pytest.raises(ValueError, match=r"unknown \(1\):\n    encoder\.conv_first\.weight: found"):
        check_fit(split(checkpoint), autoencoder, unet)


def test_aliases_must_agree(checkpoint, autoencoder):
    name = "first_stage_model.decoder.conv_blocks.0.res1.conv1.weight"
    assert import_autoencoder(split(checkpoint), autoencoder)
    changed = checkpoint[name].clone()
    changed[0, 0, 0, 0, 0] = 1
    with pytest.raises(ValueError, match=re.escape(name)):
        import_autoencoder(split(checkpoint | {name: changed}), autoencoder)


def test_the_schedule_must_be_the_trained_one(checkpoint):
    parts = split(checkpoint)
    check_training(parts, BETAS, 1.0)
    check_training(split({}), BETAS[:10], 1.0)
    check_training(parts, BETAS * (1 + 5e-7), 1.0)
    with pytest.raises(ValueError, match=r"betas from 0\.0015 to 0\.0155, but diffusion\.schedule has 1000"):
        check_training(parts, BETAS * (1 + 2e-6), 1.0)
    with pytest.raises(ValueError, match=r"on 1000 noise levels .* has 10,"):
        check_training(parts, BETAS[:10], 1.0)


def test_a_measured_scale_must_be_the_configured_one(checkpoint):
    parts = split(checkpoint | {"scale_factor": torch.tensor(0.18215)})
    check_training(parts, BETAS, 0.18215)
    with pytest.raises(ValueError, match=r"scaled by 0\.18215\d*; set diffusion\.scaling\.scale"):
        check_training(parts, BETAS, 0.2)
