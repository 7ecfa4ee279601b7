"""The figure of throughput against batch size shows what the benchmarks measured."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from lvdm.files import write_json

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import figure

ABOUT = {"device": "a GPU", "clip": [16, 128, 128]}


def rows(group: str, name: str, rates: dict[int, float]) -> list[dict]:
    return [
        {"group": group, "name": name, "batch_size": size, "seconds": size / rate, "clips_per_second": rate}
        | {"share_of_peak": rate / 10_000}
        for size, rate in rates.items()
    ]


@pytest.fixture
def results(tmp_path) -> list[Path]:
    """Of two benchmarks, in one of which a batch did not fit."""
    network = rows("encode", "baseline", {1: 600.0, 8: 1400.0}) + rows("encode", "ours", {1: 900.0, 8: 4000.0})
    network += [{"group": "encode", "name": "ours", "batch_size": 512, "error": "out of memory"}]
    network += rows("decode", "ours", {8: 500.0})
    stage = rows("encoding", "baseline", {8: 1200.0}) + rows("encoding", "stage", {8: 3000.0, 128: 3900.0})
    paths = [tmp_path / "autoencoder.json", tmp_path / "encode.json"]
    for path, found in zip(paths, (network, stage), strict=True):
        write_json(path, {**ABOUT, "rows": found})
    return paths


def words(path: Path) -> list[str]:
    """The text in an SVG; matplotlib draws letters as shapes, and leaves the text as a comment."""
    return [line.strip()[5:-4] for line in path.read_text().splitlines() if line.strip().startswith("<!-- ")]


def test_each_kind_of_work_that_was_measured_has_a_panel(tmp_path, results):
    out = tmp_path / "figure.svg"
    figure.main([*map(str, results), "--out", str(out)])
    found = words(out)
    assert [title for title in found if title in [panel.title for panel in figure.PANELS]] == ["Encoding", "Decoding"]
    labels = {"ours, network", "baseline, network", "ours, stage", "baseline, stage", "ours"}
    assert {word for word in found if word.startswith(("ours", "baseline"))} == labels
    assert {"1", "8", "128", "batch size", "clips/s", "matrix peak", "a GPU, clips of 16×128×128"} <= set(found)
    assert "512" not in found
    again = tmp_path / "again.svg"
    figure.main([*map(str, results), "--out", str(again)])
    assert again.read_bytes() == out.read_bytes()


def test_the_suffix_decides_the_format(tmp_path, results):
    figure.main([str(results[1]), "--out", str(tmp_path / "figure.png")])
    with Image.open(tmp_path / "figure.png") as image:
        assert image.format == "PNG"


def test_the_last_file_holds(tmp_path, results):
    later = tmp_path / "later.json"
    write_json(later, {**ABOUT, "rows": rows("decode", "ours", {8: 530.0})})
    found, _ = figure.read_rows([*results, later])
    assert [row["clips_per_second"] for row in found if row["group"] == "decode"] == [530.0]


def test_other_clips_and_other_results_are_refused(tmp_path, results):
    other = tmp_path / "other.json"
    write_json(other, {**ABOUT, "clip": [16, 256, 256], "rows": []})
    with pytest.raises(ValueError, match=r"other\.json: clip .*; draw them apart"):
        figure.read_rows([*results, other])
    write_json(other, {"ratio": 1.9})
    with pytest.raises(ValueError, match=r"other\.json: is not the result of a benchmark by batch size"):
        figure.read_rows([other])
    with pytest.raises(ValueError, match="nothing to draw"):
        figure.draw([], "a GPU", tmp_path / "figure.svg")
