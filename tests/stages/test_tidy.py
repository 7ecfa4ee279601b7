"""What is not planned is listed and removed, and nothing else is touched."""

import base64
import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from lvdm.stages import inventory, planned, tidy, traces
from lvdm.stages.layout import recognise
from lvdm.stages.planned import Planned

PATH = "data/first/Jörg O'Neill & Co/visit.mp4"
GONE = "J_rg_O_Neill___Co_visit-0123abcd"
FEATURES = "first/features/lossless/random3d/real.npz"

OUTPUTS = (
    "first/config/probe.json",
    "first/manifest.csv",
    "first/frames/patient-01.mkv",
    "first/frames/patient-01.json",
    "first/shards/train-000.npy",
    "first/shards/train-000.json",
    "first/autoencoder/weights.safetensors",
    "first/samples/ddim/0000.npy",
    "first/previews/ddim",
    FEATURES,
    "report/index.html",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results of a data set `first`, all of which are planned, and a folder of Snakemake's."""
    monkeypatch.chdir(tmp_path)
    for name in OUTPUTS:
        put(f"results/{name}")
    put("results/first/config/probe.json", frozen("probe"))
    put("results/first/frames/patient-01.json", json.dumps({"source": "data/first/patient-01.mp4"}))
    put("results/first/shards/train-000.json", json.dumps({"videos": [{"id": "patient-01"}]}))
    put("results/first/manifest.csv", "id,path\npatient-01,data/first/patient-01.mp4\n")
    put("results/first/autoencoder/run/checkpoints/000000003.pt")
    put("results/first/contents.json", "{}")
    put("results/logs/first/shard/train-000.log", "train-000: 2 videos")
    features(FEATURES, np.arange(8.0).reshape(2, 4))
    Path("results/first/previews/ddim").unlink()
    put("results/first/previews/ddim/00000.mp4")
    put(".snakemake/log/a.snakemake.log", "rule shard")
    return tmp_path


def put(name, text="x"):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def frozen(stage):
    return json.dumps({"stage": stage, "code": "0" * 16, "config": {}})


def features(name, values):
    path = Path("results") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, values=values.astype("<f4"), videos=np.array(["patient-01"] * len(values)))
    return path


def record(name):
    """The file that Snakemake's record of a file of the results is in."""
    return f".snakemake/metadata/{base64.urlsafe_b64encode(f'results/{name}'.encode()).decode()}"


def leave(video=GONE, path=PATH, dataset="first"):
    """What a video leaves that was taken out, after the run that follows."""
    put(f"results/{dataset}/frames/{video}.mkv", "frames")
    put(f"results/{dataset}/frames/{video}.json", json.dumps({"source": path, "group": video}))
    put(f"results/logs/{dataset}/extract/{video}.log", path)
    put(f"results/benchmarks/{dataset}/extract/{video}.tsv", "s")
    put(record(f"{dataset}/frames/{video}.mkv"), "{}")


def take(pending=(), outputs=OUTPUTS):
    logs = frozenset({"logs/first/shard/train-000.log"})
    return inventory.take(Path("results"), Path(".snakemake"), Planned(frozenset(outputs), logs, frozenset(pending)))


def paths(entries):
    return {entry.path.as_posix() for entry in entries}


def everything():
    return {path.as_posix() for path in Path().rglob("*") if path.is_file() or path.is_symlink()}


def remove(found):
    tidy.remove(found.removable, (Path("results"), Path(".snakemake")))


def test_planned_files_and_what_belongs_to_them_are_not_listed(folder):
    assert take() == inventory.Inventory()


def test_a_video_that_was_taken_out_is_listed_and_removed_with_all_that_names_it(folder):
    before = everything()
    leave()
    put("results/logs/first/shard/train-000.log", f"train-000: {GONE} has 3 frames")
    put(".snakemake/log/b.snakemake.log", f"input: {PATH}")
    put(".snakemake/slurm_logs/rule_extract/7.log", f"rule extract: video={GONE}")
    left = everything() - before
    found = take()
    assert paths(found.removable) == left | {"results/logs/first/shard/train-000.log"}
    assert not any((found.awaited, found.stale, found.odd, found.unknown))
    remove(found)
    assert everything() == before - {"results/logs/first/shard/train-000.log"}
    assert not Path("results/benchmarks").exists()  # folders that became empty
    assert take() == inventory.Inventory()


