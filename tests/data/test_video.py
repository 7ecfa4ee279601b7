import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvdm.data.config import ClipConfig, CropConfig, CuttingConfig
from lvdm.data.crops import find_pictures
from lvdm.data.cutting import cut
from lvdm.data.extraction import Extraction, extract_frames, read_recording
from lvdm.data.inspection import Inspection, inspect
from lvdm.data.listing import Listed
from lvdm.data.manifest import ManifestRow
from lvdm.data.pieces import Piece
from lvdm.data.process import VideoError
from lvdm.data.summary import summarise
from lvdm.data.video import frame_count, iterate_frames, read_frames, write_ffv1, write_h264

CLIP = ClipConfig(length=4)
KEEP = {"black": False, "blank": False, "frozen": None}  # test patterns are no endoscopy


def probe(path: Path, clip: ClipConfig = CLIP, **settings) -> ManifestRow:
    """What the manifest says of a recording."""
    found = inspect(path)
    pictures = find_pictures([found], CropConfig(mode="none"))
    return summarise(
        Listed("id", path), found, pictures, CuttingConfig(**{"clip": clip, "cut": KEEP} | settings), "auto"
    )


def plan(found: Inspection, resolution: int, box=None, fps: float | None = None) -> tuple[Extraction, float]:
    """What extraction makes of all of a recording, and its rate."""
    pictures = find_pictures([found], CropConfig(mode="none"))
    cutting = cut(found, pictures, CuttingConfig(clip=CLIP.replace(fps=fps), cut=KEEP))
    assert not cutting.reason, cutting.reason
    crops = {size: box or picture.box for size, picture in pictures.items()}
    rate = cutting.rate if cutting.resampled else None
    return Extraction(cutting.pieces, crops, (resolution, resolution), fps=rate), cutting.rate


def extract(path: Path, resolution: int = 32, box=None, fps: float | None = None) -> np.ndarray:
    """All frames, uint8 (T, H, W, 3), that extraction makes of a video."""
    found, target = inspect(path), path.parent / "extracted.mkv"
    extraction, rate = plan(found, resolution, box, fps)
    extract_frames(path, found, extraction, rate, target)
    frames = read_frames(target)
    assert frames.shape[1:] == (resolution, resolution, 3)
    return frames


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


# ------------------------------------------------------------------------------------------ probing


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov", "a.wmv", "a.webm", "a.gif"])
def test_every_container_is_probed(make_video, name):
    info = probe(make_video(name))
    assert (info.usable, info.width, info.height, info.frames, info.fps) == (True, 96, 64, 30, 10.0)
    assert info.duration == pytest.approx(3.0, abs=0.01)
    assert not info.variable_rate


def test_eighteen_frames_at_five_fps_in_a_wmv(make_video):
    info = probe(make_video("a.wmv", source="testsrc2=s=96x96:r=5:d=3.6"), ClipConfig(length=16))
    assert (info.usable, info.frames, info.fps, info.codec) == (True, 18, 5.0, "msmpeg4")
    assert not probe(make_video("b.wmv", source="testsrc2=s=96x96:r=5:d=3"), ClipConfig(length=16)).usable


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_ntsc_rates_are_recognised(make_video, name):
    assert probe(make_video(name, source="testsrc2=s=96x64:r=30000/1001:d=2")).fps == 30000 / 1001


