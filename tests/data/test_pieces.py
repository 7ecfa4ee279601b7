"""Pieces, rates and resampling: decisions on times alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data.pieces import choose_times, cut, gaps, resample, usual_interval, usual_rate, varies


def pieces(times, breaks=(), left_out=(), gap=0.5):
    """First frame and length of each piece."""
    times = np.asarray(times, float)
    marks, keep = np.zeros(len(times), bool), np.ones(len(times), bool)
    marks[list(breaks)], keep[list(left_out)] = True, False
    return [(piece.first, piece.frames) for piece in cut(times, marks, keep, gap)]


def test_a_steady_recording_is_one_piece():
    assert pieces(np.arange(100) / 25) == [(0, 100)]


def test_lost_frames_are_no_gap_and_the_rate_is_the_usual_one():
    times = np.delete(np.arange(12_000) / 25, [1000, 2000, 2001, 3000])
    assert pieces(times) == [(0, 11_996)]
    assert usual_rate(times) == 25.0
    assert varies(times)


def test_a_pause_begins_a_piece_and_changes_no_rate():
    times = np.arange(100) / 25
    times[50:] += 10
    assert pieces(times) == [(0, 50), (50, 50)]
    assert usual_rate(times) == 25.0


def test_a_pause_shorter_than_the_configured_gap():
    times = np.arange(100) / 25
    times[50:] += 0.4
    assert pieces(times) == [(0, 100)]
    assert pieces(times, gap=0.3) == [(0, 50), (50, 50)]


@pytest.mark.parametrize("rate", [1, 2, 5])
def test_slow_recordings_have_no_gap_at_every_frame(rate):
    times = np.arange(60) / rate
    assert pieces(times) == [(0, 60)]
    lost = np.delete(times, [20, 21])
    assert pieces(lost) == [(0, 58)]
    assert pieces(np.delete(times, [20, 21, 22, 23])) == [(0, 20), (20, 36)]


@pytest.mark.parametrize("slow", [0.25, 0.7, 1.5])
def test_a_rate_that_adapts_is_no_series_of_gaps(slow):
    intervals = [slow] * 20 + [1 / 35] * 60 + [slow] * 20
    times = np.concatenate([[0], np.cumsum(intervals)])
    assert pieces(times) == [(0, 101)]
    assert usual_rate(times) == 35.0


def test_time_that_jumps_back_begins_a_piece():
    assert pieces([0, 0.04, 0.08, 0.12, 0.04, 0.08, 0.12]) == [(0, 4), (4, 3)]


def test_jitter_begins_none():
    times = np.round(np.arange(300) / 29.97, 2)
    assert pieces(times) == [(0, 300)]


@pytest.mark.parametrize("rate", [24000 / 1001, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001])
def test_clocks_of_milliseconds_hide_no_rate(rate):
    times = np.round(np.arange(500) / rate, 3)
    assert usual_rate(times) == pytest.approx(rate, abs=1e-9)
    assert not varies(times)


def test_without_a_unit_of_time_intervals_alone_count():
    numbers = np.delete(np.arange(30) / 25, [10, 11])
    assert pieces(numbers, gap=None) == [(0, 28)]
    assert pieces(np.delete(np.arange(30) / 25, [10, 11, 12, 13]), gap=None) == [(0, 10), (10, 16)]


def test_breaks_and_frames_that_are_left_out():
    assert pieces(np.arange(10) / 25, breaks=[4]) == [(0, 4), (4, 6)]
    assert pieces(np.arange(10) / 25, left_out=[0, 4, 5, 9]) == [(1, 3), (6, 3)]
    assert pieces(np.arange(3) / 25, left_out=[0, 1, 2]) == []
    assert pieces([]) == []


@given(
    st.lists(st.tuples(st.floats(0.001, 20), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.floats(0.1, 3),
)
def test_every_frame_that_stays_is_in_one_piece_and_no_piece_spans_a_break(frames, gap):
    intervals, breaks, keep = (np.array(column) for column in zip(*frames, strict=True))
    times = np.cumsum(intervals)
    found = cut(times, breaks, keep, gap)
    covered = np.concatenate([np.arange(piece.first, piece.stop) for piece in found] or [[]])
    assert covered.tolist() == np.flatnonzero(keep).tolist()
    jumps = gaps(times, gap)
    for piece in found:
        inner = slice(piece.first + 1, piece.stop)
        assert not breaks[inner].any()
        assert not jumps[inner].any()
        assert piece.start == times[piece.first]


def test_the_better_of_two_clocks():
    good = np.arange(6) / 25
    assert choose_times(good, np.full(6, np.nan)).tolist() == good.tolist()
    assert choose_times(np.full(6, np.nan), good).tolist() == good.tolist()
    assert choose_times(np.zeros(6), good).tolist() == good.tolist()
    # H.264 with B frames in AVI: the times of frames are mixed up, and the last ones have none of a packet.
    mixed, ordered = np.array([1, 4, 3, 5, 2, 7]) / 25, np.array([2, 3, 4, 5, np.nan, np.nan]) / 25
    np.testing.assert_allclose(choose_times(mixed, ordered), np.arange(2, 8) / 25)
    holes = good.copy()
    holes[[0, 3]] = np.nan
    np.testing.assert_allclose(choose_times(holes, np.full(6, np.nan)), good, atol=1e-12)
    assert choose_times(np.full(3, np.nan), np.full(3, np.nan)).tolist() == [0, 1, 2]


def test_a_rate_of_a_single_frame():
    assert usual_interval(np.zeros(1)) == 0
    assert usual_rate(np.zeros(1)) == 0
    assert resample(np.array([3.0]), 25).tolist() == [0]


def test_resampling_keeps_the_time():
    assert resample(np.arange(8) / 10, 5).tolist() == [0, 2, 4, 6]
    assert resample(np.arange(4) / 5, 10).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    lost = np.delete(np.arange(8) / 10, 3)
    assert resample(lost, 10).tolist() == [0, 1, 2, 2, 3, 4, 5, 6]


@given(st.floats(1, 120), st.floats(1, 120), st.integers(1, 80))
def test_resampled_pieces_last_as_long(rate, fps, count):
    chosen = resample(np.arange(count) / rate, fps)
    assert (np.diff(chosen) >= 0).all()
    off = np.abs(chosen / rate - np.arange(len(chosen)) / fps)
    assert off.max() <= max(1 / rate, 0.5 / fps) + 1e-6
    if count > 1:
        assert abs(len(chosen) / fps - count / rate) <= 1 / fps + 1e-6
