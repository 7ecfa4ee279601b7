"""The plan, as pure functions of a configuration and of names."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvdm.config import ConfigError
from lvdm.data import contents
from lvdm.data.splits import split_videos
from lvdm.files import write_json, write_text
from lvdm.provenance import code_stamp
from lvdm.stages import sources

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow"))
from scripts import plan

DEMO = {"datasets": {"demo": {"videos": "data/demo/*.mp4"}}, "demo": {"patients": 3}}


def demo(**sections):
    """The plan of a demo of three patients with some sections changed."""
    datasets, missing = plan.find(sources.load({**DEMO, **sections}))
    assert missing == []
    return datasets["demo"]


@given(st.integers(1, 5000), st.integers(1, 600))
def test_chunks_cover_each_video_once_in_order(videos, size):
    pieces = plan.chunks(videos, size)
    assert [n for first, count in pieces.values() for n in range(first, first + count)] == list(range(videos))
    assert all(1 <= count <= size for _, count in pieces.values())
    assert list(pieces) == sorted(pieces)


def test_every_video_is_in_one_shard():
    dataset = demo(data={"split": {"train_shards": 2, "heldout_shards": 1}})
    assert sorted(id for members in dataset.members.values() for id in members) == sorted(dataset.videos)
    assert dataset.shards("train") == ["train-000", "train-001"]
    assert dataset.shards(*plan.SPLITS) == ["train-000", "train-001", "heldout-000"]


def clinic(folder, names, **settings):
    """The plan of a data set of small files, each of a content of its own, and the notes on it."""
    for number, name in enumerate(names):
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_bytes(number.to_bytes(4))
    source = {"videos": f"{folder}/data/**/*", **settings.pop("source", {})}
    found, missing = plan.find(
        sources.load({"results": f"{folder}/results", "datasets": {"clinic": source}, **settings})
    )
    assert missing == []
    return found["clinic"], "\n".join(found["clinic"].notes)


PATIENTS = [f"patient{p:02}/{c}.mp4" for p in range(20) for c in "abcd"]


def test_patients_are_on_one_side(tmp_path):
    dataset, notes = clinic(tmp_path, PATIENTS, source={"group": r"(patient\d+)"})
    assert notes == ""
    sides = {}
    for video, group in dataset.groups.items():
        assert dataset.videos[video].split("/")[-2] == group
        sides.setdefault(group, set()).add(dataset.sides[video])
    assert len(sides) == 20
    assert all(len(side) == 1 for side in sides.values())
    assert set().union(*sides.values()) == set(plan.SPLITS)
    shards = {id: split for (split, _), members in dataset.members.items() for id in members}
    assert shards == dataset.sides
    assert {group: len(members) for group, members in dataset.found.members.items()} == dict.fromkeys(sides, 4)
    assert dataset.found.members["patient03"] == sorted(id for id in dataset.videos if id.startswith("patient03"))


def test_patients_without_a_group_give_a_warning_and_the_split_of_before(tmp_path):
    dataset, notes = clinic(tmp_path, PATIENTS)
    assert "clinic: 80 videos look like pieces of 20 sources" in notes
    assert r'write group: "(patient\\d+)"' in notes
    assert dataset.groups == {id: id for id in dataset.videos}
    assert dataset.sides == split_videos(dataset.videos, 0.1)


def test_copies_are_left_out_and_never_on_two_sides(tmp_path):
    names = [f"all/v{n}.mp4" for n in range(10)]
    clinic(tmp_path, names)
    for n in range(5):
        (tmp_path / "data" / "polyps").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "data" / f"all/v{n}.mp4", tmp_path / "data" / f"polyps/p{n}.mp4")
    dataset, notes = clinic(tmp_path, names)
    copies = set(dataset.found.copies)
    assert len(copies) == 5
    assert all(id.startswith("polyps_p") for id in copies)
    assert len(dataset.videos) == 10
    assert not copies & set(dataset.videos)
    assert all(reason.startswith("same content as all_v") for reason in dataset.found.left_out.values())
    assert "videos that have the same content as others are left out: 5, polyps_p0-" in notes
    # Who holds out the copy holds out what is used in its place.
    copy = min(copies)
    held, _ = clinic(tmp_path, names, data={"split": {"heldout": [copy]}})
    assert [id for id, side in held.sides.items() if side == "heldout"] == [dataset.found.copies[copy]]


def test_groups_that_hold_one_file_are_one(tmp_path):
    names = ["p1/a.mp4", "p1/b.mp4", "p2/c.mp4", "p3/d.mp4"]
    clinic(tmp_path, names)
    shutil.copy(tmp_path / "data/p1/a.mp4", tmp_path / "data/p2/again.mp4")
    dataset, notes = clinic(tmp_path, names, source={"group": {"folder": 1}})
    assert {group: len(members) for group, members in dataset.found.members.items()} == {"p1": 3, "p3": 1}
    assert "groups p1 and p2 hold the same file, so they are one" in notes


def test_groups_of_unequal_size_tell_their_share(tmp_path):
    names = [f"big/{n}.mp4" for n in range(9)] + ["small/a.mp4"]
    by_folder = {"group": {"folder": 1}}
    dataset, notes = clinic(tmp_path, names, source=by_folder, data={"split": {"heldout": ["big"]}})
    assert (list(dataset.sides.values()).count("heldout"), notes) == (9, "")
    dataset, notes = clinic(tmp_path, names, source=by_folder, data={"split": {"heldout": 0.3}})
    assert set(dataset.sides.values()) == set(plan.SPLITS)
    assert "where split.heldout is 30%" in notes


def test_results_below_the_videos_are_never_videos(tmp_path):
    before, _ = clinic(tmp_path, ["a.mp4", "b.mp4"])
    made = tmp_path / "data" / "runs"
    for name in ("clinic/frames/a.mkv", "clinic/previews/real/0.mp4", "report/media/0.mp4", "old/samples/0.mp4"):
        write_text(made / name, "made")
    dataset, notes = clinic(tmp_path, ["a.mp4", "b.mp4"], results=str(made))
    assert dataset.videos == before.videos
    assert "runs' holds results of a pipeline" in notes
    with pytest.raises(ConfigError, match=r"datasets\.clinic: .*lies in .*runs/clinic"):
        clinic(tmp_path, [], results=str(made), source={"videos": f"{made}/clinic/frames/*.mkv"})


def test_data_may_lie_beside_the_results(tmp_path):
    before, _ = clinic(tmp_path, ["a.mp4", "b.mp4"])
    write_text(tmp_path / "clinic" / "previews" / "0.mp4", "made")
    everything = {"videos": f"{tmp_path}/**/*"}
    dataset, _ = clinic(tmp_path, ["a.mp4", "b.mp4"], results=str(tmp_path), source=everything)
    assert list(dataset.videos.values()) == list(before.videos.values())


def test_what_is_ignored_is_told(tmp_path):
    _, notes = clinic(tmp_path, ["a.mp4", "b.ts", "x.docx", "._a.mp4"])
    assert notes == "clinic: 2 files that are no videos are ignored: 1 .docx, 1 hidden"


def test_a_table_that_does_not_fit_stops_the_plan(tmp_path):
    write_text(tmp_path / "groups.csv", "video,group\na.mp4,1\nc.mp4,2\n")
    with pytest.raises(ConfigError, match=r"datasets\.clinic: .*groups\.csv, line 3: there is no video c\.mp4"):
        clinic(tmp_path, ["a.mp4", "b.mp4"], source={"group": {"table": f"{tmp_path}/groups.csv"}})


def test_a_thousand_videos_are_read_once(tmp_path, monkeypatch):
    names = [f"{n:04}.mp4" for n in range(1000)]
    dataset, notes = clinic(tmp_path, names)
    assert (len(dataset.videos), notes) == (1000, "")
    assert sum(map(len, dataset.members.values())) == 1000
    pipeline = sources.load(
        {"results": f"{tmp_path}/results", "datasets": {"clinic": {"videos": f"{tmp_path}/data/**/*"}}}
    )
    for how in ("_hash_ends", "_hash_whole"):
        monkeypatch.setattr(contents, how, lambda path: pytest.fail(f"{path} is read again"))
    assert sources.videos(pipeline, "clinic") == dataset.found


def test_the_demo_is_listed_before_it_exists():
    assert demo().videos == {f"patient-0{n}": f"data/demo/patient-0{n}.mp4" for n in (1, 2, 3)}


def test_a_demo_needs_a_data_set_of_that_name():
    with pytest.raises(ConfigError, match=r"datasets\.demo\.videos"):
        sources.load({"datasets": {"other": {"videos": "x/*.mp4"}}, "demo": {}})


def test_every_missing_data_set_has_a_message(tmp_path):
    datasets = {name: {"videos": f"{tmp_path}/{name}/*.mp4"} for name in ("one", "two")}
    found, missing = plan.find(sources.load({"datasets": datasets}))
    assert list(found) == ["one", "two"]
    assert ["one" in missing[0], "two" in missing[1]] == [True, True]


def test_a_path_that_looks_like_a_wildcard_is_refused(tmp_path):
    (tmp_path / "a{b}.mp4").touch()
    with pytest.raises(ConfigError, match=r"\{b\}.*rename"):
        plan.find(sources.load({"datasets": {"one": {"videos": f"{tmp_path}/*.mp4"}}}))


def test_frozen_configuration_is_canonical_and_complete(tmp_path):
    line = plan.frozen(demo(), "sample.ddim-50", tmp_path)
    frozen = json.loads(line)
    assert line == json.dumps(frozen, sort_keys=True, ensure_ascii=False)
    assert "\n" not in line
    assert frozen["stage"] == "sample.ddim-50"
    assert frozen["code"] == code_stamp("lvdm.stages.sample")
    assert frozen["config"]["sampler"] == {"method": "ddim", "steps": 50, "eta": 0.0}


def test_a_stage_sees_its_own_sections_only(tmp_path):
    before, after = demo(), demo(sample={"seed": 1}, report={"videos": 2})
    lines = [
        {stage: plan.frozen(dataset, stage, tmp_path) for stage in plan.stages(before)} for dataset in (before, after)
    ]
    changed = {stage for stage in lines[0] if lines[0][stage] != lines[1][stage]}
    assert changed == {"sample.ddim-50", "preview"}


def code(dataset, stage, results):
    return json.loads(plan.frozen(dataset, stage, results))["code"]


def test_a_pinned_training_keeps_the_stamp_that_it_was_made_with(tmp_path):
    pinned = demo(diffusion={"pin_code": True})
    assert any("diffusion.pin_code" in note for note in pinned.notes)
    assert code(pinned, "train-autoencoder", tmp_path) == code_stamp("lvdm.stages.train_autoencoder")
    assert code(pinned, "train-diffusion", tmp_path) == "pinned"

    finished = json.loads(plan.frozen(pinned, "train-diffusion", tmp_path)) | {"code": "0123456789abcdef"}
    write_json(tmp_path / "demo" / "config" / "train-diffusion.json", finished)
    assert code(pinned, "train-diffusion", tmp_path) == "pinned"  # not finished
    write_text(tmp_path / "demo" / "diffusion" / "weights.safetensors", "")
    assert code(pinned, "train-diffusion", tmp_path) == "0123456789abcdef"
    other = demo(diffusion={"pin_code": True, "training": {"steps": 7}})
    assert code(other, "train-diffusion", tmp_path) == "pinned"
    assert code(demo(), "train-diffusion", tmp_path) == code_stamp("lvdm.stages.train_diffusion")


def protocol_file(folder, text: str, name: str = "mine") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def test_real_clips_are_of_all_videos_where_the_split_has_none(tmp_path):
    heldout = {"protocols": [protocol_file(tmp_path, "real: {split: heldout}")]}
    nothing_held_out = demo(data={"split": {"heldout": 0.0}}, evaluate=heldout)
    assert nothing_held_out.real_splits("mine") == plan.SPLITS
    assert any("heldout" in note for note in nothing_held_out.notes)
    assert demo(evaluate=heldout).real_splits("mine") == ("heldout",)


@pytest.mark.parametrize("name", ["stylegan_v", "lvdm", "endora", "lossless"])
def test_shipped_protocols_are_read_by_name(name):
    dataset = demo(evaluate={"protocols": [name]})
    assert list(dataset.protocols) == [name]


def test_every_protocol_is_scored_with_every_detector(tmp_path):
    detectors = {"one": {"kind": "random3d"}, "two": {"kind": "random3d", "seed": 1}}
    dataset = demo(evaluate={"protocols": ["lvdm", "lossless"], "detectors": detectors})
    files = plan.score_files(Path("results"), dataset)
    assert len(files) == len(set(files)) == 2 * 2 * 4
    assert "results/demo/scores/lvdm/two/ddim-50.csv" in files
    for protocol in dataset.protocols:
        for detector in detectors:
            for stage in (f"score.{protocol}@{detector}", f"features.{protocol}@{detector}@fake"):
                assert stage in plan.stages(dataset)
                assert json.loads(plan.frozen(dataset, stage, tmp_path))["stage"] == stage


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["some"], "give one of endora, lossless, lvdm, stylegan_v"),
        (["lossless", "{folder}/lossless.yaml"], "two protocols are named lossless"),
        (["{folder}/a b.yaml"], "use letters"),
        (["{folder}/wrong.yaml"], "real.clip: unknown key; did you mean 'clips'"),
    ],
)
def test_protocols_that_cannot_be_used(given, said, tmp_path):
    for name in ("lossless", "a b"):
        protocol_file(tmp_path, "seed: 1", name)
    protocol_file(tmp_path, "real: {clip: 3}", "wrong")
    with pytest.raises(ConfigError, match=re.escape(said)):
        sources.load({**DEMO, "evaluate": {"protocols": [name.format(folder=tmp_path) for name in given]}})


def test_other_generators_are_scored_beside_ours(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "0.mp4").touch()
    (tmp_path / "clips.npz").touch()
    external = {"endora": {"videos": f"{tmp_path}/videos/*.mp4"}, "other": {"npz": str(tmp_path / "clips.npz")}}
    dataset = demo(external=external)
    assert dataset.generators == ["ddim-50", "endora", "other"]
    assert dataset.models("random3d") == ["ddim-50", "endora", "other", "real", "noise", "train"]
    assert dataset.external_source("endora") == ["--videos", f"{tmp_path}/videos/*.mp4"]
    assert dataset.externals["other"] == [str(tmp_path / "clips.npz")]
    assert "import-clips.endora" in plan.stages(dataset)


def test_generators_without_videos_are_named_before_anything_runs(tmp_path):
    (tmp_path / "empty").mkdir()
    external = {
        "a": {"videos": f"{tmp_path}/none/*.mp4"},
        "b": {"frames": str(tmp_path / "empty")},
        "c": {"npz": str(tmp_path / "none.npz")},
    }
    _, missing = plan.find(sources.load({**DEMO, "external": external}))
    assert [f"external.{name}: " in line for name, line in zip("abc", missing, strict=True)] == [True] * 3


@pytest.mark.parametrize("name", ["real", "noise", "train", "heldout", "ddim-50"])
def test_a_generator_needs_a_name_of_its_own(name):
    with pytest.raises(ConfigError, match="is taken"):
        sources.load({**DEMO, "external": {name: {"videos": "x/*.mp4"}}})


def test_networks_are_fetched_once_whatever_uses_them(tmp_path):
    url = {"url": "https://example.org/net.pt", "sha256": "a" * 64, "licence": "some"}
    (tmp_path / "here.pt").touch()
    here = {"path": str(tmp_path / "here.pt"), "size": 1}
    detectors = {
        "one": {"kind": "i3d", "file": url},
        "two": {"kind": "video", "features": 9, "file": {**url, "licence": "other"}},
        "three": {"kind": "inception", "file": here},
    }
    dataset = demo(evaluate={"detectors": detectors})
    networks = sources.networks([dataset.config])
    assert list(networks) == ["net-aaaaaaaaaaaa.pt"]
    assert sources.network_path(networks["net-aaaaaaaaaaaa.pt"], Path("cache")) == "cache/net-aaaaaaaaaaaa.pt"
    assert sources.network_path(dataset.detectors["three"].file, Path("cache")) == here["path"]
    assert sources.fetch_options(dataset.detectors["one"].file) == sources.fetch_options(dataset.detectors["two"].file)
    (tmp_path / "here.pt").unlink()
    _, missing = plan.find(sources.load({**DEMO, "evaluate": {"detectors": detectors}}))
    assert "here.pt" in missing[0]


def test_only_detectors_that_tell_clips_apart_look_for_memorised_ones():
    network = {"url": "https://example.org/net.pt", "size": 1}
    detectors = {kind: {"kind": kind, "file": network} for kind in ("i3d", "inception", "c3d")}
    dataset = demo(evaluate={"detectors": detectors})
    assert [dataset.memorised(kind) for kind in detectors] == [["ddim-50"], [], []]
    assert "train" not in dataset.models("c3d")
    assert not [stage for stage in plan.stages(dataset) if "c3d@reference" in stage]
    off = demo(evaluate={"detectors": detectors, "memorisation": False})
    assert off.memorised("i3d") == []
    assert not json.loads(plan.frozen(off, "features.lossless@i3d@reference", Path("results")))["config"]["everything"]


def test_overrides_hold_for_their_data_set_alone(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "video.mp4").touch()
    datasets = {name: {"videos": f"{tmp_path}/{name}/*.mp4"} for name in ("one", "two")}
    datasets["one"]["override"] = {"sample": {"videos": 10, "chunk_size": 5}}
    found, _ = plan.find(sources.load({"datasets": datasets}))
    assert list(found["one"].chunks) == ["0000", "0001"]
    assert len(found["two"].chunks) == 8


def test_the_report_is_given_every_file_of_a_data_set():
    files = plan.report_files(Path("results"), demo())
    paths = plan.paths(files)
    assert "results/demo/frames/patient-01.json" in paths
    assert "results/demo/previews/ddim-50" in paths
    assert "results/demo/config/score.lossless@random3d.json" in paths
    assert len(paths) == len(set(paths))


def test_the_page_is_told_the_notes_and_the_share_that_was_asked_for(tmp_path):
    dataset, notes = clinic(tmp_path, ["case-1-2.mp4", "case-3-4.mp4", "other-1-9.mp4", "a.txt"])
    files = plan.report_files(tmp_path, dataset)
    assert files.heldout == 0.1
    assert len(files.notes) == len(dataset.notes) > 0
    assert all(f"clinic: {note}" in notes for note in files.notes)
    named, _ = clinic(tmp_path, ["a.mp4", "b.mp4"], data={"split": {"heldout": ["a"]}})
    assert plan.report_files(tmp_path, named).heldout is None


def test_a_model_for_prediction_is_trained_and_draws_no_clips(tmp_path):
    dataset = demo(
        diffusion={"task": "prediction", "latent_stride": 4, "model": {"noise_levels": 251, "temporal_length": 4}}
    )
    assert any("prediction" in note for note in dataset.notes)
    assert (dataset.samplers, dataset.models("random3d")) == ([], ["real", "noise", "train"])
    assert not [stage for stage in plan.stages(dataset) if stage.startswith("sample")]
    windows = json.loads(plan.frozen(dataset, "encode", tmp_path))["config"]["clip"]["length"]
    assert windows == 4 * 4 * 4  # latent frames, of which every fourth is kept, of four frames
    assert json.loads(plan.frozen(dataset, "train-autoencoder", tmp_path))["config"]["clip"]["length"] == 16


def test_missing_weights_are_named_before_anything_runs(tmp_path):
    weights = tmp_path / "released.safetensors"
    _, missing = plan.find(sources.load({**DEMO, "autoencoder": {"init": "imported", "weights": str(weights)}}))
    assert [str(weights) in missing[0], "released.json" in missing[1]] == [True, True]
    assert "import-original" in missing[0]


def test_weights_and_init_belong_together():
    for section in ({"init": "imported"}, {"weights": "a.safetensors"}):
        with pytest.raises(ConfigError, match="with `init: imported`, and only then"):
            sources.load({**DEMO, "diffusion": section})


def test_the_pipeline_trains_no_text_model():
    with pytest.raises(ConfigError, match="captions"):
        sources.load({**DEMO, "diffusion": {"model": {"context_channels": 768}}})
