"""Jobs that fail: tried again with more where that may help, and given up with a message where it does not."""

import pytest

pytestmark = pytest.mark.slurm


def test_a_job_over_its_memory_is_tried_again_with_more(prepared):
    # More than what is asked for at first, less than twice as much.
    prepared.finish("results/first/manifest.csv", BALLAST="probe 2500")
    first, second = prepared.jobs("probe")
    assert first.state in ("FAILED", "OUT_OF_MEMORY")
    assert second.state == "COMPLETED"
    assert first.memory < 2500 < second.memory


def test_a_rule_that_always_fails_stops_no_other_data_set(trained):
    (trained.root / "data" / "broken").mkdir()
    (trained.root / "data" / "broken" / "notes.mp4").write_text("this is no video")
    broken = {"videos": "data/broken/*.mp4", "override": {"data": {"on_bad_video": "fail"}}}
    trained.configure({"datasets": {"broken": broken}})
    run = trained.start("all", "--retries", "1")
    assert run.wait() != 0
    assert (trained.root / "results" / "tables" / "first.csv").exists()
    assert not (trained.root / "results" / "tables" / "broken.csv").exists()

    log = "results/logs/broken/probe.log"
    assert log in run.output
    assert "notes.mp4" in (trained.root / log).read_text(encoding="utf-8")
    attempts = [job.state for job in trained.jobs("probe") if "broken" in job.comment]
    assert attempts == ["FAILED", "FAILED"]
    assert {job.state for job in trained.jobs() if "first" in job.comment} == {"COMPLETED"}
