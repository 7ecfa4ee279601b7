"""Stage table: every row, no digit changed, for programs, people and papers."""

import numpy as np
import pandas as pd
import pytest

from lvdm.data.clip_list import read_listed
from lvdm.data.shards import Entry, write_shard
from lvdm.reporting.tables import read_rows
from lvdm.stages import score, table
from lvdm.stages.config import ScoreConfig

MODELS = (("noise", ""), ("other", ""), ("real", ""), ("lvdm", "dpm"), ("lvdm", "ddim"))
CONFIG = ScoreConfig(dataset="colon", protocol_name="lossless", detector_name="random3d")


@pytest.fixture
def scores(tmp_path):
    paths = []
    for number, (model, sampler) in enumerate(MODELS):
        common = {
            "dataset": "colon",
            "model": model,
            "sampler": sampler,
            "protocol": "lossless",
            "detector": "random3d",
        }
        counts = {"n_real": 20, "n_fake": 20, "seed": 0}
        rows = [
            {
                **common,
                "metric": "frechet_distance",
                "value": (number + 1) / 3,
                **counts,
                "low": 0.1 / 3,
                "high": 7 / 3,
            },
            {**common, "metric": "kernel_distance", "value": (number + 1) / 7, **counts, "std": 1e-5 / 3},
        ]
        paths.append(tmp_path / f"{model}{sampler}.csv")
        pd.DataFrame(rows, columns=score.COLUMNS).to_csv(paths[-1], index=False)
    return paths


@pytest.fixture
def quality(tmp_path):
    rows = [
        {"step": step, "split": "heldout", "clips": 7, "metric": metric, "value": value / 3 + step}
        for step in (100, 200)
        for metric, value in (("psnr", 20.0), ("ssim", 0.5), ("lpips", 0.1))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "quality.csv", index=False)
    return tmp_path / "quality.csv"


def run(tmp_path, scores, quality, **options):
    table.run(
        dataset="colon", scores=scores, quality=quality, table=tmp_path / "t.csv", markdown=tmp_path / "t.md", **options
    )
    return pd.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype=str), (tmp_path / "t.md").read_text()


def test_rows_are_all_there_in_order_and_to_the_last_digit(scores, quality, tmp_path):
    rows, _ = run(tmp_path, scores, quality)
    names = [*zip(rows["model"], rows["sampler"], strict=True)]
    order = [("lvdm", "ddim"), ("lvdm", "dpm"), ("other", ""), ("real", ""), ("noise", "")]
    assert names == [name for name in order for _ in range(2)] + [("autoencoder", "")] * 3
    for path in scores:
        for line in path.read_text().splitlines()[1:]:
            assert line in (tmp_path / "t.csv").read_text().splitlines()
    assert set(rows["dataset"]) == {"colon"}
    assert tuple(rows.columns) == score.COLUMNS


def test_order_of_the_files_does_not_matter(scores, quality, tmp_path):
    files = [tmp_path / "t.csv", tmp_path / "t.md", tmp_path / "t.tex"]
    run(tmp_path, scores, quality, latex=files[2])
    first = [path.read_bytes() for path in files]
    run(tmp_path, scores[::-1], quality, latex=files[2])
    assert [path.read_bytes() for path in files] == first


def test_autoencoder_rows_are_those_of_the_last_step(scores, quality, tmp_path):
    rows, markdown = run(tmp_path, scores, quality)
    own = rows[rows["model"] == "autoencoder"].set_index("metric")
    assert float(own.loc["psnr", "value"]) == 20 / 3 + 200
    assert own.loc["ssim", ["protocol", "n_real", "note"]].tolist() == [
        "reconstruction of held-out clips",
        "7",
        "step 200",
    ]
    for heading in ("PSNR (dB) ↑", "SSIM ↑", "LPIPS ↓"):
        assert heading in markdown


def test_markdown_explains_itself(scores, quality, tmp_path):
    _, markdown = run(tmp_path, scores, quality)
    lines = markdown.splitlines()
    order = [
        next(n for n, line in enumerate(lines) if line.startswith(f"| {name}"))
        for name in ("lvdm, ddim", "other", "real", "noise")
    ]
    assert order == sorted(order)
    assert "Fréchet distance ↓" in markdown
    assert sum("random weights" in line for line in lines) == 1
    assert "| FVD" not in markdown


