"""The choice of clips: integers that follow from ids, lengths, a protocol and a seed, and from nothing else."""

import hashlib

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lvdm.evaluation.clips import Clip, Geometry, Videos, check_lengths, select_clips, select_frames
from lvdm.evaluation.config import SelectionConfig

FOUR = Geometry(length=4, step=2)
VIDEOS = Videos(["anna", "bert", "carl"], [(8,), (4,), (9,)])


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
    videos = Videos([f"v{n}" for n in range(len(lengths))], [[length] for length in lengths])
    long_enough = [n for n, length in enumerate(lengths) if length >= geometry.span]
    if not long_enough:
        with pytest.raises(ValueError, match="lower the protocol's `length`"):
            chosen(SelectionConfig(starts="random"), videos, geometry, seed=seed)
        return
    for run in chosen(SelectionConfig(starts="random"), videos, geometry, runs=3, seed=seed):
        assert [clip.video for clip in run] == long_enough
        assert all(0 <= clip.first <= lengths[clip.video] - geometry.span for clip in run)


def test_every_start_is_drawn_equally_often():
    videos = Videos([f"v{n}" for n in range(4000)], [[8]] * 4000)
    firsts = [clip.first for clip in chosen(SelectionConfig(starts="random", clips=None), videos)[0]]
    counts = np.bincount(firsts, minlength=5)
    assert len(counts) == 5
    assert np.abs(counts - 800).max() < 5 * np.sqrt(800)


def test_a_random_start_depends_on_the_video_alone_and_differs_from_run_to_run():
    config = SelectionConfig(starts="random")
    more = Videos(["aaaa", *VIDEOS.ids], [[30], *VIDEOS.pieces])
    (before,), (after,) = chosen(config), chosen(config, more)
    assert [clip.first for clip in before] == [clip.first for clip in after[1:]]
    long = Videos(["anna"], [[1000]])
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
    videos = Videos(["0", "1", "2"], [[12]] * 3)
    selection = select_clips(videos, FOUR, SelectionConfig(clips=2, window_step=4), 1, 0)
    found = {start: [selection.clips[row] for row in rows] for start, rows in selection.windows.items()}
    assert found == {start: [Clip(0, start), Clip(1, start)] for start in (0, 4, 8)}
    assert selection.runs.tolist() == [[selection.clips.index(clip) for clip in found[0]]]
    assert select_clips(Videos(["0"], [[4]]), FOUR, SelectionConfig(window_step=4), 1, 0).windows == {}


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


SINGLE = st.lists(st.integers(1, 40), min_size=1, max_size=8)
PIECES = st.lists(st.lists(st.integers(1, 15), min_size=1, max_size=6), min_size=1, max_size=6)
GEOMETRY = st.builds(Geometry, length=st.just(4), stride=st.integers(1, 3), step=st.integers(1, 5))


def hashed(seed, run, id):
    return int.from_bytes(hashlib.sha256(f"{seed}:{run}:{id}".encode()).digest()[:8])


@given(SINGLE, GEOMETRY, st.integers(0, 9))
def test_videos_of_one_piece_are_cut_as_they_were_before_pieces(lengths, geometry, seed):
    """By the formulas of the first release, written out."""
    long_enough = {n: length - geometry.span for n, length in enumerate(lengths) if length >= geometry.span}
    assume(long_enough)
    videos = Videos([f"v{n}" for n in range(len(lengths))], [(length,) for length in lengths])
    expected = {
        "first": [Clip(n, 0) for n in long_enough],
        "random": [Clip(n, hashed(seed, 0, f"v{n}") % (last + 1)) for n, last in long_enough.items()],
        "all": [Clip(n, first) for n, last in long_enough.items() for first in range(0, last + 1, geometry.step)],
    }
    for starts, clips in expected.items():
        assert chosen(SelectionConfig(starts=starts, clips=None), videos, geometry, seed=seed) == [clips]


@given(PIECES, GEOMETRY, st.integers(0, 9))
def test_clips_lie_in_pieces(pieces, geometry, seed):
    videos = Videos([f"v{n}" for n in range(len(pieces))], pieces)
    owners = [np.repeat(np.arange(len(lengths)), lengths) for lengths in pieces]
    possible = [
        [
            first
            for first in range(len(owner) - geometry.span + 1)
            if len(set(owner[first : first + geometry.span])) == 1
        ]
        for owner in owners
    ]
    assume(any(possible))
    long_enough = [n for n, firsts in enumerate(possible) if firsts]
    first, random, windows = (
        chosen(SelectionConfig(starts=starts, clips=None), videos, geometry, seed=seed)[0]
        for starts in ("first", "random", "all")
    )
    assert first == [Clip(n, possible[n][0]) for n in long_enough]
    assert random == [Clip(n, possible[n][hashed(seed, 0, f"v{n}") % len(possible[n])]) for n in long_enough]
    for n in long_enough:
        # Of each piece every step-th frame that a clip can begin at, from its first on.
        begins = {owners[n][frame]: frame for frame in reversed(possible[n])}
        assert [clip.first for clip in windows if clip.video == n] == [
            frame for frame in possible[n] if (frame - begins[owners[n][frame]]) % geometry.step == 0
        ]


def test_every_start_of_every_piece_is_drawn_equally_often():
    videos = Videos([f"v{n}" for n in range(4000)], [(5, 3, 6)] * 4000)
    firsts = [clip.first for clip in chosen(SelectionConfig(starts="random", clips=None), videos)[0]]
    counts = np.bincount(firsts, minlength=14)
    assert np.flatnonzero(counts).tolist() == [0, 1, 8, 9, 10]
    assert np.abs(counts[counts > 0] - 800).max() < 5 * np.sqrt(800)


def test_frames_of_clips_of_pieces():
    videos = Videos(["anna"], [(5, 3, 6)])
    assert select_frames(videos, FOUR, SelectionConfig(starts="all"), 0).clips == [
        Clip(0, frame) for frame in (*range(4), *range(8, 14))
    ]
    assert len(select_frames(videos, FOUR, SelectionConfig(frames="all"), 0).clips) == 14


def test_pieces_that_are_all_too_short():
    with pytest.raises(ValueError, match="none of 1 videos has the 4 continuous frames"):
        select_clips(Videos(["anna"], [(3, 3)]), FOUR, SelectionConfig(), 1, 0)


def test_a_short_generated_video_is_named():
    with pytest.raises(ValueError, match="video bert has 4 frames, but a clip of the protocol spans 5"):
        check_lengths(VIDEOS, Geometry(length=5), "generated video")
    check_lengths(VIDEOS, FOUR, "generated video")
