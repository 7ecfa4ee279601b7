"""The same configuration gives the same numbers, however the work is cut and spread."""

import shutil

from conftest import Tree


def test_other_chunks_and_cores_give_the_same_table_to_the_last_byte(with_videos, finished, tmp_path):
    tree = Tree(shutil.copytree(with_videos, tmp_path / "repository"))
    tree.configure({"sample": {"chunk_size": 5}})
    tree.finish("results/tables/first.csv", "--cores", "1")
    again = tree.root / "results" / "tables" / "first.csv"
    assert again.read_bytes() == (finished / "results" / "tables" / "first.csv").read_bytes()
