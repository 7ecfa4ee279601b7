"""What is deleted from the results is made again."""

import re

import pytest

DELETED = (
    "autoencoder/weights.safetensors",
    "diffusion/weights.safetensors",
    "samples/ddim/0001.npy",
    "memorisation/protocol/random3d/ddim.json",
)


def test_all_asks_for_every_file_that_a_rule_declares(unfinished_tree):
    planned = unfinished_tree.finish("--dry-run", "--forceall", "all")
    files = {"input": {}, "output": {}}
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", planned, re.MULTILINE):
        for kind, listed in re.findall(r"^    (input|output): (.*)$", block, re.MULTILINE):
            files[kind].setdefault(rule, set()).update(re.sub(r" \(\w+\)", "", listed).split(", "))
    asked = files["input"].pop("all")
    assert {file for made in files["output"].values() for file in made} - asked == set()
    assert len(files["output"]) > 15


@pytest.mark.slow
def test_deleted_weights_samples_and_summaries_are_made_again_as_they_were(tree):
    files = [tree.root / "results" / "first" / name for name in DELETED]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    made = tree.finish("all")
    assert [file.read_bytes() for file in files] == before
    assert "Nothing to be done" not in made
    assert tree.planned() == []
