"""Publishing: whole or not at all."""

import hashlib
import os
import subprocess

import pytest

from lvdm.config import NetworkFile
from lvdm.files import content_hash, publish, read_json, verified_bytes, verify, write_json


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


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "i3d.pt"
    path.write_bytes(bytes(range(256)) * 9000)  # more than a block
    return path


def test_a_network_file_is_verified_by_each_of_its_marks(network):
    content = network.read_bytes()
    blob = subprocess.run(["git", "hash-object", network], capture_output=True, text=True, check=True).stdout.strip()
    right = {"sha256": hashlib.sha256(content).hexdigest(), "git_blob": blob, "size": len(content)}
    wrong = {"sha256": "0" * 64, "git_blob": "0" * 40, "size": 3}
    for key in right:
        file = NetworkFile(path=network, **{key: right[key]})
        assert verified_bytes(network, file) == content
        verify(network, file)
        for check in (verify, verified_bytes):
            with pytest.raises(ValueError, match=rf"i3d\.pt .* has the {key} {right[key]}, but {wrong[key]} is wanted"):
                check(network, NetworkFile(path=network, **{**right, key: wrong[key]}))


def test_nothing_is_used_unverified(network, tmp_path):
    with pytest.raises(ValueError, match=r"i3d\.pt: nothing says which .* sha256 [0-9a-f]{64}, .* size 2304000"):
        verified_bytes(network, NetworkFile(path=network))
    with pytest.raises(ValueError, match=r"missing\.pt: .* cannot be read"):
        verified_bytes(tmp_path / "missing.pt", NetworkFile(path=network, size=1))
