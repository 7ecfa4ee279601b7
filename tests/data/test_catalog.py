import os
import re
from pathlib import Path

import pytest

from lvdm.data.catalog import EmptyDatasetError, find_videos, frame_files, list_videos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def ids(*globs) -> dict[str, str]:
    return {video.path.name: video.id for video in list_videos([str(glob) for glob in globs])}


# -------------------------------------------------------------------------------------------- names


def test_videos_are_sorted_and_named_by_their_stems(tmp_path):
    touch(tmp_path, "b.mkv", "a.MP4", "c_1-x.gif", "notes.txt")
    assert ids(tmp_path / "*") == {"a.MP4": "a", "b.mkv": "b", "c_1-x.gif": "c_1-x"}


@pytest.mark.parametrize(
    "name", ["mit Leerzeichen.mp4", "Größe.mp4", "a.b.mp4", "-rf.mp4", "胃.mkv", "x" * 200 + ".avi"]
)
def test_odd_names_become_safe_ids_with_a_hash(tmp_path, name):
    touch(tmp_path, name)
    (video,) = list_videos([str(tmp_path / "*")])
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*-[0-9a-f]{8}", video.id)
    assert len(video.id) < 140
    assert video.path == tmp_path / name


def test_subfolders_are_part_of_the_id(tmp_path):
    touch(tmp_path, "p1/a.mp4", "p2/a.mp4", "p1_a.mp4")
    found = {video.path.relative_to(tmp_path).as_posix(): video.id for video in list_videos([f"{tmp_path}/**/*.mp4"])}
    assert found["p1_a.mp4"] == "p1_a"
    assert found["p1/a.mp4"].startswith("p1_a-")
    assert len(set(found.values())) == 3


def test_an_id_does_not_depend_on_the_other_videos(tmp_path):
    touch(tmp_path, "a b.mp4", "c.mp4")
    before = ids(tmp_path / "*")
    touch(tmp_path, "a_b.mp4", "a-b.mp4", "a b.avi", "d.mp4")
    after = ids(tmp_path / "*")
    assert {name: after[name] for name in before} == before
    assert len(set(after.values())) == 6


@pytest.mark.parametrize("other", ["a.avi", "A.mp4"])
def test_two_files_of_one_name_are_told_apart(tmp_path, other):
    touch(tmp_path, "a.mp4", other)
    named = ids(tmp_path / "*")
    assert len({id.casefold() for id in named.values()}) == len(named) == 2


def test_ids_do_not_depend_on_where_the_data_set_is(tmp_path):
    for place in ("here", "there/deep"):
        touch(tmp_path / place, "p 1/a.mp4")
    assert ids(tmp_path / "here/*/*.mp4") == ids(tmp_path / "there/deep/*/*.mp4")


def test_several_globs_share_their_common_folder(tmp_path):
    touch(tmp_path, "train/a.mp4", "test/a.mp4")
    videos = list_videos([f"{tmp_path}/train/*.mp4", f"{tmp_path}/test/*.mp4", f"{tmp_path}/t*/a.mp4"])
    assert [video.id.rpartition("-")[0] for video in videos] == ["test_a", "train_a"]


def test_a_file_may_be_named_outright_also_with_brackets(tmp_path):
    touch(tmp_path, "case [1].mp4")
    (video,) = list_videos([str(tmp_path / "case [1].mp4")])
    assert video.path.name == "case [1].mp4"


def test_relative_globs_stay_relative(tmp_path, monkeypatch):
    touch(tmp_path, "data/x/a.mp4")
    monkeypatch.chdir(tmp_path)
    (video,) = list_videos(["data/x/*.mp4"])
    assert (video.id, video.path) == ("a", Path("data/x/a.mp4"))


# -------------------------------------------------------------------------------- nothing to be found


@pytest.mark.parametrize("pattern", ["missing/*.mp4", "empty/*.mp4", "empty"])
def test_an_empty_data_set_says_what_to_do(tmp_path, pattern):
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmptyDatasetError) as error:
        list_videos([str(tmp_path / pattern)], dataset="kvasir", page="https://example.org/kvasir")
    for part in ("kvasir", str(tmp_path / pattern.partition("/")[0]), "https://example.org/kvasir", "make demo"):
        assert part in str(error.value)


def test_a_glob_of_other_files_is_an_error_that_names_one(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=r"notes\.txt.*no video"):
        list_videos([str(tmp_path / "*")])


def test_every_glob_must_find_something(tmp_path):
    touch(tmp_path, "a.mp4")
    with pytest.raises(EmptyDatasetError, match=r"mkv matches nothing"):
        list_videos([f"{tmp_path}/*.mp4", f"{tmp_path}/*.mkv"])


