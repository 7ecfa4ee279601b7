import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lvdm.data.overlay import Overlay, combined, cover, evidence, find_overlays
from lvdm.data.synthetic import make_patient, render

HEIGHT, WIDTH = 320, 400
WHOLE = (0, 0, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def scene() -> list[np.ndarray]:
    """24 frames of a moving camera, uint8 (HEIGHT, WIDTH, 3)."""
    frames = list(render(make_patient(np.random.default_rng(4)), 72, (HEIGHT // 4, WIDTH // 4)))[::3]
    noise = np.random.default_rng(0).normal(0, 2, (HEIGHT, WIDTH, 3))
    large = [np.array(Image.fromarray(frame).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) for frame in frames]
    return [
        np.clip(frame + np.roll(noise, 7 * number, axis=0), 0, 255).astype(np.uint8)
        for number, frame in enumerate(large)
    ]


def written(frames, words, place, size=24, colour=(255, 255, 255), opacity=1.0, plate=None):
    """The frames with a text, and its box; ``words`` a text, or one for each frame."""
    font = ImageFont.load_default(size)
    texts = [words] * len(frames) if isinstance(words, str) else words
    result, corners = [], []
    for frame, text in zip(frames, texts, strict=True):
        image = Image.fromarray(frame)
        drawing = ImageDraw.Draw(image)
        box = drawing.textbbox(place, text, font=font)
        if plate:
            drawing.rectangle((box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4), fill=plate)
        drawing.text(place, text, fill=colour, font=font)
        result.append(np.rint(frame + opacity * (np.array(image) - frame.astype(float))).astype(np.uint8))
        corners.append(box)
    left, top = np.floor(np.min(corners, axis=0)[:2]).astype(int)
    right, bottom = np.ceil(np.max(corners, axis=0)[2:]).astype(int)
    return result, (left, top, right - left, bottom - top)


def covered(overlays: list[Overlay], box) -> float:
    """The share of ``box`` that the masks cover."""
    left, top, width, height = box
    return full(overlays)[top : top + height, left : left + width].mean()


def full(overlays: list[Overlay], shape=(HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for overlay in overlays:
        left, top, width, height = overlay.box
        mask[top : top + height, left : left + width] |= overlay.mask
    return mask


def disc(frames):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside = (columns - 230) ** 2 + (rows - 160) ** 2 <= 150**2
    return [np.where(inside[..., None], frame, 3).astype(np.uint8) for frame in frames]


@pytest.mark.parametrize("opacity", [0.4, 0.7, 1.0])
@pytest.mark.parametrize(("size", "place"), [(12, (20, 280)), (24, (150, 60)), (44, (60, 200))])
def test_a_text_is_found_where_it_is_and_nothing_else(scene, opacity, size, place):
    frames, box = written(scene, "ID 4711 Doe", place, size, opacity=opacity)
    overlays = find_overlays(evidence(frames), WHOLE)
    assert covered(overlays, box) > 0.9
    left, top, width, height = box
    margin = 12 + size // 2
    beyond = full(overlays)
    beyond[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin] = False
    assert not beyond.any()


@pytest.mark.parametrize(
    ("colour", "plate"),
    [
        ((255, 230, 0), None),
        ((0, 230, 0), None),
        ((20, 20, 20), (220, 220, 220)),
        ((255, 255, 255), (0, 0, 0)),
    ],
)
def test_colours_and_plates(scene, colour, plate):
    frames, box = written(scene, "St. Mary Hospital", (90, 250), 20, colour, plate=plate)
    assert covered(find_overlays(evidence(frames), WHOLE), box) > 0.9


def test_the_changing_digits_of_a_clock_are_covered(scene):
    words = [f"10:42:{number % 60:02}:{number * 37 % 100:02}" for number in range(len(scene))]
    frames, box = written(scene, words, (120, 100), 28)
    assert covered(find_overlays(evidence(frames), WHOLE), box) > 0.9


def test_the_scene_its_outline_and_a_vignette_are_no_overlays(scene):
    assert find_overlays(evidence(scene), WHOLE) == []
    assert find_overlays(evidence(disc(scene)), WHOLE) == []
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    fall = np.exp(-(((columns - 200) / 180) ** 2) - ((rows - 160) / 150) ** 2)[..., None]
    assert find_overlays(evidence([(frame * fall).astype(np.uint8) for frame in scene]), WHOLE) == []


def test_a_resting_shaft_is_no_overlay(scene):
    frames = [frame.copy() for frame in scene]
    for frame in frames:
        for row in range(150, HEIGHT):
            frame[row, 200 + (row - 150) : 245 + (row - 150)] = 150
    assert find_overlays(evidence(frames), WHOLE) == []


def test_where_nothing_moves_only_what_is_much_clearer_than_the_scene_is_told(scene):
    noise = np.random.default_rng(1).normal(0, 2, (24, HEIGHT, WIDTH, 1))
    still = [np.clip(scene[0] + one, 0, 255).astype(np.uint8) for one in noise]
    assert find_overlays(evidence(still), WHOLE) == []
    assert find_overlays(evidence(written(still, "ID 4711", (100, 100), opacity=0.2)[0]), WHOLE) == []


def test_a_slit_is_no_text_though_it_stays(scene):
    frames = [frame.copy() for frame in scene]
    for frame in frames:
        frame[60:250, 200:212] = 40
    assert find_overlays(evidence(frames), WHOLE) == []


def test_lines_of_one_block_and_a_text_beside_another_are_covered_whole(scene):
    frames, block = written(scene, "DOE, JANE\n2019-03-04\nF 54y", (30, 60), 18)
    frames, other = written(frames, "ID 4711", (220, 70), 18, colour=(255, 230, 0))
    overlays = find_overlays(evidence(frames), WHOLE)
    assert covered(overlays, block) == 1
    assert covered(overlays, other) == 1
    assert all(overlay.mask.all() for overlay in overlays)
    assert full(overlays).mean() < 0.35


def test_only_texts_inside_the_crop_box_count_and_the_rim_is_told(scene):
    frames, beside = written(disc(scene), "Dr. Miller", (4, 20), 14)
    found = evidence(frames)
    assert covered(find_overlays(found, WHOLE), beside) > 0.9
    assert find_overlays(found, (82, 12, 296, 296)) == []
    at_rim, _ = written(scene, "Dr. Miller", (2, 20), 24)
    in_middle, _ = written(scene, "Dr. Miller", (150, 150), 24)
    assert [one.at_border for one in find_overlays(evidence(at_rim), WHOLE)] == [True]
    assert [one.at_border for one in find_overlays(evidence(in_middle), WHOLE)] == [False]


def test_large_frames_are_kept_smaller_and_boxes_are_in_their_pixels(scene):
    frames, box = written(scene, "ID 4711", (150, 60), 28)
    found = evidence([frame.repeat(3, axis=0).repeat(3, axis=1) for frame in frames])
    assert (found.factor, found.across.shape, found.across.dtype) == (2, (480, 600), np.uint8)
    overlays = find_overlays(found, (0, 0, 3 * WIDTH, 3 * HEIGHT))
    left, top, width, height = (3 * value for value in box)
    mask = full(overlays, (3 * HEIGHT, 3 * WIDTH))
    assert mask[top : top + height, left : left + width].mean() > 0.9
    assert mask.mean() < 0.1


def test_what_recordings_share_survives_their_combination(scene):
    one, logo = written(scene, "OLYMPUS", (250, 20), 24)
    other = [frame[::-1, ::-1] for frame in scene]
    other, _ = written(other, "OLYMPUS", (250, 20), 24)
    one, name = written(one, "Doe, Jane", (40, 260), 24)
    overlays = find_overlays(combined([evidence(one), evidence(other)]), WHOLE)
    assert covered(overlays, logo) > 0.9
    assert covered(overlays, name) == 0
    with pytest.raises(ValueError, match="one size"):
        combined([evidence(one), evidence([frame[:200] for frame in one])])


def test_evidence_wants_frames():
    with pytest.raises(ValueError, match="two frames"):
        evidence([np.zeros((40, 40), np.uint8)])


def test_a_slope_is_filled_exactly_and_the_rest_stays(scene):
    rows, columns = np.mgrid[:60, :80]
    slope = np.stack([rows + 2 * columns, 3 * rows, 200 - columns], axis=-1).astype(np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:31, 30:50] = mask[:10, 5:20] = True
    spoilt = slope.copy()
    spoilt[mask] = 255
    frames = np.stack([spoilt, slope])
    filled = cover(frames, mask)
    inner = np.s_[:, 20:31, 30:50]  # harmonic, as slopes are; at the edge of the frame nothing comes from beyond
    np.testing.assert_array_equal(filled[inner], np.stack([slope, slope])[inner])
    np.testing.assert_array_equal(filled[:, ~mask], frames[:, ~mask])
    assert (frames[0][mask] == 255).all()
    assert filled[0, :10, 5:20].max() < 255
    np.testing.assert_array_equal(cover(frames, np.zeros_like(mask)), frames)


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="bool"):
        cover(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((8, 9), bool))
    with pytest.raises(ValueError, match="nothing is left"):
        cover(np.zeros((1, 8, 8, 3), np.uint8), np.ones((8, 8), bool))
