"""Clips per second that training can read, from shards and from the latent cache, in one process.

    python benchmarks/loader.py --resolution 128 --length 16 --batches 40 --out loader.json

Makes its own files in a temporary folder, reads each once unmeasured (so that they lie in the page cache,
as in every epoch but the first), then measures. Writes JSON to ``--out`` and a line for each kind.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from inputs import make_latents, make_shard
from output import write_result
from torch.utils.data import DataLoader, Dataset

from lvdm import compute
from lvdm.config import ComputeConfig
from lvdm.data.config import ClipConfig
from lvdm.data.datasets import ClipDataset, LatentDataset, collate
from lvdm.data.sampler import StepBatchSampler


def main() -> None:
    options = _options()
    compute.setup(ComputeConfig(device="cpu", threads=1))
    clip = ClipConfig(resolution=options.resolution, length=options.length, step=options.length // 2)
    latent = (4, clip.length // 4, clip.height // 8, clip.width // 8)
    result = {"resolution": clip.resolution, "length": clip.length, "batch_size": options.batch_size}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        datasets = {
            "clips": ClipDataset([make_shard(Path(folder), clip, options.videos)], clip),
            "latents": LatentDataset([make_latents(Path(folder), latent, options.windows)]),
        }
        for name, dataset in datasets.items():
            rates = result[name] = _measure(dataset, options.batch_size, options.batches)
            sys.stdout.write(
                f"{name}: {rates['clips_per_second']:.0f} clips/s, {rates['mebibytes_per_second']:.0f} MiB/s, "
                f"an epoch of {len(dataset)} in {rates['seconds_an_epoch']:.2f} s\n"
            )
    write_result(result, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--videos", type=int, default=8, help="videos of 256 frames in the shard")
    parser.add_argument("--windows", type=int, default=2048, help="windows in the latent cache")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where the temporary files are made; default: the system's")
    parser.add_argument("--out", type=Path, help="JSON file; default: the JSON goes to the terminal")
    return parser.parse_args()


def _measure(dataset: Dataset, batch_size: int, batches: int) -> dict[str, float]:
    for index in range(len(dataset)):
        dataset[index]
    sampler = StepBatchSampler(len(dataset), batch_size, seed=0, steps=batches)
    start = time.perf_counter()
    size = sum(batch.nbytes for batch in DataLoader(dataset, batch_sampler=sampler, collate_fn=collate))
    seconds = time.perf_counter() - start
    rate = batch_size * batches / seconds
    return {
        "clips_per_second": rate,
        "mebibytes_per_second": size / 2**20 / seconds,
        "seconds_an_epoch": len(dataset) / rate,
    }


if __name__ == "__main__":
    main()
