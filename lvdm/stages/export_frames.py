"""Write extracted frames as folders of PNG files, the layout that StyleGAN-V and Endora read."""

import logging
from pathlib import Path

from PIL import Image

from lvdm.data.video import frame_count, iterate_frames
from lvdm.files import publish
from lvdm.progress import Progress

_logger = logging.getLogger(__name__)


def run(*, frames: list[Path], folder: Path) -> None:
    """Write each video of ``frames`` (.mkv of stage extract) to ``folder/{video}/000000.png`` ...

    Lossless. ``folder`` is published whole; videos that were left out (empty files) get no folder.
    Raises ``ValueError`` when two files have one name, or when there is nothing to write.
    """
    names = [path.stem for path in frames]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several files are named {', '.join(twice)}; export them into folders of their own")
    videos = [path for path in frames if path.stat().st_size > 0]
    if not videos:
        raise ValueError("there are no frames to export: every file given is the empty one of a video left out")
    total = sum(frame_count(path) for path in videos)
    with publish(folder) as new_folder, Progress("exporting", total, "frame") as progress:
        for path in videos:
            target = new_folder / path.stem
            target.mkdir(parents=True)
            _export(path, target, progress)
    _logger.info("wrote %d frames of %d videos to %s", total, len(videos), folder)


def _export(path: Path, target: Path, progress: Progress) -> None:
    index = 0
    for batch in iterate_frames(path):
        for frame in batch:
            Image.fromarray(frame).save(target / f"{index:06}.png")
            index += 1
        progress.advance(len(batch))
