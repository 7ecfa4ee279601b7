"""Publishing: whole or not at all."""

import os

import pytest

from lvdm.files import content_hash, publish, read_json, write_json


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "a.npy"
    with publish(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.suffix == ".npy"
    assert target.read_text() == "half"
    assert _names(target.parent) == ["a.npy"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_keeps_the_earlier_file_and_leaves_nothing(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("earlier")

    def write():
        with publish(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error), match="make room and run again: .*a.txt" if isinstance(error, OSError) else None):
        write()
    assert target.read_text() == "earlier"
    assert _names(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "videos"
    for names in (["a", "b"], ["c"]):
        with publish(target) as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).write_text(name)
        assert _names(target) == names
    assert _names(tmp_path) == ["videos"]


def test_json_round_trips_and_a_broken_file_is_named(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"größe": [1, 2.5]})
    assert read_json(path) == {"größe": [1, 2.5]}
    path.write_text("{")
    with pytest.raises(ValueError, match=r"a\.json.*not valid JSON"):
        read_json(path)


def test_content_hash_sees_bytes_and_names_but_not_times(tmp_path):
    file = tmp_path / "video" / "0.png"
    file.parent.mkdir()
    file.write_bytes(b"a")
    of_file, of_folder = content_hash(file), content_hash(file.parent)
    os.utime(file, (0, 0))
    assert (content_hash(file), content_hash(file.parent)) == (of_file, of_folder)
    file.rename(file.with_name("1.png"))
    assert content_hash(file.with_name("1.png")) == of_file
    assert content_hash(file.parent) != of_folder
