"""Decide which part of the picture is kept in all recordings of a group."""

import logging
from pathlib import Path

from lvdm.data.crops import find_pictures, write_pictures
from lvdm.data.inspection import read_inspection
from lvdm.files import check_outputs
from lvdm.stages.config import CropStageConfig

_logger = logging.getLogger(__name__)


def run(config: CropStageConfig, *, inspections: list[Path], crop: Path) -> None:
    """Write ``crop`` (JSON): for each size of picture the box that is kept, and the burned-in texts in it.

    ``inspections`` are those of all recordings of a group. Raises ``ValueError`` for a file that is none.
    """
    check_outputs(crop)
    pictures = find_pictures(
        [read_inspection(path) for path in sorted(inspections)], config.crop, texts=config.overlay != "keep"
    )
    for (width, height), picture in pictures.items():
        texts = f", {len(picture.texts)} burned-in texts" if picture.texts else ""
        _logger.info("%s: %dx%d: %s (%s)%s", crop.stem, width, height, picture.box, picture.note, texts)
    write_pictures(crop, pictures)
