"""Train the latent diffusion model on cached latents.

Killed and started again, it resumes; `run_folder` keeps its checkpoints. After SIGTERM or SIGUSR1 it
saves its state and exits with code 75.
"""

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from lvdm import compute
from lvdm.compute import Compute
from lvdm.config import load
from lvdm.data.datasets import LatentDataset
from lvdm.files import read_json
from lvdm.models.weights import load_autoencoder, save_model
from lvdm.stages.config import TrainDiffusionConfig
from lvdm.training import seeds
from lvdm.training.checkpoint import Run, identity
from lvdm.training.config import DiffusionModelConfig, LatentScaling
from lvdm.training.diffusion import DiffusionTraining, Preview
from lvdm.training.loop import fit, publish_records


def run(
    config: TrainDiffusionConfig,
    *,
    train: list[Path],
    heldout: list[Path],
    statistics: Path,
    autoencoder: Path,
    run_folder: Path,
    weights: Path,
    curve: Path,
    quality: Path,
    picture: Path,
) -> None:
    """Train the latent diffusion model.

    Reads the latent caches `train` and `heldout` (which may be without windows: then quality is measured on
    training latents, and its table says so), their scaling `statistics`, and the weights `autoencoder`, which
    decode the pictures. Writes `weights` (averaged, .safetensors, and the model as .json beside it), `curve`
    (.csv), `quality` (.csv: step, split, clips, metric, value; held-out error by noise level) and `picture`
    (.png: clips drawn at the end).
    """
    inputs = [*train, *heldout, statistics, autoencoder]
    trained = Run(run_folder, identity(config, "lvdm.stages.train_diffusion", inputs))
    machine = compute.setup(config.compute)
    latents = LatentDataset(train)
    model = _model(config, latents)
    scaling = load(LatentScaling, statistics)
    torch.manual_seed(seeds.derive(config.training.seed, "weights"))
    preview = _preview(config, model, scaling, autoencoder, machine)
    module = DiffusionTraining(model, config.training, scaling, machine, preview)
    held = [path for path in heldout if read_json(path.with_suffix(".json"))["windows"]]
    fit(
        module,
        train=latents,
        heldout=LatentDataset(held) if held else None,
        run=trained,
        workers=config.compute.workers,
    )
    save_model(weights, module.averaged.average.state_dict(), model.model_dump(mode="json"))
    publish_records(trained, curve=curve, quality=quality, picture=picture)


def _model(config: TrainDiffusionConfig, latents: LatentDataset) -> DiffusionModelConfig:
    shape = tuple(latents[0].shape[1:])
    if config.model.in_channels != shape[0] or config.model.out_channels != shape[0]:
        raise ValueError(
            f"{latents.paths[0]} holds latents of {shape[0]} channels, but diffusion.model.in_channels is "
            f"{config.model.in_channels} and out_channels {config.model.out_channels}; set both to {shape[0]}"
        )
    return DiffusionModelConfig(
        model=config.model, schedule=config.schedule, objective=config.objective, latent_shape=shape
    )


def _preview(
    config: TrainDiffusionConfig,
    model: DiffusionModelConfig,
    scaling: LatentScaling,
    autoencoder: Path,
    machine: Compute,
) -> Preview:
    # By name, so that the samplers are no part of this stage's code stamp: they draw the pictures, which are for
    # people, and decide nothing about the weights. A changed sampler must not make a training stale.
    generation = importlib.import_module("lvdm.training.generate")
    decoder = load_autoencoder(autoencoder, machine.device)

    def preview(network: nn.Module, count: int) -> Tensor:
        generate = generation.ClipGenerator(network, model, scaling, decoder.decode)
        cpu = torch.device("cpu")
        generators = [seeds.generator(cpu, config.training.seed, "preview", n) for n in range(count)]
        return generate(config.preview_sampler, generators, machine.device)

    return preview
