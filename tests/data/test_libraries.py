"""Libraries: the same videos however they are spread over files."""

import numpy as np
import pytest

from lvdm.data.libraries import ClipLibrary, NoiseLibrary, ShardLibrary
from lvdm.data.shards import Entry, whole_videos, write_shard


def frames(name: str, count: int) -> np.ndarray:
    return np.random.default_rng(sum(name.encode())).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def shard(path, lengths):
    write_shard(path, 16, whole_videos(lengths), lambda name: [frames(name, lengths[name])])
    return path


@pytest.fixture
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 4, 16, 16, 3), dtype=np.uint8)


def save(folder, clips, size):
    folder.mkdir()
    paths = [folder / f"{first:04}.npy" for first in range(0, len(clips), size)]
    for path in paths:
        first = int(path.stem)
        np.save(path, clips[first : first + size])
    return paths


def test_videos_of_shards_are_ordered_by_id(tmp_path):
    one = [shard(tmp_path / "train-000.npy", {"carl": 5, "anna": 9}), shard(tmp_path / "heldout-000.npy", {"bert": 4})]
    other = [shard(tmp_path / "train-001.npy", {"bert": 4, "anna": 9, "carl": 5})]
    for library in (ShardLibrary(one), ShardLibrary(one[::-1]), ShardLibrary(other)):
        assert (library.ids, library.pieces) == (["anna", "bert", "carl"], [(9,), (4,), (5,)])
        for number, (name, (length,)) in enumerate(zip(library.ids, library.pieces, strict=True)):
            np.testing.assert_array_equal(library.read(number, range(length)), frames(name, length))
        np.testing.assert_array_equal(library.read(0, range(1, 8, 3)), frames("anna", 9)[1:8:3])


def test_pieces_and_groups_of_videos(tmp_path):
    entries = [Entry("carl", (2, 3), "one"), Entry("anna", (9,), "one")]
    write_shard(tmp_path / "train-000.npy", 16, entries, lambda name: [frames(name, 5 if name == "carl" else 9)])
    library = ShardLibrary([tmp_path / "train-000.npy", shard(tmp_path / "train-001.npy", {"bert": 4})])
    assert library.ids == ["anna", "bert", "carl"]
    assert library.pieces == [(9,), (4,), (2, 3)]
    assert library.groups == ["one", "bert", "one"]


def test_a_shard_given_twice(tmp_path):
    path = shard(tmp_path / "train-000.npy", {"anna": 5})
    with pytest.raises(ValueError, match="'anna' is in more than one"):
        ShardLibrary([path, path])


def test_generated_videos_are_numbered_over_the_files(tmp_path, clips):
    for size in (1, 3, 7):
        library = ClipLibrary(save(tmp_path / str(size), clips, size)[::-1])
        assert library.groups == library.ids
        assert (library.ids, library.pieces) == ([str(n) for n in range(7)], [(4,)] * 7)
        np.testing.assert_array_equal(library.read(5, range(0, 4, 2)), clips[5, ::2])


def test_files_that_hold_no_videos(tmp_path, clips):
    path = tmp_path / "clips.npy"
    for content, message in ((clips.astype(np.float32), "float32"), (clips[0], "uint8 (n, T, H, W, 3)")):
        np.save(path, content)
        with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
            ClipLibrary([path])
    np.save(path, clips)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole"):
        ClipLibrary([path])
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="not a whole"):
        ClipLibrary([path])


def test_files_of_different_shapes(tmp_path, clips):
    for name, part in (("a", clips[:, :2]), ("b", clips)):
        np.save(tmp_path / f"{name}.npy", part)
    with pytest.raises(ValueError, match="different shapes"):
        ClipLibrary([tmp_path / "a.npy", tmp_path / "b.npy"])


def test_noise_depends_on_seed_and_number_alone():
    few, many = NoiseLibrary(2, (4, 16, 16, 3), 1), NoiseLibrary(5, (4, 16, 16, 3), 1)
    for number in range(2):
        np.testing.assert_array_equal(few.read(number, range(4)), many.read(number, range(4)))
    found = np.stack([many.read(number, range(4)) for number in range(5)])
    assert (found.min(), found.max()) == (0, 255)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], NoiseLibrary(1, (4, 16, 16, 3), 2).read(0, range(4)))
