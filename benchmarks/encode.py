"""Windows per second of stage encode, from a shard to a latent cache on disk, at each batch size.

    python benchmarks/encode.py --batch-size 8 32 128 --out encode.json

The whole stage on a shard of noise and random weights: reading, network, writing. What comes before the end of its
first batch (loading, compilation) is no part of the rates. The baseline reads the same windows batch by batch, encodes
them with the plain network in TF32 and fetches the moments. A clip is a window.
"""

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import flops
import numpy as np
import torch
from baseline import PlainAutoencoder
from baseline_steps import as_shipped
from inputs import clip_config, make_shard_of, save_autoencoder
from marking import marking_progress
from measure import BASELINE, Benchmark, Case, Clock, make_parser

from lvdm.data.datasets import to_float
from lvdm.data.shards import Shard, read_clip, windows
from lvdm.stages import encode
from lvdm.stages.config import EncodeConfig


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark = Benchmark("encode", make_parser(__doc__, [8, 32, 128]), arguments)
    pipeline, work = benchmark.pipeline, flops.encode(benchmark.pipeline)
    with tempfile.TemporaryDirectory(dir=benchmark.options.folder) as folder:
        autoencoder = save_autoencoder(Path(folder), pipeline)

        def shard(batch_size: int) -> Path:
            return make_shard_of(Path(folder), clip_config(pipeline), batch_size * benchmark.batches)

        def stage(batch_size: int) -> float:
            return _stage(benchmark, shard(batch_size), autoencoder, batch_size)

        def plain(batch_size: int) -> float:
            return _plain(benchmark, Shard(shard(batch_size)), batch_size)

        benchmark.run(
            [
                Case("encoding", BASELINE, plain, work, torch.float32, context=as_shipped),
                Case("encoding", "stage", stage, work, benchmark.machine.dtype),
            ]
        )
    benchmark.finish()


def _stage(benchmark: Benchmark, shard: Path, autoencoder: Path, batch_size: int) -> float:
    """Seconds of a batch in the stage."""
    config = EncodeConfig(clip=clip_config(benchmark.pipeline), batch_size=batch_size, compute=benchmark.compute)
    clock = Clock(torch.device("cpu"))  # when the stage says that a batch is done, it is in the file
    with mock.patch.object(encode, "Progress", marking_progress(clock.mark)):
        encode.run(config, shard=shard, autoencoder=autoencoder, latents=shard.with_name("latents.npy"))
    return benchmark.mean_seconds(clock)


@torch.no_grad()
def _plain(benchmark: Benchmark, shard: Shard, batch_size: int) -> float:
    """Seconds of a batch by the plain network."""
    clip = clip_config(benchmark.pipeline)
    network = PlainAutoencoder(benchmark.pipeline.autoencoder.model).to(benchmark.device)
    chosen = iter(windows(shard, clip))

    def batch() -> None:
        frames = np.stack([read_clip(shard, window, clip) for window in itertools.islice(chosen, batch_size)])
        clips = to_float(torch.from_numpy(frames).to(benchmark.device))
        torch.stack(network.encode(clips), dim=1).half().cpu()

    return benchmark.seconds(batch)


if __name__ == "__main__":
    main()
