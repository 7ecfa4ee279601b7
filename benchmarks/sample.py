"""Videos per second of stage sample, from noise to uint8 on disk, at each batch size.

    python benchmarks/sample.py --batch-size 1 16 64 256 --out sample.json

The whole stage with DPM-Solver++ on random weights: noise, sampler, decoding, rounding, writing. What comes before the
end of its first batch (loading, compilation) is no part of the rates. The baseline samples as shipped: one video at a
time, the plain UNet in TF32, a step for each level of the schedule (1000 as published), then decoding. It is not run to
the end: a step and the decoding are timed, and the time of the step is multiplied. A clip is a video here.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import flops
import torch
from baseline import PlainAutoencoder, PlainUNet
from baseline_steps import Ancestral, as_shipped
from inputs import latent_shape, save_autoencoder, save_diffusion
from marking import marking_progress
from measure import BASELINE, Benchmark, Case, Clock, make_parser

from lvdm.diffusion.config import SamplerConfig
from lvdm.diffusion.schedule import make_schedule
from lvdm.stages import sample
from lvdm.stages.config import SampleConfig


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__, [1, 16, 64, 256], repeats=6)
    parser.set_defaults(warmup=2)
    parser.add_argument("--steps", type=int, default=20, help="of DPM-Solver++")
    benchmark = Benchmark("sample", parser, arguments)
    steps, levels = benchmark.options.steps, benchmark.pipeline.diffusion.schedule.steps
    step, decode = flops.unet(benchmark.pipeline), flops.decode(benchmark.pipeline)
    with tempfile.TemporaryDirectory(dir=benchmark.options.folder) as folder:
        networks = [save(Path(folder), benchmark.pipeline) for save in (save_autoencoder, save_diffusion)]

        def stage(batch_size: int) -> float:
            return _stage(benchmark, Path(folder), networks, batch_size)

        benchmark.run(
            [
                Case(
                    "sampling",
                    BASELINE,
                    lambda batch_size: _as_shipped(benchmark, batch_size),
                    levels * step + decode,
                    torch.float32,
                    batch_sizes=(1,),
                    context=as_shipped,
                    note=f"{levels} times a timed DDPM step, and decoding",
                ),
                Case("sampling", "stage", stage, steps * step + decode, benchmark.machine.dtype, note=f"{steps} steps"),
            ]
        )
    benchmark.finish()


def _stage(benchmark: Benchmark, folder: Path, networks: Sequence[Path], batch_size: int) -> float:
    """Seconds of a batch in the stage."""
    sampler = SamplerConfig(method="dpm-solver++", steps=benchmark.options.steps)
    config = SampleConfig(sampler=sampler, batch_size=batch_size, compute=benchmark.compute)
    clock = Clock(torch.device("cpu"))  # when the stage says that a batch is done, it is in the file
    autoencoder, diffusion = networks
    count, clips = batch_size * benchmark.batches, folder / "clips.npy"
    with mock.patch.object(sample, "Progress", marking_progress(clock.mark)):
        sample.run(config, autoencoder=autoencoder, diffusion=diffusion, first=0, count=count, clips=clips)
    return benchmark.mean_seconds(clock)


@torch.no_grad()
def _as_shipped(benchmark: Benchmark, batch_size: int) -> float:
    """Seconds of a batch through all levels, from those of a step."""
    pipeline, device = benchmark.pipeline, benchmark.device
    unet = PlainUNet(pipeline.diffusion.model).to(device)
    autoencoder = PlainAutoencoder(pipeline.autoencoder.model).to(device)
    schedule = make_schedule(pipeline.diffusion.schedule)
    sampling, middle = Ancestral(schedule, device), schedule.steps // 2
    x = torch.randn(batch_size, *latent_shape(pipeline), device=device)
    step = benchmark.seconds(lambda: sampling.step(unet, x, middle, torch.randn_like(x)))
    return schedule.steps * step + benchmark.seconds(lambda: autoencoder.decode(x))


if __name__ == "__main__":
    main()
