"""The results table: its rows, what is best, what is said of it, and its Markdown and LaTeX."""

import re

import pandas as pd
import pytest

from lvdm.reporting.blocks import COUNTS, blocks, legend, rounded
from lvdm.reporting.markup import latex, latex_page, markdown_page
from lvdm.reporting.tables import join, published_rows

FEW = "64 clips for 400 feature values: biased upwards, compare only at equal numbers"


def row(model, metric="fvd", value="1.0", detector="i3d", protocol="lossless", **others) -> dict[str, str]:
    counts = {"n_real": "200", "n_fake": "2048", "seed": "0"}
    own = {"dataset": "colon", "model": model, "sampler": "", "protocol": protocol, "detector": detector}
    return {**own, "metric": metric, "value": value, **counts, **others}


def table(*rows) -> pd.DataFrame:
    return join([pd.DataFrame(list(rows))])


@pytest.fixture
def scores(tmp_path) -> pd.DataFrame:
    """Two of our samplers, another generator, published numbers and the references, by two detectors."""
    (tmp_path / "published.csv").write_text(
        "model,metric,value,source\nB_GAN,fvd,468.50,paper 1\nB_GAN,is,3.9,paper 1\n"
    )
    rows = []
    for model, sampler, scale in (
        ("noise", "", 9),
        ("real", "", 0.1),
        ("other & co", "", 1.5),
        ("lvdm", "dpm-20", 1.2),
        ("lvdm", "ddim-50", 1.0),
    ):
        spread = {"sampler": sampler, "low": str(90.0 * scale), "high": str(110.0 * scale)}
        note = FEW if sampler == "dpm-20" else ""
        rows += [
            row(model, "fvd", str(100.0 * scale), **spread, note=note),
            row(model, "fvd_infinity", str(80.0 * scale), sampler=sampler),
            row(model, "precision", str(0.5 * scale), "inception", sampler=sampler),
            row(model, "kid", str(1.5e-5 * scale), "inception", sampler=sampler, std="0.004"),
        ]
    return join([pd.DataFrame(rows), published_rows(tmp_path / "published.csv", "colon")])


def test_rows_are_ours_then_others_then_published_then_references(scores):
    (block,) = blocks(scores)
    assert [(line.name, line.kind) for line in block.parts[0].lines] == [
        ("lvdm, ddim-50", "measured"),
        ("lvdm, dpm-20", "measured"),
        ("other & co", "measured"),
        ("B_GAN", "published"),
        ("real against real", "reference"),
        ("noise against real", "reference"),
    ]


def test_parts_are_detectors_and_columns_metrics_with_their_direction(scores):
    (block,) = blocks(scores)
    assert [(part.corner, [f"{column.label} {column.better}" for column in part.columns]) for part in block.parts] == [
        ("Model, by i3d", ["FVD ↓", "FVD∞ ↓", f"{COUNTS} "]),
        ("Model, by inception", ["KID ↓", "Precision ↑", f"{COUNTS} "]),
        ("Model", ["IS ↑"]),
    ]
    # Published numbers stand only where they have one.
    assert [sum(line.kind == "published" for line in part.lines) for part in block.parts] == [1, 0, 1]
    for part in block.parts:
        assert {len(line.cells) for line in part.lines} == {len(part.columns)}


def test_best_is_of_the_measured_models_alone(scores):
    (block,) = blocks(scores)
    best = {
        (line.name, column.label)
        for part in block.parts
        for line in part.lines
        for column, cell in zip(part.columns, line.cells, strict=True)
        if cell.best
    }
    assert best == {
        ("lvdm, ddim-50", "FVD"),  # although real against real is lower
        ("lvdm, ddim-50", "FVD∞"),
        ("lvdm, ddim-50", "KID"),
        ("other & co", "Precision"),  # although noise is higher, here
    }


def test_one_model_is_no_best_and_equal_ones_all_are():
    (block,) = blocks(table(row("lvdm", value="2")))
    assert not block.parts[0].lines[0].cells[0].best
    (block,) = blocks(table(row("lvdm", value="2"), row("a", value="2.0"), row("b", value="3"), row("c", value="")))
    assert [line.cells[0].best for line in block.parts[0].lines] == [True, True, False, False]
    assert block.parts[0].lines[3].cells[0].value == "–"


def test_every_protocol_has_a_block_and_its_own_best():
    found = blocks(
        table(
            row("a", value="1"),
            row("b", value="2"),
            row("a", value="2", protocol="lvdm"),
            row("b", value="1", protocol="lvdm"),
        )
    )
    assert [block.protocol for block in found] == ["lossless", "lvdm"]
    assert [[line.cells[0].best for line in block.parts[0].lines] for block in found] == [[True, False], [False, True]]


