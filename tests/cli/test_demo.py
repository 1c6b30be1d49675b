"""The demo, shortened: two runs, a table, a report."""

import pytest

from helpers.runs import prudent, write_log
from prudent import data
from prudent.cli import demo
from prudent.evaluation import video
from prudent.runs.folder import read_json, read_run

pytest_plugins = ["helpers.run_fixtures"]


@pytest.fixture
def short(tmp_path, monkeypatch):
    """The demo on a tiny log, without pictures."""
    log = write_log(tmp_path / "log.npz")
    dataset = data.load_dataset(log)
    monkeypatch.setattr(data, "load_dataset", lambda _name: dataset)
    monkeypatch.setattr(video, "why_not", lambda _env: "not in a test")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("short", "quick_report")
def test_two_runs_and_a_table(tmp_path, capsys):
    assert prudent("demo", "--steps", 2) == 0
    out = capsys.readouterr().out
    table = out[out.index("policy ") :].splitlines()
    assert [line.split()[0] for line in table[2:5]] == ["the", "BC", "CQL"]
    assert "look at demo/cql/report.html" in out
    for name in ("bc", "cql"):
        assert read_json(tmp_path / "demo" / name / "status.json")["state"] == "finished"
        assert len(read_run(tmp_path / "demo" / name)["members"]) == 3
    assert (tmp_path / "demo" / "cql" / "report.html").exists()


@pytest.mark.usefixtures("short")
def test_a_second_demo_does_not_disturb_the_first(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    calls = []
    monkeypatch.setattr(demo, "run_demo", lambda out, steps: calls.append((str(out), steps)))
    assert prudent("demo") == 0
    assert prudent("demo", "--out", "mine", "--steps", 7) == 0
    assert calls == [("demo-2", None), ("mine", 7)]
