"""Frames per second of stage extract, against what it replaces and against decoding alone.

    python benchmarks/extract.py video.mp4 --resolution 128 --repeats 3

Compares, in one process each: this package (decode, scale, lossless FFV1), and its inspection, which decodes too;
moviepy + Pillow + one JPEG a frame, where moviepy is installed; and ffmpeg decoding and scaling to nothing.
Prints a table: wall-clock time, best of the repeats, and processor time, which other jobs disturb less.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import imageio_ffmpeg
from PIL import Image

from lvdm.data.extraction import Extraction, extract_frames
from lvdm.data.inspection import inspect
from lvdm.data.pieces import Piece, usual_rate


def main() -> None:
    options = _options()
    found = inspect(options.video)
    if found.error:
        raise SystemExit(f"{options.video}: {found.error}")
    width, height = found.usual_size
    side = options.resolution
    extraction = Extraction([Piece(0, found.frames, 0.0)], {(width, height): (0, 0, width, height)}, (side, side))
    rate = usual_rate(found.times)
    methods: dict[str, Callable[[Path], object]] = {
        "decode and scale to nothing": lambda folder: _decode_and_scale(options.video, options.resolution),
        "lvdm extract": lambda folder: extract_frames(options.video, found, extraction, rate, folder / "frames.mkv"),
        "lvdm inspect": lambda folder: inspect(options.video),
    }
    if find_spec("moviepy"):
        methods["moviepy + Pillow + JPEG"] = lambda folder: _moviepy(options.video, options.resolution, folder)
    else:
        sys.stdout.write("moviepy is not installed and is left out\n")
    sys.stdout.write(f"{options.video.name}: {width}x{height}, {found.frames} frames, to {options.resolution}\n")
    sys.stdout.write(f"{'method':30}{'frames/s':>12}{'frames/s of CPU time':>24}\n")
    for name, method in methods.items():
        wall, processor = _best_times(method, options.repeats)
        sys.stdout.write(f"{name:30}{found.frames / wall:12.0f}{found.frames / processor:24.0f}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def _best_times(method: Callable[[Path], object], repeats: int) -> tuple[float, float]:
    """Smallest wall-clock and processor time of a call, s."""
    walls, processors = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            processor, wall = _processor_seconds(), time.perf_counter()
            method(Path(folder))
            walls.append(time.perf_counter() - wall)
            processors.append(_processor_seconds() - processor)
    return min(walls), min(processors)


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _decode_and_scale(video: Path, resolution: int) -> None:
    scale = f"scale={resolution}:{resolution}:force_original_aspect_ratio=increase:flags=lanczos"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-threads", "2", "-i", f"file:{video}"]
    subprocess.run([*command, "-map", "0:V:0", "-vf", scale, "-f", "null", "-"], check=True)


def _moviepy(video: Path, resolution: int, folder: Path) -> None:
    from moviepy.video.io.VideoFileClip import VideoFileClip  # of moviepy 1 and 2

    with VideoFileClip(str(video), audio=False) as clip:
        for index, frame in enumerate(clip.iter_frames()):
            image = Image.fromarray(frame)
            factor = resolution / min(image.size)
            image = image.resize([round(side * factor) for side in image.size], Image.Resampling.LANCZOS)
            left, top = ((side - resolution) // 2 for side in image.size)
            image.crop((left, top, left + resolution, top + resolution)).save(folder / f"{index:06}.jpg", quality=95)


if __name__ == "__main__":
    main()
