"""Damaged recordings cost nothing but themselves: the others go on, and what decodes is used."""

import json

from lvdm.data.manifest import read_manifest


def test_damaged_recordings_stop_no_other(unfinished_tree):
    folder, results = unfinished_tree.root / "data" / "first", unfinished_tree.root / "results" / "first"
    whole = sorted(folder.iterdir())[0].read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: 19 * len(whole) // 20])
    (folder / "garbage.mp4").write_bytes(bytes(range(256)) * 20)
    (folder / "empty.mp4").touch()
    targets = [f"results/first/frames/{name}.mkv" for name in ("cut", "garbage", "empty", "patient-01")]
    unfinished_tree.finish("results/first/manifest.csv", *targets)
    rows = {row.id: row for row in read_manifest(results / "manifest.csv")}
    assert len(rows) == 7
    assert {id for id, row in rows.items() if not row.usable} == {"garbage", "empty"}
    assert 8 <= rows["cut"].kept < 24
    assert rows["cut"].lost
    records = {id: json.loads((results / "frames" / f"{id}.json").read_text()) for id in ("cut", "garbage", "empty")}
    assert records["cut"]["frames"] == rows["cut"].kept
    assert not records["garbage"]["usable"]
    assert (results / "frames" / "garbage.mkv").stat().st_size == 0
