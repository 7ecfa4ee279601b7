"""When a stage has dealt with a batch: it says so to its progress."""

from collections.abc import Callable

from lvdm.progress import Progress


def marking_progress(mark: Callable[[], None]) -> type[Progress]:
    """What stands in for ``Progress`` in a stage, and calls ``mark`` when a batch is in the file."""

    class Marking(Progress):
        def advance(self, units: int = 1, **values: float) -> None:
            mark()
            super().advance(units, **values)

    return Marking
