"""Configuration of the report."""

from pathlib import Path

from pydantic import Field

from lvdm.config import Config


class ReportConfig(Config):
    """What the page shows."""

    videos: int = Field(8, ge=1, le=64, description="Generated and real videos shown a data set, each.")
    fps: float = Field(8.0, gt=0, description="Rate at which previews play, frames/s.")
    preview_size: int = Field(128, ge=32, multiple_of=2, description="Height and width of previews, pixels.")


class ModelFiles(Config):
    """What stages score and memorise wrote of one model under one protocol with one detector."""

    protocol: str
    detector: str
    model: str = Field(description="A sampler, the name of another generator, or a reference row.")
    curve: Path = Field(description="Distance against the number of clips.")
    distances: Path | None = Field(None, description="Distances to the nearest training clips, where looked for.")
    pairs: Path | None = Field(None, description="Folder of the clips of the closest pairs.")


class DatasetFiles(Config):
    """What the page shows of one data set: the files of the stages before it, in the order of the pipeline."""

    name: str
    manifest: Path
    heldout: float | None = Field(None, description="Share that is to be held out; none where names were given.")
    notes: tuple[str, ...] = Field((), description="What a user should know of the plan, a line each.")
    records: tuple[Path, ...] = Field((), description="One record a video, of stage extract.")
    table: Path
    latex: Path
    autoencoder_curve: Path
    autoencoder_quality: Path
    reconstructions: Path
    diffusion_curve: Path
    diffusion_quality: Path
    samples: Path
    statistics: Path
    real_previews: Path
    generated_previews: tuple[Path, ...] = Field((), description="Folders of previews, named by sampler or generator.")
    models: tuple[ModelFiles, ...] = Field((), description="Files of the scores.")
    configs: tuple[Path, ...] = Field((), description="The frozen configurations that the stages ran with.")
    cost: Path | None = Field(None, description="What the stages of all data sets cost, of stage cost.")
