import numpy as np
import pytest
from scipy import ndimage

from lvdm.data.crop import Crop, find_crop

HEIGHT, WIDTH = 240, 320


def detect_crop(frames) -> Crop:
    """The crop of frames, as an inspection sees them."""
    grey = np.stack([frame.max(axis=-1) for frame in frames])
    return find_crop(*np.percentile(grey, (5, 95), axis=0, method="nearest"))


def texture(generator, low=60, high=220, height=HEIGHT, width=WIDTH) -> np.ndarray:
    """A picture, uint8 (H, W, 3), of soft blobs."""
    noise = ndimage.gaussian_filter(generator.random((height, width)), 6)
    noise = (noise - noise.min()) / np.ptp(noise)
    return np.repeat((low + (high - low) * noise)[..., None], 3, axis=2).astype(np.uint8)


def disc(centre_x: int, centre_y: int, radius: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - centre_x) ** 2 + (y - centre_y) ** 2 <= radius**2


def text(frame: np.ndarray, left: int, top: int, lines: int = 4) -> None:
    """Strokes as thin as those of letters, bright and still."""
    for line in range(lines):
        for letter in range(6):
            x, y = left + 9 * letter, top + 14 * line
            frame[y : y + 8, x : x + 2] = 230
            frame[y : y + 2, x : x + 6] = 230


def endoscope(generator, frames: int, mask: np.ndarray, background: int = 3) -> list[np.ndarray]:
    video = []
    for _ in range(frames):
        frame = np.full((HEIGHT, WIDTH, 3), background, np.uint8)
        frame[mask] = texture(generator)[mask]
        text(frame, 4, 20)
        frame[150:190, 6:50] = 170
        video.append(frame)
    return video


def near(box, expected, tolerance=3) -> bool:
    return bool(np.abs(np.subtract(box, expected)).max() <= tolerance)


def test_a_disc_on_black_with_text_and_a_thumbnail(rng):
    crop = detect_crop(endoscope(rng, 12, disc(200, 120, 110)))
    assert near(crop.box, (90, 10, 221, 221))


def test_an_octagon(rng):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    octagon = (abs(x - 200) <= 100) & (abs(y - 120) <= 100) & (abs(x - 200) + abs(y - 120) <= 150)
    assert near(detect_crop(endoscope(rng, 12, octagon)).box, (100, 20, 201, 201))


def test_a_grey_panel_beside_a_picture_of_full_height(rng):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, 80:] = True
    crop = detect_crop(endoscope(rng, 12, mask, background=45))
    assert near(crop.box, (80, 0, 240, 240))


def test_black_bars(rng):
    frames = [texture(rng) for _ in range(8)]
    for frame in frames:
        frame[:30] = frame[-30:] = 16
    assert near(detect_crop(frames).box, (0, 30, 320, 180), tolerance=1)


def test_a_dark_lumen_does_not_shrink_the_box(rng):
    frames = endoscope(rng, 12, disc(200, 120, 110))
    for frame in frames:
        frame[disc(230, 130, 50)] //= 20
    assert near(detect_crop(frames).box, (90, 10, 221, 221))


def test_a_few_black_frames_change_nothing(rng):
    frames = endoscope(rng, 22, disc(200, 120, 110))
    frames += [np.zeros_like(frames[0])] * 2
    assert near(detect_crop(frames).box, (90, 10, 221, 221))


def test_compression_noise_in_the_border(rng):
    frames = endoscope(rng, 12, disc(200, 120, 110))
    noisy = [np.clip(frame + rng.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    assert near(detect_crop(noisy).box, (90, 10, 221, 221))


def whole(frames) -> bool:
    return detect_crop(frames).box == (0, 0, WIDTH, HEIGHT)


def test_a_full_picture_is_kept(rng):
    assert whole([texture(rng) for _ in range(8)])


def test_a_still_video_is_kept(rng):
    assert whole([texture(rng, 30, 200)] * 8)


def test_light_that_falls_off_to_black_is_kept(rng):
    fall_off = np.clip(1 - np.linspace(0, 1.3, WIDTH), 0, 1)[None, :, None]
    assert whole([(texture(rng) * fall_off).astype(np.uint8) for _ in range(8)])


def test_vignetting_is_kept(rng):
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light = np.clip(1.2 - np.hypot(x, y), 0, 1)[..., None]
    assert whole([(texture(rng) * light).astype(np.uint8) for _ in range(8)])


def test_a_dark_object_at_the_side_is_kept(rng):
    # As black as a border, but its outline is that of a thing.
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    thing = x < 60 + 50 * np.sin(y / 18)
    frames = [texture(rng) for _ in range(8)]
    for frame in frames:
        frame[thing] = 2
    assert whole(frames)


def test_a_dark_still_part_with_structure_is_kept(rng):
    shelf = texture(rng, 20, 70, width=100)
    frames = [texture(rng) for _ in range(8)]
    for frame in frames:
        frame[:, :100] = shelf
    assert whole(frames)


def test_a_black_video_is_kept_with_a_note():
    crop = detect_crop([np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 3)
    assert crop.box == (0, 0, WIDTH, HEIGHT)
    assert "dark" in crop.note


def test_a_small_bright_spot_is_no_picture(rng):
    crop = detect_crop(endoscope(rng, 8, disc(200, 120, 50)))
    assert crop.box == (0, 0, WIDTH, HEIGHT)
    assert "quarter" in crop.note


def test_one_frame_is_enough(rng):
    assert near(detect_crop(endoscope(rng, 1, disc(200, 120, 110))).box, (90, 10, 221, 221))


def test_no_frames():
    with pytest.raises(ValueError, match="array"):
        detect_crop([])


@pytest.fixture
def rng():
    return np.random.default_rng(0)
