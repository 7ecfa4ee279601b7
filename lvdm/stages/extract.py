"""Turn one video into square, lossless frames."""

import logging
from pathlib import Path
from typing import Any

from lvdm.data.config import CropConfig
from lvdm.data.crop import Crop, detect_crop
from lvdm.data.manifest import VideoInfo, file_state, read_manifest
from lvdm.data.video import Extraction, centre_square, extract_frames, output_rate, probe, sample_frames
from lvdm.files import check_outputs, content_hash, publish, write_json
from lvdm.stages.config import ExtractConfig

_logger = logging.getLogger(__name__)


def run(config: ExtractConfig, *, video: Path, manifest: Path | None = None, frames: Path, record: Path) -> None:
    """Write ``frames`` (FFV1 in Matroska, every frame a key frame) and ``record`` (JSON) of one video.

    ``video`` is a file or a folder of images. Without a ``manifest`` it is probed here. Of a video that
    cannot be used, ``frames`` is an empty file and the record says why. Raises ``ValueError`` when the
    manifest does not have the video as it is now, ``OSError`` on a full disk.
    """
    check_outputs(frames, record)
    info, sha256 = _look_up(video, manifest) if manifest else (probe(video, config.clip), content_hash(video))
    made = {"id": frames.stem, "usable": info.usable, "reason": info.reason, "source": str(video), "sha256": sha256}
    if info.usable:
        made |= _extract(config, video, info, frames)
    if not made["usable"]:
        _logger.warning("%s is left out: %s", video, made["reason"])
        with publish(frames) as temporary:
            temporary.touch()
    write_json(record, made)


def _look_up(video: Path, manifest: Path) -> tuple[VideoInfo, str]:
    """The manifest's row of the video: what it is, and the SHA-256 of its content."""
    for row in read_manifest(manifest):
        if Path(row.path) == video or Path(row.path).resolve() == video.resolve():
            unchanged = file_state(video) == (row.size, row.modified) or content_hash(video) == row.sha256
            if not unchanged:
                raise ValueError(f"{video} has changed since {manifest} was made; run `lvdm probe` again")
            return row.info, row.sha256
    raise ValueError(f"{manifest} does not have {video}; run `lvdm probe` again")


def _extract(config: ExtractConfig, video: Path, info: VideoInfo, frames: Path) -> dict[str, Any]:
    """Write the frames; returns what the record says about them."""
    crop = _crop(config.crop, video, info)
    resolution = config.clip.resolution
    _, _, width, height = centre_square(crop.box, info.pixel_aspect)
    upscaled = height < resolution or width * info.pixel_aspect < resolution
    if upscaled:
        _logger.warning("%s: %dx%d pixels are enlarged to %dx%d", video, width, height, resolution, resolution)
    count = extract_frames(video, info, Extraction(crop.box, resolution, config.clip.fps), frames)
    rate, resampled = output_rate(info, config.clip.fps)
    _logger.info("%s: %d frames at %.5g frames/s, crop %s (%s)", video, count, rate, list(crop.box), crop.note)
    return {
        "crop": {"box": list(crop.box), "mode": config.crop.mode, "note": crop.note},
        "frames": count,
        "fps": rate,
        "resampled": resampled,
        "resolution": resolution,
        "upscaled": upscaled,
    }


def _crop(config: CropConfig, video: Path, info: VideoInfo) -> Crop:
    if config.mode == "none":
        return Crop((0, 0, info.width, info.height), "no crop: switched off")
    if config.mode == "auto":
        return detect_crop(sample_frames(video, info, config.sampled_frames))
    left, top, width, height = config.box
    if left + width > info.width or top + height > info.height:
        raise ValueError(
            f"{video} has {info.width}x{info.height} pixels, but data.crop.box {list(config.box)} reaches to "
            f"{left + width}x{top + height}; give a smaller box"
        )
    return Crop(config.box, "given")
