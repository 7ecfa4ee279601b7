"""The same configuration gives the same numbers, however the work is cut and spread."""

TABLE = "results/tables/first.csv"


def test_other_chunks_and_cores_give_the_same_table_to_the_last_byte(unfinished_tree, finished):
    unfinished_tree.configure({"sample": {"chunk_size": 5}})
    unfinished_tree.finish(TABLE, "--cores", "1")
    assert (unfinished_tree.root / TABLE).read_bytes() == (finished / TABLE).read_bytes()
