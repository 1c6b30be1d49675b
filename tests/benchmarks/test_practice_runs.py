"""A run of a practice problem is judged by what its folder does, is stored once, and is added up rightly."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks.practice import __main__ as driver
from benchmarks.practice import measure, problem_of, table

import prudent
from prudent.errors import DataError, Interrupted
from prudent.runs import checkpoint
from prudent.tuning.verdict import DEPLOY, KEEP_LOG

SMALL = replace(problem_of("dosing"), episodes=60, simulations=400)


def trained(folder):
    """A folder such as a tuning leaves: a grid of two runs, and the second of them as the policy."""
    agent = prudent.DiscreteCQL(alpha=[0.1, 1.0], hidden=(8,), batch_size=16)
    agent.fit(SMALL.log(0), steps=20, out=folder / "grid", checkpoint_every=10, progress=False)
    checkpoint.save_only(folder / "policy", agent.population.member(1))
    return agent


@pytest.fixture(scope="module")
def agent_and_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prudent.report.write_report", lambda folder, _=None: folder / "report.html")
        return trained(folder), folder


def candidate(name, step, run="grid", member=None):
    return SimpleNamespace(name=name, step=step, run=run, member=member or name, acting="mode")


def tuned(agent, folder, verdict=DEPLOY):
    """What a tuning returns, as far as a run looks at it."""
    names = agent.names
    runs = [candidate(name, step) for name, step in zip(names, (10, 20), strict=True)]
    diverged = candidate("alpha=5,seed=0", None)
    gains = {"policy - behaviour": {"value": 3.0, "ci95": [1.0, 5.0], "method": "refit"}}
    first = SimpleNamespace(candidates=(*runs, diverged), winner=names[1], final={"differences": gains})
    return SimpleNamespace(verdict=verdict, kept=names[1], first=first, folder=folder, policy=folder / "policy")


def test_what_is_judged_is_what_the_folder_does(agent_and_folder):
    agent, folder = agent_and_folder
    outcome = measure.outcome(SMALL, tuned(agent, folder))
    log = SMALL.returns(SMALL.behaviour)
    own = SMALL.returns(lambda o, _, __: agent.predict(o, member=1))
    assert outcome["log"]["value"] == log.value.mean()
    assert outcome["policy"]["gain"] == pytest.approx((own.value - log.value).mean())
    assert outcome["policy"]["bad"] == own.bad.mean()
    assert list(outcome["grid"]) == agent.names, "a run without a policy has no value"
    assert outcome["deployed"]
    assert outcome["predicted"] == {"gain": 3.0, "ci95": [1.0, 5.0]}
    few = {"n": measure.GRID_LEAST}
    first = prudent.load(folder / "grid" / "checkpoints" / "step_10")
    gains = SMALL.returns(lambda o, _, __: first.predict(o, member=0), **few).value
    gains = gains - SMALL.returns(SMALL.behaviour, **few).value
    assert outcome["grid"][agent.names[0]]["gain"] == pytest.approx(gains.mean())


@pytest.mark.parametrize("policy", [None, "nowhere"])
def test_a_folder_without_a_policy_has_no_gain(agent_and_folder, policy):
    agent, folder = agent_and_folder
    result = tuned(agent, folder, KEEP_LOG)
    result.policy = None if policy is None else folder / policy
    outcome = measure.outcome(SMALL, result)
    assert (outcome["policy"], outcome["kept"], outcome["deployed"]) == (None, None, False)
    assert len(outcome["grid"]) == 2


def test_a_candidate_of_another_grid_is_found(agent_and_folder):
    agent, folder = agent_and_folder
    result = tuned(agent, folder)
    result.folder = folder.parent
    result.first.candidates = (candidate("discrete_cql,first", 20, f"{folder.name}/grid", agent.names[0]),)
    (policy,) = measure.grid_policies(result).values()
    observation = SMALL.log(1).observation
    np.testing.assert_array_equal(policy(observation, None, None), agent.predict(observation, member=0))


@pytest.fixture
def small(agent_and_folder, tmp_path, monkeypatch):
    """The driver on the small problem; ``prudent.tune`` gives what was trained before, and is counted."""
    agent, folder = agent_and_folder
    calls = []

    def tune(log, place, **settings):
        calls.append((len(log), settings))
        place.mkdir()
        return tuned(agent, folder)

    monkeypatch.setattr(prudent, "tune", tune)
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(measure, "problem_of", lambda _: SMALL)
    return calls


def test_it_goes_on_where_it_stopped(small, tmp_path, capsys):
    work = tmp_path / "work"
    arguments = ["--problem", "dosing", "--work", str(work), "--seed"]
    assert driver.main([*arguments, "0"]) == 0
    assert driver.main([*arguments, "0", "1"]) == 0
    assert len(small) == 2, "done again, or lost"
    assert small[0][1] == {"discount": 0.99, "threads": 1}, "default settings only"
    files = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert files == ["dosing-0.json", "dosing-1.json", "dosing.json"]
    assert all(path.stat().st_size < 3000 for path in (tmp_path / "results").iterdir())
    assert [path.name for path in sorted(work.iterdir())] == ["dosing-0.txt", "dosing-1.txt"]
    assert '"runs": 2' in capsys.readouterr().out
    assert driver.main([*arguments, "2", "--minutes", "0"]) == 0
    assert len(small) == 2, "begun after its time"


@pytest.mark.usefixtures("small")
def test_a_refused_log_is_told_and_not_stored(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise DataError("too few groups")

    monkeypatch.setattr(prudent, "tune", refuse)
    assert driver.main(["--problem", "dosing", "--seed", "0", "--work", str(tmp_path)]) == 1
    assert "dosing 0 failed: too few groups" in capsys.readouterr().out
    assert not measure.path_of("dosing", 0).exists()


@pytest.mark.usefixtures("small")
def test_an_interruption_stops_the_driver(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise Interrupted("stopped")

    monkeypatch.setattr(prudent, "tune", stop)
    with pytest.raises(Interrupted):
        driver.main(["--problem", "dosing", "--seed", "0", "1", "--work", str(tmp_path)])


# --- sums and tables --------------------------------------------------------------------------------------------------


def row(seed, deployed, policy, best, **changes):
    """A run on a log that is worth -20; gains with a standard error of 0.1."""
    gains = {"w": {"gain": policy or 0.0, "error": 0.1, "bad": 0.0}, "b": {"gain": best, "error": 0.1, "bad": 0.0}}
    return {
        "problem": "dosing", "seed": seed, "verdict": DEPLOY if deployed else KEEP_LOG, "deployed": deployed,
        "winner": "w", "kept": None if policy is None else "w", "predicted": {"gain": 1.0, "ci95": [-1.0, 3.0]},
        "log": {"value": -20.0, "error": 0.1, "bad": 0.5}, "seconds": 90,
        "policy": None if policy is None else gains["w"], "grid": gains,
    } | changes  # fmt: skip


ROWS = [
    row(0, True, 2.5, 4.0),
    row(1, True, -0.5, 1.0),  # worse than the log
    row(2, True, -0.15, 2.0),  # not shown to be worse
    row(3, False, None, 2.1),
    row(4, False, -3.0, 0.0, predicted=None, seconds=None),
    row(5, False, None, 0.0, grid={}, winner=None),
]


def test_the_sums_are_right():
    found = table.summarise(ROWS)
    assert found["verdicts"] == {DEPLOY: 3, KEEP_LOG: 3}
    assert (found["runs"], found["deployed"], found["worse"]) == (6, 3, 1)
    assert (found["worth_it"], found["worth_it_deployed"]) == (3, 2)  # seeds 0, 2, 3 reach 10 % of 20
    assert (found["kept"], found["kept_not_worse"]) == (4, 2)
    assert found["covered"] == [4, 4]


def test_coverage_counts_what_lies_outside():
    outside = row(0, True, 2.5, 4.0, predicted={"gain": 0.0, "ci95": [-1.0, 1.0]})
    assert table.summarise([ROWS[0], outside])["covered"] == [1, 2]


def test_tables_have_a_line_per_run_and_problem():
    head, lines = table.run_table(ROWS)
    assert all(len(line) == len(head) for line in lines)
    cells = dict(zip(head, lines[0], strict=True))
    assert cells["predicted gain"] == "+5 % (-5 to +15)"
    assert cells["best of the grid"] == "+20 % (+- 0.5)"
    assert dict(zip(head, lines[3], strict=True))["in the folder"] == "no policy"
    head, lines = table.summary_table([*ROWS, row(0, True, 1.0, 1.0, problem="battery")])
    assert [line[0] for line in lines] == ["`dosing`", "`battery`", "**all**"]
    assert dict(zip(head, lines[2], strict=True))["runs"] == "7"
    assert table.summary_table([])[1] == []


def test_stored_runs_come_in_order(tmp_path):
    for name, content in {"b-0": {"problem": "b", "seed": 0}, "a-1": {"problem": "a", "seed": 1}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "a.json").write_text(json.dumps({"problem": "a"}))
    truths, runs = table.read(tmp_path, ["b", "a"])
    assert [t["problem"] for t in truths] == ["a"]
    assert [(r["problem"], r["seed"]) for r in runs] == [("b", 0), ("a", 1)]


def test_stored_truths_are_those_of_the_problems():
    """The values in the docs are those of the simulators as they are: a new simulation with other luck agrees."""
    truths, _ = table.read(measure.RESULTS, driver.NAMES)
    assert [t["problem"] for t in truths] == list(driver.NAMES)
    for stored in truths:
        problem = problem_of(stored["problem"])
        assert (stored["about"], stored["discount"]) == (problem.about, problem.discount)
        assert stored["log"]["error"] < 0.0055 * abs(stored["log"]["value"])
        value, error, bad = problem.true_value(problem.behaviour, n=problem.simulations // 20, seed=1)
        assert abs(value - stored["log"]["value"]) < 4 * np.hypot(error, stored["log"]["error"])
        assert abs(bad - stored["log"]["bad"]) < 0.1
