"""Write the results page: tables, curves, reconstructions, and generated videos beside real ones."""

import logging
from pathlib import Path

from lvdm.data.video import write_h264
from lvdm.files import check_outputs
from lvdm.reporting.page import MEDIA, write_page
from lvdm.stages.config import ReportStageConfig

_logger = logging.getLogger(__name__)


def run(config: ReportStageConfig, *, page: Path) -> None:
    """Write the results page: tables, curves, reconstructions, and generated videos beside real ones.

    ``page`` is an HTML file that needs no network; the folder ``media`` beside it is replaced. Raises
    ``ValueError`` or ``OSError`` that names the file of an earlier stage that is missing or broken.
    """
    check_outputs(page, folders=[page.parent / MEDIA])
    write_page(config.datasets, config.report, page, write_h264)
    _logger.info("open %s in a browser", page)
