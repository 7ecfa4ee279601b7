"""Videos that are taken out of a data set: asked about, used no more, and erased."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from PIL import Image

from lvdm.data.video import read_frames, write_h264

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
from scripts import removed

CONFIG = "tests/workflow/tiny.yaml"

# Nobody else is named so, and nothing else looks so, reconstructed, resized or compressed.
NAME, COLOUR = "Zacharias Unmistakable", (200, 30, 120)


def take_out(tree, *names):
    for name in names:
        (tree.root / "data" / "first" / name).unlink()


def tidy(tree, *options):
    command = [sys.executable, "-m", "lvdm", "tidy", "--config", CONFIG, *options]
    result = subprocess.run(command, **tree.settings(), check=False)
    assert result.returncode == 0, result.stdout
    return result.stdout


def shard_jobs(jobs):
    return {"{split}-{index}".format(**job.wildcards) for job in jobs if job.rule == "shard"}


def test_nothing_of_a_finished_run_is_listed(tree):
    assert tidy(tree) == "Nothing to remove.\n"


def test_more_than_a_tenth_gone_at_once_is_a_question(tree):
    take_out(tree, "patient-01.mp4", "patient-02.mp4")
    output = tree.snakemake("--dry-run", "all")
    assert output.returncode != 0
    assert "data set first: 2 of the 4 videos that the last run used are gone: patient-01, patient-02" in output.stdout
    assert "mounted?" in output.stdout
    assert shard_jobs(tree.planned("--config", "fewer_videos=true", "--keep-going"))


def test_a_folder_without_videos_is_the_same_question(tree):
    for path in (tree.root / "data" / "first").iterdir():
        path.unlink()
    output = tree.snakemake("--dry-run", "all")
    assert output.returncode != 0
    assert "4 of the 4 videos that the last run used are gone" in output.stdout


def test_a_shard_is_made_again_without_the_records_of_snakemake_too(tree):
    take_out(tree, "patient-01.mp4")
    jobs = tree.planned()
    (shard,) = shard_jobs(jobs)
    for record in (tree.root / ".snakemake" / "metadata").iterdir():
        record.unlink()
    again = tree.planned()
    assert shard_jobs(again) == {shard}
    assert {job.rule for job in again} >= {
        "train_autoencoder",
        "encode",
        "train_diffusion",
        "sample",
        "features",
        "report",
    }


@pytest.mark.parametrize(("gone", "asked"), [(1, False), (2, False), (3, True)])
def test_a_tenth_of_twenty(tmp_path, gone, asked):
    dataset = with_shard(tmp_path, [f"v{number}" for number in range(20)], left=20 - gone)
    assert bool(removed.too_many(dataset, tmp_path)) == asked


def test_a_single_video_is_no_disk(tmp_path):
    assert removed.too_many(with_shard(tmp_path, ["v0", "v1"], left=1), tmp_path) is None


def test_what_no_shard_of_the_plan_holds_is_not_missed(tmp_path):
    dataset = with_shard(tmp_path, [f"v{number}" for number in range(20)], left=5, shard="train-007")
    assert removed.too_many(dataset, tmp_path) is None
    (tmp_path / "first" / "shards" / "train-000.json").write_text("half a reco")
    assert removed.too_many(dataset, tmp_path) is None


def with_shard(results, ids, left, shard="train-000"):
    """What matters of a data set: it has the first ``left`` of some videos, of which a shard holds all."""
    path = results / "first" / "shards" / f"{shard}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"videos": [{"id": id} for id in ids]}))
    return SimpleNamespace(name="first", videos=dict.fromkeys(ids[:left], "a.mp4"), members={("train", 0): ids[:left]})


def test_files_of_benchmarks_are_named_as_logs_are():
    for rules in (Path(__file__).parents[2] / "workflow" / "rules").glob("*.smk"):
        text = rules.read_text(encoding="utf-8")
        for part in text.split("<benchmarks>/")[1:]:
            name = part.partition('.tsv"')[0]
            assert f"<logs>/{name}.log" in text or name.startswith('"')


@pytest.mark.slow
def test_a_video_that_is_taken_out_is_found_nowhere_after_a_run_and_tidy(unfinished_tree):
    tree = unfinished_tree
    settings = yaml.safe_load((tree.root / CONFIG).read_text())
    settings["datasets"] = {"first": {"videos": "data/first/*.mp4"}}  # half the time
    (tree.root / CONFIG).write_text(yaml.safe_dump(settings))
    video = tree.root / "data" / "first" / f"{NAME}.mp4"
    frames = np.empty((24, 48, 48, 3), np.uint8)
    frames[:] = COLOUR
    write_h264(frames, video, fps=10.0)
    tree.finish("all")
    assert {path.suffix for path in found(tree) if named(path)} >= {".json", ".csv", ".html", ".log", ".npz", ".mkv"}
    coloured = {path.suffix for path in found(tree) if shows(path)}
    assert coloured >= {".mkv", ".npy"}
    weights = tree.root / "results" / "first" / "autoencoder" / "weights.safetensors"
    before = weights.read_bytes()

    video.unlink()
    tree.finish("all")
    assert weights.read_bytes() != before
    listed = tidy(tree)
    assert "of an earlier training" in listed
    assert "Nothing was removed" in listed
    assert any(named(path) for path in found(tree))

    tidy(tree, "--yes")
    assert [path for path in found(tree) if named(path) or shows(path)] == []
    assert tidy(tree) == "Nothing to remove.\n"
    assert tree.planned() == []


def found(tree):
    """All files that a run left."""
    return [path for folder in ("results", ".snakemake") for path in (tree.root / folder).rglob("*") if path.is_file()]


def named(path):
    """Whether a file, or its name, has the video's name in any form."""
    text = str(path).encode() + path.read_bytes()
    if path.parent.name == "metadata":
        text += base64.urlsafe_b64decode(path.name)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            text += " ".join(str(value) for array in arrays.values() for value in array.flat).encode()
    forms = (NAME, NAME.replace(" ", "_"), quote(NAME))
    encoded = [base64.b64encode(("x" * shift + NAME).encode())[4:-4] for shift in range(3)]
    return any(form in text for form in [*(form.encode() for form in forms), *encoded])


def shows(path):
    """Whether a file has a frame of the video's colour."""
    if path.suffix == ".npy":
        frames = np.load(path)
        frames = frames if frames.dtype == np.uint8 and frames.shape[-1:] == (3,) else np.zeros((0, 1, 1, 3))
    elif path.suffix in (".mkv", ".mp4") and path.stat().st_size:
        frames = read_frames(path)
    elif path.suffix == ".png":
        # Of a grid of pictures, any square of the size of a frame is one.
        picture = np.asarray(Image.open(path).convert("RGB"))
        frames = picture[: len(picture) // 16 * 16, : picture.shape[1] // 16 * 16]
        frames = frames.reshape(len(frames) // 16, 16, -1, 16, 3).swapaxes(1, 2)
    else:
        return False
    pictures = frames.reshape(-1, *frames.shape[-3:]).astype(int)
    return any((abs(picture - COLOUR) < 12).all() for picture in pictures)
