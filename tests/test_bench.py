"""Suites: the file and its mistakes, cells that are complete, partial, other or failing, the table and the figure."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.runs import columns, prudent, tree, write_log
from prudent import algorithms, bench, recorder, runs, statistics, train
from prudent.bench import cells, results
from prudent.errors import ConfigError

pytest_plugins = ["helpers.run_fixtures"]

TOY = """
title = "A toy"
seeds = [0, 1]

[train]
steps = 20
log_every = 10
eval_every = 20
eval_episodes = 1
checkpoint_every = 10
threads = 1

[settings]
hidden = [8, 8]
batch_size = 16

[settings.cql]
n_actions = 2

[[dataset]]
name = "log"
source = "log.npz"
env = "Pendulum-v1"
algorithms = ["bc", "cql"]
"""
OTHER = """
[[dataset]]
name = "gone"
source = "gone.npz"
env = "Pendulum-v1"
algorithms = ["bc"]
"""


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A suite file beside its log, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log.npz")
    path = tmp_path / "toy.toml"
    path.write_text(TOY)
    return path


@pytest.fixture
def trained(monkeypatch):
    """Names of the run folders that train and resume are called for."""
    called = []

    def told(name, function, place):
        def call(*arguments, **options):
            called.append((name, Path(arguments[place]).name))
            return function(*arguments, **options)

        monkeypatch.setattr(train, name, call)

    told("train", train.train, 4)
    told("resume", train.resume, 0)
    return called


def change(path: Path, old: str, new: str) -> bench.Suite:
    """The suite with a part of its file replaced."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return bench.load(str(path))


def run(suite: bench.Suite, out="out", **chosen) -> list[str]:
    return bench.run(suite, Path(out), suite.choose(**chosen))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_settings_reach_the_algorithms_that_have_them(toy):
    suite = bench.load(str(toy))
    assert (suite.name, suite.title, suite.seeds) == ("toy", "A toy", (0, 1))
    bc, cql = suite.cells
    assert (bc.name, cql.name) == ("log/bc", "log/cql")
    assert bc.members[0].config == algorithms.get("bc").Config(hidden=(8, 8), batch_size=16)
    assert cql.members[0].config == algorithms.get("cql").Config(hidden=(8, 8), batch_size=16, n_actions=2)
    assert [m.seed for m in cql.members] == [0, 1]
    assert (cql.options.steps, cql.options.env) == (20, "Pendulum-v1")


def test_a_dataset_has_settings_and_training_of_its_own(toy):
    own = "\n[dataset.train]\nsteps = 30\n[dataset.settings]\nbatch_size = 8\n[dataset.settings.cql]\nalpha = 2.0\n"
    toy.write_text(toy.read_text() + own)
    bc, cql = bench.load(str(toy)).cells
    assert (cql.options.steps, cql.options.log_every) == (30, 10)
    assert (cql.members[0].config.batch_size, cql.members[0].config.alpha, cql.members[0].config.n_actions) == (8, 2, 2)
    assert bc.members[0].config.batch_size == 8


def test_all_algorithms_for_the_kind_of_actions(toy):
    for env, discrete in (("Pendulum-v1", False), ("CartPole-v1", True)):
        text = TOY.replace('["bc", "cql"]', '"all"').replace("Pendulum-v1", env)
        toy.write_text(text.replace("[settings.cql]\nn_actions = 2\n", ""))
        expected = [name for name in algorithms.names() if algorithms.is_discrete(name) == discrete]
        if expected:
            assert [cell.algorithm for cell in bench.load(str(toy)).cells] == expected


