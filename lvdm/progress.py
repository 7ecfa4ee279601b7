"""Progress that is visible on a terminal and in a log file.

On a terminal a bar moves; in any case a line goes to the log every few seconds, so that a job on a
cluster shows how far it is.
"""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

Terms = Callable[[], Mapping[str, float]]

LINE_EVERY_SECONDS = 10.0

_logger = logging.getLogger(__name__)


class Progress:
    """Counts finished units of one piece of work and tells the terminal and the log.

    Use as a context manager; call :meth:`advance` with the units done, and with values worth showing. ``terms`` gives
    others that the rate is told in, by name what one unit per second is in them; it is called when a line is due.
    """

    def __init__(self, what: str, total: int | None, unit: str, done: int = 0, terms: Terms = dict):
        self.what, self.total, self.unit, self.terms = what, total, unit, terms
        self._in_terms: dict[str, float] = {}
        self.done = self._done_at_start = self._done_first = done
        self._start = self._last_line = self._latest = time.monotonic()
        self._first: float | None = None
        self._shown = done
        self._bar = tqdm(
            desc=what,
            total=total,
            initial=done,
            unit=unit,
            leave=False,
            disable=not sys.stderr.isatty(),
            mininterval=0.5,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._bar.close()
        if error is None and self.done > self._shown and time.monotonic() - self._start >= LINE_EVERY_SECONDS:
            self._line()

    @property
    def rate(self) -> float:
        """Units per second since the first ones were done, which may have waited for a compiler; nan before."""
        if self._first is None or self.done == self._done_first:
            return math.nan
        return (self.done - self._done_first) / max(self._latest - self._first, 1e-9)

    def advance(self, units: int = 1, **values: float) -> None:
        """Add ``units``; ``values`` (a loss, say) are shown beside the rate."""
        self.done += units
        self._latest = time.monotonic()
        if self._first is None:
            self._first, self._done_first = self._latest, self.done
        if shown := self._in_terms | values:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
        self._bar.update(units)
        if time.monotonic() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._line(**values)

    @cached_property
    def _factors(self) -> Mapping[str, float]:
        return self.terms()

    def _line(self, **values: float) -> None:
        self._shown = self.done
        rate = self.rate
        if math.isnan(rate):
            rate = (self.done - self._done_at_start) / max(time.monotonic() - self._start, 1e-9)
        else:
            self._in_terms = {name: factor * rate for name, factor in self._factors.items()}
        parts = [f"{self.done}/{self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"]
        parts.append(f"{rate:.3g} {self.unit}/s")
        if self.total and rate > 0 and self.done < self.total:
            parts.append(f"{_clock((self.total - self.done) / rate)} left")
        parts += [f"{name} {value:.4g}" for name, value in (self._in_terms | values).items()]
        _logger.info("%s: %s", self.what, ", ".join(parts))


def track(items: Iterable[Item], what: str, total: int | None = None, unit: str = "item") -> Iterator[Item]:
    """Yield ``items`` and report how many have been dealt with."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    with Progress(what, total, unit) as progress:
        for item in items:
            yield item
            progress.advance()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
