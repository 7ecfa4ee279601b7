"""The choice of clips: integers that follow from ids, lengths, a protocol and a seed, and from nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.evaluation.clips import Clip, Geometry, Videos, check_lengths, select_clips, select_frames
from lvdm.evaluation.config import SelectionConfig

FOUR = Geometry(length=4, step=2)
VIDEOS = Videos(["anna", "bert", "carl"], [8, 4, 9])


def chosen(config, videos=VIDEOS, geometry=FOUR, runs=1, seed=0):
    selection = select_clips(videos, geometry, config, runs, seed)
    return [[selection.clips[row] for row in run] for run in selection.runs]


def test_first_clips_are_one_a_video():
    assert chosen(SelectionConfig()) == [[Clip(0, 0), Clip(1, 0), Clip(2, 0)]]


def test_all_windows_are_a_step_apart_and_end_with_the_video():
    firsts = {0: [0, 2, 4], 1: [0], 2: [0, 2, 4]}
    everything = [Clip(video, first) for video in firsts for first in firsts[video]]
    assert chosen(SelectionConfig(starts="all")) == [everything]


def test_a_stride_spreads_a_clip():
    spread = Geometry(length=4, stride=2, step=1)
    assert spread.span == 7
    assert list(spread.frames(1)) == [1, 3, 5, 7]
    assert chosen(SelectionConfig(starts="all"), geometry=spread)[0] == [
        Clip(0, 0), Clip(0, 1), Clip(2, 0), Clip(2, 1), Clip(2, 2),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 9))
def test_random_clips_lie_in_their_videos(lengths, stride, seed):
    geometry = Geometry(length=4, stride=stride)
    videos = Videos([f"v{n}" for n in range(len(lengths))], lengths)
    long_enough = [n for n, length in enumerate(lengths) if length >= geometry.span]
    if not long_enough:
        with pytest.raises(ValueError, match="lower the protocol's `length`"):
            chosen(SelectionConfig(starts="random"), videos, geometry, seed=seed)
        return
    for run in chosen(SelectionConfig(starts="random"), videos, geometry, runs=3, seed=seed):
        assert [clip.video for clip in run] == long_enough
        assert all(0 <= clip.first <= lengths[clip.video] - geometry.span for clip in run)


def test_every_start_is_drawn_equally_often():
    videos = Videos([f"v{n}" for n in range(4000)], [8] * 4000)
    firsts = [clip.first for clip in chosen(SelectionConfig(starts="random", clips=None), videos)[0]]
    counts = np.bincount(firsts, minlength=5)
    assert len(counts) == 5
    assert np.abs(counts - 800).max() < 5 * np.sqrt(800)


def test_a_random_start_depends_on_the_video_alone_and_differs_from_run_to_run():
    config = SelectionConfig(starts="random")
    more = Videos(["aaaa", *VIDEOS.ids], [30, *VIDEOS.lengths])
    (before,), (after,) = chosen(config), chosen(config, more)
    assert [clip.first for clip in before] == [clip.first for clip in after[1:]]
    long = Videos(["anna"], [1000])
    assert len({run[0].first for run in chosen(config, long, runs=5)}) > 1
    assert chosen(config, long, seed=1) != chosen(config, long, seed=2)


def test_runs_without_chance_are_one():
    assert len(chosen(SelectionConfig(starts="all"), runs=10)) == 1
    assert len(chosen(SelectionConfig(starts="all", choice="random", clips=3), runs=10)) == 10


def test_at_most_so_many_clips():
    config = SelectionConfig(starts="all", clips=3)
    assert chosen(config) == [[Clip(0, 0), Clip(0, 2), Clip(0, 4)]]
    ((random, again),) = zip(*[chosen(config.replace(choice="random")) for _ in range(2)], strict=True)
    assert random == again == sorted(random)
    assert len(set(random)) == 3
    seeds = [chosen(config.replace(choice="random"), seed=seed)[0] for seed in range(5)]
    assert any(seeds[0] != other for other in seeds)


def test_each_clip_is_computed_once_for_all_runs():
    selection = select_clips(VIDEOS, FOUR, SelectionConfig(starts="random"), 20, 0)
    assert len(set(selection.clips)) == len(selection.clips) <= 5 + 1 + 6
    assert selection.clips == sorted(selection.clips)


def test_everything_comes_first_and_alike_whatever_is_chosen():
    windows = chosen(SelectionConfig(starts="all"))[0]
    for config in (SelectionConfig(), SelectionConfig(starts="random"), SelectionConfig(starts="all", clips=2)):
        selection = select_clips(VIDEOS, FOUR, config, 3, 0, everything=True)
        assert selection.clips[: len(windows)] == windows
        assert [[selection.clips[row] for row in run] for run in selection.runs] == chosen(config, runs=3)


def test_windows_over_time():
    videos = Videos(["0", "1", "2"], [12] * 3)
    selection = select_clips(videos, FOUR, SelectionConfig(clips=2, window_step=4), 1, 0)
    found = {start: [selection.clips[row] for row in rows] for start, rows in selection.windows.items()}
    assert found == {start: [Clip(0, start), Clip(1, start)] for start in (0, 4, 8)}
    assert selection.runs.tolist() == [[selection.clips.index(clip) for clip in found[0]]]
    assert select_clips(Videos(["0"], [4]), FOUR, SelectionConfig(window_step=4), 1, 0).windows == {}


def test_frames_of_the_clips_each_once():
    selection = select_frames(VIDEOS, FOUR, SelectionConfig(starts="all"), 0)
    assert selection.clips == [Clip(v, f) for v, length in ((0, 8), (1, 4), (2, 8)) for f in range(length)]
    assert selection.runs.tolist() == [list(range(20))]


def test_all_frames_of_the_videos():
    selection = select_frames(VIDEOS, FOUR, SelectionConfig(frames="all"), 0)
    assert len(selection.clips) == 8 + 4 + 9
    few = select_frames(VIDEOS, FOUR, SelectionConfig(frames="all", max_frames=5), 0).clips
    assert few == selection.clips[:5]
    random = select_frames(VIDEOS, FOUR, SelectionConfig(frames="all", max_frames=5, choice="random"), 0).clips
    assert len(set(random)) == 5
    assert random != few


def test_a_short_generated_video_is_named():
    with pytest.raises(ValueError, match="video bert has 4 frames, but a clip of the protocol spans 5"):
        check_lengths(VIDEOS, Geometry(length=5), "generated video")
    check_lengths(VIDEOS, FOUR, "generated video")
