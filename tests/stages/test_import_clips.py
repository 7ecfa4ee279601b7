"""Stage import-clips: other people's videos as they are, or an error that says what is wrong with them."""

import numpy as np
import pytest
from PIL import Image

from lvdm.data.video import write_ffv1, write_h264
from lvdm.stages import import_clips
from lvdm.stages.config import ImportClipsConfig

ALL = ImportClipsConfig()


@pytest.fixture(scope="module")
def videos() -> np.ndarray:
    """Three videos (3, 6, 32, 48, 3), wide and of smooth colours."""
    shades = np.linspace(0, 255, 3 * 6 * 2 * 3).reshape(3, 6, 1, 2, 3)
    return np.broadcast_to(np.repeat(shades, 24, axis=3), (3, 6, 32, 48, 3)).astype(np.uint8)


@pytest.fixture
def folder(videos, tmp_path):
    """The same as files, without loss."""
    for number, video in enumerate(videos):
        write_ffv1(video, tmp_path / "videos" / f"{number:04}.mkv", fps=8)
    return tmp_path / "videos"


def run(path, config=ALL, **source):
    import_clips.run(config, clips=path, **source)
    return np.load(path, allow_pickle=False)


def test_video_files(folder, videos, tmp_path):
    np.testing.assert_array_equal(run(tmp_path / "clips.npy", videos=[f"{folder}/*.mkv"]), videos)


def test_compressed_video_files(videos, tmp_path):
    for number, video in enumerate(videos):
        write_h264(video, tmp_path / "videos" / f"{number:04}.mp4", fps=8)
    found = run(tmp_path / "clips.npy", videos=[f"{tmp_path}/videos/*.mp4"])
    assert found.shape == videos.shape
    assert np.abs(found.astype(int) - videos).mean() < 8


def test_frame_folders(videos, tmp_path):
    for number, video in enumerate(videos):
        (tmp_path / "frames" / f"{number:04}").mkdir(parents=True)
        for index, frame in enumerate(video):
            Image.fromarray(frame).save(tmp_path / "frames" / f"{number:04}" / f"{index}.png")
    np.testing.assert_array_equal(run(tmp_path / "clips.npy", frames=str(tmp_path / "frames")), videos)


def test_an_archive(videos, tmp_path):
    np.savez(tmp_path / "videos.npz", videos)
    np.testing.assert_array_equal(run(tmp_path / "clips.npy", npz=tmp_path / "videos.npz"), videos)


@pytest.mark.parametrize("source", ["files", "archive"])
def test_first_frames(source, folder, videos, tmp_path):
    np.savez(tmp_path / "videos.npz", videos)
    given = {"videos": [f"{folder}/*.mkv"]} if source == "files" else {"npz": tmp_path / "videos.npz"}
    np.testing.assert_array_equal(run(tmp_path / "clips.npy", ImportClipsConfig(length=4), **given), videos[:, :4])
    with pytest.raises(ValueError, match=r"has 6 frames, but `length` of this generator is 8"):
        run(tmp_path / "other.npy", ImportClipsConfig(length=8), **given)
    assert not (tmp_path / "other.npy").exists()


def test_a_single_video(folder, videos, tmp_path):
    found = run(tmp_path / "clips.npy", videos=[str(folder / "0001.mkv")])
    np.testing.assert_array_equal(found, videos[1:2])


def test_mixed_sizes(folder, videos, tmp_path):
    write_ffv1(videos[0][:, :, :32], folder / "0009.mkv", fps=8)
    with pytest.raises(ValueError, match=r"0009\.mkv has frames of 32x32 and those before 48x32; nothing is resampled"):
        run(tmp_path / "clips.npy", videos=[f"{folder}/*.mkv"])
    assert not (tmp_path / "clips.npy").exists()


def test_mixed_lengths(folder, videos, tmp_path):
    write_ffv1(videos[0][:5], folder / "0009.mkv", fps=8)
    with pytest.raises(ValueError, match=r"0009\.mkv has 5 frames and those before 6; .* set `length`"):
        run(tmp_path / "clips.npy", videos=[f"{folder}/*.mkv"])
    assert len(run(tmp_path / "clips.npy", ImportClipsConfig(length=5), videos=[f"{folder}/*.mkv"])) == 4


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for source in ({"videos": [f"{tmp_path}/empty/*.mp4"]}, {"frames": str(tmp_path / "empty")}):
        with pytest.raises(ValueError, match=r"there is no video in .*empty"):
            run(tmp_path / "clips.npy", **source)


def test_a_broken_video_is_named(folder, tmp_path):
    (folder / "0002.mkv").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"0002\.mkv: .*take it out or make it again"):
        run(tmp_path / "clips.npy", videos=[f"{folder}/*.mkv"])


def test_one_source_is_needed(folder, tmp_path):
    for source in ({}, {"videos": [f"{folder}/*.mkv"], "frames": str(folder)}):
        with pytest.raises(ValueError, match="give one of"):
            run(tmp_path / "clips.npy", **source)