def test_published_numbers_stand_in_the_table_but_are_not_measured(scores, quality, tmp_path):
    (tmp_path / "published.csv").write_text("model,metric,value,source\nLVDM,fvd,1036.70,arXiv 2403.11050\n")
    rows, markdown = run(tmp_path, scores, quality, published=tmp_path / "published.csv", latex=tmp_path / "t.tex")
    (published,) = rows[rows["model"] == "LVDM"].to_dict("records")
    assert (published["protocol"], published["value"]) == ("published", "1036.70")
    assert published["note"] == "published, not measured: arXiv 2403.11050"
    assert "LVDM (published)" in markdown
    assert "LVDM$^\\dagger$ (published)" in (tmp_path / "t.tex").read_text()


def test_a_file_that_is_no_table_of_scores(scores, quality, tmp_path):
    scores[0].write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="column 'dataset' is missing"):
        run(tmp_path, scores, quality)
    scores[0].write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(tmp_path, scores, quality)


def test_a_row_without_a_value_is_a_dash(scores, quality, tmp_path):
    empty = pd.read_csv(scores[0], keep_default_na=False, dtype=str)
    empty["value"] = empty["std"] = empty["low"] = empty["high"] = ""
    empty.to_csv(scores[0], index=False)
    rows, markdown = run(tmp_path, scores, quality)
    assert (rows[rows["model"] == "noise"]["value"] == "").all()
    (line,) = [line for line in markdown.splitlines() if line.startswith("| noise")]
    assert line.count("–") == 2


@pytest.mark.parametrize("clips", [1, 6])
def test_what_stage_score_says_of_too_few_clips_is_a_warning(clips, quality, tmp_path):
    """Stage score and the table are of different layers; here they meet."""
    for name in ("real", "fake"):
        np.savez(
            tmp_path / f"{name}.npz",
            values=np.random.default_rng(len(name)).normal(size=(clips, 8)).astype(np.float32),
            videos=np.array([f"video-{number}" for number in range(clips)]),
            groups=np.array([f"video-{number}" for number in range(clips)]),
            firsts=np.zeros(clips, dtype=np.int64),
            runs=np.arange(clips)[None],
        )
    options = {"real": tmp_path / "real.npz", "fake": tmp_path / "fake.npz", "curve": tmp_path / "curve.csv"}
    score.run(CONFIG, model="lvdm", sampler="ddim", scores=tmp_path / "s.csv", **options)
    _, markdown = run(tmp_path, [tmp_path / "s.csv"], quality)
    assert "- **Warning:** lvdm, ddim (random3d): " in markdown


def shards(folder, group="p1", pieces=(12, 8)):
    """The records of two shards."""
    for name, entries in {"train-000": [Entry("a", pieces, group)], "heldout-000": [Entry("b", (9,), "p2")]}.items():
        write_shard(
            folder / f"{name}.npy",
            8,
            entries,
            lambda id: [np.zeros((sum(pieces) if id == "a" else 9, 8, 8, 3), np.uint8)],
        )
    return sorted(folder.glob("*.json"))


def test_the_list_of_clips_is_stated_wherever_the_table_is(scores, quality, tmp_path):
    (tmp_path / "published.csv").write_text("model,metric,value,source\nLVDM,fvd,1036.70,arXiv 2403.11050\n")
    options = {"published": tmp_path / "published.csv", "latex": tmp_path / "t.tex"}
    rows, markdown = run(tmp_path, scores, quality, shards=shards(tmp_path), **options)
    (digest,) = set(rows["clips"]) - {""}
    assert len(digest) == 16
    assert tuple(rows.columns) == (*score.COLUMNS, "clips")
    assert (rows["clips"] == "").tolist() == (rows["model"] == "LVDM").tolist()
    assert f"- List of clips: {digest}," in markdown
    assert f"% List of clips: {digest}," in options["latex"].read_text()
    # A reader that knows nothing of it reads all else.
    assert list(read_rows(tmp_path / "t.csv")["value"]) == list(rows["value"])
    without, markdown = run(tmp_path, scores, quality, **options)
    assert "List of clips" not in markdown
    pd.testing.assert_frame_equal(without, rows.drop(columns="clips"))


def test_other_pieces_are_another_list_and_other_labels_of_patients_are_not(scores, quality, tmp_path):
    found = []
    for number, settings in enumerate([{}, {"group": "patient-0123"}, {"pieces": (8, 12)}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows, _ = run(tmp_path, scores, quality, shards=shards(folder, **settings))
        found.append(rows["clips"][0])
    assert found[0] == found[1] != found[2]


def test_the_side_of_a_shard_is_in_its_name(tmp_path):
    assert {video.id: video.split for video in read_listed(shards(tmp_path))} == {"a": "train", "b": "heldout"}
    (tmp_path / "heldout-000.json").rename(tmp_path / "clips.json")
    with pytest.raises(ValueError, match=r"clips\.json is no record of a shard: its name"):
        read_listed([tmp_path / "clips.json"])
