"""Recordings of every kind against the pattern that they were made from. A tenth runs by default."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import corpus

from lvdm.data.config import ClipConfig, CropConfig, CutConfig
from lvdm.data.video import read_frames
from lvdm.files import read_json
from lvdm.stages import extract
from lvdm.stages.config import ExtractConfig

RECORDINGS = corpus.recordings()
# Every tenth, so that each part of the corpus is there.
CASES = [
    pytest.param(recording, id=recording.name, marks=() if index % 10 == 0 else pytest.mark.slow)
    for index, recording in enumerate(RECORDINGS)
]


def read(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Frames (T, H, W, 3) of a recording as stage extract makes them, and what was done to them."""
    frames, record = path.with_suffix(".frames.mkv"), path.with_suffix(".json")
    config = ExtractConfig(
        clip=ClipConfig(resolution=corpus.TARGET, length=4),
        crop=CropConfig(mode="none"),
        cut=CutConfig(black=False, blank=False, frozen=None),
        overlay="keep",
    )
    extract.run(config, video=path, frames=frames, record=record)
    found = read_json(record)
    assert found["usable"], found["reason"]
    assert found["left_out"] == {}
    return read_frames(frames), tuple(found["treatment"])


def test_the_corpus_is_large_and_has_no_file_twice():
    names = [recording.name for recording in RECORDINGS]
    assert len(names) == len(set(names)) >= 200


@pytest.mark.parametrize("recording", CASES)
def test_a_recording_shows_its_pattern(recording, tmp_path):
    frames, done = read(corpus.make(recording, tmp_path))
    assert corpus.complaints(recording, frames) == []
    if recording.fields:
        assert "deinterlaced (bwdif)" in done
    if recording.rotation:
        assert f"rotated by {recording.rotation} degrees" in done
    if recording.aspect != 1 and not recording.rotation % 180:
        assert f"pixel aspect {recording.aspect.numerator}:{recording.aspect.denominator}" in done


def test_the_comparison_finds_what_is_wrong():
    recording = RECORDINGS[0]
    right = np.stack([corpus.expected(recording, index)[0] for index in range(corpus.FRAMES)])
    assert corpus.complaints(recording, right) == []
    assert "instead of" in corpus.complaints(recording, right[1:])[0]
    assert "colours" in corpus.complaints(recording, np.maximum(right, 3))[0]
    assert "colours" in corpus.complaints(recording, right[::-1])[0]
    assert any("edges" in found for found in corpus.complaints(recording, np.roll(right, 2, axis=2)))
    assert any("edges" in found for found in corpus.complaints(recording, np.roll(right, -2, axis=1)))
