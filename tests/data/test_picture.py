import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from lvdm.data import tone
from lvdm.data.frame_folder import read_image
from lvdm.data.picture import COMBED, SCALE_FLAGS, Filter, Format, Treatment, centre_part, chain, comb_ratio, describe
from lvdm.data.process import VideoError

SD = Format(640, 480, "yuv420p")
HD = Format(1280, 720, "yuv420p")
TINY = Treatment(target=(32, 32))
# Survives 8-bit YCbCr of any matrix and range within a level.
ORANGE = (247, 138, 11)


def decoded(path: Path, **options) -> tuple[Format, list[av.VideoFrame], Fraction]:
    with av.open(str(path), **options) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return Format.of(frames[0], stream), frames, stream.time_base


def filtered(stored: Format, treatment: Treatment, frames: list[av.VideoFrame]) -> np.ndarray:
    pictures = Filter(stored, treatment, Fraction(1, 25))
    made = [picture for frame in frames for picture in pictures.push(frame)]
    return np.stack([*made, *pictures.flush()])


def read(path: Path, treatment: Treatment = TINY, **options) -> np.ndarray:
    stored, frames, _ = decoded(path, **options)
    flagged = any(frame.interlaced_frame for frame in frames)
    return filtered(stored, replace(treatment, flagged=flagged), frames)


def by_ffmpeg(*arguments: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


# ----------------------------------------------------------------------------------------- the plan


def test_a_plain_picture_is_cropped_and_scaled_and_no_more():
    scale = ("scale", f"32:32:flags={SCALE_FLAGS}")
    plain = [("crop", "480:480:80:0:exact=1"), scale, ("format", "bgr0")]
    assert chain(replace(SD, matrix="smpte170m"), TINY) == plain
    assert chain(replace(SD, pixel_format="rgb24"), TINY) == plain
    assert chain(replace(SD, pixel_format="gray"), TINY) == plain
    assert describe(replace(SD, matrix="smpte170m", range="tv"), TINY) == ()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "uyvy422", "nv12", "p010le", "y210le", "xv30le", "ayuv", "vuya"])
def test_the_matrix_of_the_size_is_written_into_frames_that_state_none(pixel_format):
    for stored, name, words in (
        (SD, "smpte170m", "BT.601"),
        (HD, "bt709", "BT.709"),
        (Format(720, 578, ""), "bt709", "BT.709"),
    ):
        stored = replace(stored, pixel_format=pixel_format)
        assert chain(stored, TINY)[0] == ("setparams", f"colorspace={name}:range=tv")
        assert f"{words} assumed from size" in describe(stored, TINY)
        assert stored.colour.matrix == name
    assert Format(720, 576, pixel_format).colour.matrix == "smpte170m"


@pytest.mark.parametrize("pixel_format", ["rgb24", "gbrp10le", "gray", "gray10le", "monow", "bayer_rggb8", "gbrpf32le"])
def test_rgb_and_grey_have_no_matrix(pixel_format):
    stored = replace(HD, pixel_format=pixel_format, matrix="bt709")
    assert stored.colour.matrix == "gbr"
    assert "setparams" not in dict(chain(stored, TINY))
    assert not any("assumed" in done for done in describe(stored, TINY))


def test_the_range_is_what_is_stated_or_what_the_format_means():
    assert replace(SD, pixel_format="yuvj420p").colour.full_range
    assert replace(SD, range="pc").colour.full_range
    assert replace(SD, pixel_format="gray").colour.full_range
    assert not replace(SD, pixel_format="gray", range="tv").colour.full_range
    assert replace(SD, pixel_format="rgb24", range="tv").colour.full_range


def test_nonsense_in_place_of_a_matrix_is_as_good_as_none():
    assert replace(HD, matrix="gbr").colour.matrix == "bt709"


def test_what_cannot_be_converted_is_refused():
    for matrix in ("smpte2085", "ipt-c2", "ycgco-re", "chroma-derived-c"):
        with pytest.raises(VideoError, match=matrix):
            chain(replace(SD, matrix=matrix), TINY)
    for pixel_format in ("yaf32le", "vaapi", "none", "nonsense"):
        with pytest.raises(VideoError, match=pixel_format):
            Filter(replace(SD, pixel_format=pixel_format), TINY, Fraction(1, 25))
    with pytest.raises(VideoError, match="640x480"):
        chain(SD, Treatment((0, 0, 641, 480)))


