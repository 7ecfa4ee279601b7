"""Whether a run has what its configuration names: videos, networks, weights, tables, disk space, a GPU."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lvdm.config import ComputeConfig, NetworkFile
from lvdm.data import recipes, recording, video
from lvdm.data.splits import HELDOUT, TRAIN
from lvdm.files import verify
from lvdm.findings import Finding, fail, ok, warning
from lvdm.reporting.tables import published_rows
from lvdm.stages import sources
from lvdm.stages.needs import estimate_frames, run_bytes
from lvdm.stages.parts import for_dataset
from lvdm.stages.pipeline import PipelineConfig

_GIGABYTE = 10**9


def check_decoder() -> Iterator[Finding]:
    """Write a small video with ffmpeg, and read it again with decord."""
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "black.mkv"
            video.write_ffv1(frames, path, fps=1.0)
            found = video.read_frames(path)
    except (OSError, ValueError) as error:
        yield fail("ffmpeg", f"{error}; python -m pip install --force-reinstall imageio-ffmpeg decord==0.6.0")
        return
    if np.array_equal(found, frames):
        yield ok("ffmpeg", f"{recording.decoder_version()}, and decord reads what it writes")
    else:
        yield fail("ffmpeg", "decord reads other frames than were written; reinstall decord==0.6.0")


def check_videos(pipeline: PipelineConfig, name: str) -> tuple[list[Finding], int]:
    """The videos of a data set, what its recipe notes, and about how many frames a run extracts of them."""
    subject = f"data set {name}"
    try:
        videos = sources.videos(pipeline, name)
    except ValueError as error:
        return [fail(subject, str(error).removeprefix(f"{subject}: "))], 0
    paths = [Path(path) for path in videos.paths.values()]
    known = [_sides(subject, videos), *(warning(subject, note) for note in videos.notes)]
    if pipeline.demo is not None and name == sources.DEMO:
        found = [ok(subject, f"{len(paths)} videos, which the run makes itself"), *known]
        return found, pipeline.demo.patients * pipeline.demo.frames
    whole = for_dataset(pipeline, name)
    frames, unreadable = estimate_frames(paths, whole.data.fps)
    noted = [ok(subject, note) for note in recipes.notes(pipeline.datasets[name].recipe)]
    return [*_videos(subject, whole, paths, frames, unreadable), *known, *noted], frames


def check_files(pipeline: PipelineConfig, name: str) -> Iterator[Finding]:
    """What else the configuration of a data set names: weights, videos of other generators, published numbers."""
    subject = f"data set {name}"
    whole = for_dataset(pipeline, name)
    others, missing = sources.externals(whole, name)
    for message in [*missing, *sources.missing_files(whole, name)]:
        yield fail(subject, message.removeprefix(f"{name}: "))
    for external, files in others.items():
        yield ok(subject, f"generator {external}, {len(files)} files")
    yield from _published(subject, whole)


def check_networks(pipeline: PipelineConfig) -> Iterator[Finding]:
    """The files of networks: right where they are here, and to be fetched where they are not.

    Of one that is given as a path and is not there, ``check_files`` tells.
    """
    configs = [for_dataset(pipeline, name) for name in pipeline.datasets]
    stated = (file for config in configs for file in sources.network_files(config))
    for path, file in {Path(sources.network_path(file, pipeline.cache)): file for file in stated}.items():
        if path.is_file() or file.url is not None:
            yield _network(path, file)


def check_disk(pipeline: PipelineConfig, frames: dict[str, int]) -> Finding:
    """Room in the folder of the results for a run on these frames a data set, and the right to write there."""
    results = pipeline.results
    needed = sum(sum(run_bytes(for_dataset(pipeline, name), count).values()) for name, count in frames.items())
    folder = results.absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return fail("disk", f"{folder} is not writable; choose another folder with `results`")
    free, used = shutil.disk_usage(folder).free, _written(results)
    said = f"{_gigabytes(free)} free in {folder}, a run writes up to about {_gigabytes(needed)}"
    said += f", of which {_gigabytes(used)} are there" if used else ""
    lacking = max(0, needed - used)
    if free < lacking:
        return fail("disk", f"{said}; make room, or choose another folder with `results`")
    if free < 2 * lacking:
        return warning("disk", f"{said}; that is little to spare")
    return ok("disk", said)


def check_compute(compute: ComputeConfig, cluster: bool) -> Finding:
    """The device that is wanted; on a cluster, nodes have GPUs that this machine need not have."""
    there = torch.cuda.is_available()
    if compute.device == "cpu":
        return ok("device", "the CPU, as compute.device says")
    if cluster:
        return ok("device", f"{compute.device}, on the nodes that jobs run on")
    if there:
        return ok("device", torch.cuda.get_device_name())
    if compute.device == "cuda":
        return fail("device", "compute.device is cuda, but torch sees no CUDA device; set compute.device: auto")
    return warning("device", "the CPU, as torch sees no CUDA device here; training at full size takes weeks on it")


def _videos(
    subject: str, whole: PipelineConfig, paths: list[Path], frames: int, unreadable: list[Path]
) -> Iterator[Finding]:
    if unreadable and whole.data.on_bad_video == "fail":
        yield fail(subject, f"{unreadable[0]} holds no video, and data.on_bad_video is fail; remove it, or set skip")
    elif unreadable:
        yield warning(subject, f"{len(unreadable)} videos will be left out, {unreadable[0]} for one: it holds no video")
    if frames < whole.data.span:
        yield fail(subject, f"{len(paths)} videos, but no frames for a clip of {whole.data.span}; check the files")
    else:
        yield ok(subject, f"{len(paths)} videos, about {frames:,} frames")


def _sides(subject: str, videos: sources.Videos) -> Finding:
    """How many videos, and groups of them, each side of the split has."""
    said = []
    for side, what in ((TRAIN, "trained on"), (HELDOUT, "held out")):
        ids = [id for id, split in videos.sides.items() if split == side]
        groups = len({videos.groups[id] for id in ids})
        of_groups = f" of {_count(groups, 'group')}" if len(set(videos.groups.values())) < len(videos.groups) else ""
        verb = "is" if len(ids) == 1 else "are"
        said.append(f"{_count(len(ids), 'video')}{of_groups} {verb} {what} ({len(ids) / len(videos.sides):.0%})")
    return ok(subject, ", ".join(said))


def _published(subject: str, whole: PipelineConfig) -> Iterator[Finding]:
    path = whole.evaluate.published
    if path is not None and path.is_file():
        try:
            rows = published_rows(path, "")
        except ValueError as error:
            yield fail(subject, str(error))
        else:
            yield ok(subject, f"{len(rows)} published numbers in {path}")


def _network(path: Path, file: NetworkFile) -> Finding:
    subject = f"network {path.name}"
    if path.is_file():
        try:
            verify(path, file)
        except ValueError as error:
            return fail(subject, str(error))
        return ok(subject, f"{path} is the right file")
    if not file.verifiable:
        return fail(subject, f"nothing says how {file.url} is known to be right; state sha256, git_blob or size")
    return ok(subject, f"is fetched from {file.url} when the run begins; that machine must reach it")


def _written(results: Path) -> int:
    return sum(file.stat().st_size for file in results.rglob("*") if file.is_file()) if results.is_dir() else 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _gigabytes(size: int) -> str:
    return f"{size / _GIGABYTE:,.1f} GB"
