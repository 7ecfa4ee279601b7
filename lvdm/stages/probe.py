"""List what the recordings of a data set are, and what of them is used."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lvdm.data.catalog import find_videos
from lvdm.data.contents import equal_contents
from lvdm.data.crops import find_pictures, read_pictures
from lvdm.data.inspection import read_inspection
from lvdm.data.listing import Listed, read_listing
from lvdm.data.manifest import ManifestRow, file_state, write_manifest
from lvdm.data.picture import COMBED
from lvdm.data.recording import decoder_version
from lvdm.data.summary import summarise
from lvdm.files import check_outputs
from lvdm.progress import track
from lvdm.stages.config import ProbeConfig
from lvdm.stages.inspect import inspect_all

_logger = logging.getLogger(__name__)

# Recordings looked at side by side.
_PROCESSES = min(4, os.cpu_count() or 1)


def run(
    config: ProbeConfig,
    *,
    videos: list[str] = [],  # noqa: B006 (read only)
    frames: str | None = None,
    listing: Path | None = None,
    inspections: Path | None = None,
    crops: Path | None = None,
    manifest: Path,
) -> None:
    """Write ``manifest`` (CSV): one row per recording that the globs ``videos`` match, or per folder in ``frames``.

    The workflow gives the ``listing`` of the recordings and their groups, and the folders of what stages inspect and
    crop wrote: ``inspections`` of all of them, ``crops`` of the groups of several. Without a listing, recordings that
    have changed or were not inspected yet are inspected here (by default into ``inspections`` beside the manifest),
    and each decides its crop alone.
    Raises ``ValueError`` when there are no recordings, when none is usable, and with ``on_bad_video: fail`` when any
    is not; an earlier manifest stays as it was then.
    """
    check_outputs(manifest)
    folder = inspections or manifest.parent / "inspections"
    if listing is not None:
        if inspections is None or crops is None:
            raise ValueError("--listing goes with --inspections and --crops, the folders of what was found out before")
        listed = read_listing(listing)
    else:
        listed = _listed(videos, frames, manifest)
        _inspect([entry for entry in listed if not entry.left_out], folder)
    shared = Counter(entry.group for entry in listed if not entry.left_out)
    rows = {entry.id: _row(entry, config, folder, crops if shared[entry.group] > 1 else None) for entry in listed}
    _judge([rows[entry.id] for entry in listed if not entry.left_out], config)
    write_manifest(manifest, rows.values())


def _listed(videos: list[str], frames: str | None, manifest: Path) -> list[Listed]:
    found = find_videos(videos, frames)
    for note in found.notes:
        _logger.info("%s", note)
    copies = equal_contents(found.videos, manifest.with_name("contents.json"))
    return [
        Listed(source.id, source.path, left_out=f"same content as {copies[source.id]}" if source.id in copies else "")
        for source in found.videos
    ]


def _inspect(listed: Sequence[Listed], folder: Path) -> None:
    """Inspect the recordings of which there is no inspection, or an outdated one."""
    targets = {entry.path: _inspection(folder, entry) for entry in listed}
    outdated = {path: target for path, target in targets.items() if not _is_current(path, target)}
    for _ in track(inspect_all(outdated, _PROCESSES), "probing", total=len(outdated), unit="video"):
        pass
    _logger.info("%d recordings inspected, %d as they were", len(outdated), len(targets) - len(outdated))


def _is_current(path: Path, target: Path) -> bool:
    try:
        found = read_inspection(target, evidence=False)
    except (OSError, ValueError):
        return False
    return found.decoder == decoder_version() and (found.bytes, found.modified) == file_state(path)


def _row(entry: Listed, config: ProbeConfig, inspections: Path, crops: Path | None) -> ManifestRow:
    if entry.left_out:
        return ManifestRow(entry.id, str(entry.path), entry.group, entry.split, usable=False, reason=entry.left_out)
    found = read_inspection(_inspection(inspections, entry), evidence=crops is None)
    pictures = (
        find_pictures([found], config.crop, config.overlay != "keep")
        if crops is None
        else read_pictures(crops / f"{entry.group}.json")
    )
    return summarise(entry, found, pictures, config, config.deinterlace)


def _inspection(folder: Path, entry: Listed) -> Path:
    return folder / f"{entry.id}.json"


def _judge(rows: Sequence[ManifestRow], config: ProbeConfig) -> None:
    """Log the count and what is left out; raise when the run cannot or shall not go on."""
    bad = [f"{row.path}: {row.reason}" for row in rows if not row.usable]
    _logger.info("%d videos, %d usable, %d left out", len(rows), len(rows) - len(bad), len(bad))
    listing = "\n  ".join(bad)
    if len(bad) == len(rows):
        raise ValueError(f"none of the {len(rows)} videos can be used:\n  {listing}")
    if bad and config.on_bad_video == "fail":
        raise ValueError(
            f"{len(bad)} of {len(rows)} videos cannot be used; repair or remove them, or set "
            f"data.on_bad_video to skip:\n  {listing}"
        )
    for line in bad:
        _logger.warning("left out: %s", line)
    for row in rows:
        if row.usable and (row.lost or row.left_out):
            _logger.info("%s: %d of %d frames used (%s)", row.path, row.kept, row.frames, _rest(row))
        if row.usable and row.combs > COMBED and config.deinterlace != "on":
            _logger.warning(
                "%s: its frames have combs, though they are not flagged as interlaced; if they move, write "
                "`data: {deinterlace: on}` into the override of the data set",
                row.path,
            )


def _rest(row: ManifestRow) -> str:
    return "; ".join(part for part in (row.left_out, row.lost) if part)
