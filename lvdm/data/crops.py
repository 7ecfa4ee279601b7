"""Where the picture is in all recordings of a group: one crop and one list of burned-in texts for each size.

The pieces of one examination come from one endoscope and one recorder. A dark scene alone would not show the border,
so what all of them show together decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvdm.data import overlay
from lvdm.data.config import CropConfig
from lvdm.data.crop import Box, find_crop
from lvdm.data.evidence import Evidence, Size
from lvdm.data.inspection import Inspection
from lvdm.files import read_json, write_json


@dataclass(frozen=True)
class Picture:
    """What is kept of the frames of one size. ``box`` is None where nothing can be: ``note`` says why."""

    box: Box | None
    note: str
    texts: tuple[Box, ...] = ()
    """Burned-in texts and logos within the box."""


def find_pictures(recordings: Sequence[Inspection], config: CropConfig, texts: bool = True) -> dict[Size, Picture]:
    """The crop of each size that occurs in a group; with ``texts``, burned-in texts are looked for."""
    sizes = sorted({size for recording in recordings for size in recording.evidence})
    return {
        size: _picture([found.evidence[size] for found in recordings if size in found.evidence], config, texts)
        for size in sizes
    }


def write_pictures(path: Path, pictures: dict[Size, Picture]) -> None:
    """Publish them as JSON, by ``{width}x{height}``."""
    write_json(
        path,
        {
            "pictures": {
                f"{width}x{height}": {"box": picture.box, "note": picture.note, "texts": picture.texts}
                for (width, height), picture in pictures.items()
            }
        },
    )


def read_pictures(path: Path) -> dict[Size, Picture]:
    """What :func:`write_pictures` wrote. Raises ``ValueError`` that names the file when it is something else."""
    record = read_json(path)
    try:
        return {
            _size(name): Picture(
                tuple(stated["box"]) if stated["box"] is not None else None,
                stated["note"],
                tuple(tuple(box) for box in stated["texts"]),
            )
            for name, stated in record["pictures"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: does not hold the crops of a group ({error!r}); run `lvdm crop` again") from None


def _picture(evidence: Sequence[Evidence], config: CropConfig, texts: bool) -> Picture:
    height, width = evidence[0].peak.shape
    if config.mode == "box":
        left, top, wide, high = config.box
        if left + wide > width or top + high > height:
            note = (
                f"{width}x{height} pixels, but data.crop.box {list(config.box)} reaches to "
                f"{left + wide}x{top + high}; give a smaller box"
            )
            return Picture(None, note)
        box, note = config.box, "given"
    elif config.mode == "none":
        box, note = (0, 0, width, height), "no crop: switched off"
    else:
        # A recording that shows something else, a menu say, does not decide where there are many.
        low = np.percentile([found.low for found in evidence], 5, axis=0, method="nearest")
        peak = np.percentile([found.peak for found in evidence], 95, axis=0, method="nearest")
        crop = find_crop(low, peak)
        box, note = crop.box, crop.note
    return Picture(box, note, _texts([found.texts for found in evidence], box) if texts else ())


def _texts(evidence: Sequence[overlay.Evidence], box: Box) -> tuple[Box, ...]:
    """Texts that all recordings share, and those of each: a patient's name differs from one to the next."""
    shared = [overlay.combined(evidence)] if len(evidence) > 1 else []
    return tuple(sorted({text.box for found in [*shared, *evidence] for text in overlay.find_overlays(found, box)}))


def _size(name: str) -> Size:
    width, height = name.split("x")
    return int(width), int(height)
