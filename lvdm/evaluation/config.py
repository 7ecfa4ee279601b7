"""Configuration of the scores."""

from typing import Any, Literal

from pydantic import Field, model_validator

from lvdm.config import Config, NetworkFile

# Values a clip or frame; of the kinds that are not here, the network decides.
_FEATURES = {"i3d": 400, "inception": 2048, "c3d": 101, "i3d-state-dict": 400, "random3d": 64}


Kind = Literal["i3d", "inception", "c3d", "i3d-state-dict", "videomae", "v-jepa", "video", "image", "random3d"]


class DetectorConfig(Config):
    """The network whose features are compared."""

    kind: Kind = Field(
        "random3d",
        description="What the file is and how it is called. TorchScript: i3d (StyleGAN-V's), inception (NVIDIA's "
        "2015-12-05), c3d (StyleGAN-V's of UCF-101), video and image (any other network of clips or of frames in "
        "[-1, 1]); videomae and v-jepa are called as video is, and their distances are CD-FVD and JEDi. "
        "i3d-state-dict: weights of the I3D of VideoGPT, TATS and LVDM. random3d: no file but a small 3D network with "
        "seeded random weights, a stand-in; its distances compare runs of one machine, never papers.",
    )
    file: NetworkFile | None = Field(None, description="The network's file; every kind but random3d has one.")
    features: int = Field(
        64,
        ge=2,
        description="Values a clip or frame. Known of i3d, inception, c3d and random3d; of others it must be given.",
    )
    seed: int = Field(0, ge=0, description="random3d only: seed of the weights.")

    @model_validator(mode="before")
    @classmethod
    def _known_features(cls, data: Any) -> Any:
        if isinstance(data, dict) and "features" not in data:
            kind = data.get("kind", "random3d")
            if kind in ("video", "image", "videomae", "v-jepa"):
                raise ValueError(f"kind `{kind}` needs `features`, the number of values that the network gives")
            return {**data, "features": _FEATURES.get(kind, 64) if isinstance(kind, str) else 64}
        return data

    @model_validator(mode="after")
    def _file_unless_random(self):
        if (self.kind == "random3d") != (self.file is None):
            raise ValueError("kind `random3d` takes no `file`; every other kind needs one, with `url` or `path`")
        return self

    @property
    def sees(self) -> Literal["clips", "frames"]:
        """What one row of its features is of."""
        return "frames" if self.kind in ("inception", "image") else "clips"

    @property
    def classifies(self) -> bool:
        """Whether it gives class probabilities too, of which an inception score is made."""
        return self.kind in ("inception", "c3d")

    @property
    def compares(self) -> bool:
        """Whether its features are compared; those of c3d serve the inception score alone."""
        return self.kind != "c3d"

    @property
    def takes_squares(self) -> bool:
        """Whether frames must be square, because its network stretches others to one without a word."""
        return self.kind in ("i3d", "inception", "c3d", "i3d-state-dict")

    @property
    def compares_clips(self) -> bool:
        """Whether its features tell how near one clip is to another."""
        return self.compares and self.sees == "clips"


class ResizeConfig(Config):
    """How frames of another size are brought to the square at which all are compared."""

    size: int = Field(ge=16, multiple_of=8, description="Height and width, pixels.")
    filter: Literal["bilinear", "lanczos"] = Field(
        "bilinear", description="bilinear: without antialiasing, as torch interpolates; lanczos: Pillow's, with it."
    )
    keep_aspect: bool = Field(
        True, description="true: the shorter side becomes `size` and the centre is cut out; false: both sides do."
    )


class SelectionConfig(Config):
    """Which clips, or frames, of one side are compared, and what is done to them first."""

    starts: Literal["first", "random", "all"] = Field(
        "first",
        description="first: one clip a video, from its first frame; random: one a video, from a seeded frame; all: "
        "every window, data.step frames apart.",
    )
    choice: Literal["first", "random"] = Field(
        "first", description="Where there are more than wanted: the first by name, or a seeded choice."
    )
    clips: int | None = Field(2048, ge=2, description="Clips, at most; null: all.")
    frames: Literal["clips", "all"] = Field(
        "clips", description="What detectors of frames see: the frames of the chosen clips, or all of the videos."
    )
    max_frames: int | None = Field(50000, ge=2, description="Frames, at most, for detectors of frames; null: all.")
    jpeg_quality: int | None = Field(
        None, ge=1, le=95, description="Quality (Pillow's) of a JPEG round trip of every frame; null: none."
    )
    window_step: int | None = Field(
        None,
        ge=1,
        description="Generated videos longer than a clip are scored again from frames 0, window_step, 2 window_step, "
        "...; null: not.",
    )


class RealSelectionConfig(SelectionConfig):
    """The real clips."""

    split: Literal["all", "train", "heldout"] = Field("all", description="Videos they are of.")
    stride: int | None = Field(
        None, ge=1, description="Distance of two frames of a clip, in extracted frames; null: data.stride."
    )

    @model_validator(mode="after")
    def _windows_are_of_generated_videos(self):
        if self.window_step is not None:
            raise ValueError("`window_step` is for generated videos: give it in section `fake`")
        return self


class FakeSelectionConfig(SelectionConfig):
    """The generated clips."""

    stride: int = Field(1, ge=1, description="Distance of two frames of a clip, in generated frames.")


class KernelConfig(Config):
    """The kernel distance: the maximum mean discrepancy under a cubic polynomial kernel, unbiased."""

    subsets: int | None = Field(100, ge=1, description="Subsets that it is averaged over; null: one of everything.")
    subset_size: int = Field(1000, ge=2, description="Clips in a subset, at most.")


class ManifoldConfig(Config):
    """Precision and recall, density and coverage: by nearest neighbours."""

    precision_neighbours: int = Field(3, ge=1, description="Neighbours for precision and recall.")
    density_neighbours: int = Field(5, ge=1, description="Neighbours for density and coverage.")
    samples: int = Field(10000, ge=2, description="Clips or frames a side, at most; a seeded choice.")


class MetricsConfig(Config):
    """How numbers are made of features."""

    ddof: Literal[0, 1] = Field(1, description="What a covariance is divided by: N - ddof.")
    kernel: KernelConfig = KernelConfig()
    inception_splits: int = Field(10, ge=1, description="Parts that the inception score is averaged over.")
    inception_shuffle: Literal["none", "clips", "all"] = Field(
        "all", description="What is put in a seeded order before it is parted: nothing, clips but not frames, or both."
    )
    manifold: ManifoldConfig = ManifoldConfig()
    bootstrap: int = Field(200, ge=0, description="Resamples for the 95 percent intervals; 0: no intervals.")
    curve_points: int = Field(8, ge=3, description="Numbers of clips of the curve against N and its extrapolation.")


class ProtocolConfig(Config):
    """Which clips are compared, and how: everything a number depends on besides the detector."""

    length: int | None = Field(None, ge=4, multiple_of=4, description="Frames in a clip; null: data.length.")
    resize: ResizeConfig | None = Field(
        None,
        description="Brings both sides to one square; null: a clip of another size than data.resolution is an error.",
    )
    real: RealSelectionConfig = RealSelectionConfig(starts="all", choice="random")
    fake: FakeSelectionConfig = FakeSelectionConfig()
    runs: int = Field(1, ge=1, description="Repetitions with other random clips; a score is their mean.")
    metrics: MetricsConfig = MetricsConfig()
    seed: int = Field(0, ge=0, description="Of all that is chosen at random, and of the noise clips.")
