"""Each file once, whatever its name and whatever leads to it, and nothing of what the pipeline wrote."""

import glob
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data.catalog import find_videos, list_videos
from lvdm.data.search import search
from lvdm.files import write_text


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def ids(*globs) -> dict[str, str]:
    return {video.path.name: video.id for video in list_videos([str(glob) for glob in globs])}


def notes(*globs, frames=None, exclude=()) -> str:
    return "\n".join(find_videos([str(glob) for glob in globs], frames, exclude=exclude).notes)


# --------------------------------------------------------------------------------------------- links


def test_links_to_a_folder_above_and_loops_list_no_file_twice(tmp_path):
    touch(tmp_path, "all/v0.mp4", "all/v1.mp4", "polyps/p0.mp4")
    before = ids(tmp_path / "**/*.mp4")
    (tmp_path / "all" / "up").symlink_to("..")
    (tmp_path / "aaa").symlink_to(".")
    (tmp_path / "polyps" / "across").symlink_to(tmp_path / "all")
    (tmp_path / "all" / "back").symlink_to(tmp_path / "polyps")
    assert ids(tmp_path / "**/*.mp4") == before
    assert ids(tmp_path / "**/*") == before
    assert ids(tmp_path / "*/*.mp4") == before


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_link_to_a_file_is_left_out_and_told(tmp_path, kind):
    touch(tmp_path, "b.mp4", "other.mp4")
    if kind == "link":
        (tmp_path / "a.mp4").symlink_to("b.mp4")
    else:
        (tmp_path / "c.mp4").hardlink_to(tmp_path / "b.mp4")
    assert list(ids(tmp_path / "*.mp4")) == ["b.mp4", "other.mp4"]
    assert "links to files that are listed already are left out: 1" in notes(tmp_path / "*.mp4")


def test_a_link_is_kept_where_it_is_the_only_way(tmp_path):
    touch(tmp_path, "disk/clinic/p1/a.mp4", "data/b.mp4")
    (tmp_path / "data" / "clinic").symlink_to(tmp_path / "disk" / "clinic")
    found = list_videos([f"{tmp_path}/data/**/*.mp4"])
    assert [video.name for video in found] == ["b.mp4", "clinic/p1/a.mp4"]


def test_folders_of_frames_are_found_once_behind_links_too(tmp_path):
    touch(tmp_path, "disk/v1/1.png", "data/v2/1.png")
    (tmp_path / "data" / "disk").symlink_to(tmp_path / "disk")
    (tmp_path / "data" / "again").symlink_to("v2")
    (tmp_path / "data" / "v2" / "up").symlink_to("..")
    assert [video.name for video in list_videos(frames=f"{tmp_path}/data")] == ["disk/v1", "v2"]


PART = st.sampled_from(["a", "b", "c1", "A", "x y", "é"])
FILES = st.sets(
    st.tuples(st.lists(PART, max_size=3), PART, st.sampled_from([".mp4", ".MKV", ".txt", ""])).map(
        lambda parts: "/".join([*(f"{folder}_" for folder in parts[0]), parts[1] + parts[2]])
    ),
    min_size=1,
    max_size=12,
)


@given(FILES, st.sampled_from(["*", "**/*", "**/*.mp4", "*/*", "**", "**/a*/*", "?_/**/*.*", "[ab]_/*", "**/**/*"]))
def test_without_links_it_finds_what_glob_finds(tmp_path_factory, files, pattern):
    folder = tmp_path_factory.mktemp("tree")
    touch(folder, *files)
    expected = {path for path in glob.glob(f"{folder}/{pattern}", recursive=True) if os.path.isfile(path)}  # noqa: PTH113, PTH207
    assert search(f"{folder}/{pattern}").files == expected


# ----------------------------------------------------------------------------------------- odd names


@pytest.mark.parametrize(
    "pattern", ["[2024] study/*.mp4", "[[]2024] study/*.mp4", "[2024]*/*.mp4", "**/[2024] study/*"]
)
def test_brackets_in_a_folder_are_read_as_they_are(tmp_path, pattern):
    touch(tmp_path, "[2024] study/a.mp4", "2/no.txt")
    assert [video.path for video in list_videos([f"{tmp_path}/{pattern}"])] == [tmp_path / "[2024] study" / "a.mp4"]


def test_a_choice_of_characters_stays_one(tmp_path):
    touch(tmp_path, "p1/a.mp4", "p2/a.mp4", "p3/a.mp4")
    assert [video.name for video in list_videos([f"{tmp_path}/p[12]/*.mp4"])] == ["p1/a.mp4", "p2/a.mp4"]


def test_absolute_and_relative_globs_go_together(tmp_path, monkeypatch):
    touch(tmp_path, "data/x/a.mp4", "data/y/b.mp4")
    monkeypatch.chdir(tmp_path)
    found = list_videos(["data/x/*.mp4", f"{tmp_path}/data/y/*.mp4"])
    assert [(video.name, video.path) for video in found] == [
        ("x/a.mp4", Path("data/x/a.mp4")),
        ("y/b.mp4", tmp_path / "data/y/b.mp4"),
    ]


def test_globs_above_the_working_folder(tmp_path, monkeypatch):
    touch(tmp_path, "data/a.mp4", "work/b.mp4")
    monkeypatch.chdir(tmp_path / "work")
    assert [video.name for video in list_videos(["../data/*.mp4", "*.mp4"])] == ["data/a.mp4", "work/b.mp4"]


@pytest.mark.parametrize(
    "name", ["new\nline.mp4", 'quo\'te "s".mp4', "-rf.mp4", "tab\t.mkv", "star*.mp4", "q?.mp4", " .mp4"]
)
def test_names_that_shells_stumble_over_are_found_whatever_the_glob(tmp_path, name):
    touch(tmp_path, name)
    for pattern in ("*", "**/*", name):
        (video,) = list_videos([f"{tmp_path}/{pattern}"])
        assert video.path == tmp_path / name


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("pattern", ["Größe/*.mp4", "Gr*ße/é*.mp4", "**/é.mp4"])
def test_letters_with_accents_are_found_in_either_form(tmp_path, form, pattern):
    there, given = unicodedata.normalize(form, "Größe/é.mp4"), unicodedata.normalize("NFC", pattern)
    touch(tmp_path, there)
    assert len(list_videos([f"{tmp_path}/{given}"])) == 1
    assert len(list_videos([f"{tmp_path}/{unicodedata.normalize('NFD', pattern)}"])) == 1


def test_a_name_that_is_no_utf8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.mp4")).touch()
    with pytest.raises(ValueError, match="not valid UTF-8"):
        list_videos([f"{tmp_path}/*"])


# ------------------------------------------------------------------------------------------- results


def a_run(results: Path) -> None:
    """What a run leaves behind, as far as it could be taken for videos."""
    touch(results, "first/frames/v.mkv", "first/previews/ddim/0.mp4", "report/media/0.mp4", "first/autoencoder/x.png")
    touch(results, "first/previews/real/frames/1.png")
    for folder in ("first", "report"):
        write_text(results / folder / "config" / "stage.json", '{"code": "0123", "config": {}, "stage": "extract"}\n')


@pytest.mark.parametrize("told", [True, False])
def test_what_lies_in_results_is_never_listed(tmp_path, told):
    touch(tmp_path, "first/a.mp4", "first/b/1.png")
    a_run(tmp_path / "runs" / "results")
    exclude = [tmp_path / "runs" / "results"] if told else []
    found = find_videos([f"{tmp_path}/**/*"], exclude=exclude)
    assert [video.name for video in found.videos] == ["first/a.mp4"]
    assert any("results' holds results" in note or "first' holds results" in note for note in found.notes)
    assert [video.name for video in find_videos(frames=str(tmp_path), exclude=exclude).videos] == ["first/b"]


def test_a_glob_that_points_into_results_is_refused(tmp_path):
    a_run(tmp_path / "results")
    for source in (
        {"videos": [f"{tmp_path}/results/first/previews/**/*.mp4"]},
        {"frames": f"{tmp_path}/results/first"},
    ):
        with pytest.raises(ValueError, match=r"lies in .*results, which the pipeline writes to"):
            find_videos(**source, exclude=[tmp_path / "results"])
    # Those of another run may be asked for by name.
    assert len(list_videos([f"{tmp_path}/results/first/frames/*.mkv"])) == 1


def test_a_folder_called_config_makes_no_results(tmp_path):
    touch(tmp_path, "p1/a.mp4", "p1/config/recorder.json")
    write_text(tmp_path / "p2" / "config" / "camera.json", '{"gain": 1}')
    touch(tmp_path, "p2/b.mp4")
    assert len(list_videos([f"{tmp_path}/*/*.mp4"])) == 2
