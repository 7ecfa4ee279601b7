"""Join the scores of a data set to its results table, for programs and for people."""

import logging
from pathlib import Path

import pandas as pd

from lvdm.files import publish, write_text
from lvdm.reporting.tables import autoencoder_rows, join, markdown_page, read_rows

_logger = logging.getLogger(__name__)


def run(*, dataset: str, scores: list[Path], quality: Path, table: Path, markdown: Path) -> None:
    """Join the scores of a data set to its results table, for programs and for people.

    ``scores`` are files of stage score, ``quality`` the held-out quality of the autoencoder. Writes
    ``table`` (.csv), a row a number, the numbers to their last digit, and ``markdown``, the same rounded
    and explained. Raises ``ValueError`` for a file that is no table of scores.
    """
    rows = join([*map(read_rows, scores), autoencoder_rows(pd.read_csv(quality, dtype={"value": str}), dataset)])
    with publish(table) as temporary:
        rows.to_csv(temporary, index=False)
    write_text(markdown, markdown_page(rows, dataset))
    _logger.info("%s: %d rows", table, len(rows))
