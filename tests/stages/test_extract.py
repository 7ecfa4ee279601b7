import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvdm.data.config import ClipConfig, CropConfig
from lvdm.data.video import read_frames, write_ffv1
from lvdm.files import content_hash
from lvdm.stages import crop, export_frames, extract, inspect
from lvdm.stages.config import CropStageConfig, ExtractConfig

CLIP = ClipConfig(length=8, resolution=32)
CONFIG = ExtractConfig(clip=CLIP)


def picture(frames=12, height=64, width=96) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 256, (frames, height, width, 3), np.uint8)


@pytest.fixture
def video(tmp_path) -> Path:
    """Lossless noise of 96x64."""
    path = tmp_path / "in" / "video.mkv"
    write_ffv1(picture(), path, fps=10.0)
    return path


def run(video: Path, config: ExtractConfig = CONFIG, **inputs) -> tuple[Path, dict]:
    frames, record = video.parent.parent / "out/some_id.mkv", video.parent.parent / "out/some_id.json"
    extract.run(config, video=video, frames=frames, record=record, **inputs)
    return frames, json.loads(record.read_text())


def inspected(*videos: Path) -> dict[str, Path]:
    """What the stages before make of videos: the inspection of the first, and the crop of all as one group."""
    folder = videos[0].parent.parent
    targets = [folder / "inspections" / f"{video.stem}.json" for video in videos]
    for video, target in zip(videos, targets, strict=True):
        inspect.run(video=video, inspection=target)
    crop.run(CropStageConfig(), inspections=targets, crop=folder / "crops/group.json")
    return {"inspection": targets[0], "crop": folder / "crops/group.json", "group": "group"}


def test_the_record_says_what_was_done(video):
    frames, record = run(video)
    assert read_frames(frames).shape == (12, 32, 32, 3)
    assert len(record.pop("made_from")) == 16
    assert record == {
        "id": "some_id",
        "group": "some_id",
        "usable": True,
        "reason": "",
        "left_out": {},
        "source": str(video),
        "sha256": content_hash(video),
        "crop": {"box": [0, 0, 96, 64], "mode": "auto", "note": "no crop: the picture fills the frame"},
        "covered": [],
        "treatment": [],
        "frames": 12,
        "fps": 10.0,
        "resampled": False,
        "resolution": 32,
        "upscaled": False,
        "pieces": [{"first": 0, "frames": 12, "start": 0.0}],
    }


def test_with_the_stages_before_the_result_is_the_same(video):
    frames, record = run(video)
    data = frames.read_bytes()
    frames.unlink()
    assert run(video, **inspected(video)) == (frames, record | {"group": "group"})
    assert frames.read_bytes() == data


def test_what_was_made_of_the_same_stays(video, caplog):
    frames, record = run(video)
    before = frames.stat().st_ino
    assert run(video, group="another")[1] == record | {"group": "another"}
    assert frames.stat().st_ino == before
    frames.write_bytes(frames.read_bytes()[:2000])
    assert run(video)[1] == record
    assert read_frames(frames).shape == (12, 32, 32, 3)
    assert run(video, CONFIG.replace(gap=1.0))[1]["made_from"] != record["made_from"]


def test_a_sibling_is_made_anew_only_if_the_crop_changes(video):
    """One recording of a group shows the whole picture, another only part of it."""
    frames, _ = run(video, **inspected(video))
    before = frames.stat().st_ino
    other = video.parent / "other.mkv"
    write_ffv1(picture()[::-1], other, fps=10.0)
    run(video, **inspected(video, other))
    assert frames.stat().st_ino == before
    bordered = video.parent / "bordered.mkv"
    border = picture()
    border[:, :, :32] = 0
    write_ffv1(border, bordered, fps=10.0)
    alone = run(bordered, **inspected(bordered))[1]["crop"]["box"]
    assert alone == [32, 0, 64, 64]
    assert run(bordered, **inspected(bordered, video))[1]["crop"]["box"] == [0, 0, 96, 64]


def test_pieces_and_what_is_left_out(tmp_path):
    parts = picture(frames=40)
    parts[10:13] = 0
    write_ffv1(parts, tmp_path / "in/video.mkv", fps=10.0)
    frames, record = run(tmp_path / "in/video.mkv")
    assert record["left_out"] == {"black": 3}
    assert [(piece["first"], piece["frames"]) for piece in record["pieces"]] == [(0, 10), (10, 27)]
    assert record["pieces"][1]["start"] == 1.3
    assert len(read_frames(frames)) == record["frames"] == 37
    _, record = run(tmp_path / "in/video.mkv", CONFIG.replace(cut={"black": False}))
    assert [piece["frames"] for piece in record["pieces"]] == [40]