def test_published_numbers_are_marked_and_keep_their_digits(scores):
    assert (scores[scores["model"] == "B_GAN"]["protocol"] == "published").all()
    markdown = markdown_page(scores, "colon")
    lines = [line for line in markdown.splitlines() if line.startswith("| B_GAN (published)")]
    assert ["468.50" in lines[0], "3.9" in lines[1]] == [True, True]
    assert not any("**" in line for line in lines)
    assert any("published, not measured: paper 1" in line for line in legend(scores))


def test_published_numbers_stand_alone_where_nothing_was_measured(tmp_path):
    (tmp_path / "p.csv").write_text("model,metric,value,source\nA,fvd,1,x\n")
    (block,) = blocks(join([published_rows(tmp_path / "p.csv", "colon")]))
    assert [line.kind for line in block.parts[0].lines] == ["published"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n", "column 'model' is missing"),
        ("", "is empty"),
        ("model,metric,value,source\nA,fvd,low,x\n", "'low' is no number"),
    ],
)
def test_a_file_that_holds_no_published_numbers(text, message, tmp_path):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        published_rows(tmp_path / "p.csv", "colon")


def test_too_few_clips_are_a_warning(scores):
    (block,) = blocks(scores)
    assert block.warnings == (f"lvdm, dpm-20 (i3d): {FEW}.",)
    assert f"- **Warning:** lvdm, dpm-20 (i3d): {FEW}." in markdown_page(scores, "colon")
    assert f"Warning: lvdm, dpm-20 (i3d): {FEW}." in latex_page(scores, "colon")


def test_different_numbers_of_clips_are_pointed_out():
    (block,) = blocks(table(row("a", n_fake="64"), row("b"), row("real", n_fake="100")))
    (remark,) = block.remarks
    assert "different numbers of clips (64, 2048)" in remark


def test_windows_stay_in_the_csv():
    rows = table(row("a"), row("a", "fvd@16"))
    (block,) = blocks(rows)
    assert [column.label for column in block.parts[0].columns] == ["FVD", COUNTS]
    assert any("window by window" in line for line in legend(rows))


def test_legend_says_only_what_is_there(scores):
    assert not any(
        "±" in line or "brackets" in line or "∞" in line or "noise" in line for line in legend(table(row("a")))
    )
    words = " ".join(legend(scores))
    for part in ("±", "In brackets", "∞", "noise against real", "real against real", "Bold"):
        assert part in words


def test_markdown_has_intervals_and_bold(scores):
    lines = [line for line in markdown_page(scores, "colon").splitlines() if line.startswith("| lvdm, ddim-50")]
    assert [[cell.strip() for cell in line.strip("|").split("|")][1:] for line in lines] == [
        ["**100** [90, 110]", "**80**", "200 / 2048"],
        ["**1.5e-05 ± 0.004**", "0.5", "200 / 2048"],
    ]


def test_latex_is_well_formed(scores):
    text = latex_page(scores, "colon_1")
    assert text.count("{") == text.count("}")
    nested = [("begin", "tabular"), ("end", "tabular")] * 3
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [("begin", "table"), *nested, ("end", "table")]
    for rule in ("toprule", "bottomrule"):
        assert text.count(f"\\{rule}") == 3
    assert text.count(r"\midrule") == 3 + 2 + 1  # before measured, published and reference rows, where there are any
    for columns, body in re.findall(r"\\begin\{tabular\}\{l(r+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.split(r"(?<!\\)&", line)) for line in rows} == {len(columns) + 1}


def test_latex_cells(scores):
    text = latex_page(scores, "colon_1")
    assert r"FVD$_\infty$ $\downarrow$" in text
    assert r"$\mathbf{100}$ {\scriptsize$[90, 110]$}" in text
    assert r"$\mathbf{1.5\times10^{-5} \pm 0.004}$" in text
    assert r"other \& co" in text
    assert r"B\_GAN$^\dagger$ (published) & $468.50$" in text
    assert r"colon\_1" in text


def test_latex_escapes_every_sign_of_its_own():
    assert latex("a_b%c&d#e$f{g}h~i^j\\k") == (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [("", "–"), ("123.456", "123.5"), ("10350.4", "10350"), ("0.00012347", "0.0001235"), ("1.5e-7", "1.5e-07")],
)
def test_rounding(value, text):
    assert rounded(value) == text
