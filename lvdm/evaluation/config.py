"""Configuration of the scores."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from lvdm.config import Config


class DetectorConfig(Config):
    """The network whose features are compared."""

    kind: Literal["torchscript", "random3d"] = Field(
        "random3d",
        description="torchscript: a file. random3d: a small 3D network with seeded random weights, a "
        "stand-in where no file is at hand; its distances compare runs of one machine, never papers.",
    )
    path: Path | None = Field(None, description="The TorchScript file.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Checksum of the file.")
    features: int = Field(64, ge=2, description="Values a clip.")
    seed: int = Field(0, ge=0, description="random3d only: seed of the weights.")

    @model_validator(mode="after")
    def _file_belongs_to_torchscript(self):
        if (self.kind == "torchscript") != (self.path is not None and self.sha256 is not None):
            raise ValueError("kind `torchscript` needs `path` and `sha256`; kind `random3d` takes neither")
        return self


class ProtocolConfig(Config):
    """Which clips are compared, and how many: everything a number depends on besides the detector."""

    real_split: Literal["all", "train", "heldout"] = Field("all", description="Videos the real clips are of.")
    max_real: int = Field(2048, ge=2, description="Real clips, at most; a seeded choice where there are more.")
    seed: int = Field(0, ge=0, description="Seed of that choice, of the halves and of the noise clips.")
    kernel_subsets: int = Field(100, ge=1, description="Subsets that the kernel distance is averaged over.")
    kernel_subset_size: int = Field(1000, ge=2, description="Clips in a subset, at most.")
