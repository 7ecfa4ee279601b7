"""Configuration of the report."""

from pathlib import Path

from pydantic import Field

from lvdm.config import Config


class ReportConfig(Config):
    """What the page shows."""

    videos: int = Field(8, ge=1, le=64, description="Generated and real videos shown a data set, each.")
    fps: float = Field(8.0, gt=0, description="Rate at which previews play, frames/s.")
    preview_size: int = Field(128, ge=32, multiple_of=2, description="Height and width of previews, pixels.")


class DatasetFiles(Config):
    """What the page shows of one data set: the files of the stages before it."""

    name: str
    manifest: Path
    records: tuple[Path, ...] = Field((), description="One record a video, of stage extract.")
    table: Path
    autoencoder_curve: Path
    autoencoder_quality: Path
    reconstructions: Path
    diffusion_curve: Path
    diffusion_quality: Path
    samples: Path
    statistics: Path
    real_previews: Path
    sample_previews: dict[str, Path] = Field({}, description="Sampler name to folder of previews.")
    configs: dict[str, Path] = Field({}, description="Stage name to the frozen configuration that it ran with.")
