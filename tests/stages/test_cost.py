"""The table of costs."""

import csv

from lvdm.__main__ import main

ROW = "s\tmax_rss\tcpu_time\n{}\t100.0\t{}\n"


def test_the_table_has_a_row_a_stage_and_leaves_out_what_is_not_known(tmp_path):
    folder = tmp_path / "benchmarks" / "first" / "extract"
    folder.mkdir(parents=True)
    for name, seconds, cpu in (("a", 36, 18), ("b", 72, 54)):
        (folder / f"{name}.tsv").write_text(ROW.format(seconds, cpu))
    table = tmp_path / "report" / "cost.csv"
    assert main(["cost", "--benchmarks", str(tmp_path / "benchmarks"), "--table", str(table)]) == 0
    with table.open() as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "dataset": "first",
        "stage": "extract",
        "jobs": "2",
        "hours": "0.030000",
        "queue_hours": "",
        "cpu_hours": "0.020000",
        "gpu_hours": "",
        "memory_mb": "104.857600",
        "source": "benchmark",
    }
