"""What people want to know of an inspected recording: the row of the manifest, and what was done to its picture."""

import dataclasses
from typing import Any

import numpy as np

from lvdm.data import content, pieces
from lvdm.data.config import CuttingConfig, Deinterlace
from lvdm.data.crops import Picture
from lvdm.data.cutting import Cutting, cut
from lvdm.data.evidence import Size
from lvdm.data.inspection import Inspection
from lvdm.data.listing import Listed
from lvdm.data.manifest import ManifestRow
from lvdm.data.picture import Treatment, describe


def summarise(
    entry: Listed, found: Inspection, pictures: dict[Size, Picture], config: CuttingConfig, deinterlace: Deinterlace
) -> ManifestRow:
    """The row of a recording, from its inspection and the crops of its group."""
    cutting = cut(found, pictures, config)
    row = ManifestRow(
        entry.id, str(entry.path), entry.group or entry.id, entry.split, not cutting.reason, cutting.reason,
        sha256=found.sha256, bytes=found.bytes, lost="; ".join(found.lost),
    )  # fmt: skip
    if not found.frames:
        return row
    return dataclasses.replace(row, **_used(cutting), **_frames(found), **_picture(found, pictures, deinterlace))


def treatments(found: Inspection, pictures: dict[Size, Picture], deinterlace: Deinterlace) -> list[str]:
    """What is done to the pictures of a recording, each thing once."""
    said: dict[str, None] = {}
    for number, format in enumerate(found.formats):
        if format.upright in pictures and (box := pictures[format.upright].box) is not None:
            flagged = bool(found.interlaced[found.format_of == number].any())
            said |= dict.fromkeys(describe(format, Treatment(box, deinterlace=deinterlace, flagged=flagged)))
    return list(said)


def _used(cutting: Cutting) -> dict[str, Any]:
    return {
        "kept": cutting.kept,
        "pieces": len(cutting.pieces),
        "left_out": "; ".join(f"{count} {reason}" for reason, count in cutting.left_out.items()),
    }


def _frames(found: Inspection) -> dict[str, Any]:
    repeated = content.repeats(found.measures, found.times)
    shown = found.times[-1] - found.times[0] + pieces.usual_interval(found.times)
    return {
        "frames": found.frames,
        "fps": pieces.usual_rate(found.times),
        "variable_rate": pieces.varies(found.times),
        "duration": round(float(shown), 6),
        "repeats": repeated.frames,
        "true_fps": repeated.rate or 0.0,
        "interlaced": int(found.interlaced.sum()),
        "combs": found.combs,
        "codec": found.codec,
        "container": found.container,
    }


def _picture(found: Inspection, pictures: dict[Size, Picture], deinterlace: Deinterlace) -> dict[str, Any]:
    format = found.formats[int(np.bincount(found.format_of).argmax())]
    width, height = format.upright
    picture = pictures.get(format.upright)
    return {
        "width": width,
        "height": height,
        "pixel_format": format.pixel_format,
        "matrix": format.matrix,
        "range": format.range,
        "transfer": format.transfer,
        "primaries": format.primaries,
        "pixel_aspect": str(format.pixel_aspect).replace("/", ":"),
        "rotation": format.rotation,
        "crop": " ".join(map(str, picture.box)) if picture and picture.box else "",
        "texts": len(picture.texts) if picture else 0,
        "treatment": "; ".join(treatments(found, pictures, deinterlace)),
    }