def test_only_runs_with_flagged_frames_are_deinterlaced():
    def modes(treatment: Treatment, stored: Format = SD) -> str | None:
        return dict(chain(stored, treatment)).get("bwdif")

    parts = "mode=send_frame:parity=auto:deint="
    assert modes(TINY) is None
    assert modes(replace(TINY, flagged=True)) == parts + "interlaced"
    assert modes(replace(TINY, deinterlace="on")) == parts + "all"
    assert modes(replace(TINY, deinterlace="off", flagged=True)) is None
    assert modes(TINY, replace(SD, fields="bff")) == parts + "interlaced"
    assert ("setfield", "bff") in chain(replace(SD, fields="bff"), TINY)
    packed = chain(replace(SD, pixel_format="uyvy422"), replace(TINY, flagged=True))
    assert packed.index(("format", "yuv422p")) < [name for name, _ in packed].index("bwdif")


def test_upright_pixels():
    turned = Format(720, 576, "yuv420p", pixel_aspect=Fraction(16, 15), rotation=90)
    assert turned.upright == (576, 720)
    assert turned.upright_aspect == Fraction(15, 16)
    # Shown 540 by 720: as wide as it is.
    assert ("crop", "576:540:0:90:exact=1") in chain(turned, TINY)
    done = describe(turned, TINY)
    assert done[:2] == ("rotated by 90 degrees", "pixel aspect 16:15")


def test_the_centred_part_has_the_aspect_of_the_target_as_it_is_shown():
    assert centre_part((0, 0, 640, 512), 1.0, (128, 128)) == (64, 0, 512, 512)
    assert centre_part((10, 20, 100, 300), 1.0, (128, 128)) == (10, 120, 100, 100)
    assert centre_part((0, 0, 64, 96), 2.0, (128, 128)) == (8, 0, 48, 96)
    assert centre_part((0, 0, 640, 480), 1, (96, 160)) == (0, 48, 640, 384)
    assert centre_part((0, 0, 720, 576), Fraction(16, 15), (96, 128)) == (0, 0, 720, 576)
    assert centre_part((0, 0, 3, 3000), 1, (16, 160)) == (0, 1499, 3, 1)


# ------------------------------------------------------------------------------------ pixel formats


def all_formats() -> Iterator[str]:
    for name in sorted(av.video.format.names):
        known = av.VideoFormat(name, 16, 16)
        # libswscale ends the process on yaf32 (FFmpeg 8.1).
        if known.components and not name.startswith("yaf"):
            yield name


@pytest.mark.parametrize("name", list(all_formats()))
def test_every_pixel_format_is_converted_or_refused(name):
    """A flat colour comes back flat, to the last row and column, at its size and enlarged."""
    source = av.VideoFrame.from_ndarray(np.full((48, 64, 3), ORANGE, np.uint8))
    try:
        frame = source.reformat(format=name, dst_colorspace="ITU601")
    except (av.FFmpegError, ValueError):
        pytest.skip("libswscale writes no such pictures")
    stored = Format(64, 48, name)
    wanted = ORANGE
    if name.startswith(("gray", "ya")):
        wanted = 3 * (round(0.299 * 247 + 0.587 * 138 + 0.114 * 11),)
    dithered = name.startswith(("rgb4", "bgr4", "rgb5", "bgr5", "rgb8", "bgr8", "mono", "pal8"))
    try:
        pictures = [filtered(stored, treatment, [frame])[0] for treatment in (Treatment(), Treatment(target=(96, 128)))]
    except VideoError as error:
        assert name in str(error)  # noqa: PT017
        return
    for picture in pictures:
        assert picture.shape[2] == 3
        if not dithered and not name.startswith("xyz"):
            assert np.abs(picture.astype(int) - wanted).max() <= 3
        if not dithered:
            assert picture.std(axis=(0, 1)).max() < 1


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)], ids=["sd", "hd"])
@pytest.mark.parametrize("name", ["nv16", "nv24", "p010le", "p210le", "p416le", "y212le", "xv36le", "vuyx", "ayuv64le"])
def test_raw_pictures_that_no_container_holds(name, size, tmp_path):
    width, height = size
    matrix = "bt709" if width >= 1280 else "smpte170m"
    filters = f"scale=out_color_matrix={matrix}:out_range=tv:flags={SCALE_FLAGS},format={name}"
    source = "color=c=0x{:02x}{:02x}{:02x}:s={}x{}:d=0.1:r=20,format=gbrp".format(*ORANGE, *size)
    path = tmp_path / "a.raw"
    by_ffmpeg("-f", "lavfi", "-i", source, "-vf", filters, "-f", "rawvideo", str(path))
    frames = read(path, format="rawvideo", options={"pixel_format": name, "video_size": f"{width}x{height}"})
    assert np.abs(frames.astype(int) - ORANGE).max() <= 2


