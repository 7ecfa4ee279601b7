"""Windows per second of stage encode over a whole data set, each of its processes from start to end.

    python benchmarks/latent_cache.py --windows 200000 --batch-size 128 --out latent_cache.json

Runs `lvdm encode` on one shard after another, as the workflow does on one GPU, with random weights. The time is from
the start of the first process to the end of the last: Python, loading, compilation, reading, network, writing. One on
a shard of a single video runs before and is told apart; what it compiles, the others find in the compiler's cache, as
those of a run do. The shards are written just before, so they lie in the page cache as far as there is memory for
them, and they are one file under several names, which spares the disk (200,000 windows as configured are 79 GB) and
no work: each process maps and reads it anew.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from inputs import clip_config, make_shard, make_shard_of, save_autoencoder
from measure import describe
from options import add_common_options, load_pipeline
from output import write_result
from table import head_line

from lvdm import compute
from lvdm.config import ComputeConfig
from lvdm.files import read_json, write_text
from lvdm.stages.config import EncodeConfig

_COMMAND = Path(__file__).with_name("timed_encode.py")


@dataclass(frozen=True)
class Encoding:
    """One process: its windows, when it was started and had ended, and when each batch was in the file (seconds)."""

    windows: int
    start: float
    end: float
    batches: list[float]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    pipeline = load_pipeline(options)
    shards = options.shards or pipeline.data.split.train_shards
    machine = ComputeConfig(device=options.device, precision=options.precision, threads=options.threads)
    config = EncodeConfig(clip=clip_config(pipeline), batch_size=options.batch_size, compute=machine)
    used = compute.setup(machine)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        save_autoencoder(folder, pipeline)
        write_text(folder / "encode.json", config.to_json())
        (folder / "first").mkdir()
        first = _encode(folder, make_shard(folder / "first", config.clip, videos=1))
        whole = make_shard_of(folder, config.clip, -(-options.windows // shards))
        encodings = [_encode(folder, _another_name(whole, number)) for number in range(shards)]
    result = describe("latent_cache", options, pipeline, used.device)
    result |= {"precision": str(used.dtype).removeprefix("torch."), "batch_size": options.batch_size}
    result |= {"step": config.clip.step, "shards": shards} | _rates(encodings, options.batch_size)
    result["seconds_of_first_process"] = first.end - first.start
    _print(result)
    write_result(result, options.out)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser)
    parser.add_argument("--windows", type=int, default=200_000, help="at least, in all shards")
    parser.add_argument("--shards", type=int, help="files, and processes; default: as configured for training")
    parser.add_argument("--batch-size", type=int, default=128)
    if parser.parse_args(arguments).tiny:
        parser.set_defaults(windows=100, shards=2, batch_size=8)
    return parser.parse_args(arguments)


def _another_name(shard: Path, number: int) -> Path:
    name = shard.with_name(f"shard-{number:03}.npy")
    for suffix in (".npy", ".json"):
        os.link(shard.with_suffix(suffix), name.with_suffix(suffix))
    return name


def _encode(folder: Path, shard: Path) -> Encoding:
    """Encode one shard, with the settings and weights in ``folder``."""
    latents, times = shard.with_name(f"{shard.stem}-latents.npy"), shard.with_name(f"{shard.stem}-times.json")
    given = {"config": folder / "encode.json", "shard": shard, "autoencoder": folder / "autoencoder.safetensors"}
    given |= {"latents": latents}
    arguments = [str(part) for name, path in given.items() for part in (f"--{name}", path)]
    start = time.perf_counter()
    subprocess.run([sys.executable, str(_COMMAND), str(times), *arguments], check=True)
    end = time.perf_counter()
    return Encoding(len(np.load(latents, mmap_mode="r")), start, end, read_json(times)["batches"])


def _rates(encodings: Sequence[Encoding], batch_size: int) -> dict[str, float]:
    """Of all processes together. Raises ``ValueError`` where a process has no second batch."""
    fewest = min(len(encoding.batches) for encoding in encodings)
    if fewest < 2:
        raise ValueError(f"a shard has {fewest} batches of {batch_size}, but a rate needs 2; give more --windows")
    windows, seconds = sum(encoding.windows for encoding in encodings), encodings[-1].end - encodings[0].start
    rest = sum(encoding.windows - batch_size for encoding in encodings)
    return {
        "windows": windows,
        "seconds": seconds,
        "windows_per_second": windows / seconds,
        "seconds_to_first_batch": statistics.fmean(encoding.batches[0] - encoding.start for encoding in encodings),
        "windows_per_second_after_first_batch": rest
        / sum(encoding.batches[-1] - encoding.batches[0] for encoding in encodings),
    }


def _print(result: dict) -> None:
    sys.stdout.write(
        f"{head_line(result)}\n"
        f"{result['windows']} windows in {result['shards']} shards, {result['precision']}, batches of "
        f"{result['batch_size']}: {result['seconds']:.1f} s, {result['windows_per_second']:.0f} windows/s\n"
        f"after the first batch of each process: {result['windows_per_second_after_first_batch']:.0f} windows/s\n"
        f"to the end of the first batch of each process: {result['seconds_to_first_batch']:.1f} s\n"
        f"before, a process that compiles, on one video: {result['seconds_of_first_process']:.1f} s\n"
    )


if __name__ == "__main__":
    main()
