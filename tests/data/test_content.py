import subprocess
from itertools import pairwise

import imageio_ffmpeg
import numpy as np
import pytest
from scipy import ndimage

from lvdm.data.config import CutConfig
from lvdm.data.content import MEASURES, REASONS, left_out, measure, repeats
from lvdm.data.synthetic import make_patient, render

HEIGHT, WIDTH, RATE = 144, 176, 25
CUT = CutConfig()


def lossy(frames: np.ndarray, *options: str) -> list[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
    """Luma and chroma planes of frames (T, H, W, 3) after encoding and decoding."""
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-threads", "1"]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(RATE), "-i", "-"]
    form = ["-pix_fmt", "yuv420p", "-threads", "1", "-f", "nut", "-"]
    coded = subprocess.run([*ffmpeg, *raw, *options, *form], input=frames.tobytes(), capture_output=True, check=True)
    out = ["-i", "-", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "-"]
    planes = subprocess.run([*ffmpeg, *out], input=coded.stdout, capture_output=True, check=True).stdout
    height, width = frames.shape[1:3]
    area = height * width
    whole = np.frombuffer(planes, np.uint8).reshape(-1, area * 3 // 2)
    assert len(whole) == len(frames)
    return [
        (frame[:area].reshape(height, width), tuple(frame[area:].reshape(2, height // 2, width // 2)))
        for frame in whole
    ]


def measured(frames: list[tuple[np.ndarray, tuple[np.ndarray, ...] | None]]) -> np.ndarray:
    seen, rows = None, []
    for luma, chroma in frames:
        row, seen = measure(luma, chroma, seen)
        rows.append(row)
    return np.stack(rows)


def grey(*frames: np.ndarray) -> list[tuple[np.ndarray, None]]:
    return [(frame, None) for frame in frames]


def codes(frames: list, cut: CutConfig = CUT, rate: float = RATE) -> list[str]:
    measures = measured(frames)
    return [REASONS[code] for code in left_out(measures, np.arange(len(measures)) / rate, cut)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    frames = np.stack(list(render(make_patient(np.random.default_rng(4)), 60, (HEIGHT, WIDTH))))
    noise = np.random.default_rng(0).normal(0, 2, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


CODECS = {
    "x264": ("-c:v", "libx264", "-crf", "23"),
    "x264 at low quality": ("-c:v", "libx264", "-crf", "28", "-preset", "veryfast"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "6"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "6"),
}


@pytest.mark.parametrize("codec", CODECS)
def test_black_blank_and_frozen_stretches_after_lossy_coding(scene, codec):
    frames = scene.copy()
    frames[5:8] = 0
    frames[5:8, 6:20, 6:50] = (200, 180, 40)  # a logo
    frames[15:16] = 8
    frames[22:25] = (0, 0, 255)
    frames[32:47] = frames[32]
    for number in range(len(frames)):
        if not (15 <= number < 16 or 22 <= number < 25):
            frames[number, 128:140, 140 : 141 + number % 20] = 255  # a running counter
    wanted = [""] * 60
    wanted[5:8] = ["black"] * 3
    wanted[15:16] = ["black"]
    wanted[22:25] = ["blank"] * 3
    wanted[33:47] = ["frozen"] * 14
    assert codes(lossy(frames, *CODECS[codec])) == wanted


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_is_left_out_of_a_scene(scene, codec):
    assert set(codes(lossy(scene, *CODECS[codec]))) == {""}


def test_each_reason_can_be_switched_off(scene):
    frames = np.concatenate(
        [scene[:5], np.zeros_like(scene[:3]), np.full_like(scene[:3], 255), scene[5:6].repeat(20, 0)]
    )
    coded = lossy(frames, *CODECS["x264"])
    assert {*codes(coded)} == {"", "black", "blank", "frozen"}
    assert {*codes(coded, CutConfig(black=False))} == {"", "blank", "frozen"}
    assert {*codes(coded, CutConfig(blank=False))} == {"", "black", "frozen"}
    assert {*codes(coded, CutConfig(frozen=None))} == {"", "black", "blank"}
    assert {*codes(coded, CutConfig(frozen=2.0))} == {"", "black", "blank"}


@pytest.mark.parametrize("change", ["dark", "faded", "red-out", "smoke", "capsule at rest", "trocar"])
def test_poor_pictures_stay(scene, rng, change):
    luma = scene[..., 1].astype(np.float32)
    if change == "dark":
        luma = 16 + luma * 0.12
    elif change == "faded":
        luma = 110 + luma * 0.15
    elif change == "red-out":
        luma = 90 + ndimage.gaussian_filter(luma, (0, 25, 25)) * 0.2
    elif change == "smoke":
        luma = 235 - (255 - luma) * 0.12
    elif change == "capsule at rest":
        luma = np.repeat(luma[:2], 30, axis=0)
    else:
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        luma = np.where(np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2) < 22, luma + 30, 16)
    frames = np.clip(luma + rng.normal(0, 2, luma.shape), 0, 255).astype(np.uint8)
    assert set(codes(grey(*frames), rate=4 if change == "capsule at rest" else RATE)) == {""}


def test_a_slow_drift_is_not_frozen(scene):
    """0.3 levels a frame stand still from frame to frame, but not for half a second."""
    first = ndimage.gaussian_filter(scene[0, ..., 1].astype(np.float32), 4)
    frames = [np.clip(0.8 * first + 0.3 * number, 0, 255).astype(np.uint8) for number in range(40)]
    assert set(codes(grey(*frames))) == {""}


def test_two_frames_of_a_slow_capsule_are_not_frozen(scene):
    frames = grey(*scene[[0, 10, 10, 20, 30, 30, 40], ..., 1])
    assert set(codes(frames, rate=2)) == {""}


def test_the_shortest_frozen_stretch(scene):
    frames = [*scene[:6, ..., 1], *[scene[6, ..., 1]] * 13, *scene[7:12, ..., 1]]
    assert codes(grey(*frames)) == [""] * 7 + ["frozen"] * 12 + [""] * 5
    assert set(codes(grey(*frames[:6], *frames[7:]))) == {""}


@pytest.mark.parametrize("level", [16, 22, 0])
def test_black_of_limited_and_full_range_with_noise(rng, level):
    frame = np.clip(level + rng.normal(0, 2, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8)
    neutral = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    assert codes([(frame, (neutral, neutral))]) == ["black"]
    assert codes([(frame, (neutral + 100, neutral))]) == ["blank"]


def test_colour_bars_are_blank():
    bars = np.array([235, 210, 170, 145, 106, 81, 41, 16], np.uint8)[np.arange(640) * 8 // 640]
    frame = np.repeat(bars[None], 480, axis=0)
    assert codes(grey(frame, frame)) == ["blank"] * 2
    # A test pattern that moves shows what a camera may see.
    assert codes(grey(frame, np.roll(frame, 40, axis=1), np.roll(frame, 80, axis=1))) == [""] * 3


@pytest.mark.parametrize(
    ("pattern", "new", "of"),
    [("nr", 1, 2), ("nrnrr", 2, 5), ("nnnnr", 4, 5), ("nrnnr", 3, 5), ("nnr", 2, 3)],
)
def test_a_regular_pattern_of_repeats_is_named(scene, pattern, new, of):
    order, source = [], -1
    for letter in (pattern * 30)[:60]:
        source += letter == "n"
        order.append(source)
    measures = measured(grey(*scene[order, ..., 1]))
    found = repeats(measures, np.arange(60) / RATE)
    assert found.frames == sum(a == b for a, b in pairwise(order))
    assert found.pattern == (new, of)
    assert found.rate == pytest.approx(RATE * new / of)
    assert not left_out(measures, np.arange(60) / RATE, CUT).any()


def test_irregular_repeats_are_counted_and_not_named(scene):
    order = list(range(50))
    for number in (7, 19, 22, 40):
        order[number] = order[number - 1]
    found = repeats(measured(grey(*scene[order, ..., 1])), np.arange(50) / RATE)
    assert (found.frames, found.share, found.pattern, found.rate) == (4, 0.08, None, None)


def test_a_change_of_size_begins_anew(scene):
    _, seen = measure(scene[0, ..., 1], None, None)
    row, _ = measure(scene[0, :100, :120, 1], None, seen)
    assert row[MEASURES.index("change")] == np.inf


def test_a_view_of_a_decoders_rows_is_read_in_place(scene):
    padded = np.zeros((HEIGHT, WIDTH + 16), np.uint8)
    padded[:, :WIDTH] = scene[0, ..., 1]
    padded.flags.writeable = False
    whole, view = (measure(luma, None, None)[0] for luma in (scene[0, ..., 1], padded[:, :WIDTH]))
    np.testing.assert_array_equal(whole, view)


def test_what_is_no_luma_plane_or_no_measures_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        measure(np.zeros((100, 100), np.uint16), None, None)
    with pytest.raises(ValueError, match="6 x 8"):
        measure(np.zeros((4, 100), np.uint8), None, None)
    with pytest.raises(ValueError, match="inspect the recording again"):
        left_out(np.zeros((3, 2), np.float32), np.arange(3.0), CUT)
