"""What a log says of how far a piece of work is."""

import math
import re

import pytest

from lvdm import progress
from lvdm.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on, and a line at each advance."""

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    return clock


def test_what_comes_before_the_first_unit_is_done_is_no_part_of_the_rate(clock, caplog):
    caplog.set_level("INFO")
    with Progress("sampling", 10, "clip", terms=lambda: {"% of peak": 25}) as work:
        assert math.isnan(work.rate)
        clock.now += 50  # a compiler
        work.advance(2)
        assert math.isnan(work.rate)
        clock.now += 2
        work.advance(4, loss=0.5)
        assert work.rate == 2
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "sampling: 2/10 clip, 0.04 clip/s, 3:20 left"
    assert second == "sampling: 6/10 clip, 2 clip/s, 0:02 left, % of peak 50, loss 0.5"


def test_a_resumed_work_counts_what_is_done_now(clock, caplog):
    caplog.set_level("INFO")
    with Progress("training", 100, "step", done=90) as work:
        for _ in range(3):
            clock.now += 1
            work.advance()
    assert work.rate == 1
    assert re.search(r"93/100 step, 1 step/s, 0:07 left", caplog.text)
