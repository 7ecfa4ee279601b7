import threading

import pytest

from lvdm.read_ahead import one_behind, read_ahead


def test_reading_goes_on_while_the_reader_of_it_works():
    """The source is asked for more while the first item is being dealt with, but never for more than a few."""
    asked, enough = [], threading.Event()

    def source():
        for number in range(100):
            asked.append(number)
            if len(asked) == 4:
                enough.set()
            yield number

    stream = read_ahead(source(), 3)
    assert next(stream) == 0
    assert enough.wait(timeout=30)
    assert len(asked) <= 1 + 3 + 1
    assert list(stream) == list(range(1, 100))


def test_an_error_of_the_source_is_raised_where_it_is_read():
    def source():
        yield 1
        raise ValueError("a broken file")

    stream = read_ahead(source(), 3)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="a broken file"):
        next(stream)


def test_a_stream_that_is_left_ends_its_thread():
    before = threading.active_count()
    stream = read_ahead(iter(range(1000)), 2)
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_one_behind_is_a_step_ahead_of_who_reads_it():
    made = []

    def source():
        for number in range(4):
            made.append(number)
            yield number

    seen = [(number, len(made)) for number in one_behind(source())]
    assert seen == [(0, 2), (1, 3), (2, 4), (3, 4)]
    assert list(one_behind([])) == []