def test_transparency_is_laid_over_black():
    pixels = np.zeros((48, 64, 4), np.uint8)
    pixels[..., :3], pixels[..., 3], pixels[:, 32:, 3] = 200, 255, 128
    for name in ("rgba", "bgra", "gbrap", "rgba64le", "yuva444p", "yuva444p12le", "ya8"):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=name)
        stored = Format(64, 48, name)
        picture = filtered(stored, Treatment(), [frame])[0].astype(int)
        assert np.abs(picture[:, :30] - 200).max() <= 2, name
        assert np.abs(picture[:, 34:] - 100).max() <= 2, name
        assert "alpha laid over black" in describe(stored, TINY)


def test_grey_of_limited_range_is_stretched_where_it_is_stated():
    plane = np.tile(np.array([16, 126, 235], np.uint8).repeat(16), (32, 1))
    frame = av.VideoFrame.from_ndarray(plane, format="gray")
    stored = Format(48, 32, "gray")
    for stated, wanted in (("tv", [0, 128, 255]), ("", [16, 126, 235])):
        picture = filtered(replace(stored, range=stated), Treatment(), [frame])[0].astype(int)
        assert np.abs(picture[16, [8, 24, 40]] - np.array(wanted)[:, None]).max() <= 1


# ------------------------------------------------------------------------------------------- fields


def combs(frames: np.ndarray) -> float:
    """Difference of neighbouring lines over that of lines of one field."""
    grey = frames.astype(float).mean(-1)
    near = np.abs(2 * grey[:, 1:-1] - grey[:, :-2] - grey[:, 2:]).mean()
    return float(near / np.abs(2 * grey[:, 2:-2] - grey[:, :-4] - grey[:, 4:]).mean())


def fields(path: Path, order: str, *options: str) -> Path:
    weave = {"tff": "interleave_top", "bff": "interleave_bottom"}[order]
    flags = ("-flags", "+ildct+ilme", "-pix_fmt", "yuv420p", *options)
    source = "testsrc2=size=720x576:rate=50:duration=0.4"
    by_ffmpeg("-f", "lavfi", "-i", source, "-vf", f"tinterlace={weave},setfield={order}", *flags, str(path))
    return path


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_flagged_fields_are_deinterlaced(order, codec, tmp_path):
    path = fields(tmp_path / "a.mkv", order, "-c:v", codec, "-q:v", "2")
    large = Treatment(target=(512, 512))
    woven, smooth = read(path, replace(large, deinterlace="off")), read(path, large)
    assert len(smooth) == len(woven) == 10
    assert combs(woven) > 0.7
    assert combs(smooth) <= 0.5


def test_deinterlacing_keeps_each_frame_in_its_place(tmp_path):
    stored, frames, _ = decoded(fields(tmp_path / "a.mkv", "tff", "-c:v", "ffv1"))
    woven = filtered(stored, TINY, frames)
    smooth = filtered(stored, replace(TINY, deinterlace="on"), frames)
    for index, frame in enumerate(smooth.astype(int)):
        assert np.argmin(np.abs(woven - frame).mean(axis=(1, 2, 3))) == index
    for count in (1, 2):
        assert len(filtered(stored, replace(TINY, deinterlace="on"), frames[:count])) == count


def test_a_file_that_changes_between_interlaced_and_progressive(tmp_path):
    interlaced = fields(tmp_path / "i.m2v", "tff", "-c:v", "mpeg2video", "-q:v", "2")
    progressive = tmp_path / "p.m2v"
    source = "testsrc2=size=720x576:rate=25:duration=0.4"
    by_ffmpeg("-f", "lavfi", "-i", source, "-c:v", "mpeg2video", "-q:v", "2", "-pix_fmt", "yuv420p", str(progressive))
    path = tmp_path / "mixed.m2v"
    path.write_bytes(progressive.read_bytes() + interlaced.read_bytes() + progressive.read_bytes())
    stored, frames, _ = decoded(path)
    flags = np.array([frame.interlaced_frame for frame in frames])
    assert flags.sum() == 10
    large = Treatment(target=(512, 512))
    woven, smooth = filtered(stored, large, frames), filtered(stored, replace(large, flagged=True), frames)
    assert combs(smooth[flags]) <= 0.5 < 0.7 < combs(woven[flags])
    np.testing.assert_array_equal(smooth[~flags], woven[~flags])
    assert (smooth[flags] != woven[flags]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("size", ["640x480", "1280x720", "98x62"])
def test_progressive_videos_give_the_bytes_of_the_ffmpeg_program(size, tmp_path):
    path = tmp_path / "a.mkv"
    by_ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:r=10:d=0.5", "-pix_fmt", "yuv420p", "-c:v", "ffv1", str(path))
    width, height = map(int, size.split("x"))
    side = min(width, height)
    matrix = "in_color_matrix=bt709:" if width >= 1280 else ""
    crop = f"crop={side}:{side}:{(width - side) // 2}:{(height - side) // 2}:exact=1"
    filters = f"{crop},scale=64:64:{matrix}flags={SCALE_FLAGS}"
    raw = by_ffmpeg("-i", str(path), "-vf", filters, "-f", "rawvideo", "-pix_fmt", "bgr0", "-")
    wanted = np.frombuffer(raw, np.uint8).reshape(-1, 64, 64, 4)[..., 2::-1]
    np.testing.assert_array_equal(read(path, Treatment(target=(64, 64))), wanted)


def test_combs_are_measured():
    rows, columns = np.mgrid[:240, :320]

    def moved(by: int) -> np.ndarray:
        return (128 + 100 * np.sin((columns + by) / 9) * np.sin(rows / 17)).astype(np.uint8)

    woven = moved(0)
    woven[1::2] = moved(8)[1::2]
    assert comb_ratio(moved(0)) < 0.6
    assert comb_ratio(woven) > COMBED
    noise = np.random.default_rng(0).normal(128, 5, (240, 320)).clip(0, 255).astype(np.uint8)
    assert comb_ratio(noise) < COMBED
    assert comb_ratio(np.full((240, 320), 90, np.uint8)) == 0
    assert comb_ratio(np.zeros((3, 3), np.uint8)) == 0


# -------------------------------------------------------------------------------------- orientation


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_pictures_are_turned_as_the_ffmpeg_program_turns_them(angle, mirrored, tmp_path):
    stored, shown = tmp_path / "a.mp4", tmp_path / "b.mp4"
    by_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=0.2", "-pix_fmt", "yuv420p", "-crf", "1", str(stored))
    flip = ("-display_hflip",) if mirrored else ()
    by_ffmpeg("-display_rotation", str(angle), *flip, "-i", str(stored), "-c", "copy", str(shown))
    width, height = (64, 96) if angle % 180 else (96, 64)
    scale = f"scale={width}:{height}:flags={SCALE_FLAGS}"
    raw = by_ffmpeg("-i", str(shown), "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    wanted = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    np.testing.assert_array_equal(read(shown, Treatment()), wanted)


# ---------------------------------------------------------------------------------------------- HDR


def colour(transfer: str = "", primaries: str = "", matrix: str = "bt2020nc") -> tone.Colour:
    return tone.Colour(matrix, True, transfer, primaries, 16)


def test_reference_levels_of_pq_and_hlg():
    # BT.2408-7, table 1: diffuse white is 58 % of PQ, 75 % of HLG; BT.2100: PQ's peak is 10,000 cd/m2, HLG's 1,000.
    grey = np.repeat(np.array([[0.0], [0.58], [1.0]]), 3, axis=1)
    assert tone.light_of(grey, "smpte2084")[:, 0] == pytest.approx([0, 1, 10_000 / 203], abs=0.01)
    grey[1] = 0.75
    assert tone.light_of(grey, "arib-std-b67")[:, 0] == pytest.approx([0, 1, 1000 / 203], abs=0.01)


def test_tone_mapping_keeps_sdr_and_the_order_of_highlights():
    signal = np.linspace(0, 65535, 64).astype(np.uint16)
    for transfer in tone.HDR:
        shown = tone.converter(colour(transfer, "bt2020", "gbr"), "rgb48le")(signal[None, :, None].repeat(3, 2))[0]
        assert (np.diff(shown.astype(int), axis=0) >= 0).all()
        assert shown[0].max() == 0
        assert shown[-1].min() >= 253
    white = np.rint(0.5807 * 65535) * np.ones((1, 1, 3))
    assert tone.converter(colour("smpte2084", "bt2020", "gbr"), "rgb48le")(white.astype(np.uint16)).min() >= 250


def test_matrices_between_primaries():
    # BT.2087-0, annex 2, 2.3: linear BT.2020 to BT.709.
    wanted = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    np.testing.assert_allclose(tone.primaries_matrix("bt2020", "bt709"), wanted, atol=1e-4)
    for name in tone.WIDE:
        np.testing.assert_allclose(tone.primaries_matrix(name, "bt709") @ np.ones(3), np.ones(3), atol=1e-6)
    np.testing.assert_allclose(tone.primaries_matrix("bt709", "bt709"), np.eye(3), atol=1e-9)


def test_grey_keeps_its_level_under_wide_primaries():
    for transfer in ("bt709", "", "iec61966-2-1", "gamma22", "gamma28"):
        for name in tone.WIDE:
            grey = np.full((1, 1, 3), 100 * 257, np.uint16)
            assert (tone.converter(colour(transfer, name, "gbr"), "rgb48le")(grey) == 100).all()


def test_constant_luminance():
    """Forward by BT.2020-2, table 4, and back."""
    alpha, beta = 1.0993, 0.0181
    rgb = np.array([[200, 60, 40], [20, 180, 90], [128, 128, 128], [10, 20, 220]]) / 255
    light = np.where(rgb < 4.5 * beta, rgb / 4.5, ((rgb + alpha - 1) / alpha) ** (1 / 0.45))
    luminance = light @ np.array([0.2627, 0.6780, 0.0593])
    luma = np.where(luminance < beta, 4.5 * luminance, alpha * luminance**0.45 - (alpha - 1))
    blue, red = rgb[:, 2] - luma, rgb[:, 0] - luma
    first, second = blue / np.where(blue <= 0, 1.9404, 1.5816), red / np.where(red <= 0, 1.7184, 0.9936)
    samples = np.stack([luma, first + 32768 / 65535, second + 32768 / 65535], axis=-1) * 65535
    back = tone.converter(colour(matrix="bt2020c", primaries="bt709"), "yuv444p16le")(
        np.rint(samples[None]).astype(np.uint16)
    )
    assert np.abs(back[0] - rgb * 255).max() <= 1


def test_colours_are_described():
    assert describe(replace(HD, transfer="arib-std-b67", matrix="bt2020nc"), TINY) == ("HLG tone-mapped to SDR",)
    assert describe(replace(HD, transfer="smpte2084"), TINY)[0] == "BT.2020 assumed from the transfer"
    assert describe(replace(HD, matrix="bt709", primaries="smpte432"), TINY) == ("Display P3 primaries to BT.709",)
    # Of standard definition, and within BT.709 by a few levels: shown as it is.
    assert describe(replace(SD, matrix="smpte170m", primaries="smpte170m"), TINY) == ()


# ------------------------------------------------------------------------------------------- images


def test_photos_are_turned_upright(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30] = 250
    for orientation, wanted in ((1, pixels), (3, pixels[::-1, ::-1]), (6, np.rot90(pixels, -1)), (2, pixels[:, ::-1])):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), wanted)


