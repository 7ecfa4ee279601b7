"""The command line: help, options from signatures, frozen configurations, exit codes."""

import json
import subprocess
import sys

import pytest

from lvdm.__main__ import STAGES, main
from lvdm.provenance import code_stamp
from lvdm.stages.config import EncodeConfig


@pytest.fixture
def demo_videos(tmp_path):
    return ["make-demo-videos", "--folder", str(tmp_path / "videos"), "--set", "patients=1", "--set", "frames=8"]


def _frozen(path, code, stage="make-demo-videos"):
    config = {"patients": 1, "frames": 8, "size": [32, 32]}
    path.write_text(json.dumps({"stage": stage, "code": code, "config": config}))
    return str(path)


def test_help_shows_a_line_a_stage_and_imports_no_network():
    code = (
        "import sys; from lvdm.__main__ import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for stage in STAGES:
        (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith(f"{stage} ")]
        assert len(line.split()) > 3, "each stage says what it does"


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_help(stage, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([stage, "--help"])
    assert "--log" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "given"), [(["--profile"], True), ([], False)])
def test_a_switch_takes_no_value(monkeypatch, arguments, given):
    seen = []

    def run(*, profile: bool = False) -> None:
        seen.append(profile)

    monkeypatch.setattr("lvdm.stages.table.run", run)
    assert main(["table", *arguments]) == 0
    assert seen == [given]


def test_a_stage_runs_by_hand_and_logs_to_the_file(demo_videos, tmp_path):
    log = tmp_path / "logs" / "run.log"
    done = subprocess.run(
        [sys.executable, "-m", "lvdm", *demo_videos, "--log", str(log)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 1
    assert log.read_text()


def test_an_error_is_one_message_and_exit_code_1(tmp_path, caplog, demo_videos):
    assert main([*demo_videos, "--set", "patiens=3"]) == 1
    assert "patiens: unknown key; did you mean 'patients'?" in caplog.text
    assert main([*demo_videos, "--set", "patients"]) == 1
    assert "write KEY=VALUE" in caplog.text
    assert not (tmp_path / "videos").exists()


def test_a_word_that_yaml_reads_as_a_truth_value_can_be_set(monkeypatch):
    seen = []

    def run(config: EncodeConfig) -> None:
        seen.append(config.compute.compile)

    monkeypatch.setattr("lvdm.stages.encode.run", run)
    assert main(["encode", "--set", "compute.compile=off"]) == 0
    assert seen == ["off"]


def test_a_frozen_configuration_runs_only_with_the_code_it_was_planned_with(tmp_path, caplog):
    folder = tmp_path / "videos"
    arguments = ["make-demo-videos", "--folder", str(folder), "--config"]
    assert main([*arguments, _frozen(tmp_path / "old.json", "0123456789abcdef")]) == 1
    assert "start snakemake again" in caplog.text
    assert not folder.exists()
    assert main([*arguments, _frozen(tmp_path / "other.json", "pinned", stage="probe")]) == 1
    assert "is the configuration of stage probe" in caplog.text
    assert main([*arguments, _frozen(tmp_path / "now.json", code_stamp("lvdm.stages.make_demo_videos"))]) == 0
    assert len(list(folder.glob("*.mp4"))) == 1


def test_schema_is_json(capsys):
    assert main(["schema"]) == 0
    assert "datasets" in json.loads(capsys.readouterr().out)["properties"]


# A request to stop that comes within a finaliser, in which Python drops every exception.
_STOPPED_IN_A_FINALISER = """
import os, signal, sys, time, weakref
from lvdm import __main__ as command

class Thing:
    pass

command._end_on_signals()
thing = Thing()
noticed = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
del thing
print("went on", flush=True)
time.sleep(120)
"""


def test_a_request_to_stop_is_not_lost_in_a_finaliser():
    done = subprocess.run([sys.executable, "-c", _STOPPED_IN_A_FINALISER], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (75, "went on\n", "")


def test_other_errors_in_a_finaliser_are_still_told():
    code = _STOPPED_IN_A_FINALISER.replace("os.kill(os.getpid(), signal.SIGTERM)", "1 / 0").replace("120", "0")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr
