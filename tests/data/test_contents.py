"""Equal contents are found with as little reading as can be, and what was read is kept."""

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data import contents
from lvdm.data.catalog import VideoSource, find_videos
from lvdm.data.contents import equal_contents


def write(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = folder / name.replace("__", "/")
        path = path.with_name(f"{path.name}.mp4" if "__" not in name else f"{path.name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def listed(folder: Path, frames: bool = False) -> tuple[VideoSource, ...]:
    return find_videos(**({"frames": str(folder)} if frames else {"videos": [f"{folder}/*.mp4"]})).videos


@pytest.fixture
def read(monkeypatch):
    """What was read: (how, name of the file)."""
    names = []
    for how in ("ends", "whole"):
        really = getattr(contents, f"_hash_{how}")

        def hash_and_note(path, how=how, really=really):
            names.append((how, path.name))
            return really(path)

        monkeypatch.setattr(contents, f"_hash_{how}", hash_and_note)
    return names


@given(st.lists(st.sampled_from([b"", b"a", b"b", b"aa", b"ab"]), max_size=8))
def test_copies_are_those_of_equal_content_and_name_the_first(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("videos")
    videos = [VideoSource(str(n), folder / str(n)) for n in range(len(data))]
    for video, content in zip(videos, data, strict=True):
        video.path.write_bytes(content)
    expected = {str(n): str(data.index(content)) for n, content in enumerate(data) if content and content in data[:n]}
    assert equal_contents(videos) == expected


def test_only_files_of_one_size_are_read_and_only_equal_ends_to_the_end(tmp_path, read):
    middle = b"m" * 10**6
    write(tmp_path, a=b"1234", b=b"123", c=b"1235", d=middle, e=middle[:-1] + b"x")
    sly = bytearray(middle)
    sly[300_000] = 0
    write(tmp_path, f=bytes(sly), g=middle)
    assert equal_contents(listed(tmp_path)) == {"g": "d"}
    assert sorted(read) == [
        *(("ends", f"{name}.mp4") for name in "acdefg"),
        *(("whole", f"{name}.mp4") for name in "dfg"),
    ]


def test_what_was_read_is_kept_until_the_file_changes(tmp_path, read):
    write(tmp_path, a=b"12", b=b"12", c=b"13")
    kept = tmp_path / "results" / "contents.json"
    assert equal_contents(listed(tmp_path), kept) == {"b": "a"}
    read.clear()
    before = kept.stat().st_mtime_ns
    assert equal_contents(listed(tmp_path), kept) == {"b": "a"}
    assert (read, kept.stat().st_mtime_ns) == ([], before)
    write(tmp_path, b=b"14")
    os.utime(tmp_path / "b.mp4", ns=(0, 0))
    assert equal_contents(listed(tmp_path), kept) == {}
    assert {name for _, name in read} == {"b.mp4"}


def test_nothing_is_kept_of_a_video_that_is_gone(tmp_path):
    write(tmp_path, a=b"12", b=b"12", secret=b"12")
    kept = tmp_path / "results" / "contents.json"
    equal_contents(listed(tmp_path), kept)
    assert "secret" in kept.read_text()
    (tmp_path / "secret.mp4").unlink()
    equal_contents(listed(tmp_path), kept)
    assert "secret" not in kept.read_text()


def test_nothing_is_written_where_nothing_is_read(tmp_path):
    write(tmp_path, a=b"1", b=b"12")
    assert equal_contents(listed(tmp_path), tmp_path / "results" / "contents.json") == {}
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 1}', '{"format": 1, "read": [1]}', '{"format": 9, "read": {}}', "\ufffd"]
)
def test_a_file_that_is_not_ours_is_written_anew(tmp_path, text):
    write(tmp_path, a=b"12", b=b"12")
    kept = tmp_path / "contents.json"
    kept.write_text(text)
    assert equal_contents(listed(tmp_path), kept) == {"b": "a"}
    assert json.loads(kept.read_text())["read"]


def test_entries_of_another_kind_are_read_anew(tmp_path):
    write(tmp_path, a=b"12", b=b"12")
    kept = tmp_path / "contents.json"
    equal_contents(listed(tmp_path), kept)
    found = json.loads(kept.read_text())
    kept.write_text(json.dumps({**found, "read": dict.fromkeys(found["read"], 3)}))
    assert equal_contents(listed(tmp_path), kept) == {"b": "a"}


def test_a_folder_that_cannot_be_written_costs_the_memory_alone(tmp_path):
    write(tmp_path, a=b"12", b=b"12")
    (tmp_path / "results").write_text("a file where the folder would be")
    assert equal_contents(listed(tmp_path), tmp_path / "results" / "contents.json") == {"b": "a"}


def test_a_file_that_cannot_be_read_is_no_copy(tmp_path, monkeypatch):
    write(tmp_path, a=b"12", b=b"12", c=b"12")
    really = contents._hash_ends

    def refuse(path):
        if path.name == "a.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(contents, "_hash_ends", refuse)
    assert equal_contents(listed(tmp_path)) == {"c": "b"}


def test_planners_may_run_at_once(tmp_path):
    write(tmp_path, **{f"v{n}": bytes([n // 2]) * 9 for n in range(40)})
    kept, videos, results = tmp_path / "results" / "contents.json", listed(tmp_path), []
    threads = [threading.Thread(target=lambda: results.append(equal_contents(videos, kept))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(found == results[0] for found in results)
    assert len(results[0]) == 20
    assert len(json.loads(kept.read_text())["read"]) == 80
    assert os.listdir(kept.parent) == ["contents.json"]  # noqa: PTH208


def test_folders_of_images_are_equal_by_names_and_contents(tmp_path, read):
    write(tmp_path, **{f"a__{n}": bytes([n, 1]) for n in range(9)})
    write(tmp_path, **{f"copy__{n}": bytes([n, 1]) for n in range(9)})
    write(tmp_path, **{f"shorter__{n}": bytes([n, 1]) for n in range(8)})
    write(tmp_path, **{f"sizes__{n}": bytes([n, 1, 1]) for n in range(9)})
    write(tmp_path, **{f"ends__{n}": bytes([n, 2]) for n in range(9)})
    write(tmp_path, **{f"inside__{n}": bytes([n, 1 + (n == 2)]) for n in range(9)})
    (tmp_path / "copy" / ".DS_Store").write_bytes(b"1")
    assert equal_contents(listed(tmp_path, frames=True)) == {"copy": "a"}
    whole = {name for how, name in read if how == "whole"}
    assert whole == {f"{n}.png" for n in range(9)}
    assert sum(how == "ends" for how, _ in read) == 3 * 4, "three images of each folder that is not told apart before"


def test_images_are_not_even_listed_one_by_one_where_names_tell(tmp_path, monkeypatch):
    for video in range(4):
        write(tmp_path, **{f"v{video}__{video}_{n}": b"1" for n in range(3)})
    videos = listed(tmp_path, frames=True)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: pytest.fail("an image was looked at"))
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    assert equal_contents(videos) == {}
