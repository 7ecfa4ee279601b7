"""Train the video autoencoder on clip shards.

Killed and started again, it resumes; `run_folder` keeps its checkpoints, and those of the trainings before it. After
SIGTERM or SIGUSR1 it saves its state and exits with code 75. Several GPUs share the batches of a step: with `gpus` it
runs itself once for each; on several `nodes` each is a task of `srun`.
"""

from pathlib import Path

import torch

from lvdm import compute
from lvdm.data.datasets import ClipDataset
from lvdm.data.shards import Shard, windows
from lvdm.files import check_outputs
from lvdm.models.perceptual import PerceptualDistance
from lvdm.models.weights import save_model
from lvdm.stages.config import TrainAutoencoderConfig
from lvdm.training import seeds
from lvdm.training.autoencoder import AutoencoderTraining
from lvdm.training.checkpoint import Run
from lvdm.training.config import check_processes
from lvdm.training.distributed import start
from lvdm.training.initial import check_initial, start_from
from lvdm.training.loop import fit, publish_records


def run(
    config: TrainAutoencoderConfig,
    *,
    train: list[Path],
    heldout: list[Path],
    initial: Path | None = None,
    perceptual: Path | None = None,
    run_folder: Path,
    weights: Path,
    curve: Path,
    quality: Path,
    picture: Path,
    gpus: int = 1,
    nodes: int = 1,
    profile: bool = False,
) -> None:
    """Train the video autoencoder.

    Reads the shards `train` and `heldout` (which may be without windows: then quality is measured on
    training clips, and its table says so), with `init: imported` the weights `initial`, and the network of LPIPS
    `perceptual` where `loss.perceptual` states one. Writes `weights` (.safetensors, and the model's configuration as
    .json beside it), `curve` (.csv), `quality` (.csv: step, split, clips, metric, value) and `picture` (.png:
    originals and reconstructions). `gpus` GPUs on each of `nodes` train together (on CPUs: processes).
    `profile` says in the log where the time of a few steps goes, and writes a trace of them into `run_folder`.
    """
    check_initial(config.init, initial)
    check_processes(config.training, gpus, nodes)
    check_outputs(weights, weights.with_suffix(".json"), curve, quality, picture, folders=[run_folder])
    if (config.loss.perceptual is None) != (perceptual is None):
        raise ValueError("`loss.perceptual` states a network and --perceptual is its file: give both, or neither")
    processes = start(gpus, nodes)
    others = [path for path in (initial, perceptual) if path is not None]
    trained = Run.of(run_folder, config, "lvdm.stages.train_autoencoder", [*train, *heldout, *others])
    machine = compute.setup(config.compute, processes.local_rank)
    lpips = None
    if perceptual is not None:
        lpips = PerceptualDistance(perceptual, config.loss.perceptual, machine.device, machine.compiled)
    torch.manual_seed(seeds.derive(config.training.seed, "weights"))
    module = AutoencoderTraining(config.model, config.discriminator, config.loss, config.training, machine, lpips)
    if initial is not None:
        start_from(module.autoencoder, initial, config.model.model_dump(mode="json"))
    held = [path for path in heldout if windows(Shard(path), config.clip)]
    fit(
        module,
        train=ClipDataset(train, config.clip),
        heldout=ClipDataset(held, config.clip) if held else None,
        run=trained,
        workers=config.compute.workers,
        processes=processes,
        profile=profile,
    )
    if not processes.first:
        return
    save_model(weights, module.autoencoder.state_dict(), config.model.model_dump(mode="json"))
    publish_records(trained, config.training.steps, curve=curve, quality=quality, picture=picture)