def test_text_named_mp4(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("this is not a video\n" * 100)
    assert "not a video" in probe(path).reason


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert probe(tmp_path / "empty.mp4").reason == "the file is empty"


def test_a_file_that_may_not_be_read(tmp_path):
    assert "No such file" in probe(tmp_path / "missing.mp4").reason


def test_sound_only_and_sound_with_a_cover(make_video):
    assert "no video" in probe(make_video("sound.mp4", source="sine=d=1")).reason
    cover = make_video("cover.png", "-frames:v", "1")
    options = ("-i", str(cover), "-map", "0", "-map", "1", "-c:v", "png", "-disposition:v", "attached_pic")
    with_cover = make_video("cover.mp4", *options, source="sine=d=1")
    assert "no video" in probe(with_cover).reason


def test_a_play_list_is_no_way_to_the_network(tmp_path, make_video):
    make_video("real.mp4")
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://127.0.0.1:9/real.mp4\n#EXT-X-ENDLIST\n")
    assert not probe(path).usable


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("index_last.mp4", ()),
        ("index_first.mp4", ("-movflags", "+faststart")),
        ("a.mkv", ()),
        ("a.avi", ()),
        ("a.wmv", ()),
        ("a.webm", ()),
    ],
)
def test_what_is_there_of_a_truncated_file_is_used(make_video, name, options):
    path = make_video(name, *options, source="testsrc2=s=160x120:r=10:d=6")
    assert probe(path).kept == 60
    os.truncate(path, path.stat().st_size * 6 // 10)
    info = probe(path)
    if name == "index_last.mp4":
        assert info.reason.startswith("is not a video, or is cut off before its index")
        return
    assert info.usable
    assert 20 <= info.kept < 50
    if name not in ("a.webm", "a.mkv"):  # where nothing tells an end from a cut
        assert info.lost
        assert not probe(path, on_bad_video="strict").usable


def test_damage_in_the_middle_is_cut_out(make_video):
    path = make_video("a.mp4", "-g", "5", "-bf", "0", source="testsrc2=s=160x120:r=10:d=6")
    whole = extract(path, 120)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    info = probe(path)
    assert info.usable
    assert info.lost
    assert info.pieces == 2
    assert 40 <= info.kept < 60
    assert "damaged" in probe(path, on_bad_video="strict").reason
    # What is kept is what was recorded.
    found = inspect(path)
    extraction, rate = plan(found, 120)
    extract_frames(path, found, extraction, rate, path.parent / "extracted.mkv")
    made = iter(read_frames(path.parent / "extracted.mkv"))
    for piece in extraction.pieces:
        for time in found.times[piece.first : piece.stop]:
            np.testing.assert_array_equal(next(made), whole[round(time * 10)])


def test_sound_longer_than_the_picture_is_no_damage(make_video):
    path = make_video("a.mp4", "-f", "lavfi", "-i", "sine=d=8")
    assert probe(path).usable


def test_too_short_for_a_clip(make_video):
    path = make_video("a.mp4")
    assert probe(path, ClipConfig(length=16, stride=1)).usable
    reason = probe(path, ClipConfig(length=16, stride=2)).reason
    assert "30 frames" in reason
    assert "31" in reason
    # At half the rate it has half the frames.
    assert "15 at 5 frames/s" in probe(path, ClipConfig(length=16, fps=5.0)).reason


# --------------------------------------------------------------------------------------- extraction


def test_frames_of_a_variable_rate_stay_as_they_are(make_video):
    path = make_video("vfr.mkv", "-vf", "select=not(between(mod(n\\,10)\\,3\\,5))", "-fps_mode", "vfr")
    info = probe(path)
    assert (info.variable_rate, info.frames, info.kept, info.fps, info.pieces) == (True, 21, 21, 10.0, 1)
    assert len(extract(path)) == 21
    # Frames that were dropped show as repeats where a rate is asked for.
    frames = extract(path, fps=10.0).astype(int)
    assert len(frames) == 30
    changes = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert changes.min() < 0.1 < changes.max()


def test_every_piece_has_its_own_size(make_video):
    parts = [
        make_video(f"{size}.ts", "-c:v", "libx264", "-pix_fmt", "yuv420p", source=f"testsrc2=s={size}:r=25:d=1")
        for size in ("320x240", "640x480")
    ]
    joined = parts[0].with_name("joined.ts")
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    path = make_video("joined.mkv", "-c", "copy", source=joined)
    info = probe(path)
    assert (info.pieces, info.kept) == (2, 50)
    small, large = (extract(part, 64) for part in parts)
    frames = extract(path, 64)
    np.testing.assert_array_equal(frames[:25], small)
    np.testing.assert_array_equal(frames[25:], large)


def test_resampling_keeps_the_time(make_video):
    path = make_video("a.mp4", source="testsrc2=s=96x64:r=20:d=4")
    slow, fast = extract(path, fps=5.0), extract(path)
    assert (len(slow), len(fast)) == (20, 80)
    # Frame k of the slow one is shown at k/5 s, as frame 4k of the fast one, give or take a frame.
    for k in (0, 7, 19):
        errors = [np.abs(slow[k].astype(int) - frame).mean() for frame in fast]
        assert abs(int(np.argmin(errors)) - 4 * k) <= 2


@pytest.mark.parametrize("size", ["97x61", "61x97", "33x33", "1920x18"])
def test_odd_sizes(make_video, size):
    frames = extract(make_video("odd.mkv", "-pix_fmt", "yuv420p", "-c:v", "ffv1", source=f"testsrc2=s={size}:r=10:d=1"))
    assert frames.std() > 10


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le", "yuv422p12le", "gray", "bgra"]
)
def test_pixel_formats_give_the_same_picture(make_video, pixel_format):
    source = "color=c=0x707070:s=96x64:r=10:d=1"
    frames = extract(make_video("a.mkv", "-pix_fmt", pixel_format, "-c:v", "ffv1", source=source))
    assert np.abs(frames.astype(int) - 0x70).max() <= 2


