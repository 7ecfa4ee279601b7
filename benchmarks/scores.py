"""Time and memory of scoring: stages features and score on two sets of clips, with the full-size I3D.

    python benchmarks/scores.py --clips 2048 --device cuda

The network has random weights, which take as long as others, and the clips are noise. Prints clips/s of either
side, the largest memory of the accelerator and of this process, and the whole time; a first, small side of 256 clips
warms up, and shows whether memory grows with their number.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lvdm.config import ComputeConfig, NetworkFile
from lvdm.data.config import ClipConfig
from lvdm.evaluation.config import DetectorConfig, SelectionConfig
from lvdm.evaluation.i3d import InceptionI3D
from lvdm.stages import features, score
from lvdm.stages.config import FeaturesConfig, ScoreConfig

WARM_UP_CLIPS = 256


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = folder / "i3d.pt"
        torch.manual_seed(0)
        torch.save(InceptionI3D().state_dict(), network)
        detector = DetectorConfig(
            kind="i3d-state-dict", file=NetworkFile(path=network, size=network.stat().st_size), features=400
        )
        config = FeaturesConfig(
            detector=detector,
            clip=ClipConfig(resolution=options.resolution, length=options.length),
            selection=SelectionConfig(clips=None),
            batch_size=options.batch_size,
            compute=ComputeConfig(device=options.device),
        )
        sides = {"warm-up": WARM_UP_CLIPS, "real": options.clips, "generated": options.clips}
        # Other clips on each side: the features of clips that were seen before are not computed again.
        files = {
            side: _write_clips(folder / f"{side}.npy", seed, count, options)
            for seed, (side, count) in enumerate(sides.items())
        }
        total = 0.0
        for side, count in sides.items():
            seconds = _timed(
                lambda side=side: features.run(
                    config, network=network, clips=[files[side]], features=folder / f"{side}.npz"
                )
            )
            total += seconds if side != "warm-up" else 0.0
            _print(f"features of {count} clips ({side})", seconds, f"{count / seconds:.1f} clips/s")
        seconds = _timed(
            lambda: score.run(
                ScoreConfig(dataset="benchmark", protocol_name="lossless", detector_name="i3d", detector=detector),
                model="noise",
                sampler="",
                real=folder / "real.npz",
                fake=folder / "generated.npz",
                scores=folder / "scores.csv",
                curve=folder / "curve.csv",
            )
        )
        _print("score", seconds, "")
        _print("features of both sides, and score", total + seconds, "")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--length", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    return parser.parse_args()


def _write_clips(path: Path, seed: int, count: int, options: argparse.Namespace) -> Path:
    shape = (count, options.length, options.resolution, options.resolution, 3)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for index in range(count):
            file.write(np.random.default_rng((seed, index)).integers(0, 256, shape[1:], dtype=np.uint8).tobytes())
    return path


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _print(what: str, seconds: float, rate: str) -> None:
    # Of the process's own; pages of the mapped files of clips are dropped when the machine wants them.
    host = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "RssAnon" in line
    )
    device = torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else 0.0
    sys.stdout.write(
        f"{what:42}{seconds:8.1f} s {rate:>16}   process {host / 2**20:.2f} GiB, accelerator {device:.2f} GiB at most\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
