import logging
import os

import numpy as np
import pytest

from lvdm.data.config import ClipConfig
from lvdm.data.manifest import read_manifest
from lvdm.data.video import write_h264
from lvdm.files import content_hash
from lvdm.stages import probe
from lvdm.stages.config import ProbeConfig

CONFIG = ProbeConfig(clip=ClipConfig(length=8))


@pytest.fixture
def folder(tmp_path):
    """Three good videos."""
    videos = tmp_path / "videos"
    for name in ("a.mp4", "b.mp4", "größer c.mp4"):
        make(videos / name)
    return videos


def make(path, frames=12):
    generator = np.random.default_rng(list(path.stem.encode()))  # no two files of the same content
    write_h264(generator.integers(0, 256, (frames, 32, 48, 3), np.uint8), path, fps=10.0)


def run(folder, config=CONFIG, **keywords):
    manifest = folder.parent / "manifest.csv"
    probe.run(config, videos=[f"{folder}/*"], manifest=manifest, **keywords)
    return {row.id: row for row in read_manifest(manifest)}


@pytest.fixture
def probed(monkeypatch):
    """The names of the files that were really opened."""
    names = []
    really = probe.inspect_all

    def inspect_all(recordings, processes):
        names.extend(path.name for path in recordings)
        return really(recordings, processes)

    monkeypatch.setattr(probe, "inspect_all", inspect_all)
    return names


def test_the_manifest_lists_every_video(folder):
    rows = run(folder)
    assert list(rows)[:2] == ["a", "b"]
    assert len(rows) == 3
    row = rows["a"]
    assert (row.path, row.frames, row.fps) == (str(folder / "a.mp4"), 12, 10.0)
    assert row.sha256 == content_hash(folder / "a.mp4")


def test_a_copy_has_a_row_that_names_the_first_and_is_not_opened(folder, probed):
    (folder / "z.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "link.mp4").symlink_to("b.mp4")
    rows = run(folder, CONFIG.replace(on_bad_video="fail"))
    assert (rows["z"].usable, rows["z"].reason) == (False, "same content as a")
    assert sorted(probed) == ["a.mp4", "b.mp4", "größer c.mp4"]
    assert len(rows) == 4


def test_bad_videos_are_left_out_with_their_reasons(folder, caplog):
    (folder / "text.mp4").write_text("not a video")
    (folder / "empty.mp4").touch()
    make(folder / "short.mp4", frames=5)
    os.truncate(folder / "b.mp4", (folder / "b.mp4").stat().st_size // 2)
    with caplog.at_level(logging.INFO):
        rows = run(folder)
    reasons = {id: row.reason for id, row in rows.items() if not row.usable}
    assert set(reasons) == {"text", "empty", "short", "b"}
    assert "has 5 frames, but a clip spans 8" in reasons["short"]
    assert all(reason in caplog.text for reason in reasons.values())
    assert "6 videos, 2 usable, 4 left out" in caplog.text


def test_a_run_can_be_made_to_fail_and_then_publishes_nothing(folder):
    before = run(folder)
    (folder / "text.mp4").write_text("not a video")
    make(folder / "short.mp4", frames=5)
    with pytest.raises(ValueError, match="2 of 5 videos cannot be used") as error:
        run(folder, ProbeConfig(clip=CONFIG.clip, on_bad_video="fail"))
    assert "text.mp4: is not a video" in str(error.value)
    assert "short.mp4: has 5 frames" in str(error.value)
    assert {row.id: row for row in read_manifest(folder.parent / "manifest.csv")} == before


def test_no_usable_video_is_an_error(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/text.mp4").write_text("not a video")
    with pytest.raises(ValueError, match=r"none of the 1 videos can be used:\s+.*text\.mp4"):
        run(tmp_path / "videos")
    assert not (tmp_path / "manifest.csv").exists()


def test_only_new_and_changed_videos_are_probed_again(folder, probed):
    first = run(folder)
    assert len(probed) == 3
    probed.clear()
    assert run(folder) == first
    assert probed == []
    make(folder / "d.mp4")
    make(folder / "b.mp4", frames=9)
    (folder / "a.mp4").unlink()
    second = run(folder)
    assert sorted(probed) == ["b.mp4", "d.mp4"]
    assert second["b"].frames == 9
    assert "a" not in second


def test_a_new_video_leaves_the_other_rows_as_they_were(folder):
    first = run(folder)
    make(folder / "0.mp4")
    second = run(folder)
    assert {id: second[id] for id in first} == first


def test_no_setting_opens_a_video_again(folder, probed):
    run(folder)
    probed.clear()
    rows = run(folder, ProbeConfig(clip=ClipConfig(length=12), gap=0.1, cut={"black": False}))
    assert probed == []
    assert all(row.usable for row in rows.values())


def test_damage_that_leaves_enough_is_said(folder, caplog):
    make(folder / "long.mp4", frames=60)
    os.truncate(folder / "long.mp4", (folder / "long.mp4").stat().st_size * 2 // 3)
    with caplog.at_level(logging.INFO):
        row = run(folder)["long"]
    assert row.usable
    assert row.kept < 60
    assert "60 frames" in row.lost
    assert row.lost in caplog.text


def test_folders_of_frames(tmp_path):
    from PIL import Image

    generator = np.random.default_rng(0)
    for video, count in (("v1", 9), ("v2", 3)):
        (tmp_path / "frames" / video).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8)).save(
                tmp_path / f"frames/{video}/{index}.png"
            )
    probe.run(CONFIG, frames=str(tmp_path / "frames"), manifest=tmp_path / "manifest.csv")
    rows = read_manifest(tmp_path / "manifest.csv")
    assert [(row.id, row.usable, row.frames) for row in rows] == [("v1", True, 9), ("v2", False, 3)]