def test_a_black_border_is_cropped(tmp_path):
    frames = np.zeros((12, 64, 96, 3), np.uint8)
    frames[:, :, 32:] = picture(height=64, width=64)
    write_ffv1(frames, tmp_path / "in/video.mkv", 10.0)
    config = ExtractConfig(clip=ClipConfig(length=8, resolution=64))
    extracted, record = run(tmp_path / "in/video.mkv", config)
    assert record["crop"]["box"] == [32, 0, 64, 64]
    np.testing.assert_array_equal(read_frames(extracted), frames[:, :, 32:])
    switched_off = config.replace(crop={"mode": "none"})
    assert run(tmp_path / "in/video.mkv", switched_off)[1]["crop"]["box"] == [0, 0, 96, 64]


def test_a_given_box(video):
    config = ExtractConfig(clip=CLIP, crop=CropConfig(mode="box", box=(10, 20, 32, 32)))
    frames, record = run(video, config)
    assert record["crop"] == {"box": [10, 20, 32, 32], "mode": "box", "note": "given"}
    np.testing.assert_array_equal(read_frames(frames), picture()[:, 20:52, 10:42])


def test_a_box_beyond_the_picture(video):
    config = ExtractConfig(clip=CLIP, crop=CropConfig(mode="box", box=(10, 40, 32, 32)))
    assert "12 are smaller than data.crop.box" in run(video, config)[1]["reason"]
    with pytest.raises(ValueError, match=r"video\.mkv cannot be used"):
        run(video, config.replace(on_bad_video="fail"))


def test_enlarging_is_recorded(video, caplog):
    _, record = run(video, ExtractConfig(clip=ClipConfig(length=8, resolution=128)))
    assert record["upscaled"]
    assert "enlarged" in caplog.text


def test_resampling_is_recorded(video):
    frames, record = run(video, ExtractConfig(clip=ClipConfig(length=4, resolution=32, fps=5.0)))
    assert (record["frames"], record["fps"], record["resampled"]) == (6, 5.0, True)
    assert len(read_frames(frames)) == 6


@pytest.mark.parametrize("before", [True, False])
def test_a_bad_video_leaves_an_empty_file_and_the_reason(video, before):
    bad = video.parent / "bad.mp4"
    bad.write_text("not a video")
    frames, record = run(bad, **(inspected(bad) if before else {}))
    assert frames.stat().st_size == 0
    assert not record["usable"]
    assert "not a video" in record["reason"]
    assert record["sha256"] == content_hash(bad)


def test_a_video_that_changed_since_it_was_inspected(video):
    inputs = inspected(video)
    video.touch()
    assert run(video, **inputs)[1]["usable"]
    write_ffv1(picture(frames=9), video, 10.0)
    with pytest.raises(ValueError, match=r"video\.mkv has changed"):
        run(video, **inputs)
    video.unlink()
    with pytest.raises(ValueError, match=r"video\.mkv is missing"):
        run(video, **inputs)


def test_an_error_leaves_earlier_frames_untouched(video, monkeypatch):
    frames, _ = run(video)
    data = frames.read_bytes()

    def fails(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lvdm.data.process.encode_frames", fails)
    with pytest.raises(OSError, match="No space"):
        run(video, CONFIG.replace(gap=2.0))
    assert frames.read_bytes() == data
    assert sorted(path.name for path in frames.parent.iterdir()) == ["some_id.json", "some_id.mkv"]


# ------------------------------------------------------------------------------------ export-frames


def test_frames_are_exported_as_others_read_them_and_come_back(video, tmp_path):
    frames, _ = run(video)
    left_out = tmp_path / "left_out.mkv"
    left_out.touch()
    export_frames.run(frames=[frames, left_out], folder=tmp_path / "exported")
    files = sorted(path.relative_to(tmp_path / "exported").as_posix() for path in (tmp_path / "exported").rglob("*.*"))
    assert files == [f"some_id/{index:06}.png" for index in range(12)]
    np.testing.assert_array_equal(
        np.stack([np.asarray(Image.open(tmp_path / "exported" / file)) for file in files]), read_frames(frames)
    )
    again, _ = run(tmp_path / "exported/some_id", CONFIG)
    np.testing.assert_array_equal(read_frames(again), read_frames(frames))


def test_nothing_to_export(tmp_path):
    (tmp_path / "a.mkv").touch()
    with pytest.raises(ValueError, match="no frames to export"):
        export_frames.run(frames=[tmp_path / "a.mkv"], folder=tmp_path / "exported")
    with pytest.raises(ValueError, match="several files are named a"):
        export_frames.run(frames=[tmp_path / "a.mkv", tmp_path / "b/a.mkv"], folder=tmp_path / "exported")