def test_photos_of_every_mode(tmp_path):
    half = np.full((8, 8, 4), 200, np.uint8)
    half[..., 3] = 128
    cases = {
        "rgba.png": (Image.fromarray(half), 100),
        "la.png": (Image.fromarray(half[..., 2:], "LA"), 100),
        "palette.png": (Image.fromarray(half[..., :3]).quantize(4), 200),
        "cmyk.jpg": (Image.fromarray(half[..., :3]).convert("CMYK"), 200),
        "cmyk.tif": (Image.fromarray(half[..., :3]).convert("CMYK"), 200),
        "deep.png": (Image.fromarray(np.full((8, 8), 200 * 257, np.uint16)), 200),
        "deep.tif": (Image.fromarray(np.full((8, 8), 200 * 257, np.uint16)), 200),
        "bits.png": (Image.new("1", (8, 8), 1), 255),
    }
    for name, (image, wanted) in cases.items():
        image.save(tmp_path / name)
        picture = read_image(tmp_path / name)
        assert picture.shape == (8, 8, 3), name
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - wanted).max() <= 2, name


def test_a_transparent_colour_of_a_palette_is_black(tmp_path):
    image = Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).quantize(2)
    image.info["transparency"] = int(np.asarray(image)[0, 0])
    image.save(tmp_path / "a.png", transparency=image.info["transparency"])
    assert read_image(tmp_path / "a.png").max() == 0
