"""Doing one thing while another goes on: reading, computing on a device, writing."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item], most: int) -> Iterator[Item]:
    """``items``, read in a thread that stays up to ``most`` ahead; its errors are raised here."""
    waiting: queue.Queue = queue.Queue(most)
    left = threading.Event()

    def put(entry: tuple[str, object]) -> bool:
        while not left.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in items:
                if not put(("item", item)):
                    return
            put(("end", None))
        except Exception as error:
            put(("error", error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while (entry := waiting.get())[0] != "end":
            if entry[0] == "error":
                raise entry[1]
            yield entry[1]
    finally:
        left.set()
        thread.join()


def one_behind(items: Iterable[Item]) -> Iterator[Item]:
    """``items``, each once the next one has been made too.

    For results that a device is still busy with when they are made: while one is dealt with, it works on the next.
    """
    waiting: list[Item] = []
    for item in items:
        yield from waiting
        waiting = [item]
    yield from waiting
