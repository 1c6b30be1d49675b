"""From a log to a verdict on a problem with a known answer; interruptions; the files that are left."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prudent as package
from benchmarks import known
from helpers.runs import prudent, tree
from prudent import TuneResult, ope, tune
from prudent.errors import ConfigError, Interrupted, PrudentError
from prudent.runs import checkpoint
from prudent.tuning import candidates, plan, run, training
from prudent.tuning.result import order
from prudent.tuning.stored_values import StoredValues
from prudent.tuning.verdict import DEPLOY, KEEP_BC, KEEP_LOG, against_bc

pytest_plugins = ["helpers.run_fixtures"]

SMALL = {
    "alpha": [0.1, 10.0],
    "seeds": [0],
    "steps": 40,
    "checkpoints": 2,
    "rank_steps": 30,
    "final_steps": 30,
    "resamples": 2,
    "hidden": (8,),
    "batch_size": 32,
    "discount": 0.9,
    "critic_lr": 1e-2,
}
QUICK = {"members": 2, "hidden": (8,), "batch_size": 32, "behaviour_steps": 10}
PROBLEM = known.tabular(1)


@pytest.fixture(scope="module")
def patched():
    """No reports, no pictures of runs, fast estimates."""

    def settings(self, final):
        steps = self.final_steps if final else self.rank_steps
        return ope.Settings(**QUICK, steps=steps or 9, n_bootstrap=self.resamples if final else 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.Settings, "ranking", property(lambda self: settings(self, False)))
        patch.setattr(plan.Settings, "final", property(lambda self: settings(self, True)))
        patch.setattr("prudent.report.write_report", lambda folder, _=None: Path(folder) / "report.html")
        patch.setattr("prudent.coverage.support.write", lambda *_: None)
        yield patch


@pytest.fixture(scope="module")
def log():
    return PROBLEM.log(30, 0)


@pytest.fixture(scope="module")
def tuned(log, patched, tmp_path_factory):  # noqa: ARG001 - patches
    """A finished tuning: its result and its folder."""
    folder = tmp_path_factory.mktemp("tuned") / "log"
    return tune(log, folder, **SMALL), folder


def test_what_is_found(tuned):
    result, folder = tuned
    assert result.verdict in (DEPLOY, KEEP_BC, KEEP_LOG)
    assert {c.name for c in result.first.candidates} == {"alpha=0.1,seed=0", "alpha=10,seed=0"}
    assert {c.step for c in result.first.candidates} <= {20, 40}
    ranks = {c.rank: c for c in result.first.candidates if c.rank}
    assert ranks[1].name == result.first.winner
    assert all(ranks[1].lower_bound >= c.lower_bound for c in result.first.candidates)
    assert result.alpha == ranks[1].alpha
    assert result.first.parts == {"by": "episode", "seed": [0, 0], "train": 12, "evaluation": 6, "final": 12}
    assert set(result.first.final["differences"]) >= {"policy - behaviour", "policy - BC", "BC - behaviour"}
    assert (folder / "tune.png").stat().st_size > 5000
    assert "Value of each policy" in (folder / "report.html").read_text()
    text = str(result)
    assert f"verdict: {result.verdict}" in text
    assert all(reason in text for reason in result.reasons)


def test_every_policy_is_ranked_by_the_same_episodes(tuned):
    """Episodes of the training and of the evaluation part, none of the final part."""
    _, folder = tuned
    worth = [json.loads(path.read_text())["worth"] for path in sorted((folder / "ranking").glob("*.json"))]
    assert {content["summary"]["support"]["episodes"] for content in worth} == {18}
    assert len({content["estimates"]["fitted_behaviour"]["value"] for content in worth}) == 1
    final = [json.loads(path.read_text())["worth"] for path in (folder / "final").glob("*.json")]
    assert {content["summary"]["support"]["episodes"] for content in final} == {12}


def test_an_alpha_wins_by_all_of_its_seeds():
    """One run of alpha 1 is the best, but its other seed is the worst; alphas are ranked by the mean of their seeds."""
    places = order([1.0, 1.0, 5.0, 5.0, 9.0, None], [9.0, 0.0, 6.0, 7.0, -np.inf, -np.inf])
    assert places == [3, 2, 0, 1]
    assert order([1.0, 1.0, 5.0, 5.0], [9.0, -np.inf, 6.0, 7.0]) == [3, 2, 0], "a seed of alpha 1 has no value"
    assert order([None, None], [1.0, 2.0]) == [1, 0], "BC has no alpha: its best seed is taken"
    assert order([1.0], [-np.inf]) == []


def test_it_is_trained_on_its_own_part_alone(tuned, log):
    _, folder = tuned
    stored = json.loads((folder / "grid" / "config.json").read_text())
    assert stored["dataset"]["episodes"] == 12
    assert stored["dataset"]["name"] == f"{log.name} (train part)"
    assert [step for step, _ in checkpoint.steps(folder / "grid")] == [20, 40], "checkpoints were thrown away"


def test_the_file_holds_all_of_it(tuned):
    result, folder = tuned
    assert TuneResult.load(folder).to_json() == result.to_json()
    assert json.loads((folder / "tune.json").read_text()) == json.loads(json.dumps(result.to_json()))


def test_what_is_kept_is_what_the_verdict_says(tuned):
    result, folder = tuned
    if result.first.kept is None:
        assert (result.verdict, result.policy, result.kept) == (KEEP_LOG, None, None)
        assert not (folder / "policy").exists()
        gain = result.first.final["differences"]["BC - behaviour"]
        assert str(result).endswith(f"{folder} holds no policy: {against_bc(gain)}")
        return
    agent = package.load(result.policy)
    assert agent.algorithm == ("discrete_cql" if result.verdict == DEPLOY else "discrete_bc")
    assert agent.population.acting == result.first.kept.acting
    assert len(agent.names) == 1
    assert [step for step, _ in checkpoint.steps(folder / "policy")] != []


def test_the_same_call_does_nothing_again(tuned, log, monkeypatch):
    result, folder = tuned

    def forbidden(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(training.start, "train", forbidden)
    monkeypatch.setattr(training, "resume", forbidden)
    monkeypatch.setattr(StoredValues, "evaluator", property(forbidden))
    assert tune(log, folder, **SMALL).to_json() == result.to_json()
    (folder / "split.json").unlink()
    assert tune(log, folder, **SMALL).to_json() == result.to_json(), "estimates were not kept"


def test_a_damaged_estimate_is_made_again(tuned, log):
    result, folder = tuned
    file = next((folder / "ranking").glob("alpha=10*.json"))
    (folder / "split.json").unlink()
    file.write_text("{")
    assert tune(log, folder, **SMALL).to_json() == result.to_json()
    assert json.loads(file.read_text())["worth"]["estimates"]["fqe"]["value"] is not None


@pytest.mark.parametrize("place", ["ranking", "final"])
def test_an_estimate_of_another_version_is_made_again(tuned, log, place):
    """Before groups were counted, ``support`` had fewer fields."""
    result, folder = tuned
    (folder / "split.json").unlink()
    file = next((folder / place).glob("alpha*.json"))
    content = json.loads(file.read_text())
    for key in ("units", "by"):
        del content["worth"]["summary"]["support"][key]
    file.write_text(json.dumps(content))
    assert tune(log, folder, **SMALL).to_json() == result.to_json()
    assert json.loads(file.read_text())["worth"]["summary"]["support"]["by"] == "episode"


def test_other_settings_are_refused(tuned, log):
    _, folder = tuned
    before = tree(folder)
    with pytest.raises(ConfigError, match="holds another tuning: its steps is 40, not 50"):
        tune(log, folder, **{**SMALL, "steps": 50})
    with pytest.raises(ConfigError, match="other data"):
        tune(PROBLEM.log(30, 1), folder, **SMALL)
    assert tree(folder) == before


def test_a_stopped_training_goes_on(log, patched, tmp_path, tuned, monkeypatch):  # noqa: ARG001
    """Stopped after the first checkpoint of the grid, as by a signal; the result is the same."""
    result, _ = tuned
    save = run.checkpoint.save

    def stopped(*arguments, **named):
        made = save(*arguments, **named)
        raise Interrupted(f"stopped by SIGTERM at step 20; {made}")

    with monkeypatch.context() as patch:
        patch.setattr("prudent.training.recorder.checkpoint.save", stopped)
        with pytest.raises(Interrupted):
            tune(log, tmp_path / "log", **SMALL)
    again = tune(log, tmp_path / "log", **SMALL)
    assert again.first.candidates == result.first.candidates
    assert again.verdict == result.verdict


def test_splits_say_how_stable_the_choice_is(tuned, log, patched):  # noqa: ARG001
    result, folder = tuned
    several = tune(log, folder, splits=2, **SMALL)
    assert several.first == result.first, "further splits changed the first"
    assert several.stability["splits"] == 2
    assert sum(several.stability["setting"].values()) == 2
    assert sum(several.stability["verdict"].values()) == 2
    assert several.splits[1].parts["seed"] == [0, 1]
    assert "over 2 splits, setting that won: " in str(several)
    assert tune(log, folder, **SMALL).to_json() == result.to_json()


def test_a_diverged_member_is_not_chosen(tuned, log, tmp_path, patched, monkeypatch):  # noqa: ARG001
    result, _ = tuned
    index = [c.name for c in result.first.candidates].index(result.first.winner)
    read = candidates.curve.read

    def diverged(*arguments):
        curves = read(*arguments)
        curves.q[-1, index] = np.nan
        return curves

    monkeypatch.setattr(candidates.curve, "read", diverged)
    outcome = tune(log, tmp_path / "log", **SMALL)
    assert outcome.first.winner != result.first.winner
    failed = outcome.first.candidates[index]
    assert (failed.step, failed.rank, failed.reason) == (None, None, "it diverged")
    assert "it diverged" in str(outcome)


def test_a_grid_that_diverged_leaves_a_verdict(log, tmp_path, patched, monkeypatch):  # noqa: ARG001
    """Nothing of it is deployed, and the same call trains nothing again."""
    options = {**SMALL, "alpha": [1.0], "critic_lr": 1e30}
    outcome = tune(log, tmp_path / "log", **options)
    assert json.loads((tmp_path / "log" / "grid" / "status.json").read_text())["state"] == "failed"
    assert outcome.verdict != DEPLOY
    assert (outcome.first.winner, outcome.alpha) == (None, None)
    assert "none of the 1 runs of the grid can be ranked: it diverged" in outcome.reasons
    assert outcome.kept is None or package.load(outcome.policy).algorithm == "discrete_bc"
    (tmp_path / "log" / "split.json").unlink()
    monkeypatch.setattr(training, "resume", lambda *_: pytest.fail("it was trained again"))
    assert tune(log, tmp_path / "log", **options).to_json() == outcome.to_json()


def test_bc_that_diverged_is_an_error(log, tmp_path, patched, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(candidates, "_likelihood", lambda *_: np.nan)
    with pytest.raises(PrudentError, match="every member of BC has diverged"):
        tune(log, tmp_path / "log", **SMALL)


def test_one_seed_of_bc_may_diverge_and_one_checkpoint_be_damaged(log, tmp_path, patched, monkeypatch):  # noqa: ARG001
    train = training.start.train

    def broken(request):
        train(request)
        if request.algorithm == "discrete_bc":
            folder = request.folder
            population = checkpoint.load(folder)[0]
            for t in population.state.networks["actor"].values():
                t[0].fill_(np.nan)
            checkpoint.save(folder, population, {}, keep=9)
            (folder / "checkpoints" / "step_20" / "state.safetensors").write_bytes(b"damaged")

    monkeypatch.setattr(training.start, "train", broken)
    outcome = tune(log, tmp_path / "log", **{**SMALL, "alpha": [1.0], "seeds": [0, 1]})
    failed, kept = outcome.first.imitators
    assert (failed.step, failed.rank, failed.reason) == (None, None, "it diverged")
    assert (kept.step, kept.name) == (40, outcome.first.imitator)
    assert [step for step, _ in kept.curve] == [40], "the damaged checkpoint was read"


@pytest.mark.parametrize("damage", ["{", "[]", '{"plan": {}, "splits": [{}], "kept": "BC", "checked": null}'])
def test_a_damaged_result_is_told(tmp_path, damage):
    (tmp_path / "tune.json").write_text(damage)
    with pytest.raises(PrudentError, match="is damaged"):
        TuneResult.load(tmp_path)


@pytest.mark.parametrize("run", ["../elsewhere", "/elsewhere", "grid/..", ".", "..", ""])
def test_no_run_is_loaded_from_outside_the_folder(log, tmp_path, tuned, run):
    """Whoever hands over a folder may have edited its files."""
    folder = shutil.copytree(tuned[1], tmp_path / "log")
    for file in ("split.json", "tune.json"):
        content = json.loads((folder / file).read_text())
        split = content if file == "split.json" else content["splits"][0]
        split["imitators"][0]["run"] = split["candidates"][0]["run"] = run
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(PrudentError, match=r"split.json seems damaged.* is no name of a folder"):
        tune(log, folder, **SMALL)
    with pytest.raises(PrudentError, match=r"tune.json is damaged"):
        TuneResult.load(folder)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("behaviour", "value"), "'value'"),
        (("parts", "final"), "the parts of a split has no final"),
        (("final", "bc"), "the final comparison has no bc"),
        (("candidates", 0, "q"), "a run has no q"),
        (("clone",), "a split has no clone"),
    ],
)
def test_a_split_without_a_key_is_told_before_anything_is_written(log, tmp_path, tuned, path, told):
    folder = shutil.copytree(tuned[1], tmp_path / "log")
    content = json.loads((folder / "split.json").read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    (folder / "split.json").write_text(json.dumps(content))
    before = tree(folder)
    with pytest.raises(PrudentError, match=r"split\.json seems damaged") as caught:
        tune(log, folder, **SMALL)
    assert told in str(caught.value)
    assert tree(folder) == before


# --- the command ------------------------------------------------------------------------------------------------------


def save(path, log, **changes):
    columns = {
        "observations": log.observation,
        "actions": log.action,
        "rewards": log.reward,
        "next_observations": log.next_observation,
        "terminals": log.terminated,
        "timeouts": log.truncated,
        "n_actions": np.int64(log.spec.action_size),
        **changes,
    }
    np.savez(path, **{name: column for name, column in columns.items() if column is not None})
    return path


def words(**changes):
    flags = []
    for name, value in {**SMALL, **changes}.items():
        flags += ["--" + name.replace("_", "-"), *(value if isinstance(value, list | tuple) else [value])]
    return flags


def test_the_command_says_the_verdict(tmp_path, log, patched, capsys):  # noqa: ARG001
    path = save(tmp_path / "log.npz", log)
    assert prudent("tune", path, "--out", tmp_path / "out", *words(algo="discrete_cql")) == 0
    shown = capsys.readouterr().out
    result = TuneResult.load(tmp_path / "out")
    assert str(result) in shown
    remarks = [line for line in shown.splitlines() if line.startswith("log.npz")]
    assert remarks, "what is remarkable about the log"
    assert sorted(set(remarks)) == sorted(remarks), "it is said once, not for each training"
    assert not any("part)" in line for line in remarks), "it is said of the whole log"
    grid, _, clones = result.table().partition("\n\n")
    assert "BC" not in grid, "BC is not ranked with the grid"
    assert clones.splitlines()[0].split("  ")[0] == "imitation of the log"
    assert "rank" not in clones
    assert [line.split()[0] for line in clones.splitlines()[2:]] == [c.name for c in result.first.imitators]
    assert "  0:00 left" in shown
    assert shown.index("about ") < shown.index("training discrete_bc")
    assert prudent("tune", path, "--out", tmp_path / "out", *words(algo="discrete_cql", alpha=[3.0])) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "its alpha is [0.1, 10.0], not [3.0]" in error


def test_logged_probabilities_that_the_actions_contradict_are_told(tmp_path, log, patched, capsys):  # noqa: ARG001
    wrong = replace(log, extra={"behavior_log_prob": np.zeros(len(log), np.float32)})
    result = tune(wrong, tmp_path / "out", **SMALL)
    told = [line for line in capsys.readouterr().out.splitlines() if "logged probabilities contradict" in line]
    assert "behavior_log_prob gives the actions a probability of 1.00 on average, but in equal states" in told[0]
    assert not any("WDR" in reason or "importance weighting" in reason for reason in result.reasons)


@pytest.mark.parametrize(
    ("case", "complaint"),
    [
        ({"rewards": "constant"}, "every reward is 0"),
        ({"terminals": None, "timeouts": None}, "nothing says where value ends"),
        ({"episodes": 1}, "tuning needs 18 or more"),
        ({"behavior_log_prob": -np.inf}, "probability zero"),
        ({"behavior_log_prob": 0.4}, "probability above one"),
        ({"discount": 1.0}, "discount must lie within [0, 1)"),
        ({"algo": "discrete_bc"}, "discrete_bc has no setting to choose, such as alpha: take one of discrete_cql, "),
        ({"algo": "cql"}, "continuous actions"),
        ({"env": "CartPole-v1"}, "CartPole-v1"),
        ({"splits": 0}, "splits must be a whole number, 1 or more"),
        ({"resamples": 0}, "resamples must be 2 or more"),
    ],
)
def test_mistakes_end_in_one_line_and_write_nothing(tmp_path, log, case, complaint, capsys, monkeypatch):
    part = log.episodes(range(case["episodes"])) if "episodes" in case else log
    part = replace(part, extra={})
    if "behavior_log_prob" in case:
        part = replace(part, extra={"behavior_log_prob": np.full(len(part), case["behavior_log_prob"])})
    changes = {key: None for key in ("terminals", "timeouts") if key in case}
    if "rewards" in case:
        changes["rewards"] = np.zeros(len(part), np.float32)
    path = save(tmp_path / "log.npz", part, **changes)
    if part.extra:  # columns that this kind of file has no place for
        monkeypatch.setattr("prudent.data.load_dataset", lambda **_: part)
    typable = ("discount", "algo", "env", "splits", "resamples")
    options = {"algo": "discrete_cql", **{k: v for k, v in case.items() if k in typable}}
    typed = words(**options)
    if options["algo"] == "discrete_bc":
        typed = ["--algo", options["algo"]]
    before = tree(tmp_path)
    assert prudent("tune", path, "--out", tmp_path / "out", *typed) == 2
    error = capsys.readouterr().err
    assert error.startswith("prudent: ")
    assert error.count("\n") == 1
    assert complaint in error
    assert tree(tmp_path) == before


# --- several algorithms, and beyond the edge --------------------------------------------------------------------------


def small_is_best(candidates, *_):
    """Values that fall with the strength, and for BC."""
    for c in candidates:
        low = -1e3 if c.strength is None else -c.strength
        yield replace(c, value=low + 1, interval=(low, low + 2))


AUTOMATIC = {key: value for key, value in SMALL.items() if key != "alpha"}


@pytest.fixture
def best_at_the_edge(patched, monkeypatch):  # noqa: ARG001
    """Ranking prefers the smallest strength; nothing is weighed."""
    judgement = run.verdict.Judgement(KEEP_LOG, ("for a test",), {}, True)
    monkeypatch.setattr(run, "_add_values", small_is_best)
    monkeypatch.setattr(run, "_judge", lambda *_: (judgement, {"policy": None, "bc": None, "differences": {}}))
    monkeypatch.setattr(StoredValues, "stored", lambda self, name, step, acting: self.value(name, step, acting, None))
    value = ope.Estimate("behaviour", 1.0, (0.0, 2.0))
    fake = type("Value", (), {"behaviour": value})()
    monkeypatch.setattr(StoredValues, "value", lambda *_: fake)
    monkeypatch.setattr(run, "tune_report", lambda *_: None)
    monkeypatch.setattr(run.picture, "draw", lambda *_: None)


def weights(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("state.safetensors"))}


def test_the_grid_goes_on_beyond_its_edge_also_after_a_stop(log, tmp_path, best_at_the_edge, monkeypatch):  # noqa: ARG001
    """Stopped at the first checkpoint of each run: the same call ends with the same weights, bit for bit."""
    whole = tune(log, tmp_path / "whole", **AUTOMATIC)
    runs = ("grid", "grid_below", "grid_below_2")
    assert {c.run for c in whole.first.candidates} == {*runs}
    assert (whole.alpha, whole.first.setting) == (0.0, "alpha=0")
    assert "that was tried" not in str(whole)
    save, stopped_in = checkpoint.save, set()

    def stopping(folder, *arguments, **named):
        made = save(folder, *arguments, **named)
        if folder.name in ("bc", *runs) and folder.name not in stopped_in:
            stopped_in.add(folder.name)
            raise Interrupted(f"stopped by SIGTERM at step 20; {made}")
        return made

    with monkeypatch.context() as patch:
        patch.setattr("prudent.training.recorder.checkpoint.save", stopping)
        for _ in range(4):
            with pytest.raises(Interrupted, match="the same command goes on"):
                tune(log, tmp_path / "parts", **AUTOMATIC)
        parts = tune(log, tmp_path / "parts", **AUTOMATIC)
    assert stopped_in == {"bc", *runs}
    assert parts.first == whole.first
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_given_values_do_not_go_on_and_say_so(log, tmp_path, best_at_the_edge):  # noqa: ARG001
    result = tune(log, tmp_path / "log", **SMALL)
    assert {c.run for c in result.first.candidates} == {"grid"}
    assert "the best alpha of discrete_cql, 0.1, is the smallest that was tried: 0.033 may be better" in str(result)


def test_several_algorithms_are_ranked_together(log, tmp_path, patched, capsys, monkeypatch):  # noqa: ARG001
    """They are trained in folders of their own. Taking one more later trains only that one."""
    options = {**SMALL, "beta": [1.0, 3.0]}
    one = tune(log, tmp_path / "log", algorithm="discrete_cql", **SMALL)
    train, trained = training.start.train, []
    monkeypatch.setattr(training.start, "train", lambda request: (trained.append(request.folder.name), train(request)))
    both = tune(log, tmp_path / "log", algorithm=("discrete_cql", "discrete_iql"), **options)
    assert trained == ["grid_discrete_iql"]
    names = [c.name for c in both.first.candidates]
    assert names[:2] == [f"discrete_cql,{c.name}" for c in one.first.candidates]
    assert names[2:] == ["discrete_iql,beta=1,seed=0", "discrete_iql,beta=3,seed=0"]
    assert [c.value for c in both.first.candidates[:2]] == [c.value for c in one.first.candidates]
    ranks = [c.rank for c in both.first.candidates if c.rank]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))
    assert all(name in str(both) for name in names)
    assert "BC,seed=0" in str(both)
    assert "ranking 4/4" in capsys.readouterr().out
    page = (tmp_path / "log" / "report.html").read_text()
    assert "Discrete CQL and Discrete IQL tuned on" in page
    assert TuneResult.load(tmp_path / "log").to_json() == both.to_json()


def test_other_budgets_need_no_training_again(log, tmp_path, tuned, monkeypatch):
    """The ranking is made again if its budget changes, the final comparison if its own does; runs stay."""
    folder = tmp_path / "log"
    shutil.copytree(tuned[1], folder)
    monkeypatch.setattr(training.start, "train", lambda _: pytest.fail("it was trained again"))
    monkeypatch.setattr(training, "resume", lambda *_: pytest.fail("it was trained again"))
    ranked = {path.name: path.read_text() for path in (folder / "ranking").iterdir()}
    more = tune(log, folder, **{**SMALL, "final_steps": 40, "resamples": 3})
    assert {path.name: path.read_text() for path in (folder / "ranking").iterdir()} == ranked
    assert more.first.candidates == tuned[0].first.candidates
    assert more.first.final != tuned[0].first.final
    again = tune(log, folder, **{**SMALL, "rank_steps": 40})
    assert [c.value for c in again.first.candidates] != [c.value for c in tuned[0].first.candidates]
    assert again.first.final == tuned[0].first.final or again.first.winner != tuned[0].first.winner
    assert json.loads((folder / "plan.json").read_text())["settings"]["rank_steps"] == 40


def test_a_log_of_twelve_machines_is_tuned(tmp_path, patched, capsys):  # noqa: ARG001
    """Few groups are no reason to refuse a log: parts and folds are smaller, and one line says what is lost."""
    log = PROBLEM.log(48, 0)
    machines = replace(log, extra={"group": log.episode_of_row // 4})
    result = tune(machines, tmp_path / "log", **SMALL)
    assert result.first.parts["by"] == "group"
    assert "(4, 2 and 6): the verdict rests on 6, so its intervals are wide" in capsys.readouterr().out
    units = json.loads(next((tmp_path / "log" / "final").glob("*.json")).read_text())["worth"]["summary"]["support"]
    assert (units["units"], units["by"]) == (6, "group")