@pytest.mark.parametrize("color_range", ["tv", "pc"])
@pytest.mark.parametrize("matrix", ["bt709", "smpte170m"])
def test_stated_colours_are_kept(make_video, matrix, color_range):
    options = ("-vf", f"scale=out_color_matrix={matrix}:out_range={color_range},format=yuv444p")
    tags = ("-colorspace", matrix, "-color_range", color_range)
    path = make_video("a.mp4", *options, *tags, "-crf", "1", source="color=c=0xc83c28:s=96x64:r=10:d=1")
    assert probe(path).matrix == matrix
    assert np.abs(extract(path).mean(axis=(0, 1, 2)) - (0xC8, 0x3C, 0x28)).max() <= 3


@pytest.mark.parametrize(("size", "matrix"), [("1280x720", "bt709"), ("640x480", "smpte170m")])
def test_unstated_colours_follow_the_size(make_video, size, matrix):
    options = ("-vf", f"scale=out_color_matrix={matrix},setparams=colorspace=unknown,format=yuv420p", "-crf", "1")
    path = make_video("a.mp4", *options, source=f"color=c=0xc83c28:s={size}:r=10:d=0.6")
    assert probe(path).matrix == ""
    for frames in (extract(path), np.stack(list(read_recording(path)))):
        assert np.abs(frames.mean(axis=(0, 1, 2)) - (0xC8, 0x3C, 0x28)).max() <= 3


def test_rotation_is_applied(make_video):
    # Upper half white, turned by 90 degrees: one side white.
    upper = make_video("upright.mp4", "-vf", "drawbox=c=white:h=ih/2:t=fill", source="color=c=black:s=96x64:r=10:d=1")
    path = make_video("rotated.mp4", "-c", "copy", source=upper, before=("-display_rotation", "90"))
    info = probe(path)
    assert (info.width, info.height) == (64, 96)
    frame = extract(path)[0].astype(int)
    assert abs(frame[:, :12].mean() - frame[:, -12:].mean()) > 200
    assert abs(frame[:12].mean() - frame[-12:].mean()) < 20
    assert next(read_recording(path)).shape == (96, 64, 3)


def test_pixels_that_are_not_square(make_video):
    # Stored 64x96 and shown twice as wide: a square as shown has half as many columns as rows.
    drawing = "drawbox=x=16:y=16:w=32:h=64:c=white:t=fill,setsar=2"
    path = make_video("a.mkv", "-vf", drawing, source="color=c=black:s=64x96:r=10:d=1")
    assert probe(path).pixel_aspect == "2"
    bright = extract(path, resolution=96)[0].mean(axis=-1) > 128
    # Shown, the box is 64x64, in the middle of a 96x96 square.
    assert abs(bright.any(axis=0).sum() - 64) <= 2
    assert abs(bright.any(axis=1).sum() - 64) <= 2


@pytest.mark.parametrize("name", ["mit Leerzeichen.mp4", "Größe 胃.mp4", "-v.mp4", "a:b'c%d[1].mp4", "50%.mp4"])
def test_odd_names(make_video, name, monkeypatch):
    path = make_video(name)
    monkeypatch.chdir(path.parent)
    assert len(extract(Path(name))) == 30


