"""Evaluations of the UNet per second, as sampling needs them: forward passes at each batch size.

    python benchmarks/unet.py --batch-size 1 16 64 256 --out unet.json

The UNet of ``--config`` as stage sample runs it, against the plain one of ``baseline`` in TF32.
"""

from collections.abc import Sequence

import flops
import torch
from baseline import PlainUNet
from baseline_steps import as_shipped
from inputs import diffusion_model, randomise
from measure import BASELINE, Benchmark, Case, make_parser

from lvdm.models.unet import UNet


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark = Benchmark("unet", make_parser(__doc__, [1, 16, 64, 256]), arguments)
    model = diffusion_model(benchmark.pipeline)

    def inputs(batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        t = torch.randint(model.schedule.steps, (batch_size,), device=benchmark.device)
        return torch.randn(batch_size, *model.latent_shape, device=benchmark.device), t

    def plain(batch_size: int) -> float:
        with benchmark.device, torch.no_grad():
            network, arrays = PlainUNet(model.model), inputs(batch_size)
            return benchmark.seconds(lambda: network(*arrays))

    def ours(batch_size: int) -> float:
        with benchmark.device:
            network = benchmark.machine.place(randomise(UNet(model.model)))
        forward, arrays = benchmark.deployed(network, replayed=True), inputs(batch_size)
        return benchmark.seconds(lambda: forward(*arrays))

    work = flops.unet(benchmark.pipeline)
    benchmark.run(
        [
            Case("UNet forward", BASELINE, plain, work, torch.float32, context=as_shipped),
            Case("UNet forward", "ours", ours, work, benchmark.machine.dtype),
        ]
    )
    benchmark.finish()


if __name__ == "__main__":
    main()
