"""The table of costs: units for people, a total, and no column of which nothing is known."""

import pytest

from lvdm.reporting.cost import read_costs


@pytest.fixture
def path(report_config):
    return report_config.datasets[0].cost


def test_numbers_are_in_units_that_suit_them(path):
    costs = read_costs(path, "colonoscopic")
    assert costs.columns == ("Stage", "Jobs", "Time", "Waiting", "CPU time", "GPU time", "Largest memory", "From")
    assert costs.rows[0] == ("train-diffusion", "3", "131 h", "7.5 h", "1,050 h", "262 h", "41.3 GB", "sacct")
    assert costs.rows[1] == ("extract", "12", "45 min", "9 s", "6 h", "0 s", "812 MB", "sacct")
    assert costs.rows[2] == ("score", "2", "18 s", "–", "14 s", "–", "95 MB", "benchmark")


def test_the_last_row_is_the_sum_and_the_largest_memory(path):
    costs = read_costs(path, "colonoscopic")
    assert costs.rows[-1] == ("total", "17", "132 h", "7.5 h", "1,056 h", "262 h", "41.3 GB", "")
    assert len(costs.notes) == 2


def test_what_was_not_measured_has_no_column(path):
    costs = read_costs(path, "kvasir_capsule")
    assert costs.columns == ("Stage", "Jobs", "Time", "CPU time", "Largest memory", "From")
    assert costs.rows[1] == ("extract", "120", "1.8 min", "–", "–", "benchmark")
    assert len(costs.notes) == 1


def test_a_data_set_without_measurements_has_no_table(path):
    assert read_costs(path, "cholect45") is None


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("dataset,stage\na,b\n")
    with pytest.raises(ValueError, match=r"other\.csv is no table of costs: column 'source'"):
        read_costs(tmp_path / "other.csv", "a")