def test_a_box_is_cut_out(make_video):
    path = make_video("a.mkv", "-c:v", "ffv1", "-pix_fmt", "bgr0")
    whole = np.stack(list(read_recording(path)))
    np.testing.assert_array_equal(extract(path, 32, box=(40, 16, 32, 32)), whole[:, 16:48, 40:72])


def test_small_videos_are_enlarged(make_video):
    assert extract(make_video("a.mp4", source="testsrc2=s=48x32:r=10:d=1"), 64).shape[1:] == (64, 64, 3)


@pytest.mark.parametrize("width", [96, 200, 232, 724])
def test_the_evidence_is_that_of_the_pictures_to_the_last_column(make_video, width):
    """A border at the right, black in the picture, is black in what the crop is found from."""
    source = f"testsrc2=s={width}x144:r=10:d=2"
    path = make_video(
        "a.mp4", "-vf", f"drawbox=x={width - 16}:w=16:c=black:t=fill", "-pix_fmt", "yuv420p", source=source
    )
    evidence = inspect(path).evidence[width, 144]
    shown = np.stack([frame.max(axis=-1) for frame in read_recording(path)]).astype(int)
    low, peak = np.percentile(shown, (5, 95), axis=0, method="nearest")
    assert evidence.peak[:, -12:].max() < 20
    assert np.median(np.abs(evidence.low - low)) <= 3
    assert np.median(np.abs(evidence.peak - peak)) <= 3


def test_the_same_video_makes_the_same_bytes(make_video):
    path = make_video("a.mp4")
    extract(path)
    first = (path.parent / "extracted.mkv").read_bytes()
    extract(path)
    assert (path.parent / "extracted.mkv").read_bytes() == first


def test_another_recording_than_was_inspected_is_an_error(make_video, tmp_path):
    path = make_video("a.mp4")
    for other in ("testsrc2=s=96x64:r=10:d=4", "testsrc2=s=64x64:r=10:d=3"):
        found = inspect(make_video("b.mp4", source=other))
        extraction, rate = plan(found, 32)
        with pytest.raises(VideoError, match=r"frame \d+ is not the one that was inspected; run `lvdm inspect` again"):
            extract_frames(path, found, extraction, rate, tmp_path / "out.mkv")
        assert not list(tmp_path.glob("*out*"))


