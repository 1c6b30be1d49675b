"""Cells that are complete, partial or of another suite, and failing ones."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import helpers.toys  # noqa: F401 - registers the environments
from helpers.runs import columns, tree, write_log
from helpers.suites import OTHER, TOY, change, run
from prudent import bench
from prudent.bench import cells
from prudent.engine import guard
from prudent.errors import ConfigError, DataError, Interrupted
from prudent.evaluation import video
from prudent.runs.folder import read_json
from prudent.training import recorder, start

pytest_plugins = ["helpers.suite_fixtures"]


@pytest.mark.usefixtures("quick_report")
def test_complete_cells_are_skipped(toy, trained, capsys):
    suite = bench.load(str(toy))
    assert run(suite, only=["bc"]) == []
    assert trained == [("train", "bc")]
    assert "log, CQL: missing" in capsys.readouterr().out
    assert run(suite) == []
    assert trained == [("train", "bc"), ("train", "cql")]
    before = tree(Path("out"))
    assert run(suite) == []
    assert len(trained) == 2, "a complete cell was trained again"
    assert tree(Path("out")) == before


@pytest.mark.usefixtures("quick_report")
def test_a_stopped_cell_goes_on(toy, trained, monkeypatch):
    suite = bench.load(str(toy))
    stepped = recorder.Recorder.stepped

    def stop(self, step, metrics):
        if step == 13 and not stopped:
            stopped.append(step)
            signal.raise_signal(signal.SIGINT)
        stepped(self, step, metrics)

    stopped = []
    monkeypatch.setattr(recorder.Recorder, "stepped", stop)
    with pytest.raises(Interrupted, match="log/bc stopped by SIGINT at step 13; the same command continues"):
        run(suite)
    plan = bench.plan(suite, Path("out"), suite.choose()).splitlines()[2:]
    assert [" ".join(line.split()) for line in plan] == ["log/bc 2 20 partial at step 13", "log/cql 2 20 missing"]
    assert run(suite) == []
    assert trained == [("train", "bc"), ("resume", "bc"), ("train", "cql")]
    assert read_json(Path("out/log/bc/status.json"))["state"] == "finished"


@pytest.mark.usefixtures("quick_report")
def test_more_steps_take_a_cell_further(toy, trained):
    run(bench.load(str(toy)), only=["bc"])
    longer = change(toy, "steps = 20", "steps = 30")
    assert cells.cell_status(longer.cells[0], Path("out")).state == cells.PARTIAL
    run(longer, only=["bc"])
    assert trained == [("train", "bc"), ("resume", "bc")]
    assert read_json(Path("out/log/bc/status.json"))["step"] == 30
    with pytest.raises(ConfigError, match="its steps are 30, the suite has 20"):
        run(change(toy, "steps = 30", "steps = 20"))


DIFFERENCES = {
    "setting": ("batch_size = 16", "batch_size = 32", "its batch_size is 16, the suite has 32"),
    "seeds": ("[0, 1]", "[0, 2]", "its seeds are"),
    "environment": ("Pendulum-v1", "MountainCarContinuous-v0", "its env is Pendulum-v1"),
    "evaluation": ("eval_episodes = 1", "eval_episodes = 2", "its eval_episodes is 1, the suite has 2"),
    "source": ("log.npz", "other.npz", "the source of its data is"),
    "loading": ("env =", "horizon = 40\nenv =", "the horizon of its data is None, the suite has 40"),
}


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_cell_of_another_suite_is_refused(one_cell, difference, trained):
    old, new, told = DIFFERENCES[difference]
    path = one_cell / "changed.toml"
    path.write_text(TOY)
    suite = change(path, old, new)
    before = tree(one_cell / "out")
    with pytest.raises(ConfigError, match=f"was trained differently: {told}.*choose another --out or delete") as error:
        run(suite, one_cell / "out")
    assert "\n" not in str(error.value)
    assert not trained
    assert tree(one_cell / "out") == before


def test_what_does_not_change_figures_may_change(one_cell):
    path = one_cell / "changed.toml"
    path.write_text(TOY)
    suite = change(path, "threads = 1", "threads = 2\nkeep = 1")
    assert cells.cell_status(suite.cells[0], one_cell / "out").state == cells.COMPLETE


@pytest.mark.usefixtures("quick_report")
def test_other_data_beside_trained_cells_are_refused(toy, trained):
    suite = bench.load(str(toy))
    run(suite, only=["bc"])
    write_log(Path("log.npz"), rewards=columns()["rewards"] + 1)
    with pytest.raises(ConfigError, match="out/log/bc was trained on other data than log holds now"):
        run(suite)
    assert trained == [("train", "bc")]


def test_a_folder_that_is_no_run_is_refused(toy):
    suite = bench.load(str(toy))
    Path("out/log/bc").mkdir(parents=True)
    Path("out/log/bc/thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="not empty: choose another --out or delete it"):
        run(suite)
    Path("file").write_text("x")
    with pytest.raises(ConfigError, match="file is a file: choose another --out"):
        run(suite, "file")


def test_environments_fit_the_data_before_anything_is_trained(toy, trained):
    with pytest.raises(ConfigError, match="does not fit the dataset"):
        run(change(toy, "Pendulum-v1", "MountainCarContinuous-v0"))
    assert not trained
    assert not Path("out").exists()


def test_algorithms_fit_the_actions_before_anything_is_trained(toy, trained):
    discrete = {**columns(), "actions": np.arange(240) % 3, "action_low": None, "action_high": None}
    np.savez("log.npz", **{name: column for name, column in discrete.items() if column is not None})
    with pytest.raises(ConfigError, match="bc is for continuous actions, log has discrete ones"):
        run(change(toy, "env =", "discrete = true\nenv ="))
    assert not trained
    assert not Path("out").exists()


# --- failures ---------------------------------------------------------------------------------------------------------


def test_missing_data_are_told_before_anything_is_trained(toy, trained):
    toy.write_text(TOY + OTHER)
    suite = bench.load(str(toy))
    with pytest.raises(
        DataError, match=r"gone.npz: no such file \(dataset gone of the suite; --datasets can leave it out"
    ):
        run(suite)
    assert not trained
    assert not Path("out").exists()


@pytest.mark.usefixtures("quick_report")
def test_data_that_vanish_on_the_way_do_not_stop_the_others(toy, capsys, monkeypatch):
    write_log(Path("gone.npz"))
    check = cells.Datasets.check

    def vanish(self, data, own, out):
        check(self, data, own, out)
        if data.name == "gone":
            Path("gone.npz").unlink()
            self.get(suite.datasets[0])  # one at a time is in memory

    monkeypatch.setattr(cells.Datasets, "check", vanish)
    toy.write_text(TOY.replace('"bc", "cql"', '"bc"').replace("[settings.cql]\nn_actions = 2\n", "") + OTHER)
    suite = bench.load(str(toy))
    assert run(suite) == ["gone/bc"]
    assert "gone, BC: failed" in capsys.readouterr().out
    found = json.loads(Path("out/results.json").read_text())
    states = {d["name"]: [row["state"] for row in d["algorithms"]] for d in found["datasets"]}
    assert states == {"log": ["complete"], "gone": ["failed"]}
    assert found["datasets"][1]["algorithms"][0]["reason"] == f"{toy.parent / 'gone.npz'}: no such file"
    # Once the file is there, the same call completes it.
    write_log(Path("gone.npz"))
    monkeypatch.setattr(cells.Datasets, "check", check)
    assert run(bench.load(str(toy))) == []


@pytest.mark.usefixtures("quick_report")
def test_a_diverged_cell_is_told_and_tried_again(toy, trained, monkeypatch):
    suite = bench.load(str(toy))
    check = guard.Guard.check

    def diverge(self, means):
        return check(self, {name: [float("nan")] * 2 for name in means} if self.options.video else means)

    monkeypatch.setattr(guard.Guard, "check", diverge)
    monkeypatch.setattr(video, "why_not", lambda _env: "not in a test")
    broken = [replace(c, options=replace(c.options, video=c.algorithm == "bc")) for c in suite.cells]
    suite = replace(suite, cells=tuple(broken))
    assert run(suite) == ["log/bc"]
    row = next(
        r for r in json.loads(Path("out/results.json").read_text())["datasets"][0]["algorithms"] if r["iqm"] is None
    )
    assert row["algorithm"] == "bc"
    assert "every member has diverged by step 10" in row["reason"]
    assert cells.cell_status(suite.cells[0], Path("out")).state == cells.FAILED
    assert run(suite) == ["log/bc"]
    assert trained == [("train", "bc"), ("train", "cql"), ("resume", "bc")]


def test_a_bug_is_not_swallowed(toy, monkeypatch):
    def wrong(*_):
        raise TypeError("a bug")

    monkeypatch.setattr(start, "train", wrong)
    with pytest.raises(TypeError, match="a bug"):
        run(bench.load(str(toy)))
