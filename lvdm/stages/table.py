"""Join the scores of a data set to its results table, for programs, for people and for papers."""

import logging
from pathlib import Path

from lvdm.data.clip_list import clips_hash, read_listed
from lvdm.files import check_outputs, publish, write_text
from lvdm.reporting.frames import read_quality
from lvdm.reporting.markup import latex_page, markdown_page
from lvdm.reporting.tables import autoencoder_rows, join, published_rows, read_rows, with_clips

_logger = logging.getLogger(__name__)


def run(
    *,
    dataset: str,
    scores: list[Path],
    quality: Path,
    shards: list[Path] = [],  # noqa: B006 (read only)
    published: Path | None = None,
    table: Path,
    markdown: Path,
    latex: Path | None = None,
) -> None:
    """Join the scores of a data set to its results table, for programs, for people and for papers.

    ``scores`` are files of stage score, ``quality`` the held-out quality of the autoencoder, ``published``
    (.csv) numbers of papers: columns model, metric, value, source. Writes ``table`` (.csv), a row a number, the
    numbers to their last digit, and the same rounded and explained as ``markdown`` and as ``latex`` (booktabs).
    With the records of all ``shards`` (.json), a hash of the list of clips stands in each of them.
    Raises ``ValueError`` for a file that is no table of scores or of published numbers.
    """
    check_outputs(table, markdown, latex)
    parts = [*map(read_rows, scores), autoencoder_rows(read_quality(quality), dataset)]
    if published is not None:
        parts.append(published_rows(published, dataset))
    rows = join(parts)
    if shards:
        rows = with_clips(rows, clips_hash(read_listed(shards)))
    with publish(table) as temporary:
        rows.to_csv(temporary, index=False)
    write_text(markdown, markdown_page(rows, dataset))
    if latex is not None:
        write_text(latex, latex_page(rows, dataset))
    _logger.info("%s: %d rows", table, len(rows))
