"""Open every video of a data set and list what it is, and whether it can be used."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lvdm.data.catalog import VideoSource, find_videos
from lvdm.data.contents import equal_contents
from lvdm.data.manifest import ManifestRow, VideoInfo, file_state, read_manifest, write_manifest
from lvdm.data.video import decoder_version, probe
from lvdm.files import content_hash
from lvdm.progress import track
from lvdm.provenance import code_stamp
from lvdm.stages.config import ProbeConfig

_logger = logging.getLogger(__name__)

# Videos looked at side by side; each is an ffmpeg process.
_PROCESSES = min(4, os.cpu_count() or 1)


def run(config: ProbeConfig, *, videos: list[str] = [], frames: str | None = None, manifest: Path) -> None:  # noqa: B006
    """Write ``manifest`` (CSV): a row for each video that the globs ``videos`` match, or each folder in ``frames``.

    Every frame is decoded, but of a video with the content of another, which its row names. Rows of an earlier
    manifest are kept for files that have not changed since.
    Raises ``ValueError`` when there are no videos, when none is usable, and with ``on_bad_video: fail``
    when any is not; an earlier manifest stays as it was then.
    """
    listed = find_videos(videos, frames).videos
    copies = equal_contents(listed, manifest.with_name("contents.json"))
    sources = [source for source in listed if source.id not in copies]
    settings = _settings(config)
    known = _known_rows(manifest, settings)
    kept = {source.id: row for source in sources if (row := known.get(_key(source)))}
    new = [source for source in sources if source.id not in kept]
    with ThreadPoolExecutor(_PROCESSES) as pool:
        probed = pool.map(lambda source: _probe(source, config, settings), new)
        rows = kept | {row.id: row for row in track(probed, "probing", total=len(new), unit="video")}
    _judge([rows[source.id] for source in sources], config, len(new))
    rows |= {source.id: _copy(source, rows[copies[source.id]]) for source in listed if source.id in copies}
    write_manifest(manifest, [rows[source.id] for source in listed])


def _settings(config: ProbeConfig) -> str:
    """Fingerprint of what decides a row, besides the file."""
    settings = [config.clip.span, config.clip.fps, decoder_version(), code_stamp(__name__)]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def _known_rows(manifest: Path, settings: str) -> dict[tuple, ManifestRow]:
    if not manifest.exists():
        return {}
    try:
        rows = read_manifest(manifest)
    except ValueError as error:
        _logger.warning("every video is probed anew: %s", error)
        return {}
    return {(row.id, row.path, row.size, row.modified): row for row in rows if row.settings == settings}


def _key(source: VideoSource) -> tuple:
    return source.id, str(source.path), *file_state(source.path)


def _probe(source: VideoSource, config: ProbeConfig, settings: str) -> ManifestRow:
    # The state is taken first: a file that changes meanwhile is then probed again by the next run.
    size, modified = file_state(source.path)
    info = probe(source.path, config.clip)
    sha256 = content_hash(source.path) if os.access(source.path, os.R_OK) else ""
    return ManifestRow(source.id, str(source.path), info, sha256, size, modified, settings)


def _copy(source: VideoSource, original: ManifestRow) -> ManifestRow:
    info = VideoInfo(usable=False, reason=f"same content as {original.id}")
    return ManifestRow(
        source.id, str(source.path), info, original.sha256, *file_state(source.path), original.settings
    )


def _judge(rows: Sequence[ManifestRow], config: ProbeConfig, probed: int) -> None:
    """Log the count and what is left out; raise when the run cannot or shall not go on."""
    bad = [f"{row.path}: {row.info.reason}" for row in rows if not row.info.usable]
    _logger.info("%d videos, %d usable, %d left out (%d probed now)", len(rows), len(rows) - len(bad), len(bad), probed)
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
