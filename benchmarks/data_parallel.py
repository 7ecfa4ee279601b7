"""How much faster two GPUs train the diffusion model than one, and whether they train the same.

    python benchmarks/data_parallel.py --gpus 2 --steps 60 --out data_parallel.json

Trains the network of ``--config`` through the training's own loop on latents that it makes itself, in three runs:

- on one GPU, and on ``--gpus`` GPUs, at the same batch per GPU (one batch a step on each): clips per second;
- on one GPU with the effective batch of several: the largest relative difference of the two curves.

The first ``--warmup`` steps (compilation, choice of kernels) are not timed. Writes JSON to ``--out`` and a table.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from inputs import diffusion_model, latent_shape, make_latents
from output import write_result
from training import TimedDiffusion, fit_seconds, short

from lvdm import compute
from lvdm.config import ComputeConfig, load
from lvdm.data.datasets import LatentDataset
from lvdm.files import read_json, write_json
from lvdm.stages.pipeline import PipelineConfig
from lvdm.training import seeds
from lvdm.training.distributed import start

WINDOWS = 512


def main() -> None:
    options = _options()
    if options.run is not None:
        _train(options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        make_latents(Path(folder), latent_shape(load(PipelineConfig, options.config)), WINDOWS)
        runs = {
            "one": _run(options, Path(folder), "one", gpus=1, accumulate=1),
            "several": _run(options, Path(folder), "several", gpus=options.gpus, accumulate=options.gpus),
            "same batch on one": _run(options, Path(folder), "same", gpus=1, accumulate=options.gpus),
        }
    result = {
        "device": runs["one"]["device"],
        "batch_size": runs["one"]["batch_size"],
        "precision": runs["one"]["precision"],
        "steps": options.steps,
        "gpus": options.gpus,
        "clips_per_second": {name: found["clips_per_second"] for name, found in runs.items()},
        "ratio": runs["several"]["clips_per_second"] / runs["one"]["clips_per_second"],
        "largest_difference": _difference(runs["several"]["curve"], runs["same batch on one"]["curve"]),
        "curves": {name: found["curve"] for name, found in runs.items()},
    }
    _print_table(result)
    write_result(result, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[1] / "config" / "presets" / "col.yaml")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--batch-size", type=int, help="clips a batch; default: as configured")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--log-every", type=int, default=5, help="steps between two points of the curves")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--workers", type=int, default=2, help="processes that load data, for each GPU")
    parser.add_argument("--folder", type=Path, help="where the temporary files are made; default: the system's")
    parser.add_argument("--out", type=Path, help="JSON file; default: the JSON goes to the terminal")
    # One of the runs, in processes of its own.
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--accumulate", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(options: argparse.Namespace, folder: Path, name: str, gpus: int, accumulate: int) -> dict:
    changes = {"--run": name, "--folder": folder, "--gpus": gpus, "--accumulate": accumulate}
    kept = ("config", "batch_size", "steps", "warmup", "log_every", "precision", "device", "workers")
    given = {f"--{key.replace('_', '-')}": getattr(options, key) for key in kept}
    arguments = [str(part) for pair in {**given, **changes}.items() if pair[1] is not None for part in pair]
    subprocess.run([sys.executable, str(Path(__file__).resolve()), *arguments], check=True)
    return read_json(folder / f"{name}.json")


def _train(options: argparse.Namespace) -> None:
    """One run, in this process and those that it starts; the first one writes what was measured."""
    processes = start(options.gpus, nodes=1)
    pipeline = load(PipelineConfig, options.config)
    machine = compute.setup(
        ComputeConfig(device=options.device, precision=options.precision, workers=options.workers),
        processes.local_rank,
    )
    latents = LatentDataset([options.folder / "latents.npy"])
    changes = {"accumulate": options.accumulate, "log_every": options.log_every}
    training = short(pipeline.diffusion.training, options.steps, options.batch_size, **changes)
    torch.manual_seed(seeds.derive(training.seed, "weights"))
    module = TimedDiffusion(
        diffusion_model(pipeline), training, machine, lambda network, latents: torch.zeros(len(latents), 3, 4, 8, 8)
    )
    module.warmup = options.warmup
    folder = options.folder / options.run
    seconds = fit_seconds(module, latents, folder, options.workers, processes)
    if not processes.first:
        return
    cuda = machine.device.type == "cuda"
    with (folder / "benchmark" / "metrics.csv").open(newline="") as file:
        curve = {row["step"]: float(row["loss"]) for row in csv.DictReader(file)}
    write_json(
        options.folder / f"{options.run}.json",
        {
            "device": torch.cuda.get_device_name() if cuda else "CPU",
            "precision": str(machine.dtype).removeprefix("torch."),
            "batch_size": training.batch_size,
            "clips_per_second": training.batch_size * training.accumulate / statistics.fmean(seconds),
            "curve": curve,
        },
    )


def _difference(first: dict[str, float], second: dict[str, float]) -> float:
    return max(abs(first[step] - second[step]) / abs(second[step]) for step in second)


def _print_table(result: dict) -> None:
    rates, gpus = result["clips_per_second"], result["gpus"]
    rows = [
        ("1 GPU, 1 batch a step", rates["one"]),
        (f"{gpus} GPUs, {gpus} batches a step", rates["several"]),
        (f"1 GPU, {gpus} batches a step", rates["same batch on one"]),
    ]
    sys.stdout.write(f"{result['device']}, {result['precision']}, {result['batch_size']} clips a batch\n\n")
    sys.stdout.write("| run | clips/s |\n|---|---|\n")
    sys.stdout.writelines(f"| {name} | {rate:.2f} |\n" for name, rate in rows)
    sys.stdout.write(
        f"\n{gpus} GPUs against 1 at the same batch per GPU: {result['ratio']:.3f} times the clips/s\n"
        f"largest relative difference of the curves at the same effective batch: {result['largest_difference']:.2e}\n"
    )


if __name__ == "__main__":
    main()
