"""A stage that is killed leaves nothing half-written, and the same command finishes."""

import signal
import subprocess
import time

import numpy as np
import psutil
import pytest

from lvdm.data.video import write_h264

FRAMES = "results/first/frames/long.mkv"


@pytest.fixture
def long_video(tree):
    """A video that takes a moment to extract."""
    noise = np.random.default_rng(0).integers(0, 256, size=(64, 256, 256, 3), dtype=np.uint8)
    write_h264(np.concatenate([noise] * 6), tree.root / "data" / "first" / "long.mp4", fps=10.0)


def test_killed_extraction_leaves_no_half_written_frames(tree, long_video):
    with subprocess.Popen(tree.command(FRAMES), **tree.settings()) as snakemake:
        _kill_midway(tree, snakemake)
        output, _ = snakemake.communicate()
    assert snakemake.returncode != 0, output
    assert not (tree.root / FRAMES).exists()
    assert not (tree.root / FRAMES).with_suffix(".json").exists()

    tree.finish(FRAMES)
    assert (tree.root / FRAMES).stat().st_size > 0
    assert not any(job.wildcards.get("video") == "long" for job in tree.planned() if job.rule == "extract")


def _kill_midway(tree, snakemake):
    """SIGKILL the stage and its ffmpeg as soon as there is a temporary file of frames."""
    while not any((tree.root / "results" / "first" / "frames").glob(".long.*")):
        assert snakemake.poll() is None, snakemake.stdout.read()
        time.sleep(0.01)
    processes = psutil.Process(snakemake.pid).children(recursive=True)
    stage = next(process for process in processes if "extract" in process.cmdline() and "bash" not in process.name())
    for process in [*stage.children(recursive=True), stage]:
        process.send_signal(signal.SIGKILL)