def test_frame_folders(tmp_path):
    touch(tmp_path, "v10/1.png", "v9/1.jpg", "sub/v 1/000.PNG", "empty/readme.txt")
    videos = list_videos(frames=str(tmp_path))
    assert [video.id for video in videos][1:] == ["v10", "v9"]
    assert videos[0].id.startswith("sub_v_1-")
    assert videos[1].path == tmp_path / "v10"


def test_frame_folders_missing_or_one_level_too_deep(tmp_path):
    with pytest.raises(EmptyDatasetError, match="make demo"):
        list_videos(frames=str(tmp_path / "nowhere"))
    with pytest.raises(EmptyDatasetError, match="make demo"):
        list_videos(frames=str(tmp_path))
    touch(tmp_path, "1.png")
    with pytest.raises(ValueError, match="folder above"):
        list_videos(frames=str(tmp_path))


def test_a_frame_folder_may_be_a_link_and_needs_an_image_that_shows(tmp_path):
    touch(tmp_path, "elsewhere/v/1.png", "data/hidden/.1.png", "data/folder/1.png/notes.txt")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere" / "v")
    assert [video.id for video in list_videos(frames=str(tmp_path / "data"))] == ["linked"]


def test_frames_come_in_natural_order(tmp_path):
    touch(tmp_path, "f10.png", "f9.png", "f1.png", ".hidden.png", "notes.txt")
    assert [file.name for file in frame_files(tmp_path)] == ["f1.png", "f9.png", "f10.png"]


def test_sources_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match="either"):
        list_videos([str(tmp_path)], frames=str(tmp_path))


# ------------------------------------------------------------------------------------ what is no video


def notes(*globs, frames=None, exclude=()) -> str:
    return "\n".join(find_videos([str(glob) for glob in globs], frames, exclude=exclude).notes)


@pytest.mark.parametrize("suffix", ["MPG", "Ts", "MTS", "m4v", "asf", "flv", "mxf", "ogv", "vob", "dv", "h264", "DCM"])
def test_what_recorders_write_is_a_video_in_any_case(tmp_path, suffix):
    touch(tmp_path, f"a.{suffix}")
    assert ids(tmp_path / "*") == {f"a.{suffix}": "a"}


def test_files_that_are_no_videos_are_counted_by_kind(tmp_path):
    others = [
        "n1.txt",
        "n2.TXT",
        "x.docx",
        ".DS_Store",
        "._a.mp4",
        "b.mp4.part",
        "c.mkv.crdownload",
        "a.mp4~",
        "README",
    ]
    touch(tmp_path, "a.mp4", *others, "VIDEO_TS/VIDEO_TS.VOB", "VIDEO_TS/VTS_01_0.VOB", "VIDEO_TS/VTS_01_1.VOB")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    assert notes(tmp_path / "**/*") == (
        "12 files that are no videos are ignored: 3 unfinished, 2 .txt, 2 DVD menu, 2 hidden, 1 .docx, 1 broken link, "
        "1 without suffix"
    )
    assert sorted(ids(tmp_path / "**/*")) == ["VTS_01_1.VOB", "a.mp4"]


def test_what_a_glob_does_not_match_is_not_counted(tmp_path):
    touch(tmp_path, "a.mp4", "notes.txt", ".DS_Store")
    assert notes(tmp_path / "*.mp4") == ""


def test_files_that_differ_in_case_alone_are_named(tmp_path):
    touch(tmp_path, "a.mp4", "B.MP4", "c.Mp4")
    assert re.search(r"leaves out 2 that differ in this alone, '.*B\.MP4'", notes(tmp_path / "*.mp4"))
    assert notes(tmp_path / "*.mp4", tmp_path / "*.[mM][pP]4") == ""
    with pytest.raises(ValueError, match=r"B\.MP4 differs only in the case"):
        find_videos([f"{tmp_path}/[Bb].mp4"])


def test_folders_of_storage_and_hidden_folders_are_not_searched(tmp_path):
    places = ("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".Trash-1000", ".snakemake")
    touch(tmp_path, "a/1.png", *(f"{folder}/a/{file}" for folder in places for file in ("1.png", "v.mp4")), "v.mp4")
    assert [video.name for video in list_videos([f"{tmp_path}/**/*.mp4"])] == ["v.mp4"]
    assert [video.name for video in list_videos(frames=str(tmp_path))] == ["a"]


def test_images_alone_point_to_the_key_for_them(tmp_path):
    touch(tmp_path, "a/1.png", "a/2.png")
    with pytest.raises(ValueError, match=r"no video .*`frames`"):
        find_videos([f"{tmp_path}/**/*"])


def test_videos_beside_folders_of_images_are_counted(tmp_path):
    touch(tmp_path, "a/1.png", "v.mp4", "b/w.mkv")
    assert ": 2" in notes(frames=str(tmp_path))


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "a.mp4", "closed/b.mp4")
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr("lvdm.data.search.os.scandir", refuse)
    assert re.search(r"closed' cannot be read", notes(tmp_path / "**/*"))
