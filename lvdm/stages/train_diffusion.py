"""Train the latent diffusion model on cached latents.

Killed and started again, it resumes; `run_folder` keeps its checkpoints, and those of the trainings before it. After
SIGTERM or SIGUSR1 it saves its state and exits with code 75. Several GPUs share the batches of a step: with `gpus` it
runs itself once for each; on several `nodes` each is a task of `srun`.
"""

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from lvdm import compute
from lvdm.compute import Compute
from lvdm.config import load
from lvdm.data.datasets import LatentDataset, open_latents
from lvdm.files import check_outputs
from lvdm.models.weights import load_autoencoder, record_of, save_model
from lvdm.stages.config import TrainDiffusionConfig
from lvdm.training import seeds
from lvdm.training.checkpoint import Run
from lvdm.training.config import DiffusionModelConfig, LatentScaling, check_processes
from lvdm.training.diffusion import DiffusionTraining, Preview
from lvdm.training.distributed import start
from lvdm.training.initial import check_initial, start_from
from lvdm.training.loop import fit, publish_records


def run(
    config: TrainDiffusionConfig,
    *,
    train: list[Path],
    heldout: list[Path],
    statistics: Path,
    autoencoder: Path,
    initial: Path | None = None,
    run_folder: Path,
    weights: Path,
    curve: Path,
    quality: Path,
    picture: Path,
    gpus: int = 1,
    nodes: int = 1,
    profile: bool = False,
) -> None:
    """Train the latent diffusion model.

    Reads the latent caches `train` and `heldout` (which may be without windows: then quality is measured on
    training latents, and its table says so), their scaling `statistics`, the weights `autoencoder`, which
    decode the pictures, and with `init: imported` the weights `initial`. Writes `weights` (averaged, .safetensors,
    and the model as .json beside it), `curve` (.csv), `quality` (.csv: step, split, clips, metric, value; held-out
    error by noise level) and `picture` (.png: clips drawn at the end; for prediction and interpolation, from frames
    of held-out clips). `gpus` GPUs on each of `nodes` train together (on CPUs: processes).
    `profile` says in the log where the time of a few steps goes, and writes a trace of them into `run_folder`.
    """
    check_initial(config.init, initial)
    check_processes(config.training, gpus, nodes)
    check_outputs(weights, weights.with_suffix(".json"), curve, quality, picture, folders=[run_folder])
    processes = start(gpus, nodes)
    inputs = [*train, *heldout, statistics, autoencoder, *([] if initial is None else [initial])]
    trained = Run.of(run_folder, config, "lvdm.stages.train_diffusion", inputs)
    machine = compute.setup(config.compute, processes.local_rank)
    latents = LatentDataset(train, config.latent_stride)
    model = _model(config, latents, _scaling(statistics, initial))
    torch.manual_seed(seeds.derive(config.training.seed, "weights"))
    module = DiffusionTraining(model, config.training, machine, _preview(config, model, autoencoder, machine))
    if initial is not None:
        agreeing = {"model": True, "schedule": True, "task": True, "objective": {"prediction"}}
        start_from(module.unet, initial, model.model_dump(mode="json", include=agreeing))
        module.averaged.average.load_state_dict(module.unet.state_dict())
    held = [path for path in heldout if len(open_latents(path))]
    fit(
        module,
        train=latents,
        heldout=LatentDataset(held, config.latent_stride) if held else None,
        run=trained,
        workers=config.compute.workers,
        processes=processes,
        profile=profile,
    )
    if not processes.first:
        return
    save_model(weights, module.averaged.average.state_dict(), model.model_dump(mode="json"))
    publish_records(trained, config.training.steps, curve=curve, quality=quality, picture=picture)


def _scaling(statistics: Path, initial: Path | None) -> LatentScaling:
    """What the imported weights were trained with; from scratch, what was measured."""
    if initial is not None:
        return load(DiffusionModelConfig, record_of(initial)).scaling
    return load(LatentScaling, statistics)


def _model(config: TrainDiffusionConfig, latents: LatentDataset, scaling: LatentScaling) -> DiffusionModelConfig:
    channels, length, *_ = shape = tuple(latents[0].shape[1:])
    if config.model.in_channels != channels or config.model.out_channels != channels:
        raise ValueError(
            f"{latents.paths[0]} holds latents of {channels} channels, but diffusion.model.in_channels is "
            f"{config.model.in_channels} and out_channels {config.model.out_channels}; set both to {channels}"
        )
    if length != config.model.temporal_length:
        raise ValueError(
            f"{latents.paths[0]} holds {length} latent frames a window at diffusion.latent_stride "
            f"{config.latent_stride}, but diffusion.model.temporal_length is {config.model.temporal_length}; "
            "run stage encode with windows of that length"
        )
    fields = ("model", "schedule", "objective", "task", "condition", "latent_stride")
    return DiffusionModelConfig(
        latent_shape=shape, scaling=scaling, **{field: getattr(config, field) for field in fields}
    )


def _preview(config: TrainDiffusionConfig, model: DiffusionModelConfig, autoencoder: Path, machine: Compute) -> Preview:
    # By name, so that the samplers are no part of this stage's code stamp: they draw the pictures, which are for
    # people, and decide nothing about the weights. A changed sampler must not make a training stale.
    generation = importlib.import_module("lvdm.training.generate")
    decoder = load_autoencoder(autoencoder, machine.device)

    def preview(network: nn.Module, latents: Tensor) -> Tensor:
        decode = decoder.decode if model.latent_stride == 1 else generation.one_by_one(decoder.decode)
        generate = generation.ClipGenerator(network, model, decode)
        cpu = torch.device("cpu")
        generators = [seeds.generator(cpu, config.training.seed, "preview", n) for n in range(len(latents))]
        condition = generation.task_condition(model, latents, generators)
        return generate(config.preview_sampler, generators, machine.device, condition)

    return preview
