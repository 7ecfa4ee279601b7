"""The doctor: a line a check, and exit code 1 where a run would fail."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from lvdm import installation
from lvdm.__main__ import main
from lvdm.data.video import write_h264
from lvdm.stages import checks
from lvdm.stages.doctor import read_pipeline
from lvdm.stages.needs import SAMPLED, estimate_frames, run_bytes
from lvdm.stages.pipeline import PipelineConfig

FRAMES = 20
SMALL = {
    "data": {"resolution": 32, "length": 8},
    "autoencoder": {"model": {"hidden_channels": 4, "norm_groups": 4}},
    "diffusion": {"model": {"model_channels": 32, "channel_mult": [1, 2], "heads": 2, "temporal_length": 2}},
    "compute": {"device": "cpu"},
}


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clinic"
    for number in range(3):
        frames = np.full((FRAMES, 32, 32, 3), 80 * number, np.uint8)
        write_h264(frames, folder / f"{number}.mp4", fps=10.0)
    return folder


@pytest.fixture
def doctor(videos, tmp_path, monkeypatch, capsys, caplog):
    """Runs the doctor on a small configuration with some changes; returns its exit code and its lines."""
    monkeypatch.chdir(tmp_path)

    def run(changes=None, *options, dataset=None):
        config = {**SMALL, "datasets": {"clinic": {"videos": f"{videos}/*.mp4", **(dataset or {})}}, **(changes or {})}
        Path("my.yaml").write_text(yaml.safe_dump(config))
        code = main(["doctor", "--config", "my.yaml", *options])
        return code, capsys.readouterr().out.splitlines()

    return run


def failed(lines):
    return [line for line in lines if line.startswith("FAIL")]


def test_a_run_that_has_all_it_needs(doctor):
    code, lines = doctor()
    assert code == 0
    assert failed(lines) == []
    assert "OK       data set clinic: 3 videos, about 60 frames" in lines
    subjects = {line.split(maxsplit=1)[1].partition(":")[0] for line in lines}
    assert {"versions", "commands", "ffmpeg", "configuration", "disk", "device"} <= subjects


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"resolutoin": 64}}, "did you mean 'resolution'?"),
        ({"datasets": {"clinic": {"videos": "nothing/*.mp4", "page": "https://example.org"}}}, "https://example.org"),
        ({"external": {"other": {"npz": "other.npz"}}}, "external.other: other.npz is missing"),
        ({"evaluate": {"published": "paper.csv"}}, "evaluate.published: paper.csv is missing"),
        ({"evaluate": {"protocols": ["none"]}}, "evaluate.protocols"),
        (
            {"diffusion": {**SMALL["diffusion"], "init": "imported", "weights": "w.safetensors"}},
            "diffusion.weights: w.safetensors is missing; `lvdm import-original` makes it",
        ),
        (
            {"evaluate": {"detectors": {"i3d": {"kind": "i3d", "file": {"path": "i3d.pt", "size": 3}}}}},
            "i3d.pt: this file",
        ),
        (
            {"evaluate": {"detectors": {"i3d": {"kind": "i3d", "file": {"url": "https://example.org/i3d.pt"}}}}},
            "state sha256, git_blob or size",
        ),
    ],
)
def test_what_is_missing_fails_and_says_what_to_change(doctor, changes, message):
    code, lines = doctor(changes)
    assert code == 1
    assert failed(lines)
    assert message in "\n".join(lines)


def test_a_network_that_is_here_is_checked(doctor):
    content = b"a network"
    Path("good.pt").write_bytes(content)
    Path("bad.pt").write_bytes(b"another one")
    right = hashlib.sha256(content).hexdigest()
    detectors = {name: {"kind": "i3d", "file": {"path": f"{name}.pt", "sha256": right}} for name in ("good", "bad")}
    code, lines = doctor({"evaluate": {"detectors": detectors}})
    assert code == 1
    assert "OK       network good.pt: good.pt is the right file" in lines
    assert [line for line in failed(lines) if "bad.pt" in line and right in line]


def test_a_network_that_is_fetched_is_named_with_its_address(doctor):
    file = {"url": "https://example.org/i3d.pt", "size": 3}
    code, lines = doctor({"evaluate": {"detectors": {"i3d": {"kind": "i3d", "file": file}}}})
    assert code == 0
    assert any("is fetched from https://example.org/i3d.pt" in line for line in lines)


def test_published_numbers_are_read(doctor):
    Path("paper.csv").write_text("model,metric,value,source\nours,fvd,low,paper\n")
    code, lines = doctor({"evaluate": {"published": "paper.csv"}})
    assert code == 1
    assert "'low' is no number" in failed(lines)[0]


@pytest.mark.parametrize(("policy", "level"), [("skip", "WARNING"), ("fail", "FAIL")])
def test_a_file_that_is_no_video(doctor, videos, tmp_path, policy, level):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "notes.mp4").write_text("no video")
    (folder / "0.mp4").symlink_to(videos / "0.mp4")
    code, lines = doctor({"data": {**SMALL["data"], "on_bad_video": policy}}, dataset={"videos": f"{folder}/*.mp4"})
    assert code == (policy == "fail")
    (line,) = (line for line in lines if "notes.mp4" in line)
    assert line.startswith(level)


def test_groups_and_what_is_ignored_are_told(doctor, videos, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        for part in (1, 2):
            content = (videos / f"{number}.mp4").read_bytes() + bytes([part])
            (folder / f"case{number}_part{part}.mp4").write_bytes(content)
    (folder / "notes.txt").touch()
    (folder / "copy.mp4").write_bytes((folder / "case0_part1.mp4").read_bytes())
    code, lines = doctor(dataset={"videos": f"{folder}/*"})
    assert code == 0
    assert r'write group: "(case\\d+)"' in "\n".join(lines)
    assert any("ignored: 1 .txt" in line and line.startswith("WARNING") for line in lines)
    assert any("same content as others are left out: 1, copy is case0_part1" in line for line in lines)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("0,a\n1,b\n2,c\n", "2 videos are trained on (67%), 1 video is held out (33%)"),
        ("0,a\n1,a\n2,c\n", "2 videos of 1 group are trained on (67%), 1 video of 1 group is held out (33%)"),
    ],
)
def test_both_sides_are_told(doctor, table, said):
    Path("groups.csv").write_text(f"video,group\n{table}")
    changes = {"data": {**SMALL["data"], "split": {"heldout": ["c"]}}}
    code, lines = doctor(changes, dataset={"group": {"table": "groups.csv"}})
    assert code == 0
    assert f"OK       data set clinic: {said}" in lines


def test_a_held_out_name_that_is_not_there_fails(doctor):
    code, lines = doctor({"data": {**SMALL["data"], "split": {"heldout": ["case9"]}}})
    assert code == 1
    assert "split.heldout names case9" in failed(lines)[0]


def test_too_little_room_fails(doctor, monkeypatch):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**6}))
    code, lines = doctor()
    assert code == 1
    assert "make room" in failed(lines)[0]


def test_a_missing_package_fails_with_the_command_that_installs_it(doctor, monkeypatch):
    found = {"torch": "2.3.0", "scipy": None}
    installed = installation._installed
    monkeypatch.setattr(installation, "_installed", lambda name: found.get(name, installed(name)))
    code, lines = doctor()
    assert code == 1
    (torch,) = (line for line in failed(lines) if " torch:" in line)
    assert "2.3.0 is installed" in torch
    assert "pip install 'torch<" in torch
    assert any(" scipy:" in line and "nothing is installed" in line for line in failed(lines))


def test_a_command_that_is_not_on_the_path_fails(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, lines = doctor()
    assert code == 1
    assert [line.split()[1] for line in failed(lines)] == ["snakemake:", "lvdm:"]


def test_the_demo_makes_its_own_videos(doctor):
    code, lines = doctor({"demo": {"patients": 2}, "datasets": {"demo": {"videos": "data/demo/*.mp4"}}})
    assert code == 0
    assert any("2 videos, which the run makes itself" in line for line in lines)


def test_a_cluster_that_is_not_there_fails(doctor, tmp_path, monkeypatch):
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text("executor: slurm\n")
    code, lines = doctor(None, "--profile", "profile")
    assert code == 1
    assert any(line.startswith("FAIL     plan: ") for line in lines), "there is no workflow in this folder"


def test_configurations_are_laid_over_one_another_as_snakemake_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    base = {"datasets": {"one": {"videos": "a/*.mp4"}}, "sample": {"videos": 10, "seed": 1}}
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"sample": {"videos": 20}}))
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"datasets": {"two": {"videos": "b/*.mp4"}}}))
    assert read_pipeline([]).sample.videos == 10
    laid_over = read_pipeline([tmp_path / "more.yaml"])
    assert (laid_over.sample.videos, laid_over.sample.seed) == (20, 1)
    assert list(read_pipeline([tmp_path / "more.yaml", tmp_path / "own.yaml"]).datasets) == ["two"]


def test_frames_are_estimated_from_some_of_the_videos(videos, tmp_path):
    paths = [tmp_path / f"{number:03}.mp4" for number in range(5 * SAMPLED)]
    for path in paths:
        path.symlink_to(videos / "1.mp4")
    assert estimate_frames(paths, None) == (5 * SAMPLED * FRAMES, [])
    assert estimate_frames(paths, 5.0) == (5 * SAMPLED * FRAMES // 2, [])
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.png").write_bytes(b"x")
    assert estimate_frames([folder], 5.0) == (7, [])


def test_bytes_follow_from_shapes():
    whole = PipelineConfig(datasets={"a": {"videos": "a"}}, sample={"videos": 10}, data={"step": 4})
    found = run_bytes(whole, frames=1000)
    assert found["frames"] == found["shards"] == 1000 * 128 * 128 * 3
    assert found["latents"] == 250 * 2 * 4 * 4 * 16 * 16 * 2
    assert found["samples"] == 10 * 16 * 128 * 128 * 3
    assert found["trainings"] > 13 * 4 * 300e6, "a network of more than 300 million parameters"
    wide = run_bytes(whole.replace(data={"step": 4, "resolution": [128, 192]}), frames=1000)
    assert [2 * wide[key] / found[key] for key in ("frames", "shards", "latents", "samples")] == [3] * 4
