"""Make endoscopy-like videos, for a run that needs no data."""

import logging
from pathlib import Path

import numpy as np

from lvdm.data.synthetic import add_panel, make_patient, render
from lvdm.data.video import write_h264
from lvdm.files import publish
from lvdm.progress import track
from lvdm.stages.config import DemoConfig

_logger = logging.getLogger(__name__)


def run(config: DemoConfig, *, folder: Path) -> None:
    """Write ``patient-01.mp4`` ... (H.264) into ``folder``, which is published whole.

    Patient n depends on (seed, n) alone. Every ``panel_every``-th is recorded as endoscopes do, on a
    larger black canvas with burned-in text beside the picture.
    """
    with publish(folder) as new_folder:
        new_folder.mkdir()
        for patient in track(range(1, config.patients + 1), "demo videos", unit="video"):
            write_h264(_frames(config, patient), new_folder / f"patient-{patient:02}.mp4", config.fps)
    _logger.info("wrote %d videos of %d frames to %s", config.patients, config.frames, folder)


def _frames(config: DemoConfig, patient: int) -> np.ndarray:
    """The video of one patient: uint8 ``(T, H, W, 3)``."""
    generator = np.random.default_rng([config.seed, patient])
    frames = np.stack(list(render(make_patient(generator), config.frames, config.size)))
    if not config.panel_every or patient % config.panel_every:
        return frames
    canvas, (rows, columns) = add_panel(config.size, ["SYNTHETIC", f"PATIENT {patient:02}", "GAIN +2", "ZOOM 1.0X"])
    recorded = np.repeat(canvas[None], config.frames, axis=0)
    recorded[:, rows, columns] = frames
    return recorded
