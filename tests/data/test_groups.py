"""What belongs together: patterns, folders, tables, copies, parts of a recording."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.config import ConfigError, parse
from lvdm.data.catalog import VideoSource, find_videos
from lvdm.data.config import GroupConfig
from lvdm.data.groups import assign_groups, join, share_note
from lvdm.data.splits import split_videos
from lvdm.stages.pipeline import PipelineConfig


def videos(folder: Path, *names: str) -> list[VideoSource]:
    for name in names:
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).touch()
    (folder / "data" / "0").mkdir(exist_ok=True)
    (folder / "data" / "0.mp4").touch()  # so that the root is the folder itself
    found = find_videos([f"{folder}/data/**/*"]).videos
    return [video for video in found if video.name != "0.mp4"]


def groups(found: list[VideoSource], config) -> dict[str, str]:
    grouped, _ = assign_groups(found, GroupConfig.model_validate(config) if config else None)
    return {video.name: video.group for video in grouped}


def table(folder: Path, text: str, encoding: str = "utf-8") -> dict:
    (folder / "groups.csv").write_text(text, encoding=encoding)
    return {"table": folder / "groups.csv"}


# -------------------------------------------------------------------------------------- by the setting


def test_without_a_setting_each_video_is_a_group_named_as_itself(tmp_path):
    found = videos(tmp_path, "a b/c.mp4", f"{'x' * 200}.mp4", "p.mp4")
    grouped, notes = assign_groups(found, None)
    assert [(video.group, video.split_key) for video in grouped] == [(video.id, video.id) for video in found]
    assert notes == []


def test_a_pattern_makes_groups_of_its_parentheses(tmp_path):
    found = videos(tmp_path, "p1/a.mp4", "p1/b.mkv", "p2/a.mp4")
    assert groups(found, r"p\d")["p1/a.mp4"] == "p1"
    assert groups(found, r"(p)(\d)") == {"p1/a.mp4": "p-1", "p1/b.mkv": "p-1", "p2/a.mp4": "p-2"}
    assert groups(found, r"^(?:p(1)|p(2))") == {"p1/a.mp4": "1", "p1/b.mkv": "1", "p2/a.mp4": "2"}


def test_a_pattern_sees_the_path_without_suffix_and_then_with_it(tmp_path):
    found = videos(tmp_path, "v-0-16.mp4", "v-16-32.mp4", "w-0-16.mkv")
    assert groups(found, r"^(.*)-\d+-\d+$") == {"v-0-16.mp4": "v", "v-16-32.mp4": "v", "w-0-16.mkv": "w"}
    assert set(groups(found, r"^(.*)-\d+-\d+\.mp4$").values()) == {"v", "w-0-16"}


def test_a_video_that_does_not_match_is_alone_and_counted(tmp_path):
    found = videos(tmp_path, "p1_a.mp4", "p1_b.mp4", "other.mp4", "()x.mp4")
    grouped, (note,) = assign_groups(found, GroupConfig(pattern=r"^(p\d)?"))
    assert {video.name: video.group for video in grouped} | {"()x.mp4": ""} == {
        "p1_a.mp4": "p1",
        "p1_b.mp4": "p1",
        "other.mp4": "other",
        "()x.mp4": "",
    }
    assert "2 of 4 videos do not match" in note
    assert "all videos do not match" in assign_groups(found, GroupConfig(pattern="zzz"))[1][0]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (1, {"c1/p1/a.mp4": "c1", "c1/p2/b.mp4": "c1", "c2/p1/c.mp4": "c2", "d.mp4": "d"}),
        (2, {"c1/p1/a.mp4": "p1", "c1/p2/b.mp4": "p2", "c2/p1/c.mp4": "p1", "d.mp4": "d"}),
        (-1, {"c1/p1/a.mp4": "p1", "c1/p2/b.mp4": "p2", "c2/p1/c.mp4": "p1", "d.mp4": "d"}),
        (-2, {"c1/p1/a.mp4": "c1", "c1/p2/b.mp4": "c1", "c2/p1/c.mp4": "c2", "d.mp4": "d"}),
    ],
)
def test_folders_by_level(tmp_path, level, expected):
    found = videos(tmp_path, *expected)
    assert groups(found, {"folder": level}) == expected
    assert "1 of 4 videos lie in no folder" in assign_groups(found, GroupConfig(folder=level))[1][0]


def test_folders_of_frames_are_not_folders_of_themselves(tmp_path):
    for name in ("p1/v1", "p1/v2", "p2/v1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    found = find_videos(frames=str(tmp_path)).videos
    assert groups(found, {"folder": -1}) == {"p1/v1": "p1", "p1/v2": "p1", "p2/v1": "p2"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("(a", "no regular expression"),
        ({"pattern": "[b"}, "no regular expression"),
        ("", "at least 1 character"),
        ({"folder": 0}, "1 for the first"),
        ({"folder": 1, "table": "x.csv"}, "one of `pattern`, `folder` and `table`"),
        ({}, "one of `pattern`, `folder` and `table`"),
        ({"folder": "1"}, "integer"),
        ({"foldr": 1}, "foldr"),
    ],
)
def test_settings_that_cannot_be_used(config, said):
    with pytest.raises(ConfigError, match=rf"datasets\.one\.group.*{re.escape(said)}"):
        parse(PipelineConfig, {"datasets": {"one": {"videos": "a/*", "group": config}}}, "test")


# --------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("video,group\np1_a,P 1\nx/b.mp4,P 1\nc,P 2\nx/d,P 3\n", "utf-8"),
        ("\ufeffgroup;centre;video\nP 1;;p1_a.mp4\nP 1;;b.mp4\nP 2;7;c.mkv\n\nP 3;;x\\d.mp4\n", "utf-8"),
        ('video\tgroup\n"p1_a"\tP 1\nb\t P 1\n./c.mkv\tP 2\nd\tP 3', "utf-8"),
    ],
)
def test_a_table_names_videos_in_any_usual_way(tmp_path, text, encoding):
    found = videos(tmp_path, "p1_a.mp4", "x/b.mp4", "c.mkv", "x/d.mp4")
    by_name = groups(found, table(tmp_path, text, encoding))
    assert by_name["p1_a.mp4"] == by_name["x/b.mp4"]
    assert len(set(by_name.values())) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,group\na,1\np/b,1\nzz,2\n", "line 4: there is no video zz"),
        ("video,group\na,1\n", "no row for p/b.mp4, q/b.mkv"),
        ("video,group\na,1\np/b,1\na.mp4,2\n", "line 4: a.mp4 has a row already, in line 2"),
        ("video,group\na,\n", "line 2: `group` is empty"),
        ("video,group\n,1\n", "line 2: `video` is empty"),
        ("video,group\na\n", "line 2: `group` is empty"),
        ("video,patient\na,1\n", "line 1: the columns `video` and `group` are needed; there are video, patient"),
        ("", "line 1: the columns"),
        ("video,group\na,1\nb,1\n", "line 3: b may be any of p/b.mp4, q/b.mkv"),
        ('video,group\n"a,1\n', "line 2: unexpected end"),
    ],
)
def test_a_table_that_does_not_fit_names_itself_and_the_line(tmp_path, text, said):
    found = videos(tmp_path, "a.mp4", "p/b.mp4", "q/b.mkv")
    with pytest.raises(ValueError, match=rf"groups\.csv.*{re.escape(said)}"):
        groups(found, table(tmp_path, text))


def test_a_table_that_is_not_there_or_not_text(tmp_path):
    found = videos(tmp_path, "a.mp4")
    with pytest.raises(ValueError, match=r"none\.csv.*check the path"):
        groups(found, {"table": tmp_path / "none.csv"})
    with pytest.raises(ValueError, match="UTF-8"):
        groups(found, table(tmp_path, "video,group\na,Müller\n", "latin-1"))


# --------------------------------------------------------------------------------------------- labels


@given(
    st.sets(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/."), min_size=1),
        min_size=1,
        max_size=12,
    )
)
def test_labels_are_safe_and_differ_whatever_the_case(names):
    found = [
        VideoSource(f"v{n}", Path(f"{name}.mp4"), f"{name}/{n}.mp4", f"{name}/{n}") for n, name in enumerate(names)
    ]
    grouped, _ = assign_groups(found, GroupConfig(folder=1))
    labels = [video.group for video in grouped]
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", label) for label in labels)
    assert len({label.casefold() for label in labels}) == len(names)
    assert [video.split_key for video in grouped] == list(names)


def test_a_group_that_a_file_tells_is_split_by_its_key_and_written_by_its_label(tmp_path):
    found = videos(tmp_path, "a.dcm", "b.dcm", "c.mp4")
    known = {"a": ("Erika Mustermann", "h4sh"), "b": ("Erika Mustermann", "h4sh")}
    grouped, notes = assign_groups(found, None, known)
    assert [video.group for video in grouped] == ["h4sh", "h4sh", "c"]
    assert [video.split_key for video in grouped] == ["Erika Mustermann", "Erika Mustermann", "c"]
    assert "Erika" not in str(notes)
    other = {id: (key, "another") for id, (key, _) in known.items()}
    sides = [
        split_videos([v.id for v in some], 0.5, {v.id: v.split_key for v in some})
        for some in (grouped, assign_groups(found, None, other)[0])
    ]
    assert sides[0] == sides[1]
    # What the configuration says goes before what files tell.
    assert {video.group for video in assign_groups(found, GroupConfig(pattern="^[ab]"), known)[0]} == {"a", "b", "c"}


# ------------------------------------------------------------------------------------------- together


def test_the_parts_of_a_dvd_title_are_one_group_in_any_case(tmp_path):
    names = [f"{disc}/VTS_{title}_{part}.VOB" for disc in ("d1", "d2") for title in ("01", "02") for part in (1, 2)]
    found = videos(tmp_path, *names)
    for config, count in ((None, 4), ({"pattern": r"VTS_01_1"}, 3)):
        by_name = groups(found, config)
        assert len(set(by_name.values())) == count
        assert by_name["d1/VTS_01_1.VOB"] == by_name["d1/VTS_01_2.VOB"] != by_name["d1/VTS_02_1.VOB"]


LINKS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=8)


@given(LINKS, st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_joined_groups_are_what_can_be_reached(links, numbers):
    found = [
        VideoSource(str(n), Path(str(n)), group=f"g{group}", split_key=f"k{group}") for n, group in enumerate(numbers)
    ]
    joined = join(found, [(str(one), str(other)) for one, other in links])
    reach = [{n} | {m for m in range(8) if numbers[m] == numbers[n]} for n in range(8)]
    for _ in range(8):
        for one, other in links:
            both = [n for n in range(8) if reach[n] & {one, other}]
            union = set().union(reach[one], reach[other], *(reach[n] for n in both))
            for n in union:
                reach[n] = reach[n] | union
    for n in range(8):
        assert {m for m in range(8) if joined[m].split_key == joined[n].split_key} == reach[n]
        assert joined[n].split_key == min(f"k{numbers[m]}" for m in reach[n])
        assert joined[n].group == joined[n].split_key.replace("k", "g")


# ------------------------------------------------------------------------------------------- the share


def test_a_share_that_comes_out_otherwise_is_told():
    groups = {f"a{n}": "big" for n in range(9)} | {"b": "small"}
    held = {id: "heldout" if label == "big" else "train" for id, label in groups.items()}
    assert "90% of the videos are held out where split.heldout is 10%" in share_note(groups, held, 0.1)
    assert share_note(groups, {id: "heldout" if id == "b" else "train" for id in groups}, 0.1) is None
    assert share_note(groups, held, ("big",)) is None
    assert share_note({id: id for id in groups}, held, 0.1) is None, "each video by itself: the share is that of chance"
    assert "one group" in share_note(dict.fromkeys(groups, "all"), dict.fromkeys(groups, "train"), 0.1)
