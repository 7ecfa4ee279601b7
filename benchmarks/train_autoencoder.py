"""Clips per second of autoencoder training: the stage's own loop, its bare step, and the original step.

    python benchmarks/train_autoencoder.py --batch-size 1 8 16 --out train_autoencoder.json

With the full loss (L1, LPIPS by a network shaped like VGG16, discriminator) and of the reconstruction alone. The loop
is that of stage train-autoencoder, with Lightning, loader and curve, on a shard; all its steps after the warm-up count.
The bare step is the same networks and optimisers on one batch that is there already. The baseline runs in TF32, and
with the full loss reconstructs a second time for the discriminator, as the original does. One batch a step.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import flops
import torch
from baseline import PlainAutoencoder
from baseline_steps import autoencoder_step
from inputs import clip_config, clip_shape, make_shard, make_vgg16
from measure import Benchmark, Case, make_parser
from training import TimedAutoencoder, compare_loops, short, training_cases

from lvdm.config import NetworkFile
from lvdm.data.datasets import ClipDataset
from lvdm.models.discriminator import PatchDiscriminator
from lvdm.models.perceptual import FeatureDistance, PerceptualDistance

_VGG_WIDTH = 64
_TINY_VGG_WIDTH = 8


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__, [1, 8, 16])
    parser.add_argument("--videos", type=int, default=16, help="videos of 256 frames in the shard")
    benchmark = Benchmark("train_autoencoder", parser, arguments)
    options, pipeline = benchmark.options, benchmark.pipeline
    width = _TINY_VGG_WIDTH if options.tiny else _VGG_WIDTH
    reconstruction = flops.FORWARD_AND_BACKWARD * (flops.encode(pipeline) + flops.decode(pipeline))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        clip = clip_config(pipeline)
        dataset = ClipDataset([make_shard(Path(folder), clip, options.videos)], clip)
        vgg16 = make_vgg16(Path(folder), width)
        benchmark.run(
            [
                *_cases(benchmark, "reconstruction only", dataset, None, reconstruction),
                *_cases(benchmark, "full loss", dataset, vgg16, flops.full_loss(pipeline, width)),
            ]
        )
    compare_loops(benchmark.rows)
    benchmark.finish()


def _cases(
    benchmark: Benchmark, group: str, dataset: ClipDataset, vgg16: NetworkFile | None, work: float
) -> list[Case]:
    """With the full loss where there is a file of LPIPS' network, or of the reconstruction alone."""
    pipeline, section, full = benchmark.pipeline, benchmark.pipeline.autoencoder, vgg16 is not None
    machine, device = benchmark.machine, benchmark.device
    loss = section.loss.replace(disc_start=0, disc_weight=section.loss.disc_weight if full else 0.0)

    def make(batch_size: int, steps: int) -> TimedAutoencoder:
        training = short(section.training, steps, batch_size, accumulate=1)
        perceptual = PerceptualDistance(vgg16.path, vgg16, device, machine.compiled) if full else None
        return TimedAutoencoder(section.model, section.discriminator, loss, training, machine, perceptual)

    def plain(batch_size: int) -> Callable[[], None]:
        autoencoder = PlainAutoencoder(section.model).to(device)
        discriminator = PatchDiscriminator(section.discriminator).to(device) if full else None
        perceptual = FeatureDistance(torch.jit.load(vgg16.path, map_location=device)) if full else None
        clips = torch.rand(batch_size, *clip_shape(pipeline), device=device) * 2 - 1
        return autoencoder_step(autoencoder, section.training, clips, perceptual, discriminator)

    return training_cases(benchmark, group, make, dataset, plain, work)


if __name__ == "__main__":
    main()
