"""What the report reads from a run folder."""

import json

import pytest

from prudent.errors import DataError
from prudent.loggers import JsonlLogger
from prudent.report.run import latest_videos, read_run


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
    with pytest.raises(DataError, match=r"evaluation\.json"):
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
