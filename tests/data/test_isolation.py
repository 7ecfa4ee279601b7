"""Decoders that crash or hang cost nothing but the recording they do it on, and outlive nobody."""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lvdm.data.config import ClipConfig
from lvdm.data.inspection import read_inspection
from lvdm.data.isolation import HUNG, alive, isolated
from lvdm.data.manifest import read_manifest
from lvdm.data.recording import Recording
from lvdm.data.video import write_h264
from lvdm.stages import extract, inspect, probe
from lvdm.stages.config import ExtractConfig, ProbeConfig


def work(item: str) -> None:
    """What a decoder may do."""
    alive()
    if item == "crashes":
        faulthandler.disable()  # which would write its traceback among those of the tests
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "refuses":
        raise ValueError("the reason")
    while item == "hangs":
        time.sleep(0.01)
    for _ in range(30 if item == "slow" else 0):  # longer than the patience
        time.sleep(0.1)
        alive()


def test_deaths_are_told_and_cost_no_other():
    found = dict(isolated(work, ["crashes", "hangs", "slow", "fine"], processes=4, patience=2.0))
    assert found == {"crashes": "it crashed (SIGSEGV)", "hangs": HUNG, "slow": "", "fine": ""}


def test_what_gives_no_sign_at_all_is_not_watched():
    assert dict(isolated(lambda _: time.sleep(1), ["a"], processes=1, patience=0.2)) == {"a": ""}


def test_an_error_of_the_file_arrives_as_it_is():
    with pytest.raises(ValueError, match="the reason"):
        list(isolated(work, ["refuses"], processes=1))


def make(path: Path, seed: int = 0) -> Path:
    write_h264(np.random.default_rng(seed).integers(0, 256, (12, 32, 48, 3), np.uint8), path, fps=10.0)
    return path


def failing(how: str, recording: Recording):
    for number, decoded in enumerate(really(recording)):
        if recording.path.stem == "bad" and number == 6:
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV) if how == "crash" else time.sleep(1000)
        yield decoded


really = Recording.frames


@pytest.mark.parametrize("how", ["crash", "hang"])
def test_a_recording_on_which_the_decoder_fails_is_described(how, tmp_path, monkeypatch):
    monkeypatch.setattr(Recording, "frames", lambda recording: failing(how, recording))
    monkeypatch.setattr(inspect, "isolated", partial(isolated, patience=4.0))
    videos = [make(tmp_path / "videos" / f"{name}.mp4", seed) for seed, name in enumerate(("bad", "good", "other"))]
    manifest = tmp_path / "out" / "manifest.csv"
    config = ProbeConfig(clip=ClipConfig(length=8))
    probe.run(config, videos=[f"{tmp_path}/videos/*"], manifest=manifest)
    rows = {row.id: row for row in read_manifest(manifest)}
    assert {id for id, row in rows.items() if row.usable} == {"good", "other"}
    assert ("crashed (SIGSEGV)" if how == "crash" else HUNG) in rows["bad"].reason
    assert read_inspection(tmp_path / "out/inspections/bad.json").bytes == videos[0].stat().st_size


def test_a_decoder_that_crashes_in_extraction_leaves_its_recording_out(tmp_path, monkeypatch):
    video, made = make(tmp_path / "bad.mp4"), tmp_path / "out"
    inspect.run(video=video, inspection=tmp_path / "i.json")
    monkeypatch.setattr(Recording, "frames", lambda recording: failing("crash", recording))
    config = ExtractConfig(clip=ClipConfig(length=8, resolution=32))
    files = {"frames": made / "bad.mkv", "record": made / "bad.json"}
    extract.run(config, video=video, inspection=tmp_path / "i.json", **files)
    assert "crashed (SIGSEGV)" in json.loads((made / "bad.json").read_text())["reason"]
    assert {file.name: file.stat().st_size > 0 for file in made.iterdir()} == {"bad.mkv": False, "bad.json": True}


SLOW = """
import sys, time
from pathlib import Path
from lvdm.data.recording import Recording
from lvdm.stages import inspect
def frames(recording):
    Path(sys.argv[2]).write_text(str(__import__("os").getpid()))
    time.sleep(1000)
    yield
Recording.frames = frames
inspect.run(video=Path(sys.argv[1]), inspection=Path(sys.argv[1]).parent / "out" / "i.json")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another system has no such death")
def test_a_killed_stage_leaves_no_decoder_behind(tmp_path):
    video, started = make(tmp_path / "a.mp4"), tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", SLOW, str(video), str(started)]) as stage:
        while not (started.exists() and started.read_text()):
            assert stage.poll() is None
            time.sleep(0.05)
        stage.kill()
    decoder = Path("/proc") / started.read_text()
    for _ in range(600):
        if not decoder.exists() or "\nState:\tZ" in (decoder / "status").read_text():
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the decoder outlives its stage")
    assert not list(tmp_path.glob("out/*"))


def test_damaged_and_good_recordings_in_one_folder(tmp_path):
    videos = tmp_path / "videos"
    for seed, name in enumerate(("cut", "good", "zeros", "flipped")):
        make(videos / f"{name}.mp4", seed)
    data = bytearray((videos / "flipped.mp4").read_bytes())
    data[-200] ^= 255
    (videos / "flipped.mp4").write_bytes(data)
    os.truncate(videos / "cut.mp4", 300)
    (videos / "zeros.mp4").write_bytes(bytes(5000))
    (videos / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    command = [sys.executable, "-m", "lvdm", "probe", "--videos", f"{videos}/*", "--manifest", "out/manifest.csv"]
    result = subprocess.run(
        [*command, "--set", "clip.length=8"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    rows = {row.id: row for row in read_manifest(tmp_path / "out/manifest.csv")}
    assert len(rows) == 5
    assert rows["good"].usable
    assert all(row.usable != bool(row.reason) for row in rows.values())
    assert {id for id in ("zeros", "noise", "cut") if rows[id].usable} == set()
