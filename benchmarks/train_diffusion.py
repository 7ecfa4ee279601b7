"""Clips per second of diffusion training: the stage's own loop, its bare step, and the original step.

    python benchmarks/train_diffusion.py --batch-size 3 32 128 --out train_diffusion.json

The loop is that of stage train-diffusion, with Lightning, loader, averaged weights and curve, on a latent cache; all
its steps after the warm-up count. The bare step is the same network and optimiser on one batch that is there already.
The baseline encodes its clips in every step, recomputes activations as published and runs in TF32. One batch a step.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import flops
import torch
from baseline import PlainAutoencoder, PlainUNet
from baseline_steps import diffusion_step
from inputs import clip_shape, diffusion_model, latent_shape, make_latents, randomise
from measure import Benchmark, make_parser
from training import TimedDiffusion, compare_loops, short, training_cases

from lvdm.data.datasets import LatentDataset
from lvdm.diffusion.schedule import make_schedule


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__, [3, 32, 128], repeats=50)
    parser.add_argument("--checkpointing", action="store_true", help="ours too computes activations again, for memory")
    parser.add_argument("--windows", type=int, default=2048, help="in the latent cache")
    benchmark = Benchmark("train_diffusion", parser, arguments)
    options, pipeline = benchmark.options, benchmark.pipeline
    model = diffusion_model(pipeline, checkpointing=options.checkpointing)

    def make(batch_size: int, steps: int) -> TimedDiffusion:
        training = short(pipeline.diffusion.training, steps, batch_size, accumulate=1)
        module = TimedDiffusion(
            model, training, benchmark.machine, lambda network, latents: torch.zeros(len(latents), 3, 4, 8, 8)
        )
        randomise(module.unet)
        return module

    def plain(batch_size: int) -> Callable[[], None]:
        unet = PlainUNet(model.model.replace(checkpointing=True)).to(benchmark.device)
        autoencoder = PlainAutoencoder(pipeline.autoencoder.model).to(benchmark.device)
        clips = torch.rand(batch_size, *clip_shape(pipeline), device=benchmark.device) * 2 - 1
        schedule = make_schedule(model.schedule)
        return diffusion_step(unet, autoencoder, schedule, pipeline.diffusion.training, clips)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        dataset = LatentDataset([make_latents(Path(folder), latent_shape(pipeline), options.windows)])
        work = flops.FORWARD_AND_BACKWARD * flops.unet(pipeline)
        benchmark.run(training_cases(benchmark, "diffusion training", make, dataset, plain, work))
    compare_loops(benchmark.rows)
    benchmark.finish()


if __name__ == "__main__":
    main()
