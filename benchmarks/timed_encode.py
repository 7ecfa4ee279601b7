"""`lvdm encode`, which also leaves the times of its batches: a process of ``latent_cache``.

    python benchmarks/timed_encode.py TIMES.json --config encode.json --shard ... --autoencoder ... --latents ...

Nothing else differs from the command: the stage is imported as there, and by it.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest import mock

from lvdm import progress
from lvdm.__main__ import main as lvdm
from lvdm.files import write_json


def marking_track(mark: Callable[[], None]) -> Callable[..., Iterator[int]]:
    """What stands in for ``track`` in the stage, and calls ``mark`` when a batch is in the file."""
    track = progress.track

    def marking(batches: Iterable[int], *rest: str, **named: str) -> Iterator[int]:
        for batch in track(batches, *rest, **named):
            yield batch
            mark()  # the next one is asked for: this one is in the file

    return marking


def main(times: Path, arguments: list[str]) -> int:
    """Run ``lvdm encode``; writes when each batch was in its file, seconds on the clock that all processes share."""
    marks: list[float] = []
    with mock.patch.object(progress, "track", marking_track(lambda: marks.append(time.perf_counter()))):
        code = lvdm(["encode", *arguments])
    write_json(times, {"batches": marks})
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
