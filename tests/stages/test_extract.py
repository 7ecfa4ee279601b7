import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvdm.data.config import ClipConfig, CropConfig
from lvdm.data.video import read_frames, write_ffv1
from lvdm.files import content_hash
from lvdm.stages import export_frames, extract, probe
from lvdm.stages.config import ExtractConfig, ProbeConfig

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


def run(video: Path, config: ExtractConfig = CONFIG, manifest: Path | None = None) -> tuple[Path, dict]:
    frames, record = video.parent.parent / "out/some_id.mkv", video.parent.parent / "out/some_id.json"
    extract.run(config, video=video, manifest=manifest, frames=frames, record=record)
    return frames, json.loads(record.read_text())


def make_manifest(video: Path) -> Path:
    manifest = video.parent.parent / "manifest.csv"
    probe.run(ProbeConfig(clip=CLIP), videos=[f"{video.parent}/*"], manifest=manifest)
    return manifest


def test_the_record_says_what_was_done(video):
    frames, record = run(video)
    assert read_frames(frames).shape == (12, 32, 32, 3)
    assert record == {
        "id": "some_id",
        "usable": True,
        "reason": "",
        "source": str(video),
        "sha256": content_hash(video),
        "crop": {"box": [0, 0, 96, 64], "mode": "auto", "note": "no crop: the picture fills the frame"},
        "frames": 12,
        "fps": 10.0,
        "resampled": False,
        "resolution": 32,
        "upscaled": False,
    }


def test_with_a_manifest_the_result_is_the_same(video):
    frames, record = run(video)
    data = frames.read_bytes()
    assert run(video, manifest=make_manifest(video)) == (frames, record)
    assert frames.read_bytes() == data


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
    with pytest.raises(ValueError, match=r"video\.mkv has 96x64 pixels, but data\.crop\.box .* 42x72"):
        run(video, config)
    assert not (video.parent.parent / "out").exists()


def test_enlarging_is_recorded(video, caplog):
    _, record = run(video, ExtractConfig(clip=ClipConfig(length=8, resolution=128)))
    assert record["upscaled"]
    assert "enlarged" in caplog.text


def test_resampling_is_recorded(video):
    frames, record = run(video, ExtractConfig(clip=ClipConfig(length=4, resolution=32, fps=5.0)))
    assert (record["frames"], record["fps"], record["resampled"]) == (6, 5.0, True)
    assert len(read_frames(frames)) == 6


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_bad_video_leaves_an_empty_file_and_the_reason(video, with_manifest):
    bad = video.parent / "bad.mp4"
    bad.write_text("not a video")
    frames, record = run(bad, manifest=make_manifest(video) if with_manifest else None)
    assert frames.stat().st_size == 0
    assert not record["usable"]
    assert "not a video" in record["reason"]
    assert record["sha256"] == content_hash(bad)


def test_a_video_that_the_manifest_lacks(video):
    manifest = make_manifest(video)
    other = video.parent / "other.mkv"
    write_ffv1(picture(), other, 10.0)
    with pytest.raises(ValueError, match=r"manifest\.csv does not have .*other\.mkv; run `lvdm probe`"):
        run(other, manifest=manifest)


def test_a_video_that_changed_since_it_was_probed(video):
    manifest = make_manifest(video)
    video.touch()
    assert run(video, manifest=manifest)[1]["usable"]
    write_ffv1(picture(frames=9), video, 10.0)
    with pytest.raises(ValueError, match=r"video\.mkv has changed"):
        run(video, manifest=manifest)


def test_an_error_leaves_earlier_frames_untouched(video, monkeypatch):
    frames, _ = run(video)
    data = frames.read_bytes()
    monkeypatch.setattr("lvdm.data.video.frame_count", lambda path: 11)
    with pytest.raises(ValueError, match="11 frames were extracted where 12 were expected"):
        run(video)
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
