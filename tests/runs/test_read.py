"""What the report reads from a run folder."""

import json
import math

import pytest

from prudent.errors import DataError, PrudentError
from prudent.report.verdict import judge
from prudent.runs.metrics import JsonlLogger
from prudent.runs.read import latest_videos, read_run

pytest_plugins = ["helpers.report_fixtures"]


def test_members_are_grouped_by_everything_but_the_seed(make_run):
    run = read_run(make_run(alphas=(1.0, 5.0), seeds=(0, 1)))
    assert run.groups() == {
        "alpha=1": ["alpha=1,seed=0", "alpha=1,seed=1"],
        "alpha=5": ["alpha=5,seed=0", "alpha=5,seed=1"],
    }
    assert read_run(make_run("seeds", alphas=(5.0,), seeds=(0, 1))).groups() == {"": ["seed=0", "seed=1"]}


def test_only_the_config_is_needed(tmp_path):
    with pytest.raises(DataError, match="not a run folder"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    run = read_run(tmp_path)
    assert (run.names, run.series, run.summary(), run.data_mean) == ([], {}, ({}, ""), None)


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_a_damaged_file_is_named(make_run, content):
    folder = make_run()
    (folder / "evaluation.json").write_text(content)
    with pytest.raises(PrudentError, match=r"evaluation\.json"):
        read_run(folder)


def test_the_last_evaluation_stands_in_for_evaluation_json(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"members": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}))
    with JsonlLogger(tmp_path / "metrics.jsonl", ["a", "b", "c"]) as logger:
        logger.log(100, {"eval/return": [9.0, 9.0, 9.0]})
        logger.log(200, {"eval/return": [1.0, 3.0, float("nan")], "eval/return_std": [5.0, 5.0, 5.0]})
        logger.log(250, {"train/critic_loss": [1.0, 1.0, 1.0]})
    summary, source = read_run(tmp_path).summary()
    assert "step 200" in source
    assert summary["a"]["return_mean"] == 1.0
    # The member that is no number does not enter the mean; the spread over episodes is not that over seeds.
    assert summary[""]["return_mean"] == 2.0
    assert "return_std" not in summary[""]
    assert read_run(tmp_path).summary("stochastic") == ({}, "")


def test_divergence_is_told_from_its_first_step(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with JsonlLogger(tmp_path / "metrics.jsonl", ["a", "b"]) as logger:
        for step, loss in ((100, 1.0), (200, float("inf")), (300, float("nan"))):
            logger.log(
                step,
                {"train/critic_loss": [1.0, loss], "train/actor_loss": [loss if step > 200 else 1.0, 1.0]},
            )
    assert read_run(tmp_path).diverged() == {"a": 300, "b": 200}


def test_incidents_say_who_was_stopped_and_who_was_set_back(tmp_path):
    (tmp_path / "config.json").write_text('{"members": [{"name": "a"}, {"name": "b"}]}')
    rows = [
        {"step": 20, "kind": "rolled back", "why": "q_data is 1e9", "member": "a"},
        {"step": 30, "kind": "stopped", "why": "q_data is 2e9", "member": "b"},
        {"step": 40, "kind": "save failed", "why": "disk full", "member": None},
        {"step": 50, "kind": "save failed", "why": "disk full", "member": None},
    ]
    damaged = ["x", {"step": "20", "kind": "stopped", "why": "", "member": "a"}, {"kind": "stopped"}]
    (tmp_path / "status.json").write_text(json.dumps({"state": "finished", "incidents": [*rows, *damaged]}))
    with JsonlLogger(tmp_path / "metrics.jsonl", ["a", "b"]) as log:
        for step in (10, 20, 30):
            log.log(step, {"train/critic_loss": [math.nan if step == 20 else 1.0, 1.0]})
    run = read_run(tmp_path)
    assert run.diverged() == {"b": 30}
    told = " ".join(judge(run, {}).reasons)
    assert "Member a: rolled back at step 20: q_data is 1e9." in told
    assert "Member b: stopped at step 30: q_data is 2e9." in told
    assert "Save failed at step 40, the first of 2 times: disk full." in told
    (tmp_path / "status.json").write_text('{"incidents": 5}')
    assert read_run(tmp_path).incidents() == []


def test_the_newest_video_of_every_kind(tmp_path):
    videos = tmp_path / "videos"
    assert latest_videos(tmp_path) == []
    videos.mkdir()
    for name in ("step_900", "step_1000", "best_step_5", "other"):
        (videos / f"{name}.gif").write_bytes(b"GIF89a")
    (videos / "step_2000.gif").write_bytes(b"")
    (videos / "step_3000.gif").write_bytes(b"<html>")
    (videos / "step_4000.gif").mkdir()
    assert [(label, path.name) for label, path in latest_videos(tmp_path)] == [
        ("step 1,000", "step_1000.gif"),
        ("best, step 5", "best_step_5.gif"),
        ("other", "other.gif"),
    ]
