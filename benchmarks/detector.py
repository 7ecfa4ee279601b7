"""Clips per second and peak memory of the full-size I3D with random weights, as stage features runs it.

    python benchmarks/detector.py --clips 4096 --out detector.json

4096 clips are the 2048 + 2048 of a Fréchet video distance. Every batch goes from host memory through the resizing to
224 x 224 and the network, in float32 without TF32, and its features come back. The first batches are not measured.
Writes JSON to ``--out`` and a line to the terminal.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from lvdm.compute import setup
from lvdm.config import ComputeConfig, NetworkFile
from lvdm.evaluation.config import DetectorConfig
from lvdm.evaluation.detectors import Detector, load_detector
from lvdm.evaluation.i3d import InceptionI3D
from lvdm.files import content_hash, write_json

WARM_UP_BATCHES = 3


def main() -> None:
    options = _options()
    device = setup(ComputeConfig(device=options.device, threads=options.threads)).device
    torch.set_float32_matmul_precision("highest")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        detector = _random_i3d(Path(folder), device)
    shape = (options.batch_size, options.length, options.size, options.size, 3)
    batch = torch.randint(0, 256, shape, dtype=torch.uint8)
    batches = -(-options.clips // options.batch_size)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        _run(detector, batch, min(batches, WARM_UP_BATCHES))
        seconds = _run(detector, batch, batches)
    result = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads",
        "torch": torch.__version__,
        "shape": list(shape),
        "clips": batches * options.batch_size,
        "seconds": seconds,
        "clips_per_second": batches * options.batch_size / seconds,
        "host_gibibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "device_gibibytes": torch.cuda.max_memory_reserved(device) / 2**30 if device.type == "cuda" else None,
    }
    if options.out:
        write_json(options.out, result)
    sys.stdout.write(json.dumps(result) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4096)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--length", type=int, default=16, help="frames")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU")
    parser.add_argument("--out", type=Path, help="JSON file")
    return parser.parse_args()


def _random_i3d(folder: Path, device: torch.device) -> Detector:
    """The detector with weights as torch draws them, through a file as always."""
    path = folder / "i3d.pt"
    torch.save(InceptionI3D().state_dict(), path)
    file = NetworkFile(path=path, sha256=content_hash(path))
    return load_detector(DetectorConfig(kind="i3d-state-dict", file=file), path, device)


def _run(detector: Detector, batch: Tensor, batches: int) -> float:
    """Seconds that ``batches`` batches take; fetching the features waits for the device."""
    start = time.perf_counter()
    for _ in range(batches):
        detector(batch.to(detector.device)).values.cpu()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