@pytest.mark.parametrize(
    "text",
    [
        GONE,
        PATH,
        "J\\u00f6rg O'Neill & Co",
        "J%C3%B6rg%20O%27Neill%20%26%20Co",
        "Jörg O&#x27;Neill &amp; Co",
        f"results/first/frames/{GONE}.mkv",
    ],
)
def test_a_name_is_found_in_every_form(folder, text):
    leave()
    put(".snakemake/log/b.snakemake.log", f"before {text}, after")
    assert ".snakemake/log/b.snakemake.log" in paths(take().removable)


@pytest.mark.parametrize("text", ["patient-01", f"{GONE}5", "data/first/visitors", "O'Neill"])
def test_other_names_are_not_taken_for_it(folder, text):
    leave()
    put(".snakemake/log/b.snakemake.log", f"before {text}, after")
    assert ".snakemake/log/b.snakemake.log" not in paths(take().removable)


def test_a_short_name_is_looked_for_where_it_means_the_video_only(folder):
    leave("1", "data/first/1.mp4")
    put("results/first/autoencoder/curve.csv", "step,loss\n1,0.5\n")
    put("results/logs/first/shard/train-000.log", "1 video")
    put(".snakemake/log/b.snakemake.log", "results/first/frames/1.mkv")
    found = take(outputs=(*OUTPUTS, "first/autoencoder/curve.csv"))
    assert ".snakemake/log/b.snakemake.log" in paths(found.removable)
    assert "results/logs/first/shard/train-000.log" not in paths(found.removable)
    assert not found.odd


def test_a_video_of_the_same_name_in_another_data_set_is_none_that_was_taken_out(folder):
    leave("scan-07", "data/first/scan-07.mp4")
    other = ("second/config/probe.json", "second/frames/scan-07.mkv", "second/shards/train-000.json")
    put("results/second/config/probe.json", frozen("probe"))
    put("results/second/frames/scan-07.mkv")
    put("results/second/shards/train-000.json", json.dumps({"videos": [{"id": "scan-07"}]}))
    put(".snakemake/log/b.snakemake.log", "video=scan-07")
    found = take(outputs=(*OUTPUTS, *other))
    assert not any("second" in path for path in paths(found.removable))
    assert ".snakemake/log/b.snakemake.log" not in paths(found.removable)
    assert not found.odd


def test_what_the_next_run_makes_anew_is_told_and_the_names_are_kept_until_then(folder):
    leave()
    put("results/first/shards/train-000.json", json.dumps({"videos": [{"id": "patient-01"}, {"id": GONE}]}))
    put("results/report/index.html", f"<td>{GONE}</td>")
    put("results/first/features/.parts/random3d/0.npz")
    put("results/first/autoencoder/run/old-0123/identity")
    put(record("first/shards/train-000.json"), f'["{PATH}"]')
    pending = ["first/shards/train-000.json", "first/autoencoder/weights.safetensors", FEATURES, "report/index.html"]
    found = take(pending)
    stale = {"results/first/shards/train-000.json", "results/report/index.html", record("first/shards/train-000.json")}
    assert paths(found.stale) == stale
    assert paths(found.awaited) == {f"results/first/frames/{GONE}.json"}
    # An earlier training, and features of a run that is not finished, may be taken up by the next one.
    assert not any("old-" in path or ".parts" in path for path in paths(found.removable))
    remove(found)
    assert take(pending).awaited == found.awaited
    assert paths(take().odd) == stale  # a run that made none of it anew


def test_whatever_moment_it_is_killed_at_the_next_one_removes_the_rest(folder):
    before = everything()
    leave()
    put("results/first/samples/dpm/0000.npy")
    put(".snakemake/log/b.snakemake.log", GONE)
    put("results/old/config/probe.json", frozen("probe"))
    leave("scan-07", "data/old/scan-07.mp4", dataset="old")
    put(".snakemake/log/c.snakemake.log", "video=scan-07")
    while entries := sorted(take().removable, key=lambda entry: entry.turn):
        remove(inventory.Inventory(removable=entries[:1]))
    assert everything() == before


