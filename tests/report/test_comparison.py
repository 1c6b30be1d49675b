"""Other runs beside a run that no environment compares it with."""

import json

import pytest

from prudent.errors import ConfigError, DataError
from prudent.report import missing_comparisons, read_others, read_run, write_report
from prudent.report.comparison import comparison_section


def write_bare(folder, algorithm="cql", fingerprint="a", spaces=(3, 1, False), **files):
    folder.mkdir()
    files = {"config": {"algorithm": algorithm, "dataset": {"name": "log", "fingerprint": fingerprint}}, **files}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    metrics = {"step": 10, "name": "seed=0", "train/actor_loss": -2.5}
    (folder / "metrics.jsonl").write_text(json.dumps(metrics) + "\n")
    saved = folder / "checkpoints" / "step_10"
    saved.mkdir(parents=True)
    sizes = dict(zip(("observation_size", "action_size", "discrete"), spaces, strict=True))
    (saved / "checkpoint.json").write_text(json.dumps({"spec": sizes}))
    return folder


def test_without_an_environment_every_other_run_has_its_line_and_its_last_metrics(tmp_path):
    run = write_bare(tmp_path / "run")
    other = write_bare(tmp_path / "bc", "bc", fingerprint="b")
    page = write_report(run, {"CQL": other}).read_text()
    assert "CQL is BC on log, which is other data. CQL was not run in an environment" in page
    assert f"prudent value {run} --compare CQL={other}" in page
    rows = comparison_section(read_run(run), {"CQL": read_run(other)})["table"].rows
    assert [row["name"] for row in rows] == ["this run", "CQL"]
    assert [row["cells"][-1] for row in rows] == ["-2.5", "-2.5"], "the last actor loss is missing"
    assert not comparison_section(read_run(run), {}), "a run alone has nothing beside it"


def test_what_was_compared_otherwise_needs_no_line(tmp_path):
    returned = {"deterministic": {"overall": {"return_mean": 1.0}, "members": {}}}
    ran = read_run(write_bare(tmp_path / "ran", evaluation=returned))
    bare = read_run(write_bare(tmp_path / "bare"))
    weighed = read_run(write_bare(tmp_path / "weighed", value={"against": {"X": {}}}))
    assert missing_comparisons(ran, {"X": ran}) == []
    assert missing_comparisons(weighed, {"X": bare}) == []
    assert "It was run in an environment, this run was not" in missing_comparisons(bare, {"X": ran})[0]


@pytest.mark.parametrize("spaces", [(4, 1, False), (3, 2, False), (3, 1, True)])
def test_other_spaces_are_refused(tmp_path, spaces):
    run, other = write_bare(tmp_path / "run"), write_bare(tmp_path / "other", spaces=spaces)
    with pytest.raises(ConfigError, match="of another task: "):
        write_report(run, {"X": other})
    assert not (run / "report.html").exists()


def test_unknown_spaces_are_not_refused(tmp_path):
    run, other = write_bare(tmp_path / "run"), write_bare(tmp_path / "other", spaces=(4, 1, False))
    (other / "checkpoints" / "step_10" / "checkpoint.json").write_text("[]")
    assert list(read_others(read_run(run), {"X": other})) == ["X"]


def test_a_tuning_is_no_run_and_its_report_is_named(tmp_path):
    (tmp_path / "tune.json").write_text("{}")
    with pytest.raises(DataError, match=f"is a tuning, not a run: its report is {tmp_path / 'report.html'}"):
        read_run(tmp_path)
