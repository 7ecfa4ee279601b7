"""Turn one recording into lossless frames of the size that clips have."""

import glob
import hashlib
import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lvdm.data.crops import Picture, find_pictures, read_pictures
from lvdm.data.cutting import Cutting, cut
from lvdm.data.evidence import Size
from lvdm.data.extraction import Extraction, extract_frames
from lvdm.data.inspection import Inspection, read_inspection
from lvdm.data.isolation import isolated
from lvdm.data.manifest import file_state
from lvdm.data.picture import centre_part
from lvdm.data.process import VideoError
from lvdm.data.summary import treatments
from lvdm.data.video import frame_count
from lvdm.files import check_outputs, content_hash, publish, read_json, write_json
from lvdm.provenance import code_stamp
from lvdm.stages import inspect
from lvdm.stages.config import ExtractConfig

_logger = logging.getLogger(__name__)


def run(
    config: ExtractConfig,
    *,
    video: Path,
    inspection: Path | None = None,
    crop: Path | None = None,
    group: str | None = None,
    frames: Path,
    record: Path,
) -> None:
    """Write ``frames`` (FFV1 in Matroska, every frame a key frame) and ``record`` (JSON) of one recording.

    ``video`` is a file or a folder of images. Without ``inspection`` it is inspected here, and without ``crop``, that
    of its ``group``, its own picture decides. Of a recording that cannot be used, ``frames`` is an empty file and the
    record says why. What was made of the same recording with the same crop stays as it is.
    Raises ``ValueError`` when the recording is not the one that was inspected, or, with ``on_bad_video: fail``, when
    it cannot be used; ``OSError`` on a full disk.
    """
    check_outputs(frames, record)
    found = read_inspection(inspection) if inspection else _inspected(video)
    _check_unchanged(video, found)
    pictures = read_pictures(crop) if crop else find_pictures([found], config.crop, config.overlay != "keep")
    made = {"id": frames.stem, "group": group or frames.stem, "source": str(video), "sha256": found.sha256}
    made_from = _made_from(config, found, pictures)
    if (before := _made_before(frames, record, made_from)) is not None:
        _logger.info("%s: its frames are there", video)
        frames.touch()
        write_json(record, before | made)
        return
    made |= {"made_from": made_from} | _extract(config, video, found, pictures, frames)
    if not made["usable"]:
        if config.on_bad_video == "fail":
            raise ValueError(f"{video} cannot be used: {made['reason']}; repair or remove it, or set data.on_bad_video")
        _logger.warning("%s is left out: %s", video, made["reason"])
        with publish(frames) as temporary:
            temporary.touch()
    write_json(record, made)


def _inspected(video: Path) -> Inspection:
    # By the stage, in a process of its own: the decoder may crash.
    with tempfile.TemporaryDirectory() as folder:
        inspect.run(video=video, inspection=Path(folder) / "inspection.json")
        return read_inspection(Path(folder) / "inspection.json")


def _check_unchanged(video: Path, found: Inspection) -> None:
    if not video.exists():
        raise ValueError(f"{video} is missing; put it back, or take it out of the data set")
    if file_state(video) != (found.bytes, found.modified) and content_hash(video) != found.sha256:
        raise ValueError(f"{video} has changed since it was inspected; run `lvdm inspect` again")


def _made_from(config: ExtractConfig, found: Inspection, pictures: dict[Size, Picture]) -> str:
    """Fingerprint of all that the frames depend on."""
    sizes = sorted({format.upright for format in found.formats} & set(pictures))
    facts = [config.to_json(), code_stamp(__name__), found.decoder, found.sha256]
    facts += [json.dumps([size, asdict(pictures[size])]) for size in sizes]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _made_before(frames: Path, record: Path, made_from: str) -> dict[str, Any] | None:
    """The record of frames that are there and were made from the same; None when there are none."""
    try:
        before = read_json(record)
        whole = frame_count(frames) == before["frames"] if before["usable"] else frames.stat().st_size == 0
        return before if before["made_from"] == made_from and whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _extract(
    config: ExtractConfig, video: Path, found: Inspection, pictures: dict[Size, Picture], frames: Path
) -> dict[str, Any]:
    """Write the frames, if there are any; returns what the record says about them."""
    cutting = cut(found, pictures, config)
    if not cutting.reason:
        extraction = Extraction(
            cutting.pieces,
            crops={size: picture.box for size, picture in pictures.items() if picture.box is not None},
            size=config.clip.size,
            deinterlace=config.deinterlace,
            texts={size: picture.texts for size, picture in pictures.items() if config.overlay == "cover"},
            fps=cutting.rate if cutting.resampled else None,
        )
        try:
            _extract_apart(video, found, extraction, cutting.rate, frames)
            written = frame_count(frames)
        except VideoError as error:
            return {"usable": False, "reason": str(error).removeprefix(f"{video}: "), "left_out": cutting.left_out}
        if written != sum(cutting.lengths):
            raise ValueError(f"{frames} has {written} frames, but {sum(cutting.lengths)} were written; run again")
    return {"usable": not cutting.reason, "reason": cutting.reason, "left_out": cutting.left_out} | (
        _described(config, found, pictures, cutting) if not cutting.reason else {}
    )


def _extract_apart(video: Path, found: Inspection, extraction: Extraction, rate: float, frames: Path) -> None:
    """Extract in a process of its own. Raises :class:`VideoError` when the decoder crashes."""

    def work(path: Path) -> None:
        extract_frames(path, found, extraction, rate, frames)

    # Without a limit in time: what was decoded once does not hang, and a slow disk is no fault of the recording.
    for _, death in isolated(work, [video], processes=1, patience=None):
        if death:
            for unfinished in frames.parent.glob(f".{glob.escape(frames.stem)}.*.part{frames.suffix}"):
                unfinished.unlink(missing_ok=True)
            raise VideoError(f"{video}: the decoder fails on it: {death}")


def _described(
    config: ExtractConfig, found: Inspection, pictures: dict[Size, Picture], cutting: Cutting
) -> dict[str, Any]:
    """What was done to the pictures, and which they are."""
    firsts = [sum(cutting.lengths[:number]) for number in range(len(cutting.lengths))]
    picture = pictures[found.usual_size]
    return {
        "crop": {"box": list(picture.box), "mode": config.crop.mode, "note": picture.note},
        "covered": [list(box) for box in picture.texts] if config.overlay == "cover" else [],
        "frames": sum(cutting.lengths),
        "fps": cutting.rate,
        "resampled": cutting.resampled,
        "resolution": config.clip.resolution,
        "upscaled": _upscaled(config, found, picture),
        "treatment": treatments(found, pictures, config.deinterlace),
        "pieces": [
            {"first": first, "frames": length, "start": round(piece.start, 6)}
            for first, length, piece in zip(firsts, cutting.lengths, cutting.pieces, strict=True)
        ],
    }


def _upscaled(config: ExtractConfig, found: Inspection, picture: Picture) -> bool:
    format = next(format for format in found.formats if format.upright == found.usual_size)
    _, _, width, height = centre_part(picture.box, format.upright_aspect, config.clip.size)
    made_height, made_width = config.clip.size
    upscaled = height < made_height or width * format.upright_aspect < made_width
    if upscaled:
        _logger.warning("%s: %dx%d pixels are enlarged to %dx%d", found.source, width, height, made_width, made_height)
    return bool(upscaled)
