"""Asking a training to end: what a cluster sends before a time limit, on preemption, or when a job is cancelled."""

import signal
import threading
from types import FrameType
from typing import Any


class StopRequested(Exception):
    """The process was asked to end; the state has been saved."""


class StopSignals:
    """While entered, SIGTERM and SIGUSR1 (a cluster's notice before a time limit) only set ``received``."""

    def __init__(self):
        self.received = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        # Python lets the main thread alone set handlers; in another one the signals keep their meaning.
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
            self.install()
        return self

    def __exit__(self, kind, error, trace) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Set the handlers, over those that Lightning sets when it starts (they end the process unsaved)."""
        for number in self._former:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def ignore_stop_signals(worker: int) -> None:
    """For a worker of a data loader: it ends with its process, which finishes the step first.

    A cluster signals every process of a job, and a training whose worker has died fails before it can save.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
