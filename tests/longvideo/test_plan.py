"""Every plan for every length up to 200: whatever the numbers, each frame is made once and kept once."""

from itertools import pairwise

import pytest

from lvdm.longvideo.plan import Plan, decoding_plan, hierarchical_plan, interpolation_plan, prediction_plan

LENGTHS = range(1, 201)


def follow(plan: Plan, existing: set[int]) -> None:
    """Draw a plan's windows on paper: what each is given must exist, and what it makes must not."""
    for index, window in enumerate(plan.windows):
        assert {*window.given} | {*window.new} <= {*range(plan.window)}
        assert not {*window.given} & {*window.new}
        assert {window.start + position for position in window.given} <= existing
        assert len(window.made) > 0
        assert not {*window.made} & existing
        existing |= {*window.made}
        assert {*range(plan.known(index))} <= existing
    assert existing == {*range(plan.length)}


@pytest.mark.parametrize(("window", "given"), [(2, 1), (4, 1), (4, 3), (5, 2), (16, 1), (16, 8), (16, 15)])
def test_prediction_makes_each_frame_once(window, given):
    for length in LENGTHS:
        plan = prediction_plan(length, window, given)
        assert (plan.length, plan.window) == (length, window)
        follow(plan, existing=set())
        made = [frame for window in plan.windows for frame in window.made]
        assert made == list(range(length))
        assert plan.windows[0].given == ()
        assert all(later.given == tuple(range(given)) for later in plan.windows[1:])
        assert all(len(earlier.new) + len(earlier.given) == window for earlier in plan.windows[:-1])


@pytest.mark.parametrize("window", [3, 4, 5, 16])
def test_interpolation_makes_each_frame_once(window):
    for keys in LENGTHS:
        plan = interpolation_plan(keys, window)
        assert plan.length == (keys - 1) * (window - 1) + 1
        assert len(plan.windows) == keys - 1
        follow(plan, existing={key * (window - 1) for key in range(keys)})
        assert all(drawn.given == (0, window - 1) and len(drawn.new) == window - 2 for drawn in plan.windows)


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize(("prediction_window", "given", "interpolation_window"), [(4, 1, 5), (4, 2, 3), (16, 1, 16)])
def test_a_hierarchy_makes_what_is_wanted_and_no_key_frame_more(prediction_window, given, interpolation_window, rounds):
    for length in LENGTHS:
        plan = hierarchical_plan(
            length,
            prediction_window=prediction_window,
            interpolation_window=interpolation_window,
            given=given,
            rounds=rounds,
        )
        assert len(plan.interpolations) == rounds
        assert len(plan.lengths) == rounds + 1
        assert plan.lengths[-1] == length
        assert plan.prediction.length == plan.lengths[0]
        assert plan.spacing == (interpolation_window - 1) ** rounds
        assert (plan.lengths[0] - 1) * plan.spacing + 1 >= length
        assert plan.lengths[0] == 1 or (plan.lengths[0] - 2) * plan.spacing + 1 < length
        for keys, stage, kept in zip(plan.lengths, plan.interpolations, plan.lengths[1:], strict=False):
            assert stage == interpolation_plan(keys, interpolation_window)
            assert kept <= stage.length < kept + interpolation_window - 1
        assert plan.windows == sum(len(stage.windows) for stage in plan.stages)


def test_the_hierarchy_of_the_paper():
    """A thousand frames are 250 latent frames: 64 key frames from windows of 4, then 63 windows of 5."""
    plan = hierarchical_plan(250, prediction_window=4, interpolation_window=5)
    assert plan.lengths == (64, 250)
    assert [len(stage.windows) for stage in plan.stages] == [21, 63]


def test_finished_windows_are_those_whose_frames_exist():
    plan = prediction_plan(10, window=4, given=1)
    assert [plan.known(index) for index in range(3)] == [4, 7, 10]
    assert [plan.finished(frames) for frames in range(11)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (4, 0), (4, 1), (4, 2), (4, 3), (5, 4), (16, 4), (16, 5)])
def test_each_frame_is_decoded_from_one_whole_chunk(window, overlap, factor):
    for length in LENGTHS:
        chunks = decoding_plan(length, window, overlap, factor)
        kept = [frame for chunk in chunks for frame in chunk.frames]
        assert kept == list(range(length * factor))
        for chunk in chunks:
            assert len(chunk.latents) == min(window, length)
            assert len(chunk.frames) > 0
            first, last = chunk.latents.start * factor, chunk.latents.stop * factor
            assert first in (0, chunk.frames.start) or chunk.frames.start - first >= overlap * factor // 2
            assert last in (length * factor, chunk.frames.stop) or last - chunk.frames.stop >= overlap * factor // 2
        for earlier, later in pairwise(chunks):
            assert earlier.latents.start < later.latents.start
            assert earlier.latents.stop - later.latents.start >= overlap
        # All but the last two share no more than was asked for.
        assert all(a.latents.stop - b.latents.start == overlap for a, b in pairwise(chunks[:-1]))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (lambda: prediction_plan(0, 4), "length is 0; it must be at least 1"),
        (lambda: prediction_plan(9, 1), "window is 1; it must be at least 2"),
        (lambda: prediction_plan(9, 4, given=0), "given is 0.*choose 1 to 3"),
        (lambda: prediction_plan(9, 4, given=4), "given is 4.*choose 1 to 3"),
        (lambda: interpolation_plan(0, 5), "keys is 0"),
        (lambda: interpolation_plan(4, 2), "window is 2; it must be at least 3"),
        (lambda: hierarchical_plan(9, prediction_window=4), "interpolation_window is not given; give it, or rounds 0"),
        (lambda: hierarchical_plan(9, prediction_window=4, interpolation_window=2), "interpolation_window is 2"),
        (lambda: hierarchical_plan(9, prediction_window=4, rounds=-1), "rounds is -1"),
        (lambda: decoding_plan(9, 4, 4), "overlap is 4.*choose 0 to 3"),
        (lambda: decoding_plan(9, 4, -1), "overlap is -1"),
        (lambda: decoding_plan(9, 0, 0), "window is 0"),
        (lambda: decoding_plan(0, 4, 2), "length is 0"),
        (lambda: decoding_plan(9, 4, 2, factor=0), "factor is 0"),
    ],
)
def test_numbers_that_make_no_plan_are_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        plan()
