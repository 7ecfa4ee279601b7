"""`lvdm encode`, which also leaves the times of its batches: a process of ``latent_cache``.

    python benchmarks/timed_encode.py TIMES.json --config encode.json --shard ... --autoencoder ... --latents ...

Nothing else differs from the command: the stage is imported as there, and by it.
"""

import sys
import time
from pathlib import Path
from unittest import mock

from marking import marking_progress

from lvdm import progress
from lvdm.__main__ import main as lvdm
from lvdm.files import write_json


def main(times: Path, arguments: list[str]) -> int:
    """Run ``lvdm encode``; writes when each batch was in its file, seconds on the clock that all processes share."""
    marks: list[float] = []
    with mock.patch.object(progress, "Progress", marking_progress(lambda: marks.append(time.perf_counter()))):
        code = lvdm(["encode", *arguments])
    write_json(times, {"batches": marks})
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
