"""How metrics and models are called in tables and figures, and which way is better."""

import re
from dataclasses import dataclass

import pandas as pd

INFINITY = "_infinity"

# The metric of clips that begin later in longer videos: "fvd@16" from frame 16 on.
WINDOW = re.compile(r"(?P<name>.+)@(?P<first>\d+)")

_HIGHER, _LOWER = "↑", "↓"

# In the order of columns.
_METRICS = {
    "fvd": ("FVD", _LOWER),
    "kvd": ("KVD", _LOWER),
    "cd_fvd": ("CD-FVD", _LOWER),
    "jedi": ("JEDi", _LOWER),
    "frechet_distance": ("Fréchet distance", _LOWER),
    "kernel_distance": ("Kernel distance", _LOWER),
    "fid": ("FID", _LOWER),
    "kid": ("KID", _LOWER),
    "is": ("IS", _HIGHER),
    "video_is": ("Video IS", _HIGHER),
    "precision": ("Precision", _HIGHER),
    "recall": ("Recall", _HIGHER),
    "density": ("Density", _HIGHER),
    "coverage": ("Coverage", _HIGHER),
    "l1": ("L1", _LOWER),
    "psnr": ("PSNR (dB)", _HIGHER),
    "ssim": ("SSIM", _HIGHER),
    "lpips": ("LPIPS", _LOWER),
}
_ORDER = list(_METRICS)

# Fréchet distances, of which there are curves against the number of clips.
FRECHET = ("fvd", "cd_fvd", "fid", "frechet_distance")

_REFERENCES = {"real": "real against real", "train": "training against held-out", "noise": "noise against real"}


@dataclass(frozen=True)
class Metric:
    """``better`` is an arrow, up or down; empty of a metric that is not known here."""

    label: str
    better: str

    @property
    def sign(self) -> int:
        """1 where lower is better, -1 where higher is, 0 where that is not known."""
        return {_LOWER: 1, _HIGHER: -1}.get(self.better, 0)


def metric(name: str) -> Metric:
    """A metric by its name in a results table."""
    base = name.removesuffix(INFINITY)
    label, better = _METRICS.get(base, (base, ""))
    return Metric(label + "∞" * (base != name), better)


def column_order(name: str) -> tuple[int, str]:
    """Sorts metrics: as listed here, each followed by its value for infinitely many clips, then others."""
    base = name.removesuffix(INFINITY)
    return (_ORDER.index(base) if base in _METRICS else len(_ORDER), name)


def model_name(row: pd.Series) -> str:
    """A row of a results table by its model, and its sampler where there is one."""
    if row["model"] in _REFERENCES:
        return _REFERENCES[row["model"]]
    return f"{row['model']}, {row['sampler']}" if row["sampler"] else row["model"]


def is_reference(model: str) -> bool:
    """Whether a row is of no generator, but says what others must be read against."""
    return model in _REFERENCES
