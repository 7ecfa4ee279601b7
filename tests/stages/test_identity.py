"""Every key of both trainings either decides weights or does not: those that are said not to are tried.

A key that is added fails here until it is in ``indifferent`` of its configuration, or in the lists below.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import BaseModel
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

import test_train_autoencoder as autoencoder
import test_train_diffusion as diffusion

from lvdm.config import Config, merge, parse
from lvdm.stages import train_diffusion
from lvdm.stages.config import TrainAutoencoderConfig, TrainDiffusionConfig

TRAINING = (
    "accumulate batch_size betas clips_per_step decay gradient_clip learning_rate seed steps warmup_steps weight_decay"
)
# Of each part of a configuration, its keys that decide weights.
DECIDES = {
    TrainAutoencoderConfig: {
        "": "init",
        "clip": "length resolution step stride",
        "compute": "precision",
        "discriminator": "channels dimensions layers",
        "loss": "disc_start disc_weight kl_weight perceptual_weight",
        "loss.perceptual": "git_blob sha256 size",
        "model": "channel_mult downsample hidden_channels kind latent_channels norm_groups residual_blocks",
        "training": TRAINING,
    },
    TrainDiffusionConfig: {
        "": "init latent_stride task",
        "compute": "precision",
        "condition": "given max_noise_level share",
        "model": "attention_downsampling channel_mult context_channels dropout heads in_channels model_channels "
        "noise_levels out_channels residual_blocks scale_shift_norm temporal_kernel temporal_length transformer_depth",
        "objective": "loss min_snr_gamma prediction",
        "schedule": "beta_end beta_start kind steps zero_terminal_snr",
        "training": f"{TRAINING} ema_decay",
    },
}
LOOKS = {"log_every": 3, "validate_every": 2, "validate_clips": 1, "picture_clips": 3, "checkpoint_every": 10.0}
MACHINE = {"device": "auto", "compile": "off", "threads": 2}
"""Where it is computed: no more than rounding."""


def leaves(cls: type[Config], prefix: str = "") -> Iterator[str]:
    for name, field in cls.model_fields.items():
        nested = [part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        if not nested or f"{prefix}{name}" == "preview_sampler":
            yield f"{prefix}{name}"
        for part in nested if f"{prefix}{name}" != "preview_sampler" else ():
            yield from leaves(part, f"{prefix}{name}.")


def _parts(kind: Any) -> Iterator[Any]:
    yield kind
    for part in get_args(kind):
        yield from _parts(part)


@pytest.mark.parametrize("cls", DECIDES)
def test_every_key_is_known_to_decide_weights_or_not_to(cls):
    decides = {f"{part}.{key}".removeprefix(".") for part, keys in DECIDES[cls].items() for key in keys.split()}
    assert decides & set(cls.indifferent) == set()
    assert sorted(set(leaves(cls))) == sorted(decides | set(cls.indifferent))


def train_autoencoder(folder: Path, vgg: Path, **changes) -> dict[str, torch.Tensor]:
    settings = {
        "training": {"steps": 4, "checkpoint_every": 1e-6},
        "loss": {"disc_start": 1, "perceptual": {"path": str(vgg), "size": vgg.stat().st_size}},
    }
    settings = merge(merge(autoencoder.SETTINGS, settings), changes)
    folder.mkdir()
    autoencoder.train(folder, perceptual=vgg, **settings)
    return load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def vgg(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "vgg16.pt"
    torch.jit.script(autoencoder.MeanColour()).save(str(path))
    return path


def paths(changes: dict, prefix: str = "") -> Iterator[str]:
    for key, value in changes.items():
        nested = isinstance(value, dict) and f"{prefix}{key}" != "preview_sampler"
        yield from paths(value, f"{prefix}{key}.") if nested else [f"{prefix}{key}"]


def test_what_is_indifferent_to_the_autoencoder_changes_no_weight(vgg, tmp_path):
    changes = {
        "training": LOOKS,
        "compute": {"workers": 1},
        "clip": {"fps": 7.0},
        "loss": {"perceptual": {"url": "https://example.org/vgg16.pt", "path": None, "licence": "none"}},
    }
    machine = {f"compute.{key}" for key in MACHINE}
    assert {*paths(changes), *machine} == set(TrainAutoencoderConfig.indifferent)
    before = train_autoencoder(tmp_path / "before", vgg)
    after = train_autoencoder(tmp_path / "after", vgg, **changes)
    assert_equal(before, after)
    names = {path.name for folder in ("before", "after") for path in (tmp_path / folder / "run").iterdir()}
    assert len(names) == 1  # one identity, so that the state of one is that of all


@pytest.fixture(scope="module")
def latents(tmp_path_factory) -> dict[str, Path | list[Path]]:
    return diffusion.inputs.__wrapped__(tmp_path_factory)


def train_on(latents, folder: Path, **changes) -> dict[str, torch.Tensor]:
    short = {"training": {"steps": 4, "checkpoint_every": 1e-6}}
    settings = merge(merge(diffusion.CONFIG.model_dump(mode="json"), short), changes)
    train_diffusion.run(parse(TrainDiffusionConfig, settings, "test"), **latents, **diffusion.outputs(folder))
    return load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def plain(latents, tmp_path_factory) -> dict[str, torch.Tensor]:
    return train_on(latents, tmp_path_factory.mktemp("plain"))


def test_what_is_indifferent_to_the_diffusion_model_changes_no_weight(latents, plain, tmp_path):
    changes = {
        "training": LOOKS,
        "compute": {"workers": 1},
        "preview_sampler": {"method": "ddim", "steps": 3},
        "model": {"checkpointing": True},
    }
    assert {*paths(changes), *(f"compute.{key}" for key in MACHINE)} == set(TrainDiffusionConfig.indifferent)
    assert diffusion.CONFIG.model.dropout  # drawn again in the backward pass
    assert_equal(plain, train_on(latents, tmp_path / "after", **changes))


@pytest.mark.slow
def test_the_machine_changes_no_more_than_the_rounding(latents, plain, vgg, tmp_path):
    assert_close(train_on(latents, tmp_path / "diffusion", compute=MACHINE), plain)
    before = train_autoencoder(tmp_path / "before", vgg)
    assert_close(train_autoencoder(tmp_path / "after", vgg, compute=MACHINE), before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"training": change}
            for change in (
                {"seed": 1},
                {"learning_rate": 2e-3},
                {"warmup_steps": 2},
                {"decay": "cosine"},
                {"betas": [0.5, 0.9]},
                {"weight_decay": 0.5},
                {"gradient_clip": 1e-3},
                {"ema_decay": 0.0},
                {"batch_size": 1, "accumulate": 4},
                {"accumulate": 1},
            )
        ),
        {"compute": {"precision": "bfloat16"}},
    ],
    ids=str,
)
def test_what_decides_weights_changes_them(latents, plain, tmp_path, changes):
    after = train_on(latents, tmp_path, **changes)
    assert any(not torch.equal(value, after[name]) for name, value in plain.items())


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Rounding, of which Adam makes steps where a gradient is next to nothing: so of all weights together."""
    one, other = (torch.cat([weights[name].flatten() for name in sorted(weights)]) for weights in (first, second))
    assert (one - other).norm() < 1e-4 * other.norm()
