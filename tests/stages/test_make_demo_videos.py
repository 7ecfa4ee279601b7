import numpy as np
import pytest

from lvdm.data.video import read_frames
from lvdm.stages import make_demo_videos
from lvdm.stages.config import DemoConfig

CONFIG = DemoConfig(patients=3, frames=8, size=(48, 64), panel_every=3, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demo"
    make_demo_videos.run(CONFIG, folder=folder)
    return folder


def test_one_video_a_patient(folder):
    assert sorted(file.name for file in folder.iterdir()) == [f"patient-0{n}.mp4" for n in (1, 2, 3)]
    first, second = (read_frames(folder / f"patient-0{n}.mp4") for n in (1, 2))
    assert first.shape == second.shape == (8, 48, 64, 3)
    assert np.abs(first.astype(float) - second).mean() > 5


def test_every_third_lies_on_a_black_canvas_with_text(folder):
    frames = read_frames(folder / "patient-03.mp4")
    height, width = frames.shape[1:3]
    assert height > 48
    assert width > 64 + 32
    border = frames[:, :3]
    assert border.mean() < 5
    assert frames[:, :, : width // 3].max() > 120
    assert frames[:, height // 2, -30:-10].mean() > 30


def test_a_patient_depends_on_its_number_and_the_seed_alone(folder, tmp_path):
    make_demo_videos.run(CONFIG.replace(patients=1), folder=tmp_path / "one")
    assert (tmp_path / "one" / "patient-01.mp4").read_bytes() == (folder / "patient-01.mp4").read_bytes()
    make_demo_videos.run(CONFIG.replace(patients=1, seed=6), folder=tmp_path / "other")
    assert (tmp_path / "other" / "patient-01.mp4").read_bytes() != (folder / "patient-01.mp4").read_bytes()


def test_no_panels_when_switched_off(tmp_path):
    make_demo_videos.run(CONFIG.replace(patients=1, panel_every=1), folder=tmp_path / "all")
    make_demo_videos.run(CONFIG.replace(patients=1, panel_every=0), folder=tmp_path / "none")
    assert read_frames(tmp_path / "all" / "patient-01.mp4").shape[1:3] != (48, 64)
    assert read_frames(tmp_path / "none" / "patient-01.mp4").shape[1:3] == (48, 64)


def test_a_failure_leaves_the_earlier_folder(folder, tmp_path, monkeypatch):
    kept = tmp_path / "demo"
    make_demo_videos.run(CONFIG.replace(patients=1), folder=kept)
    before = (kept / "patient-01.mp4").read_bytes()

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(make_demo_videos, "write_h264", fail)
    with pytest.raises(OSError, match="disk full"):
        make_demo_videos.run(CONFIG, folder=kept)
    assert [file.name for file in tmp_path.iterdir()] == ["demo"]
    assert (kept / "patient-01.mp4").read_bytes() == before
