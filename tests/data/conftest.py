"""Small videos of many kinds, made when a test asks for them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

MakeVideo = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path) -> MakeVideo:
    """``make(name, *options, source=...)``: a video of ffmpeg's source, encoded as the options say."""

    def make(name: str, *options: str, source: str = "testsrc2=s=96x64:r=10:d=3", before: tuple[str, ...] = ()) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        given = source if isinstance(source, str) else str(source)
        lavfi = () if Path(given).exists() else ("-f", "lavfi")
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *before, *lavfi, "-i", given]
        subprocess.run([*command, *options, f"file:{path}"], check=True)
        return path

    return make
