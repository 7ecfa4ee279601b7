"""Configuration of the data layer."""

from typing import Literal

from pydantic import Field, model_validator

from lvdm.config import Config

OnBadVideo = Literal["skip", "fail", "strict"]


class ClipConfig(Config):
    """What a clip is: the unit that every network of the pipeline sees."""

    resolution: int = Field(128, ge=16, multiple_of=8, description="Height and width of a frame, pixels.")
    length: int = Field(16, ge=4, multiple_of=4, description="Frames in a clip.")
    stride: int = Field(1, ge=1, description="Distance of two frames of a clip, in extracted frames.")
    step: int = Field(8, ge=1, description="Distance of the first frames of two neighbouring windows.")
    fps: float | None = Field(
        None, gt=0, description="Frame rate after extraction, frames/s; null keeps each video's own rate."
    )

    @property
    def span(self) -> int:
        """Extracted frames that a clip covers, from its first to its last."""
        return (self.length - 1) * self.stride + 1


class CropConfig(Config):
    """Which part of the picture is kept before scaling."""

    mode: Literal["auto", "none", "box"] = Field(
        "auto", description="auto: detect black borders and burned-in side panels; box: use `box`."
    )
    box: tuple[int, int, int, int] | None = Field(
        None, description="left, top, width, height in pixels of the source, for mode `box`."
    )
    sampled_frames: int = Field(24, ge=2, description="Frames looked at for the detection.")

    @model_validator(mode="after")
    def _box_matches_mode(self):
        if (self.mode == "box") != (self.box is not None):
            raise ValueError("give `box: [left, top, width, height]` with `mode: box`, and only then")
        if self.box is not None and (min(self.box) < 0 or min(self.box[2:]) < 1):
            raise ValueError("`box` needs left, top >= 0 and width, height >= 1")
        return self


class CutConfig(Config):
    """Frames that decode and are left out all the same, because they show nothing that a camera saw."""

    black: bool = Field(True, description="Leave out frames that are black, or blacked out but for a logo or a text.")
    blank: bool = Field(True, description="Leave out frames of one colour, and test patterns without a picture.")
    frozen: float | None = Field(
        0.5,
        gt=0,
        description="Leave out stretches in which the picture stands still for this long, s; null keeps them.",
    )


class SplitConfig(Config):
    """Which videos are held out from training. Splits are by video, never by clip."""

    heldout: float | tuple[str, ...] = Field(
        0.1, description="Share of the videos, chosen by a hash of their names; or the list of their names."
    )
    train_shards: int = Field(8, ge=1, le=999, description="Files that the training clips are spread over.")
    heldout_shards: int = Field(2, ge=1, le=999, description="Files that the held-out clips are spread over.")

    @model_validator(mode="after")
    def _share_is_a_share(self):
        if isinstance(self.heldout, float) and not 0 <= self.heldout < 1:
            raise ValueError("`heldout` as a share must be at least 0 and less than 1")
        return self
