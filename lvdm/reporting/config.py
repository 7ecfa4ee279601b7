"""Configuration of the report."""

from pydantic import Field

from lvdm.config import Config


class ReportConfig(Config):
    """What the page shows."""

    videos: int = Field(8, ge=1, le=64, description="Generated and real videos shown a data set, each.")
    fps: float = Field(8.0, gt=0, description="Rate at which previews play, frames/s.")
    preview_size: int = Field(128, ge=32, multiple_of=2, description="Height and width of previews, pixels.")