def test_each_reason_is_told(folder):
    put("results/first/samples/dpm/0000.npy")
    put("results/first/samples/ddim/0001.npy")
    put("results/first/shards/train-001.npy")
    put("results/first/scores/stylegan_v/random3d/ddim.csv")
    put("results/first/autoencoder/run/old-0123/checkpoints/000000003.pt")
    put("results/first/autoencoder/.weights.0123abcd.part.safetensors")
    put("results/old/config/probe.json", frozen("probe"))
    put("results/old/latents/train-000.npy")
    why = {entry.path.as_posix().removeprefix("results/"): entry.why for entry in take().removable}
    assert why == {
        "first/samples/dpm/0000.npy": "dpm is not configured",
        "first/samples/ddim/0001.npy": "chunk 0001 of samples is not planned",
        "first/shards/train-001.npy": "shard train-001 is not planned",
        "first/scores/stylegan_v/random3d/ddim.csv": "protocol stylegan_v is not configured",
        "first/autoencoder/run/old-0123/checkpoints/000000003.pt": "of an earlier training",
        "first/autoencoder/.weights.0123abcd.part.safetensors": "half-written, by a job that was killed",
        "old/config/probe.json": "data set old is not configured",
        "old/latents/train-000.npy": "data set old is not configured",
    }


def test_of_several_trainings_the_last_one_stays(folder):
    for number, identity in enumerate(("0" * 16, "a" * 16, "f" * 16)):
        record = put(f"results/first/autoencoder/run/{identity}/identity.json")
        os.utime(record, (1000 * (number % 2), 1000 * (number % 2)))
    put(f"results/first/autoencoder/run/{'a' * 16}/checkpoints/000000003.pt")
    put("results/.secret")
    earlier = {f"results/first/autoencoder/run/{identity}/identity.json" for identity in ("0" * 16, "f" * 16)}
    assert paths(take().removable) == earlier
    assert not take(["first/autoencoder/weights.safetensors"]).removable


def test_a_name_in_what_is_kept_without_being_declared_is_told(folder):
    leave()
    put("results/first/contents.json", f'["{PATH}"]')
    assert paths(take().odd) == {"results/first/contents.json"}


def test_parts_of_features_are_kept_while_their_clips_are_scored(folder):
    used = features("first/features/.parts/random3d/0.npz", np.arange(4.0).reshape(1, 4))
    mixed = features("first/features/.parts/random3d/1.npz", np.array([[4.0, 5, 6, 7], [8, 9, 10, 11]]))
    broken = put("results/first/features/.parts/random3d/2.npz")
    assert paths(take().removable) == {mixed.as_posix(), broken.as_posix()}
    assert used.exists()


def test_what_the_pipeline_did_not_make_stays(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / f"{GONE}.mkv").write_text("frames")
    leave()
    put("results/mine/frames/a.mkv")
    put("results/first/notes.txt")
    Path("results/first/inspections").symlink_to(outside)
    Path("results/first/frames/other.mkv").symlink_to(outside / f"{GONE}.mkv")
    found = take()
    unknown = {"mine/frames/a.mkv", "first/notes.txt", "first/inspections", "first/frames/other.mkv"}
    assert paths(found.unknown) == {f"results/{name}" for name in unknown}
    remove(found)
    assert all((Path("results") / name).exists() for name in unknown)
    assert (outside / f"{GONE}.mkv").read_text() == "frames"


def test_records_of_other_workflows_stay(folder):
    name = base64.urlsafe_b64encode(b"elsewhere/first/frames/other.mkv").decode()
    put(f".snakemake/metadata/{name}", "{}")
    put(".snakemake/metadata/not base64", "{}")
    assert take() == inventory.Inventory()


def test_a_long_path_is_read_from_a_record_in_folders(folder):
    name = base64.urlsafe_b64encode(f"results/first/frames/{'x' * 200}.mkv".encode()).decode()
    put(f".snakemake/metadata/@{name[:254]}/{name[254:]}", "{}")
    assert len(take().removable) == 1


