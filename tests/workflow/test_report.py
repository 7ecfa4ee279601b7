"""`snakemake --report` collects results under captions and categories."""


def test_report_has_captions_and_categories(tree):
    tree.finish("all", "--report", "report.html")
    page = (tree.root / "report.html").read_text(encoding="utf-8")
    for category in ("Results", "Training", "Videos"):
        assert category in page
    assert "Held-out clips of first" in page
