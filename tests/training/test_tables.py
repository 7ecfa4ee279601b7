import pytest

from lvdm.training.tables import GrowingTable


@pytest.fixture
def table(tmp_path) -> GrowingTable:
    table = GrowingTable(tmp_path / "table.csv")
    for step in (10, 20, 30):
        table.append({"step": step, "loss": step / 100})
    return table


def test_rows_stand_under_one_header(table):
    assert table.path.read_text() == "step,loss\n10,0.1\n20,0.2\n30,0.3\n"
    assert table.steps() == {10, 20, 30}


def test_cut_drops_what_came_after_a_step(table):
    table.cut(20)
    table.append({"step": 30, "loss": 0.5})
    assert table.path.read_text() == "step,loss\n10,0.1\n20,0.2\n30,0.5\n"


def test_cut_drops_a_row_that_was_not_finished(table):
    with table.path.open("a") as file:
        file.write("40,0.")
    table.cut(100)
    assert table.path.read_text() == "step,loss\n10,0.1\n20,0.2\n30,0.3\n"


def test_cut_to_the_start_leaves_no_file(table):
    table.cut(0)
    assert not table.path.exists()
    assert table.steps() == set()
    table.cut(0)


def test_other_columns_are_refused(table):
    with pytest.raises(ValueError, match="has columns"):
        table.append({"step": 40, "accuracy": 1.0})
