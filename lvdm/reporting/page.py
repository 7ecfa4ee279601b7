"""The results page: one HTML file and a folder of media that work from a disk, without a network."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from lvdm.files import publish, write_text
from lvdm.provenance import versions
from lvdm.reporting.config import DatasetFiles, ReportConfig
from lvdm.reporting.media import Media, WriteVideo
from lvdm.reporting.sections import read_section

MEDIA = "media"


def write_page(datasets: Sequence[DatasetFiles], config: ReportConfig, page: Path, write_video: WriteVideo) -> None:
    """Publish the page and, beside it, the folder ``media`` with everything that it shows.

    ``write_video`` makes the videos of pairs of clips.
    Raises ``ValueError`` or ``OSError`` that names the file that is missing or not what it should be;
    an earlier page and its media are then left as they were.
    """
    with publish(page.parent / MEDIA) as media:
        media.mkdir()
        sections = [
            read_section(files, config, Media(media / files.name, f"{MEDIA}/{files.name}", write_video))
            for files in datasets
        ]
        html = _environment().get_template("page.html.j2").render(sections=sections, versions=versions())
    write_text(page, html)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lvdm.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["url"] = quote
    return environment