def test_the_listing_names_folders_once_and_the_total(folder):
    put("results/first/autoencoder/run/old-0123/checkpoints/000000003.pt", "x" * 1500)
    put("results/first/autoencoder/run/old-0123/identity", "x" * 500)
    lines = list(tidy.report(take(), yes=False))
    assert [line.split() for line in lines[1:-1]] == [
        ["2.0", "kB", "results/first/autoencoder/run/old-0123/", "(2", "files)", "of", "an", "earlier", "training"]
    ]
    assert lines[-1].startswith("2.0 kB in 2 files. Nothing was removed; `lvdm tidy --yes`")
    assert list(tidy.report(inventory.Inventory(), yes=True)) == ["Nothing to remove."]


@pytest.fixture
def configured(folder, monkeypatch):
    """The same, with a configuration, and Snakemake's answer."""
    put("config.yaml", "datasets: {first: {videos: data/first/*.mp4}}\n")
    plan = Planned(frozenset(OUTPUTS), frozenset(), frozenset())
    monkeypatch.setattr(planned, "ask", lambda results, configs, profile: plan)
    leave()
    return folder


def test_nothing_is_removed_without_yes(configured, capsys):
    before = everything()
    tidy.run(config=[Path("config.yaml")])
    assert everything() == before
    assert f"video {GONE} is not in the data set any more" in capsys.readouterr().out
    tidy.run(config=[Path("config.yaml")], yes=True)
    assert not any(GONE in path for path in everything())


def test_nothing_is_removed_while_something_runs(configured):
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "job": None, "token": "0"}
    running = {
        ".snakemake/locks/0.input.lock": "results/first/manifest.csv\n",
        ".snakemake/runs/0.json": "{}",
        "results/first/autoencoder/run/owner.json": json.dumps(owner),
    }
    for name, text in running.items():
        path, before = put(name, text), everything()
        with pytest.raises(ValueError, match=str(path.parent)):
            tidy.run(config=[Path("config.yaml")], yes=True)
        assert everything() == before
        path.unlink()
    tidy.run(config=[Path("config.yaml")], yes=True)


def test_what_is_still_held_is_an_error_that_says_what_to_do(configured, monkeypatch):
    plan = Planned(frozenset(OUTPUTS), frozenset(), frozenset({"first/autoencoder/weights.safetensors"}))
    monkeypatch.setattr(planned, "ask", lambda results, configs, profile: plan)
    with pytest.raises(ValueError, match="run `snakemake all`, then this again"):
        tidy.run(config=[Path("config.yaml")], yes=True)
    assert Path(f"results/first/frames/{GONE}.json").exists()
    assert not Path(f"results/first/frames/{GONE}.mkv").exists()


def test_the_table_of_snakemake_is_read():
    lines = [
        "output_file\tdate\trule\tlog-file(s)\tstatus\tplan",
        "out/first/frames/a.mkv\t-\textract\tout/logs/first/extract/a.b.log\tmissing\tupdate pending",
        "out/tables/first.csv\tMon\ttable\tout/logs/first/table.log\tok\tno update",
        "data/demo/a.mp4\tMon\tmake_demo_videos\t\tok\tupdate pending",
    ]
    plan = planned.read_summary(["a line of something else", *lines], Path("out"))
    assert plan.outputs == {"first/frames/a.mkv", "tables/first.csv"}
    assert plan.pending == {"first/frames/a.mkv"}
    logs = {"first/extract/a.b", "first/table"}
    assert plan.logs == {f"logs/{name}.log" for name in logs} | {f"benchmarks/{name}.tsv" for name in logs}
    with pytest.raises(ValueError, match="no table with the columns"):
        planned.read_summary(lines[1:], Path("out"))


def test_a_file_of_anything_else_is_not_recognised():
    for path in ("first/frames/a b.mkv", "first/shards/train-1.npy", "first", "notes.txt", "tables/a/b.csv"):
        assert recognise(path) is None
    assert recognise("first/frames/.a.0123abcd.part.mkv").temporary


def test_words_that_the_pipeline_uses_itself_are_not_looked_for():
    found = traces.terms([traces.Video("first", "train", frozenset({"data/train.mp4"}))], [], None)
    assert found.found_in(b'{"split": "train"}') is None
    assert found.found_in(b"results/first/frames/train.mkv") == "train"
