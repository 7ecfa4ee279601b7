"""From odd recordings, through inspect, crop, probe and extract, to what the page says of them."""

import logging
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lvdm.data.config import ClipConfig
from lvdm.data.listing import Listed, listing_text
from lvdm.data.manifest import read_manifest
from lvdm.reporting.config import DatasetFiles
from lvdm.reporting.recordings import read_recordings
from lvdm.stages import crop, extract, inspect, probe
from lvdm.stages.config import CropStageConfig, ExtractConfig, ProbeConfig

CLIP = ClipConfig(length=8, resolution=(32, 48))
GROUPS = {"black": "p1", "woven": "p1", "flagged": "p1", "sizes": "p2", "clean": "p2"}
LOSSLESS = ("-c:v", "ffv1")
INTERLACED = ("-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct", "-x264opts", "tff=1")
TS = ("-c:v", "mpeg2video", "-q:v", "2", "-pix_fmt", "yuv420p", "-f", "mpegts")


def moving(frames: int, height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """A texture that moves by 5 pixels a frame, uint8 (T, H, W, 3)."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width, 3)), (2, 2, 0), mode="wrap")
    texture = np.clip(128 + 45 * noise / noise.std(), 20, 235).astype(np.uint8)
    return np.stack([np.roll(texture, 5 * t, axis=1) for t in range(frames)])


def woven(frames: int, **options: int) -> np.ndarray:
    """The same with the odd lines of the moment after."""
    moments = moving(2 * frames, **options)
    picture = moments[::2].copy()
    picture[:, 1::2] = moments[1::2, 1::2]
    return picture


def write(path: Path, frames: np.ndarray, options: tuple[str, ...] = LOSSLESS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "10", "-i", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *given, *options, str(path)]
    subprocess.run(command, input=frames.tobytes(), check=True)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    black = moving(36, seed=1)
    black[12:18] = 0
    found = {
        "black": write(folder / "black.mkv", black),
        "woven": write(folder / "woven.mkv", woven(24, seed=2)),
        "flagged": write(folder / "flagged.mkv", woven(24, seed=3), INTERLACED),
        "clean": write(folder / "clean.mkv", moving(24, seed=4)),
    }
    parts = [write(folder / "parts" / f"{n}.ts", moving(15, 96 + 32 * n, 128, 5 + n), TS) for n in range(2)]
    found["sizes"] = folder / "sizes.ts"
    found["sizes"].write_bytes(b"".join(part.read_bytes() for part in parts))
    return found


def run(videos: dict[str, Path], results: Path, **settings: str) -> DatasetFiles:
    """The stages of the data, as the workflow runs them; p2 is held out."""
    side = {"p1": "train", "p2": "heldout"}
    for id, path in videos.items():
        inspect.run(video=path, inspection=results / "inspections" / f"{id}.json")
    for group in sorted({GROUPS[id] for id in videos}):
        own = [results / "inspections" / f"{id}.json" for id in videos if GROUPS[id] == group]
        crop.run(CropStageConfig(), inspections=own, crop=results / "crops" / f"{group}.json")
    listed = [Listed(id, path, GROUPS[id], side[GROUPS[id]]) for id, path in videos.items()]
    (results / "listing.csv").write_text(listing_text(listed))
    manifest = results / "manifest.csv"
    probe.run(
        ProbeConfig(clip=CLIP, **settings),
        listing=results / "listing.csv",
        inspections=results / "inspections",
        crops=results / "crops",
        manifest=manifest,
    )
    for id, path in videos.items():
        target = results / "frames" / f"{id}.mkv"
        extract.run(
            ExtractConfig(clip=CLIP, **settings),
            video=path,
            inspection=results / "inspections" / f"{id}.json",
            crop=results / "crops" / f"{GROUPS[id]}.json",
            group=GROUPS[id],
            frames=target,
            record=target.with_suffix(".json"),
        )
    records = tuple(results / "frames" / f"{id}.json" for id in videos)
    return DatasetFiles.model_construct(manifest=manifest, records=records, heldout=0.1)


@pytest.fixture(scope="module")
def files(videos, tmp_path_factory) -> DatasetFiles:
    return run(videos, tmp_path_factory.mktemp("results"))


def test_what_was_done_is_counted_and_the_recordings_are_named(files):
    found = read_recordings(files)
    held = found.frames - (30 + 24 + 24)
    # At the seam of the two sizes a packet is damaged; how many frames it costs is the decoder's business.
    assert found.used == 5
    assert 24 + 2 * CLIP.length <= held <= 24 + 30
    assert found.sides == (
        f"Trained on: 3 recordings of 1 group, 78 frames. Held out: 2 recordings of 1 group, {held} frames, "
        f"{held / found.frames:.1%} of the frames (wanted: 10.0% of the groups)."
    )
    done = {row[0]: row[1:] for row in found.done.rows}
    assert done["Left out: black"] == ("1", "6 frames", "black")
    assert done["In several pieces"] == ("2", "4 pieces", "black, sizes")
    assert done["Deinterlaced (bwdif)"] == ("1", "24 frames flagged", "flagged")
    assert done["Could not be decoded in part"][2] == "sizes"
    assert done["BT.601 assumed from size"][2] == "flagged, sizes"
    # Frames that are not square are told by width and height; those of one group stand together.
    assert [row[0] for row in found.extracted.rows] == ["black", "flagged", "woven", "clean", "sizes"]
    assert {row[4].removesuffix(", enlarged") for row in found.extracted.rows} == {"48 × 32"}
    assert found.extracted.columns[-2:] == ("Group", "Done to it")


def test_combs_without_a_flag_are_a_warning_with_the_line_to_write(files):
    (warning,) = read_recordings(files).warnings
    assert warning.startswith("woven has combs")
    assert "data: {deinterlace: on}" in warning
    combs = {row.id: row.combs for row in read_manifest(files.manifest)}
    assert combs["woven"] > probe.COMBED
    assert max(combs[id] for id in combs if id != "woven") < probe.COMBED


def test_the_log_warns_of_combs_until_they_are_treated(videos, tmp_path, caplog):
    chosen = {id: videos[id] for id in ("woven", "flagged", "clean")}
    with caplog.at_level(logging.WARNING):
        run(chosen, tmp_path / "auto")
    warned = [record.getMessage() for record in caplog.records if "combs" in record.getMessage()]
    assert len(warned) == 1
    assert "woven.mkv" in warned[0]
    assert "deinterlace: on" in warned[0]
    caplog.clear()
    files = run(chosen, tmp_path / "on", deinterlace="on")
    assert "combs" not in caplog.text
    assert read_recordings(files).warnings == ()


def test_interlaced_frames_that_are_left_as_they_are_are_said(videos, tmp_path):
    files = run({"flagged": videos["flagged"]}, tmp_path, deinterlace="off")
    done = {row[0]: row[1:] for row in read_recordings(files).done.rows}
    assert done["Interlaced, and left as it is"] == ("1", "24 frames", "flagged")


def test_clean_recordings_get_one_line(videos, tmp_path):
    found = read_recordings(run({"clean": videos["clean"]}, tmp_path))
    assert found.done.rows == ()
    assert found.warnings == ()
    assert found.left_out.rows == ()
