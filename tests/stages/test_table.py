"""Stage table: every row, no digit changed, ours first."""

import numpy as np
import pandas as pd
import pytest

from lvdm.stages import score, table
from lvdm.stages.config import ScoreConfig

CONFIG = ScoreConfig(dataset="colon", protocol_name="lossless", detector_name="random3d")


@pytest.fixture
def scores(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "real.npz", features=generator.normal(size=(20, 4)))
    np.savez(tmp_path / "fake.npz", features=generator.normal(size=(20, 4)))
    paths = []
    for model, sampler, fake in (
        ("noise", "", "fake"),
        ("real", "", None),
        ("lvdm", "dpm", "fake"),
        ("lvdm", "ddim", "fake"),
    ):
        paths.append(tmp_path / f"{model}{sampler}.csv")
        other = fake and tmp_path / f"{fake}.npz"
        score.run(CONFIG, model=model, sampler=sampler, real=tmp_path / "real.npz", fake=other, scores=paths[-1])
    return paths


@pytest.fixture
def quality(tmp_path):
    rows = [
        {"step": step, "split": "heldout", "clips": 7, "metric": metric, "value": value / 3 + step}
        for step in (100, 200)
        for metric, value in (("psnr", 20.0), ("ssim", 0.5))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "quality.csv", index=False)
    return tmp_path / "quality.csv"


def run(tmp_path, scores, quality):
    table.run(dataset="colon", scores=scores, quality=quality, table=tmp_path / "t.csv", markdown=tmp_path / "t.md")
    return pd.read_csv(tmp_path / "t.csv", keep_default_na=False, dtype=str), (tmp_path / "t.md").read_text()


def test_rows_are_all_there_in_order_and_to_the_last_digit(scores, quality, tmp_path):
    rows, _ = run(tmp_path, scores, quality)
    names = [*zip(rows["model"], rows["sampler"], strict=True)]
    assert names[::2] == [("lvdm", "ddim"), ("lvdm", "dpm"), ("real", ""), ("noise", ""), ("autoencoder", "")]
    assert names[1::2] == names[::2]
    for path in scores:
        for line in path.read_text().splitlines()[1:]:
            assert line in (tmp_path / "t.csv").read_text().splitlines()
    assert set(rows["dataset"]) == {"colon"}


def test_order_of_the_files_does_not_matter(scores, quality, tmp_path):
    run(tmp_path, scores, quality)
    first = (tmp_path / "t.csv").read_bytes(), (tmp_path / "t.md").read_bytes()
    run(tmp_path, scores[::-1], quality)
    assert ((tmp_path / "t.csv").read_bytes(), (tmp_path / "t.md").read_bytes()) == first


def test_autoencoder_rows_are_those_of_the_last_step(scores, quality, tmp_path):
    rows, _ = run(tmp_path, scores, quality)
    own = rows[rows["model"] == "autoencoder"].set_index("metric")
    assert float(own.loc["psnr", "value"]) == 20 / 3 + 200
    assert own.loc["ssim", ["protocol", "n_real", "note"]].tolist() == [
        "reconstruction of held-out clips",
        "7",
        "step 200",
    ]


def test_markdown_explains_itself(scores, quality, tmp_path):
    _, markdown = run(tmp_path, scores, quality)
    lines = markdown.splitlines()
    order = [
        next(n for n, line in enumerate(lines) if line.startswith(f"| {name}"))
        for name in ("lvdm, ddim", "real", "noise")
    ]
    assert order == sorted(order)
    assert "Fréchet distance (random3d)" in markdown
    assert sum("random weights" in line for line in lines) == 1
    assert "FVD (" not in markdown
    assert "PSNR (dB)" in markdown


def test_a_file_that_is_no_table_of_scores(scores, quality, tmp_path):
    scores[0].write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="column 'dataset' is missing"):
        run(tmp_path, scores, quality)
    scores[0].write_text("")
    with pytest.raises(ValueError, match="is empty"):
        run(tmp_path, scores, quality)


def test_a_row_without_a_value_is_a_dash(scores, quality, tmp_path):
    table = pd.read_csv(scores[0], keep_default_na=False, dtype=str)
    table["value"] = table["value_std"] = ""
    table.to_csv(scores[0], index=False)
    rows, markdown = run(tmp_path, scores, quality)
    assert (rows[rows["model"] == "noise"]["value"] == "").all()
    (line,) = [line for line in markdown.splitlines() if line.startswith("| noise")]
    assert line.count("–") >= 2
