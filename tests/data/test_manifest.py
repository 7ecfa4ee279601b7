import pytest

from lvdm.data.manifest import ManifestRow, VideoInfo, file_state, read_manifest, write_manifest

ROWS = [
    ManifestRow(
        id="a",
        path="data/a.mp4",
        info=VideoInfo(width=640, height=512, fps=30000 / 1001, frames=156, duration=5.2052, codec="h264"),
        sha256="0" * 64,
        size=1,
        modified=1_700_000_000_123_456_789,
        settings="f",
    ),
    ManifestRow(
        id="Gr__e-1",
        path="data/Größe, zwei\n.mp4",
        info=VideoInfo(usable=False, reason='has 3 frames, but a clip spans 16; "sic"', variable_rate=True),
        sha256="",
        size=0,
        modified=0,
        settings="f",
    ),
]


def test_rows_survive_the_file_exactly(tmp_path):
    write_manifest(tmp_path / "manifest.csv", ROWS)
    assert read_manifest(tmp_path / "manifest.csv") == ROWS


def test_the_columns_that_others_rely_on(tmp_path):
    write_manifest(tmp_path / "manifest.csv", ROWS)
    header = (tmp_path / "manifest.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["id", "path", "usable", "reason"]
    assert {"width", "height", "fps", "frames", "duration", "sha256"} < set(header)


@pytest.mark.parametrize("text", ["", "id,path\na,b\n"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.csv.*lvdm probe"):
        read_manifest(tmp_path / "manifest.csv")


@pytest.mark.parametrize("change", [("True", "yes"), (",156,", ",many,")])
def test_a_damaged_row_is_named(tmp_path, change):
    path = tmp_path / "manifest.csv"
    write_manifest(path, ROWS)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ValueError, match=r"manifest\.csv, line 2"):
        read_manifest(path)


def test_the_state_of_a_file_and_of_a_folder_of_frames(tmp_path):
    (tmp_path / "1.png").write_bytes(b"12")
    (tmp_path / "2.png").write_bytes(b"345")
    (tmp_path / "notes.txt").write_bytes(b"6789")
    assert file_state(tmp_path / "2.png") == (3, (tmp_path / "2.png").stat().st_mtime_ns)
    assert file_state(tmp_path)[0] == 5
