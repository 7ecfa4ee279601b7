"""From a released checkpoint to files that the pipeline samples with, and back."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from lvdm.__main__ import main
from lvdm.config import parse
from lvdm.diffusion.config import ScheduleConfig
from lvdm.diffusion.schedule import make_schedule
from lvdm.files import read_json
from lvdm.models.autoencoder import VideoAutoencoder
from lvdm.models.config import AutoencoderConfig
from lvdm.models.weights import load_autoencoder
from lvdm.original.autoencoder import expected
from lvdm.original.reading import read_state
from lvdm.stages import export_original, import_original
from lvdm.stages.pipeline import PipelineConfig
from lvdm.training.generate import load_diffusion

GOLDEN = Path(__file__).parents[1] / "golden"
SHAPES = json.loads((GOLDEN / "state_dict_shapes.json").read_text())
SMALL = {"hidden_channels": 4, "norm_groups": 4}
SETTINGS = {
    "datasets": {"sky": {"frames": "data/sky"}},
    "data": {"resolution": 64},
    "autoencoder": {"model": SMALL},
    "diffusion": {
        "model": {
            "model_channels": 32,
            "channel_mult": [1, 2],
            "residual_blocks": 1,
            "attention_downsampling": [1, 2],
            "temporal_length": 4,
        },
        "scaling": {"shift": 1.4606637, "scale": 0.33422927},
    },
}
PREDICTION = {
    "model": SETTINGS["diffusion"]["model"] | {"noise_levels": 251},
    "task": "prediction",
    "latent_stride": 4,
    "scaling": SETTINGS["diffusion"]["scaling"],
}


def configuration(**changes) -> PipelineConfig:
    return parse(PipelineConfig, SETTINGS | changes, source="test")


def fill(shapes, seed: int) -> dict[str, Tensor]:
    """0.05 * randn in the sorted order of the names, a tensor that is there twice drawn once: as the golden numbers."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in sorted(shapes.items()):
        alias_of = name.removesuffix("weight") + "conv.weight"
        drawn = state.get(alias_of)
        state[name] = 0.05 * torch.randn(*shape, generator=generator) if drawn is None else drawn
    return state


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def first_stage() -> dict[str, Tensor]:
    return fill(expected(VideoAutoencoder(AutoencoderConfig(**SMALL))), seed=1)


@pytest.fixture(scope="module")
def state(first_stage) -> dict[str, Tensor]:
    """A diffusion checkpoint whose averaged weights are those of the golden numbers; the others are not."""
    averaged = fill(SHAPES["unet_tiny"], seed=2)
    return {
        "betas": make_schedule(ScheduleConfig()).betas.float(),
        **{f"model.diffusion_model.{name}": tensor + 1 for name, tensor in averaged.items()},
        "model_ema.decay": torch.tensor(0.9999),
        **{f"model_ema.diffusion_model{name.replace('.', '')}": tensor for name, tensor in averaged.items()},
        **{f"first_stage_model.{name}": tensor for name, tensor in first_stage.items()},
    }


def save(state, folder: Path) -> Path:
    path = folder / "released.ckpt"
    torch.save({"state_dict": state, "epoch": 299}, path)
    return path


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


@torch.no_grad()
def test_a_diffusion_checkpoint_becomes_both_networks(state, first_stage, golden, tmp_path):
    config = tmp_path / "preset.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    arguments = ["--checkpoint", str(save(state, tmp_path)), "--folder", str(tmp_path / "out")]
    assert main(["import-original", "--config", str(config), *arguments]) == 0
    unet, model = load_diffusion(tmp_path / "out" / "diffusion.safetensors", torch.device("cpu"))
    assert relative_error(unet(golden["unet_x"], golden["unet_t"]), golden["unet_out"]) < 1e-5
    assert model.latent_shape == (4, 4, 8, 8)
    assert (model.scaling.shift, model.scaling.scale, model.scaling.clips) == (1.4606637, 0.33422927, None)
    autoencoder = load_autoencoder(tmp_path / "out" / "autoencoder.safetensors")
    assert torch.equal(autoencoder.encoder.stem.weight, first_stage["encoder.conv_first.weight"])


@torch.no_grad()
def test_a_prediction_checkpoint_keeps_its_task(golden, tmp_path):
    made = {f"model.diffusion_model.{name}": tensor for name, tensor in fill(SHAPES["unet_pred_tiny"], seed=3).items()}
    import_original.run(configuration(diffusion=PREDICTION), checkpoint=save(made, tmp_path), folder=tmp_path)
    unet, model = load_diffusion(tmp_path / "diffusion.safetensors", torch.device("cpu"))
    latents, mask = golden["pred_x"].split([4, 1], dim=1)
    output = unet(latents, golden["pred_t"], mask=mask, noise_level=golden["pred_noise_level"])
    assert relative_error(output, golden["pred_out"]) < 1e-5
    assert (model.task, model.latent_stride, model.condition.max_noise_level) == ("prediction", 4, 250)
    assert not (tmp_path / "autoencoder.safetensors").exists()


