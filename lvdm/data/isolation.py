"""Work on files that may crash a decoder, each in a process of its own: one bad file costs no other."""

import logging
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

T = TypeVar("T")

_logger = logging.getLogger(__name__)


def isolated(work: Callable[[T], None], items: Iterable[T], processes: int) -> Iterator[tuple[T, str]]:
    """Call ``work`` with every item, up to ``processes`` at a time, each in a process that is copied from this one.

    Yields each item when its work has ended, with "" or with how its process died. What ``work`` finds out it has to
    write to a file. Raises ``RuntimeError`` when it raised: that is a mistake of ours, not of the file.
    """
    context = multiprocessing.get_context("fork")
    waiting = iter(items)
    running: dict[int, tuple[BaseProcess, T]] = {}
    try:
        while True:
            for item in waiting:
                process = context.Process(target=_guarded, args=(work, item), daemon=True)
                process.start()
                running[process.sentinel] = process, item
                if len(running) >= processes:
                    break
            if not running:
                return
            for sentinel in wait(list(running)):
                process, item = running.pop(sentinel)
                process.join()
                yield item, _ending(process.exitcode, item)
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def _guarded(work: Callable[[T], None], item: T) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        work(item)
    except OSError as error:
        _logger.error("%s", error)
        raise SystemExit(2) from None
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None


def _ending(code: int, item: object) -> str:
    if code == 0:
        return ""
    if code < 0:
        return signal.Signals(-code).name
    if code == 2:
        raise OSError(f"{item}: could not be written; see the message above")
    raise RuntimeError(f"{item}: an error of the program, see above")
