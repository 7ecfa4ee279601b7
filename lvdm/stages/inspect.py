"""Decode one recording and keep what crop, cuts and rates need."""

import logging
from functools import partial
from pathlib import Path

from lvdm.data.inspection import Inspection, inspect, write_inspection
from lvdm.data.isolation import isolated
from lvdm.files import content_hash

_logger = logging.getLogger(__name__)


def run(*, video: Path, inspection: Path) -> None:
    """Write ``inspection`` (.json), and the arrays of its frames beside it (.npz), of a file or a folder of images.

    Nothing of a configuration decides it. A recording that cannot be decoded is described too, with the reason.
    Raises ``OSError`` on a full disk.
    """
    for _ in inspect_all({video: inspection}, processes=1):
        pass


def inspect_all(recordings: dict[Path, Path], processes: int):
    """Inspect recordings side by side: each path to that of its inspection. Yields each when it is there."""
    for video, death in isolated(partial(_inspect, recordings), recordings, processes):
        if death:
            _logger.error("%s: the decoder crashed (%s)", video, death)
            crashed = Inspection(str(video), content_hash(video), error=f"the decoder crashed on it ({death})")
            write_inspection(recordings[video], crashed)
        yield video


def _inspect(recordings: dict[Path, Path], video: Path) -> None:
    write_inspection(recordings[video], inspect(video))
