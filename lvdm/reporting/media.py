"""Files that a page shows: copied or made in its folder of media, and named as the page finds them."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lvdm.reporting.drawing import SUFFIXES, Panel, save
from lvdm.reporting.frames import check_picture

WriteVideo = Callable[[np.ndarray, Path, float], None]
"""Writes frames, uint8 (T, H, W, 3), as a video that browsers play, at a rate in frames/s."""


@dataclass(frozen=True)
class Figure:
    """A picture; ``dark`` is its version for a dark page, if there is one."""

    source: str
    title: str
    dark: str = ""


@dataclass(frozen=True)
class Media:
    """The folder of one data set's media, which the page finds at ``prefix``."""

    folder: Path
    prefix: str
    write_video: WriteVideo

    def copy(self, source: Path, name: str = "") -> str:
        """Take a file in; returns its path relative to the page."""
        shutil.copyfile(source, self.folder / (name or source.name))
        return f"{self.prefix}/{name or source.name}"

    def picture(self, source: Path, title: str) -> Figure:
        """Take a picture in."""
        return Figure(self.copy(check_picture(source)), title)

    def draw(self, panels: Iterable[Panel], name: str) -> tuple[Figure, ...]:
        """Draw figures, each for a light and for a dark page."""
        drawn = []
        for number, panel in enumerate(panels):
            source = save(panel, self.folder, f"{name}-{number:02}")
            dark = source.replace(SUFFIXES["light"], SUFFIXES["dark"])
            drawn.append(Figure(f"{self.prefix}/{source}", f"{name}: {panel.title}", f"{self.prefix}/{dark}"))
        return tuple(drawn)

    def video(self, frames: np.ndarray, name: str, fps: float) -> str:
        """Write a clip, uint8 (T, H, W, 3), as a video; returns its path relative to the page."""
        self.write_video(frames, self.folder / name, fps)
        return f"{self.prefix}/{name}"