@torch.no_grad()
def test_an_autoencoder_checkpoint(golden, tmp_path):
    made = fill(SHAPES["autoencoder_3d"], seed=1) | {"loss.logvar": torch.zeros(())}
    config = configuration(autoencoder={"model": {}})
    import_original.run(config, checkpoint=save(made, tmp_path), folder=tmp_path)
    autoencoder = load_autoencoder(tmp_path / "autoencoder.safetensors")
    assert relative_error(autoencoder.decode(golden["ae_latent"]), golden["ae_reconstruction"]) < 1e-5
    assert read_json(tmp_path / "autoencoder.json") == AutoencoderConfig().model_dump(mode="json")
    assert not (tmp_path / "diffusion.safetensors").exists()


@torch.no_grad()
def test_a_text_checkpoint_with_its_frame_autoencoder(golden, tmp_path):
    made = {f"model.diffusion_model.{name}": tensor for name, tensor in fill(SHAPES["unet_text_tiny"], seed=4).items()}
    frames = fill(SHAPES["autoencoder_2d_tiny"], seed=5)
    made |= {f"first_stage_model.{name}": tensor for name, tensor in frames.items()}
    text = {
        "temporal_length": 16,
        "scale_shift_norm": False,
        "context_channels": 24,
    }
    config = configuration(
        autoencoder={"model": {"kind": "frames", "hidden_channels": 32, "channel_mult": [1, 2], "residual_blocks": 1}},
        diffusion={"model": SETTINGS["diffusion"]["model"] | text, "scaling": {"shift": 0.0, "scale": 0.18215}},
    )
    import_original.run(config, checkpoint=save(made, tmp_path), folder=tmp_path)
    unet, model = load_diffusion(tmp_path / "diffusion.safetensors", torch.device("cpu"))
    output = unet(golden["text_x"], golden["text_t"], context=golden["text_context"])
    assert relative_error(output, golden["text_out"]) < 1e-5
    assert model.latent_shape == (4, 16, 32, 32)
    decoded = load_autoencoder(tmp_path / "autoencoder.safetensors").decode(golden["ae2d_latent"][:, :, None])
    assert relative_error(decoded[:, :, 0], golden["ae2d_reconstruction"]) < 1e-5


def test_export_gives_back_names_and_values(state, tmp_path):
    files = {"autoencoder": tmp_path / "autoencoder.safetensors", "diffusion": tmp_path / "diffusion.safetensors"}
    import_original.run(configuration(), checkpoint=save(state, tmp_path), folder=tmp_path)
    export_original.run(**files, checkpoint=tmp_path / "exported.ckpt")
    exported = read_state(tmp_path / "exported.ckpt")
    assert exported.keys() == state.keys() - {"betas", "model_ema.decay"}
    assert all(torch.equal(exported[name], state[name]) for name in exported if not name.startswith("model.diff"))
    again = tmp_path / "again"
    import_original.run(configuration(), checkpoint=tmp_path / "exported.ckpt", folder=again)
    for file in files.values():
        assert (again / file.name).read_bytes() == file.read_bytes()
    export_original.run(autoencoder=files["autoencoder"], checkpoint=tmp_path / "autoencoder.ckpt")
    assert read_state(tmp_path / "autoencoder.ckpt").keys() == {
        name.removeprefix("first_stage_model.") for name in state if name.startswith("first_stage_model.")
    }


def test_nothing_to_export(tmp_path):
    with pytest.raises(ValueError, match="nothing to export; give --autoencoder"):
        export_original.run(checkpoint=tmp_path / "empty.ckpt")


def test_a_diffusion_model_needs_its_scaling(state, tmp_path):
    config = configuration(diffusion={"model": SETTINGS["diffusion"]["model"]})
    with pytest.raises(ValueError, match=r"released\.ckpt: the scaling .* diffusion\.scaling is null; give"):
        import_original.run(config, checkpoint=save(state, tmp_path), folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"diffusion": PREDICTION},
            r"missing \(2\):\n    model\.diffusion_model\.label_emb\.weight: wanted \(251,",
        ),
        ({"autoencoder": {"model": {}}}, r"of another shape \(\d+\):\n    first_stage_model\.decoder\."),
        (
            {"diffusion": SETTINGS["diffusion"] | {"schedule": {"beta_end": 0.012}}},
            r"betas from 0\.0015 to 0\.0155, but diffusion\.schedule has 1000, from 0\.0015 to 0\.012",
        ),
    ],
    ids=["task", "autoencoder", "schedule"],
)
def test_another_configuration_is_refused_and_nothing_is_written(state, tmp_path, changes, message):
    with pytest.raises(ValueError, match=r"released\.ckpt: .*") as error:
        import_original.run(configuration(**changes), checkpoint=save(state, tmp_path), folder=tmp_path / "out")
    assert error.match(message)
    assert not (tmp_path / "out").exists()