def test_what_cannot_be_filtered_is_named(make_video, tmp_path):
    path = make_video("a.mp4")
    found = inspect(path)
    extraction = Extraction([Piece(0, 30, 0.0)], {(96, 64): (0, 0, 960, 640)}, (32, 32))
    with pytest.raises(VideoError, match="does not lie within the picture"):
        extract_frames(path, found, extraction, 10.0, tmp_path / "out.mkv")
    assert not list(tmp_path.glob("*out*"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_leaves_nothing(make_video, small_disk):
    path = make_video("a.mp4", source="testsrc2=s=160x128:r=10:d=10")
    earlier = small_disk / "out.mkv"
    earlier.write_bytes(b"earlier")
    with pytest.raises(OSError, match="disk is full") as error:
        extract_frames(path, inspect(path), *plan(inspect(path), 128), earlier)
    assert error.value.filename == str(earlier)
    assert list(small_disk.iterdir()) == [earlier]
    assert earlier.read_bytes() == b"earlier"


def test_a_file_size_limit_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(VideoError, match=r"out\.mkv: ffmpeg failed \(SIGXFSZ\)"):
            write_ffv1(noise(20, 128, 128), tmp_path / "out.mkv", 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------- folders of frames


def save_frames(folder: Path, frames: np.ndarray, suffix: str = ".png") -> Path:
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame{index}{suffix}")
    return folder


def test_a_folder_of_frames_is_extracted_in_natural_order(tmp_path):
    frames = noise(12, 32, 32)
    folder = save_frames(tmp_path / "Größe 1", frames)
    info = probe(folder)
    assert (info.usable, info.width, info.height, info.frames, info.codec) == (True, 32, 32, 12, "png")
    np.testing.assert_array_equal(extract(folder), frames)
    np.testing.assert_array_equal(np.stack(list(read_recording(folder))), frames)


def test_a_folder_of_frames_has_the_rate_that_is_configured(tmp_path):
    folder = save_frames(tmp_path / "v", noise(12, 32, 48), ".bmp")
    assert len(extract(folder, fps=10.0)) == 12


def test_a_bad_image_is_named_and_ends_a_piece(tmp_path):
    folder = save_frames(tmp_path / "v", noise(12, 32, 48))
    (folder / "frame5.png").write_bytes((folder / "frame5.png").read_bytes()[:500])
    info = probe(folder)
    assert "frame5.png cannot be decoded" in info.lost
    assert (info.frames, info.kept, info.pieces) == (11, 11, 2)
    # An image of another size is a piece of its own, and too short for a clip.
    Image.new("RGB", (16, 16), (90, 0, 0)).save(folder / "frame5.png")
    info = probe(folder)
    assert (info.frames, info.kept, info.pieces) == (12, 11, 2)
    assert "1 in a piece shorter than a clip" in info.left_out


def test_gaps_in_the_numbers_are_gaps_in_time(tmp_path):
    folder = save_frames(tmp_path / "v", noise(24, 32, 32))
    for number in (8, 9, 14, 15, 16):
        (folder / f"frame{number}.png").unlink()
    info = probe(folder)
    assert (info.pieces, info.kept) == (2, 19)


def test_images_of_other_modes(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    Image.new("L", (32, 32), 100).save(folder / "1.png")
    Image.fromarray(np.full((32, 32), 100 << 8, np.uint16)).save(folder / "2.png")
    Image.new("RGBA", (32, 32), (200, 200, 200, 127)).save(folder / "3.png")
    Image.new("RGB", (32, 32), (100, 100, 100)).quantize(4).save(folder / "4.png")
    frames = np.stack(list(read_recording(folder)))
    assert np.abs(frames.astype(int) - 100).max() <= 3


# ----------------------------------------------------------------------------- frames in and out


# decord pads the rows of 16, 24, 48 and 72 pixels.
@pytest.mark.parametrize(("height", "width"), [(33, 45), (16, 16), (24, 24), (48, 48), (72, 72), (128, 128)])
def test_lossless_frames_come_back_in_any_order(tmp_path, height, width):
    frames = noise(20, height, width)
    path = tmp_path / "Größe.mkv"
    write_ffv1(iter(frames), path, 29.97)
    np.testing.assert_array_equal(read_frames(path), frames)
    order = [7, 0, 19, 7, 3]
    np.testing.assert_array_equal(read_frames(path, order), frames[order])
    np.testing.assert_array_equal(np.concatenate(list(iterate_frames(path, batch=6))), frames)
    assert frame_count(path) == 20


def test_decord_agrees_with_ffmpeg(make_video):
    path = make_video("a.mkv", "-c:v", "ffv1", "-pix_fmt", "bgr0", "-g", "1")
    np.testing.assert_array_equal(read_frames(path), np.stack(list(read_recording(path))))


def test_frames_that_are_not_there(tmp_path):
    write_ffv1(noise(3, 32, 32), tmp_path / "a.mkv", 10)
    with pytest.raises(VideoError, match="has 3 frames"):
        read_frames(tmp_path / "a.mkv", [3])
    (tmp_path / "left_out.mkv").touch()
    for name in ("left_out.mkv", "missing.mkv"):
        with pytest.raises(VideoError, match=name):
            frame_count(tmp_path / name)
    (tmp_path / "text.mkv").write_text("no video")
    with pytest.raises(VideoError, match="cannot be read"):
        frame_count(tmp_path / "text.mkv")
    with pytest.raises(ValueError, match="no frames"):
        write_ffv1([], tmp_path / "none.mkv", 10)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 45)])
def test_previews_play_and_look_alike(tmp_path, height, width):
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (8, height, width, 3)).copy()
    frames[..., 2] = 60
    path = tmp_path / "a.mp4"
    write_h264(frames, path, fps=8.0, crf=4)
    info = probe(path)
    assert (info.codec, info.pixel_format, info.fps, info.frames) == ("h264", "yuv420p", 8.0, 8)
    assert (info.width, info.height) == (width + width % 2, height + height % 2)
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    shown = np.stack(list(read_recording(path)))[:, :height, :width]
    assert np.abs(shown.astype(int) - frames).mean() < 4
