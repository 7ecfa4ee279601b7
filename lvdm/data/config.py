"""Configuration of the data layer."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from lvdm.config import Config

OnBadVideo = Literal["skip", "fail", "strict"]
Deinterlace = Literal["auto", "on", "off"]
Overlay = Literal["cover", "leave-out", "keep"]

_LEAST_SIDE, _SIDE_STEP = 16, 8


def _resolution(value: Any) -> Any:
    """One number for a square, so that ``[64, 64]`` makes nothing stale that ``64`` made; else (height, width)."""
    sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
    fit = [type(side) is int and side >= _LEAST_SIDE and side % _SIDE_STEP == 0 for side in sides]
    if len(sides) != 2 or not all(fit):
        raise ValueError(
            f"give one number for square frames, or [height, width], each at least {_LEAST_SIDE} and a multiple of "
            f"{_SIDE_STEP}"
        )
    return sides[0] if sides[0] == sides[1] else sides


_Side = Annotated[int, Field(ge=_LEAST_SIDE, multiple_of=_SIDE_STEP)]
Resolution = Annotated[_Side | tuple[_Side, _Side], BeforeValidator(_resolution)]
"""Pixels of a frame: a number for a square, or height and width."""


def frame_size(resolution: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def as_written(resolution: int | tuple[int, int]) -> str:
    """As a user writes it, for messages: ``64`` or ``[32, 48]``."""
    return str(resolution if isinstance(resolution, int) else list(resolution))


class ClipConfig(Config):
    """What a clip is: the unit that every network of the pipeline sees."""

    resolution: Resolution = Field(
        128, description="Pixels of a frame: one number for squares, or [height, width]; multiples of 8."
    )
    length: int = Field(16, ge=4, multiple_of=4, description="Frames in a clip.")
    stride: int = Field(1, ge=1, description="Distance of two frames of a clip, in extracted frames.")
    step: int = Field(8, ge=1, description="Distance of the first frames of two neighbouring windows.")
    fps: float | None = Field(
        None, gt=0, description="Frame rate after extraction, frames/s; null keeps each video's own rate."
    )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, pixels."""
        return frame_size(self.resolution)

    @property
    def height(self) -> int:
        """Of a frame, pixels."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Of a frame, pixels."""
        return self.size[1]

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


class CuttingConfig(Config):
    """Which frames of a recording are used, in which pieces."""

    clip: ClipConfig = ClipConfig()
    gap: float = Field(0.5, gt=0, description="Pause between two frames, s, from which on no clip spans it.")
    cut: CutConfig = CutConfig()
    overlay: Overlay = "cover"
    on_bad_video: OnBadVideo = "skip"


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


class GroupConfig(Config):
    """What belongs together, e.g. all videos of one patient: such videos are on one side of the split."""

    pattern: str | None = Field(
        None,
        min_length=1,
        description="Regular expression, searched in the path below the root; the group is what its parentheses hold.",
    )
    folder: int | None = Field(
        None, description="Folder that names the group: 1 is the first below the root, -1 the one that the video is in."
    )
    table: Path | None = Field(None, description="CSV file with the columns video and group.")

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_pattern(cls, value: Any) -> Any:
        return {"pattern": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self):
        if sum(way is not None for way in (self.pattern, self.folder, self.table)) != 1:
            raise ValueError("give a regular expression, or a mapping with one of `pattern`, `folder` and `table`")
        if self.folder == 0:
            raise ValueError("`folder` is 1 for the first folder below the root, or -1 for the one that a video is in")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}") from None
        return self


class RateConfig(Config):
    """How fast the frames of a public data set follow each other, and what that says of the patient."""

    frames: float | None = Field(gt=0, description="Frames/s of the files; null: not published.")
    meaning: str = Field(min_length=1, description="What a second of the files is in the examination.")


class LabelsConfig(Config):
    """Labels that come with a public data set."""

    what: str = Field(min_length=1, description="What they tell, e.g. phases of the operation.")
    files: str = Field(min_length=1, description="Where they are: a path or a glob below `folder`, or a page.")
    columns: tuple[str, ...] = Field((), description="Columns of these files, in their order.")
    of: Literal["frames", "videos", "images"] = Field(
        description="What one label belongs to; `images` are not among the videos."
    )


class RecipeConfig(Config):
    """A public data set: where its videos are in the download, and what is published of them."""

    title: str = Field(min_length=1)
    page: str = Field(pattern="^https?://", description="Where the data set is to be had.")
    licence: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    sources: tuple[str, ...] = Field(min_length=1, description="Where the layout and all else stated here was read.")
    layout: str = Field(min_length=1, description="Folders and names as they are unpacked into `folder`.")
    folder: str = Field(min_length=1, description="Folder that the data set is looked for in.")
    videos: str | tuple[str, ...] | None = Field(None, description="Glob or globs of video files, below `folder`.")
    frames: str | None = Field(None, description="Folder, or glob of folders, with frame folders, below `folder`.")
    group: str | None = Field(description="Regular expression; what its parentheses hold names the group.")
    one_group: str = Field(min_length=1, description="What a group is: a patient, a procedure, a lesion.")
    patients: str = Field(min_length=1, description="What the published metadata tell of patients, and what not.")
    rate: RateConfig
    labels: tuple[LabelsConfig, ...] = Field(())
    folds: dict[str, tuple[str, ...]] = Field({}, description="Published folds, as the names of groups.")
    test_fold: str | None = Field(None, description="The fold that is the official test set, where there is one.")
    notes: tuple[str, ...] = Field((), description="Sentences that a user of the data set should read.")
    override: dict[str, dict[str, Any]] = Field({}, description="Sections that differ for this data set.")

    @model_validator(mode="after")
    def _one_source(self):
        if (self.videos is None) == (self.frames is None):
            raise ValueError("a recipe has either `videos` or `frames`")
        if self.test_fold is not None and self.test_fold not in self.folds:
            raise ValueError(f"`test_fold` {self.test_fold} is none of the folds {', '.join(self.folds) or '(none)'}")
        return self
