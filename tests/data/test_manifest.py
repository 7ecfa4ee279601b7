from pathlib import Path

import pytest

from lvdm.data.listing import Listed, listing_text, read_listing
from lvdm.data.manifest import ManifestRow, file_state, read_manifest, write_manifest

ROWS = [
    ManifestRow(
        id="a",
        path="data/a.mp4",
        group="p1",
        split="train",
        width=640,
        height=512,
        fps=30000 / 1001,
        frames=156,
        kept=150,
        left_out="6 black",
        duration=5.2052,
        codec="h264",
        sha256="0" * 64,
    ),
    ManifestRow(
        id="Gr__e-1",
        path="data/Größe, zwei\n.mp4",
        usable=False,
        reason='has 3 frames, but a clip spans 16; "sic"',
        variable_rate=True,
    ),
]


def test_rows_survive_the_file_exactly(tmp_path):
    write_manifest(tmp_path / "manifest.csv", ROWS)
    assert read_manifest(tmp_path / "manifest.csv") == ROWS


def test_the_columns_that_others_rely_on(tmp_path):
    write_manifest(tmp_path / "manifest.csv", ROWS)
    header = (tmp_path / "manifest.csv").read_text().splitlines()[0].split(",")
    assert header[:6] == ["id", "path", "group", "split", "usable", "reason"]
    assert {"width", "height", "fps", "frames", "kept", "left_out", "duration", "treatment", "sha256"} < set(header)


@pytest.mark.parametrize("text", ["", "id,path\na,b\n", 'id,path\n"a'])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.csv.*lvdm probe"):
        read_manifest(tmp_path / "manifest.csv")


@pytest.mark.parametrize("change", [("True", "yes"), (",156,", ",many,")])
def test_a_damaged_row_is_named(tmp_path, change):
    path = tmp_path / "manifest.csv"
    write_manifest(path, ROWS)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=r"manifest\.csv, line \d"):
        read_manifest(path)


def test_the_state_of_a_file_and_of_a_folder_of_frames(tmp_path):
    (tmp_path / "1.png").write_bytes(b"12")
    (tmp_path / "2.png").write_bytes(b"345")
    (tmp_path / "notes.txt").write_bytes(b"6789")
    assert file_state(tmp_path / "2.png") == (3, (tmp_path / "2.png").stat().st_mtime_ns)
    assert file_state(tmp_path)[0] == 5


def test_a_listing_survives_its_file(tmp_path):
    listed = [
        Listed("a", Path("data/a, b.mp4"), "p1", "train"),
        Listed("b", Path("data/ä\n.mp4"), left_out="same content as a"),
    ]
    (tmp_path / "listing.csv").write_text(listing_text(reversed(listed)), encoding="utf-8")
    assert read_listing(tmp_path / "listing.csv") == listed


@pytest.mark.parametrize("content", [b"", b"id,path\na,b\n", b"\xff\xfe", b"id,path,group,split,left_out\na,b\n"])
def test_another_file_is_no_listing(tmp_path, content):
    (tmp_path / "listing.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"listing\.csv"):
        read_listing(tmp_path / "listing.csv")
