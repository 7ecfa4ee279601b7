"""Clips that the video autoencoder encodes and decodes per second, at each batch size.

    python benchmarks/autoencoder.py --batch-size 1 8 16 32 --out autoencoder.json

The autoencoder of ``--config`` as stages encode and sample run it, against the plain one of ``baseline`` in TF32.
"""

from collections.abc import Callable, Sequence

import flops
import torch
from baseline import PlainAutoencoder
from baseline_steps import as_shipped
from inputs import clip_shape, latent_shape
from measure import BASELINE, Benchmark, Case, make_parser

from lvdm.models.autoencoder import VideoAutoencoder


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark = Benchmark("autoencoder", make_parser(__doc__, [1, 8, 16, 32]), arguments)
    cases = [
        *_cases(benchmark, "encode", clip_shape(benchmark.pipeline)),
        *_cases(benchmark, "decode", latent_shape(benchmark.pipeline)),
    ]
    benchmark.run(cases)
    benchmark.finish()


def _cases(benchmark: Benchmark, method: str, shape: tuple[int, ...]) -> list[Case]:
    model = benchmark.pipeline.autoencoder.model

    def measure(function: Callable[[torch.Tensor], object], batch_size: int) -> float:
        batch = torch.randn(batch_size, *shape, device=benchmark.device)
        return benchmark.seconds(lambda: function(batch))

    def plain(batch_size: int) -> float:
        with torch.no_grad():
            return measure(getattr(PlainAutoencoder(model).to(benchmark.device), method), batch_size)

    def ours(batch_size: int) -> float:
        return measure(benchmark.deployed(VideoAutoencoder(model), method), batch_size)

    work = getattr(flops, method)(benchmark.pipeline)
    return [
        Case(method, BASELINE, plain, work, torch.float32, context=as_shipped),
        Case(method, "ours", ours, work, benchmark.machine.dtype),
    ]


if __name__ == "__main__":
    main()
