"""Decode one recording and keep what crop, cuts and rates need."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from lvdm.data.inspection import Inspection, inspect, write_inspection
from lvdm.data.isolation import isolated
from lvdm.data.manifest import file_state
from lvdm.data.recording import decoder_version
from lvdm.files import check_outputs, content_hash

_logger = logging.getLogger(__name__)


def run(*, video: Path, inspection: Path) -> None:
    """Write ``inspection`` (.json), and the arrays of its frames beside it (.npz), of a file or a folder of images.

    Nothing of a configuration decides it. A recording that cannot be decoded is described too, with the reason, and
    so is one on which the decoder crashes or hangs. Raises ``OSError`` on a full disk.
    """
    if not video.exists():
        raise ValueError(f"{video} is missing; check the path")
    check_outputs(inspection, inspection.with_suffix(".npz"))
    for _ in inspect_all({video: inspection}, processes=1):
        pass


def inspect_all(recordings: dict[Path, Path], processes: int) -> Iterator[Path]:
    """Inspect recordings side by side: each path to that of its inspection. Yields each when it is there."""
    for video, death in isolated(partial(_inspect, recordings, processes == 1), recordings, processes):
        if death:
            reason = f"the decoder fails on it: {death}"
            _logger.error("%s: %s", video, reason)
            size, modified = file_state(video)
            facts = {"bytes": size, "modified": modified, "decoder": decoder_version()}
            write_inspection(recordings[video], Inspection(str(video), content_hash(video), **facts, error=reason))
        yield video


def _inspect(recordings: dict[Path, Path], show_progress: bool, video: Path) -> None:
    write_inspection(recordings[video], inspect(video, show_progress))
