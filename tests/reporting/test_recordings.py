"""What the page says of recordings, from records and a manifest as stages write them."""

import json

import pandas as pd
import pytest

from lvdm.reporting.config import DatasetFiles
from lvdm.reporting.recordings import LISTED_VIDEOS, read_recordings, shown_size

ROW = {"usable": True, "reason": "", "width": 640, "height": 480, "split": "train", "lost": ""}
NUMBERS = {"repeats": 0, "true_fps": 0.0, "interlaced": 0, "combs": 0.5}
RECORD = {
    "usable": True, "reason": "", "crop": {"box": [0, 0, 480, 480], "note": "given"}, "frames": 100, "fps": 25.0,
    "resampled": False, "resolution": 128, "upscaled": False, "treatment": [], "covered": [], "left_out": {},
    "pieces": [{"first": 0, "frames": 100, "start": 0.0}],
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """``read({id: (what differs in its row, what differs in its record)})``"""

    def read(given, heldout=0.1):
        records = []
        for id, (_, record) in given.items():
            records.append(tmp_path / f"{id}.json")
            records[-1].write_text(json.dumps(RECORD | {"id": id, "group": id} | record))
        rows = [ROW | NUMBERS | {"id": id} | row for id, (row, _) in given.items()]
        pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
        return read_recordings(
            DatasetFiles.model_construct(
                manifest=tmp_path / "manifest.csv", records=tuple(records), heldout=heldout, notes=()
            )
        )

    return read


def test_clean_videos_have_a_line_and_the_columns_of_before(read):
    found = read({"a": ({}, {}), "b": ({"split": "heldout"}, {"frames": 25})})
    assert found.sides == (
        "Trained on: 1 recording, 100 frames. Held out: 1 recording, 25 frames, 20.0% of the frames (wanted: 10.0% of "
        "the videos)."
    )
    assert found.done.rows == ()
    assert found.extracted.columns == (
        "Video", "Source", "Part that is kept", "Crop", "Scaled to", "Frames", "Rate",
    )  # fmt: skip
    assert found.extracted.rows[0] == (
        "a", "640 × 480", "480 × 480 from (0, 0)", "given", "128", "100", "25/s",
    )  # fmt: skip


def test_named_videos_that_are_held_out_have_no_share_that_was_wanted(read):
    assert "(chosen by name)" in read({"a": ({}, {}), "b": ({"split": "heldout"}, {})}, heldout=None).sides


def test_repeats_by_their_true_rate_texts_and_damage(read):
    found = read(
        {
            "a": ({"repeats": 40, "true_fps": 12.5}, {"covered": [[1, 2, 30, 8], [5, 60, 30, 8]]}),
            "b": ({"repeats": 2}, {"upscaled": True, "resolution": [64, 96]}),
            "c": ({"lost": "12 of 60 frames are missing"}, {"left_out": {"frozen": 1500}}),
        }
    )
    assert found.done.rows == (
        ("Left out: frozen", "1", "1,500 frames", "c"),
        ("Could not be decoded in part", "1", "12 of 60 frames are missing", "c"),
        ("Frames repeat in a pattern and stay; true rate 12.5/s", "1", "40 frames", "a"),
        ("Frames repeat and stay", "1", "2 frames", "b"),
        ("Enlarged", "1", "", "b"),
        ("Burned-in text or logo, covered", "1", "2 places", "a"),
    )
    rows = {row[0]: row for row in found.extracted.rows}
    assert rows["b"][4] == "96 × 64, enlarged"
    assert "text covered at [1, 2, 30, 8]" in rows["a"][-1]
    assert rows["c"][-1] == "left out: 1,500 frozen"


def test_many_recordings_are_counted_and_three_are_named(read):
    found = read(
        {f"v{number:03}": ({"combs": 0.9}, {"treatment": ["mirrored"]}) for number in range(LISTED_VIDEOS + 5)}
    )
    assert found.done.rows == (("Mirrored", "205", "", "v000, v001, v002 and 202 more"),)
    assert found.warnings[0].startswith("v000, v001, v002 and 202 more have combs")
    assert (len(found.extracted.rows), found.unlisted) == (LISTED_VIDEOS, 5)


def test_what_was_deinterlaced_has_no_combs_left(read):
    assert read({"a": ({"combs": 0.9}, {"treatment": ["deinterlaced (bwdif)"]})}).warnings == ()


def test_a_number_in_the_manifest_that_is_none(read):
    with pytest.raises(ValueError, match=r"manifest\.csv is no manifest: 'many' in column 'repeats' is no number"):
        read({"a": ({"repeats": "many"}, {})})


@pytest.mark.parametrize(("resolution", "shown"), [(64, "64 × 64"), ([32, 48], "48 × 32")])
def test_sizes_are_width_and_height(resolution, shown):
    assert shown_size(resolution) == shown
