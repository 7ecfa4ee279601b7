"""Work on files that may crash a decoder, each in a process of its own: one bad file costs no other.

A process that dies is told from one that ends. So is one that hangs: while a decoder is at work it shows that it is
``alive`` with every packet and every frame, and it is killed when it does not for a long time.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

T = TypeVar("T")

HUNG = "it hung"
"""How the death of a process is told that did not go on."""

# Without a packet or a frame for as long as this, s, a decoder hangs. It is looked at so many times in between: a
# machine that was stopped and goes on finds at most one of them late.
_PATIENCE = 120.0
_LOOKS = 24

_PR_SET_PDEATHSIG = 1

_logger = logging.getLogger(__name__)

# Of the process that runs the work: a number that grows; None where nobody looks at it.
_pulse: Any = None


def alive() -> None:
    """To be called wherever decoding goes on. From the first call on, work that is isolated is watched."""
    if _pulse is not None:
        _pulse.value += 1


@dataclass
class _Running(Generic[T]):
    process: BaseProcess
    item: T
    pulse: Any
    errors: Connection
    seen: int = 0
    silent: int = 0
    """Looks in succession at which nothing had gone on."""
    hung: bool = False

    def look(self, allowed: int) -> None:
        """Kill the process when it has been silent at more looks than allowed."""
        now = self.pulse.value
        self.silent = self.silent + 1 if now == self.seen and now else 0
        self.seen = now
        if self.silent > allowed:
            self.hung = True
            self.process.kill()


def isolated(
    work: Callable[[T], None], items: Iterable[T], processes: int, patience: float | None = _PATIENCE
) -> Iterator[tuple[T, str]]:
    """Call ``work`` with every item, up to ``processes`` at a time, each in a process that is copied from this one.

    Yields each item when its work has ended, with "" or with how its process died, in words: of a signal, or, ``HUNG``,
    after ``patience`` s without a sign of life (None: it may take its time). What ``work`` finds out it has to write
    to a file. Its ``ValueError`` and ``OSError`` are raised here; any other error is a mistake of ours, not of the
    file, and becomes a ``RuntimeError``. No process outlives this one.
    """
    waiting, pause, looked = iter(items), patience and patience / _LOOKS, time.monotonic()
    running: dict[int, _Running[T]] = {}
    try:
        while True:
            for item in waiting:
                started = _start(work, item)
                running[started.process.sentinel] = started
                if len(running) >= processes:
                    break
            if not running:
                return
            for sentinel in wait(list(running), timeout=pause):
                one = running.pop(sentinel)
                one.process.join()
                yield one.item, _ending(one)
            if pause and time.monotonic() - looked >= pause:
                looked = time.monotonic()
                for one in running.values():
                    one.look(_LOOKS)
    finally:
        for one in running.values():
            one.process.kill()
            one.process.join()


def _start(work: Callable[[T], None], item: T) -> _Running[T]:
    context = multiprocessing.get_context("fork")
    pulse = context.RawValue("Q", 0)
    errors, report = context.Pipe(duplex=False)
    process = context.Process(target=_guarded, args=(work, item, pulse, report, os.getpid()), daemon=True)
    process.start()
    report.close()
    return _Running(process, item, pulse, errors)


def _guarded(work: Callable[[T], None], item: T, pulse: Any, report: Connection, parent: int) -> None:
    global _pulse
    _die_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _pulse = pulse
    try:
        work(item)
    except (ValueError, OSError) as error:
        report.send(error)
        raise SystemExit(2) from None
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None


def _die_with(parent: int) -> None:
    """Have this process killed when its parent is, which then cannot do it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _ending(one: _Running) -> str:
    code = one.process.exitcode
    with one.errors:
        if code == 0:
            return ""
        if one.hung:
            return HUNG
        if code < 0:
            return f"it crashed ({signal.Signals(-code).name})"
        if code == 2:
            raise one.errors.recv()
    raise RuntimeError(f"{one.item}: an error of the program, see above")