MISTAKES = {
    "unknown key": ("seeds =", "seed =", "toy.toml: no key is called 'seed'; did you mean seeds?"),
    "unknown training": (
        "log_every",
        "log_evry",
        r"\[train\]: no setting is called 'log_evry'; did you mean log_every",
    ),
    "training of the wrong type": ("steps = 20", 'steps = "20"', r"\[train\]: steps cannot be '20'"),
    "no steps": ("steps = 20", "steps = 0", r"\[train\]: steps must be a whole number"),
    "env in train": ("steps = 20", 'env = "Pendulum-v1"', r"\[train\]: env belongs to \[\[dataset\]\]"),
    "shared setting": ("batch_size", "batch_sise", "no setting is called 'batch_sise'; did you mean batch_size?"),
    "own setting": ("n_actions", "n_action", "dataset log, cql: no setting is called 'n_action'; did you mean n_act"),
    "value out of range": ("n_actions = 2", "alpha = -1.0", "dataset log, cql: alpha must"),
    "value of the wrong type": ("n_actions = 2", 'alpha = "five"', "dataset log, cql: alpha cannot be 'five'"),
    "several values": ("n_actions = 2", "alpha = [1.0, 5.0]", "dataset log, cql: alpha takes one value in a suite"),
    "settings of none": ("[settings.cql]", "[settings.cq]", "no algorithm is called 'cq'; did you mean cql?"),
    "settings of one not trained": ('"bc", "cql"', '"bc"', r"\[settings.cql\] changes nothing"),
    "unknown algorithm": ('"bc", "cql"', '"bc", "cqll"', "dataset log: unknown algorithm 'cqll'; did you mean cql?"),
    "no algorithm": ('["bc", "cql"]', "[]", "algorithms must be"),
    "algorithm twice": ('"bc", "cql"', '"cql", "cql"', "log/cql is there twice"),
    "key of a dataset": ("source =", "sources =", "dataset log: no key is called 'sources'; did you mean source?"),
    "source": ('"log.npz"', "5", "dataset log: source must be"),
    "no environment": ('env = "Pendulum-v1"\n', "", "dataset log: give env"),
    "name as a path": ('"log"', '"../log"', "name must be of letters"),
    "title": ('"A toy"', "3", "title must be text, got 3"),
    "seeds twice": ("[0, 1]", "[1, 1]", "seeds must be one or more different values"),
    "seeds of text": ("[0, 1]", '["a"]', "seeds takes one value or a list of numbers"),
    "no dataset": ("[[dataset]]", "[other]", "no key is called 'other'"),
    "no TOML": ("title =", "title", "is not TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line_before_anything_is_trained(toy, mistake, trained):
    old, new, told = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=told) as error:
        run(change(toy, old, new))
    assert "\n" not in str(error.value)
    assert not trained
    assert not Path("out").exists()


def test_a_suite_that_does_not_exist():
    with pytest.raises(ConfigError, match="'quik': did you mean quick"):
        bench.load("quik")
    with pytest.raises(ConfigError, match=r"no suite and no file is called 'mine\.toml'"):
        bench.load("mine.toml")


@pytest.mark.parametrize("name", bench.shipped())
def test_shipped_suites_parse(name):
    suite = bench.load(name)
    assert suite.cells
    assert suite.title == bench.shipped()[name] != ""
    for cell in suite.cells:
        assert cell.algorithm in algorithms.names()


def test_quick_has_every_algorithm():
    assert {cell.algorithm for cell in bench.load("quick").cells} == set(algorithms.names())


# --- cells ------------------------------------------------------------------------------------------------------------


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
    with pytest.raises(recorder.Interrupted, match="log/bc stopped by SIGINT at step 13; the same command goes on"):
        run(suite)
    plan = bench.plan(suite, Path("out"), suite.choose()).splitlines()[2:]
    assert [" ".join(line.split()) for line in plan] == ["log/bc 2 20 partial at step 13", "log/cql 2 20 missing"]
    assert run(suite) == []
    assert trained == [("train", "bc"), ("resume", "bc"), ("train", "cql")]
    assert runs.read_json(Path("out/log/bc/status.json"))["state"] == "finished"


@pytest.mark.usefixtures("quick_report")
def test_more_steps_take_a_cell_further(toy, trained):
    run(bench.load(str(toy)), only=["bc"])
    longer = change(toy, "steps = 20", "steps = 30")
    assert cells.standing(longer.cells[0], Path("out")).state == cells.PARTIAL
    run(longer, only=["bc"])
    assert trained == [("train", "bc"), ("resume", "bc")]
    assert runs.read_json(Path("out/log/bc/status.json"))["step"] == 30
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


@pytest.fixture(scope="module")
def one_cell(tmp_path_factory) -> Path:
    """A folder with a log and a run of BC."""
    folder = tmp_path_factory.mktemp("bench")
    write_log(folder / "log.npz")
    (folder / "toy.toml").write_text(TOY)
    suite = bench.load(str(folder / "toy.toml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.report, "write_report", lambda *_: None)
        run(suite, folder / "out", only=["bc"])
    return folder


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_cell_of_another_suite_is_refused(one_cell, difference, trained):
    old, new, told = DIFFERENCES[difference]
    path = one_cell / "changed.toml"
    path.write_text(TOY)
    suite = change(path, old, new)
    before = tree(one_cell / "out")
    with pytest.raises(ConfigError, match=f"was trained otherwise: {told}.*choose another --out or delete") as error:
        run(suite, one_cell / "out")
    assert "\n" not in str(error.value)
    assert not trained
    assert tree(one_cell / "out") == before


def test_what_does_not_change_figures_may_change(one_cell):
    path = one_cell / "changed.toml"
    path.write_text(TOY)
    suite = change(path, "threads = 1", "threads = 2\nkeep = 1")
    assert cells.standing(suite.cells[0], one_cell / "out").state == cells.COMPLETE


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


@pytest.mark.usefixtures("quick_report")
def test_missing_data_do_not_stop_the_others(toy, capsys):
    toy.write_text(TOY.replace('"bc", "cql"', '"bc"').replace("[settings.cql]\nn_actions = 2\n", "") + OTHER)
    suite = bench.load(str(toy))
    assert run(suite) == ["gone/bc"]
    out = capsys.readouterr().out
    assert "gone, BC: failed, gone.npz: no such file" in out
    found = json.loads(Path("out/results.json").read_text())
    states = {d["name"]: [row["state"] for row in d["algorithms"]] for d in found["datasets"]}
    assert states == {"log": ["complete"], "gone": ["failed"]}
    # Once the file is there, the same call completes it.
    write_log(Path("gone.npz"))
    assert run(bench.load(str(toy))) == []


@pytest.mark.usefixtures("quick_report")
def test_a_diverged_cell_is_told_and_tried_again(toy, trained, monkeypatch):
    suite = bench.load(str(toy))
    check = recorder.Recorder.check

    def diverge(self, step, means):
        check(self, step, {name: [float("nan")] * 2 for name in means} if self.options.video else means)

    monkeypatch.setattr(recorder.Recorder, "check", diverge)
    monkeypatch.setattr(recorder.video, "why_not", lambda _env: "not in a test")
    broken = [replace(c, options=replace(c.options, video=c.algorithm == "bc")) for c in suite.cells]
    suite = replace(suite, cells=tuple(broken))
    assert run(suite) == ["log/bc"]
    row = next(
        r for r in json.loads(Path("out/results.json").read_text())["datasets"][0]["algorithms"] if r["iqm"] is None
    )
    assert row["algorithm"] == "bc"
    assert "every member has diverged by step 10" in row["reason"]
    assert cells.standing(suite.cells[0], Path("out")).state == cells.FAILED
    assert run(suite) == ["log/bc"]
    assert trained == [("train", "bc"), ("train", "cql"), ("resume", "bc")]


def test_a_bug_is_not_swallowed(toy, monkeypatch):
    def wrong(*_):
        raise TypeError("a bug")

    monkeypatch.setattr(train, "train", wrong)
    with pytest.raises(TypeError, match="a bug"):
        run(bench.load(str(toy)))


# --- table and figure -------------------------------------------------------------------------------------------------


def test_the_results_are_those_of_the_runs(one_cell):
    suite = bench.load(str(one_cell / "toy.toml"))
    text = bench.render(suite, one_cell / "out")
    found = json.loads((one_cell / "out" / "results.json").read_text())
    (dataset,) = found["datasets"]
    bc, cql = dataset["algorithms"]
    evaluation = runs.read_json(one_cell / "out/log/bc/evaluation.json")
    assert {key: bc[key] for key in results.FIGURES} == {key: evaluation["overall"][key] for key in results.FIGURES}
    assert bc["seed_returns"] == [evaluation["members"][f"seed={seed}"]["return_mean"] for seed in (0, 1)]
    assert (bc["state"], bc["steps"], bc["seeds"]) == ("complete", 20, 2)
    assert (cql["state"], cql["iqm"], cql["minutes"]) == ("missing", None, None)
    assert dataset["data"]["return_mean"] == pytest.approx(columns()["rewards"].reshape(6, 40).sum(1).mean(), rel=1e-5)
    assert found["machine"]["torch"]
    assert found["machine"]["processor"]
    for shown in (text, (one_cell / "out" / "table.md").read_text()):
        assert f"{bc['return_mean']:.1f}" in shown
        assert f"{found['datasets'][0]['data']['return_mean']:.1f}" in shown
        assert "log, CQL: missing" in shown
    with Image.open(one_cell / "out" / "comparison.png") as picture:
        assert picture.width > 400


def test_minutes_are_summed_over_the_lines(tmp_path):
    lines = [(10, 60.0), (10, 60.0), (15, 120.0), (30, 600.0)]
    rows = [json.dumps({"step": step, "member": 0, "time/ms_per_step": ms}) + "\n" for step, ms in lines]
    evaluation = json.dumps({"step": 30, "member": 0, "eval/return": 1.0}) + "\n"
    (tmp_path / "metrics.jsonl").write_text("".join([*rows, evaluation]))
    assert results.minutes(tmp_path) == pytest.approx((10 * 60 + 5 * 120 + 15 * 600) / 60_000)
    assert results.minutes(tmp_path / "nowhere") is None


def row(name, returns, **changes):
    """A row of results from returns per seed and episode."""
    returns = np.asarray(returns, dtype=float)
    return {
        "algorithm": name.lower(),
        "title": name,
        "state": "complete",
        "step": 100,
        "steps": 100,
        "seeds": len(returns),
        "minutes": 1.25,
        "reason": "",
        "return_mean": returns.mean(),
        "normalized_score": None,
        "iqm": float(statistics.iqm(returns.ravel())),
        "ci95": list(statistics.interval(returns)),
        "predicted_value": None,
        "realized_value": 3.0,
        "lower_bound_share": None,
        "seed_returns": returns.mean(1).tolist(),
        **changes,
    }


LOST = {"return_mean": None, "iqm": None, "ci95": None, "seed_returns": [None, 2.0], "reason": "1 of 2 seeds diverged"}


def sample(**changes):
    rows = [row("CQL", [[5, 7], [6, 9]], predicted_value=2.0, lower_bound_share=0.0), row("BC", [[1, 2], [3, 4]])]
    datasets = [
        {
            "name": "one",
            "env": "E-v0",
            "data": {"return_mean": 3.5},
            "algorithms": [*rows, row("SAC", [[0], [1]], **LOST)],
        },
        {"name": "two", "env": "F-v0", "data": {"return_mean": None}, "algorithms": rows[:1]},
    ]
    return {
        "suite": "s",
        "title": "S",
        "seeds": [0, 1],
        "machine": {"torch": ["1", "2"]},
        "datasets": datasets,
        **changes,
    }


def test_the_table_says_what_is_known_and_no_more():
    lines = results.markdown(sample()).splitlines()
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert "score" not in head, "a column without figures"
    table = [dict(zip(head, (c.strip() for c in line.strip("|").split("|")), strict=True)) for line in lines[2:7]]
    assert [r["policy"] for r in table] == ["**one: the data**", "CQL", "BC", "SAC", "**two: the data**"]
    assert (table[0]["return"], table[4]["return"]) == ("3.5", "-")
    assert (table[1]["predicted"], table[1]["realised"], table[1]["bound held"]) == ("2.0", "3.0", "0%")
    assert table[2]["realised"] == "-", "a realised value without a prediction beside it"
    assert table[3]["IQM"] == "-"
    assert "one, SAC: 1 of 2 seeds diverged" in lines
    assert "torch 1 and 2" in lines[-1]
    assert max(len(line) for line in results.text(sample()).splitlines()) <= 120


def test_the_figure_shows_intervals_seeds_and_the_data():
    from prudent.report import comparison

    figure = comparison.comparison(sample())
    first, second = figure.axes
    assert len(second.texts) == len(first.texts) - 1, "a line for data whose mean is not known"
    assert [label.get_text() for label in first.get_yticklabels()] == ["CQL", "BC"]
    drawn = [sorted(np.ravel(line.get_xdata())) for line in first.get_lines()]
    best = sample()["datasets"][0]["algorithms"][0]
    for expected in (sorted(best["ci95"]), sorted(best["seed_returns"]), [best["iqm"]], [3.5, 3.5]):
        assert any(np.allclose(expected, found) for found in drawn if len(found) == len(expected)), expected
    assert not any(
        len(set(np.ravel(line.get_xdata()))) == 1 and line.get_linestyle() == "--" for line in second.get_lines()
    )
    assert comparison.comparison(sample(datasets=[])) is None


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_report")
def test_failed_cells_end_in_one_line_and_code_1(toy, capsys):
    toy.write_text(TOY.replace('"bc", "cql"', '"bc"').replace("[settings.cql]\nn_actions = 2\n", "") + OTHER)
    assert prudent("bench", "toy.toml") == 1
    error = capsys.readouterr().err
    assert error == ("prudent: 1 of 2 cells failed: gone/bc; the table says why, the same command tries again\n")
    assert Path("bench/toy/comparison.png").exists()
    assert prudent("bench", "toy.toml", "--datasets", "log") == 0


def test_the_list_names_the_suites(capsys):
    assert prudent("bench", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(bench.shipped())


def test_a_dry_run_writes_nothing(toy, trained, capsys):
    before = tree(Path())
    assert prudent("bench", toy, "--dry-run", "--only", "cql,bc", "--datasets", "log") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["log/bc", "log/cql"]
    assert tree(Path()) == before
    assert not trained


def test_rendering_trains_nothing(one_cell, trained, capsys):
    assert prudent("bench", one_cell / "toy.toml", "--render", "--out", one_cell / "out") == 0
    assert "log, CQL: missing" in capsys.readouterr().out
    assert not trained


COMMANDS = {
    "no suite": ([], "bench: name a suite"),
    "unknown flag": (["toy.toml", "--onyl", "bc"], "unknown argument --onyl; did you mean --only?"),
    "unknown algorithm": (["toy.toml", "--only", "bc,cq"], "suite toy: no algorithm is called 'cq'; did you mean cql?"),
    "unknown dataset": (["toy.toml", "--datasets", "lag"], "suite toy: no dataset is called 'lag'; did you mean log?"),
    "two at once": (["toy.toml", "--dry-run", "--render"], "not allowed with"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_mistakes_on_the_command_line(toy, command, capsys):
    words, told = COMMANDS[command]
    before = tree(toy.parent)
    assert prudent("bench", *words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert tree(toy.parent) == before
