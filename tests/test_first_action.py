"""A log that counts its actions from another number than 0: everything is as if it counted from 0, but the numbers."""

import json

import numpy as np
import pytest
import torch

import helpers.toys  # noqa: F401 - registers the environments
import prudent as package
from helpers.data_logs import complaint
from helpers.runs import assert_same_weights, prudent
from prudent import ope
from prudent.agents import AGENTS
from prudent.algorithms import is_discrete
from prudent.coverage.support import support
from prudent.data import Dataset, audit, load_dataset
from prudent.data.audit import cautions
from prudent.errors import PrudentError
from prudent.online.explorers import Uniform
from prudent.online.recording import roll_out
from prudent.ope.value import value
from prudent.tuning import plan
from prudent.types import Spec

pytest_plugins = ["helpers.run_fixtures"]

ENVS = {0: "prudent/Gates-v0", 1: "prudent/GatesFrom1-v0", -2: "prudent/GatesFromMinus2-v0"}
DISCRETE = [name for name in AGENTS if is_discrete(name)]
SMALL = {"hidden": (8,), "batch_size": 16}
ESTIMATION = {"members": 2, "folds": 2, "hidden": (8,), "batch_size": 32, "behaviour_steps": 30, "steps": 30}


def recorded(first, rows=300):
    return roll_out(ENVS[first], Uniform(Spec(2, 3, discrete=True, first_action=first), [3]), 3, rows, "gates").dataset


@pytest.fixture(scope="module")
def log():
    """Random decisions, numbered from 0, with masks."""
    return recorded(0)


def refusal(function, *args, **kwargs):
    """The line of a refusal of any kind."""
    with pytest.raises(PrudentError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def numbered(log, first, masks=True, **changes):
    """The same decisions, numbered from ``first`` on."""
    columns = {
        key: getattr(log, key) for key in ("observation", "reward", "next_observation", "terminated", "truncated")
    }
    more = {"discrete": True, "n_actions": 3, "first_action": first, "name": log.name}
    return Dataset.from_columns(
        **columns, **(more | {"action": log.action + first, "extra": dict(log.extra) if masks else {}} | changes)
    )


@pytest.mark.parametrize("first", [1, -2])
def test_what_an_environment_records_keeps_its_numbers(log, first):
    other = recorded(first)
    assert other.spec == Spec(2, 3, discrete=True, first_action=first)
    np.testing.assert_array_equal(other.action, log.action + first)
    for key in ("observation", "reward", "terminated"):
        np.testing.assert_array_equal(getattr(other, key), getattr(log, key))
    np.testing.assert_array_equal(other.extra["mask"], log.extra["mask"])


@pytest.mark.parametrize("first", [1, -2])
@pytest.mark.parametrize("name", DISCRETE)
def test_an_agent_learns_the_same_and_answers_in_the_logs_numbers(log, first, name, tmp_path):
    logs = log, numbered(log, first)
    plain, shifted = (AGENTS[name](**SMALL).fit(each, steps=30) for each in logs)
    expected, found = (agent.population.tensors() for agent in (plain, shifted))
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    observation, mask = log.observation[:50], log.extra["mask"][:50]
    loaded = package.load(shifted.save(tmp_path / "saved"))
    for agent in (shifted, loaded):
        np.testing.assert_array_equal(agent.predict(observation), plain.predict(observation) + first)
        np.testing.assert_array_equal(
            agent.predict(observation, mask=mask), plain.predict(observation, mask=mask) + first
        )
        generators = [torch.Generator().manual_seed(1) for _ in range(2)]
        action, log_prob = agent.act(observation, generator=generators[0])
        plain_action, plain_log_prob = plain.act(observation, generator=generators[1])
        np.testing.assert_array_equal(action, plain_action + first)
        np.testing.assert_array_equal(log_prob, plain_log_prob)
    if plain.population.algorithm.q_value is not None:
        numbers = np.arange(50) % 3
        np.testing.assert_array_equal(
            shifted.q_value(observation, numbers + first), plain.q_value(observation, numbers)
        )
        assert f"whole numbers from {first} to {first + 2}" in refusal(shifted.q_value, observation[0], first + 3)
    assert shifted.evaluate(ENVS[first], 3)["members"] == plain.evaluate(ENVS[0], 3)["members"]
    assert "does not fit the policy" in refusal(shifted.evaluate, ENVS[0], 3)


@pytest.mark.parametrize(("name", "network"), [("discrete_bc", "actor"), ("discrete_cql", "critic")])
@pytest.mark.parametrize("first", [1, -2])
def test_a_diverged_member_has_no_answer_and_the_other_goes_on(log, name, network, first):
    shifted = numbered(log, first)
    agent = AGENTS[name](seeds=[0, 1], **SMALL).fit(shifted, steps=5)
    for tensor in agent.population.state.networks[network].values():
        tensor[0] = torch.nan
    assert (agent.predict(log.observation, member=0) == first - 1).all()
    assert (agent.predict(log.observation, member=1) >= first).all()
    members = agent.evaluate(ENVS[first], 2)["members"]
    assert [figures["return_mean"] is None for figures in members.values()] == [True, False]
    rows = support(agent, shifted).to_json()["actions"]
    assert [row["by_member"][0] for row in rows] == [None] * 3
    assert sum(row["by_member"][1] for row in rows) == pytest.approx(1)
    result = value(agent, shifted, **ESTIMATION).to_json()
    assert "diverged" in json.dumps(result)


def test_a_batch_carries_the_logs_numbers(log):
    plain, shifted = (package.DiscreteCQL(**SMALL) for _ in range(2))
    for one, other in zip(log.batches(16, 3), numbered(log, 1).batches(16, 3), strict=True):
        assert torch.equal(other.action, one.action + 1)
        assert {k: v.tolist() for k, v in plain.update(one).items()} == {
            k: v.tolist() for k, v in shifted.update(other).items()
        }
    assert "whole numbers from 1 to 3" in refusal(shifted.update, next(log.batches(16)))


@pytest.mark.parametrize("name", ["discrete_bc", "discrete_cql"])
@pytest.mark.parametrize("probabilities", [False, True])
def test_every_estimate_of_a_value_is_the_same(log, name, probabilities):
    """With a categorical and a greedy policy; with fitted and with logged probabilities."""
    extra = {**log.extra, **({"behavior_log_prob": np.full(len(log), -0.7)} if probabilities else {})}
    logs = [numbered(log, first, extra=extra) for first in (0, 2)]
    found = [value(AGENTS[name](**SMALL).fit(each, steps=30), each, **ESTIMATION).to_json() for each in logs]
    assert found[0].pop("fingerprint") != found[1].pop("fingerprint")
    assert json.dumps(found[0]) == json.dumps(found[1])


def test_policies_for_other_numbers_are_refused(log):
    agent = package.DiscreteBC(**SMALL).fit(log, steps=5)
    assert "first_action is 0, that of the data is 1" in refusal(value, agent, numbered(log, 1), **ESTIMATION)
    assert "actions numbered from 1 against 0" in complaint(Dataset.join, [log, numbered(log, 1)])


@pytest.mark.parametrize("kind", ["discrete_bc", "discrete_cql", "written down"])
def test_support_is_the_same(log, kind):
    found = []
    for each in (log, numbered(log, -2)):
        if kind == "written down":
            agent = ope.DiscretePolicy(
                each.spec, lambda observation, _: np.tile([0.2, 0.3, 0.5], (len(observation), 1))
            )
        else:
            agent = AGENTS[kind](**SMALL).fit(each, steps=30)
        found.append(support(agent, each).to_json())
    rows = [content.pop("actions") for content in found]
    assert json.dumps(found[0]) == json.dumps(found[1])
    assert [row["action"] for row in rows[1]] == [-2, -1, 0]
    assert [{**row, "action": row["action"] + 2} for row in rows[1]] == rows[0]
    assert sum(row["logged"] for row in rows[1]) == len(log)


@pytest.mark.usefixtures("quick_report")
def test_a_tuning_finds_the_same(log, tmp_path, monkeypatch):
    monkeypatch.setattr("prudent.coverage.support.write", lambda *_: None)
    quick = ope.Settings(**(ESTIMATION | {"behaviour_steps": 10}), n_bootstrap=2)
    for part in ("ranking", "final"):
        monkeypatch.setattr(plan.Settings, part, property(lambda _: quick))
    settings = {"alpha": [0.1, 10.0], "seeds": [0], "steps": 40, "checkpoints": 2, "rank_steps": 30, "final_steps": 30}
    settings |= {"resamples": 2, "discount": 0.9, **SMALL}
    found = [package.tune(numbered(log, first), tmp_path / str(first), **settings) for first in (0, 1)]
    one, other = (result.to_json() for result in found)
    assert one["splits"] == other["splits"]
    assert one["plan"]["dataset"].pop("fingerprint") != other["plan"]["dataset"].pop("fingerprint")
    assert one["plan"] == other["plan"]


def test_problems_and_figures_name_the_logs_numbers(log):
    shifted = numbered(log, 1)
    figures = [package.data.describe_dict(each) for each in (log, shifted)]
    assert [row["action"] for row in figures[1]["actions"]] == [1, 2, 3]
    assert [row["count"] for row in figures[1]["actions"]] == [row["count"] for row in figures[0]["actions"]]
    few = [next(f for f in audit(each) if f.kind == "few transitions") for each in (log, shifted)]
    assert (few[0].rows, few[1].rows) == ((0, 1, 2), (1, 2, 3))


def test_a_log_that_may_count_from_one_is_asked_about(log):
    undeclared = numbered(log, 1, masks=False, first_action=0, n_actions=None)
    assert undeclared.spec.action_size == 4
    for findings in (audit(undeclared), cautions(undeclared)):
        (finding,) = [f for f in findings if f.kind == "action 0 is never taken"]
        assert "--first-action 1" in finding.advice
    assert not [f for each in (log, numbered(log, 1)) for f in audit(each) if "never taken" in f.kind]
    line = complaint(numbered, log, 1, masks=False, first_action=0)
    assert "only 3 are declared (0 to 2): if the log counts from 1, declare first_action=1" in line
    line = complaint(numbered, log, -1, masks=False, first_action=0)
    assert "go down to -1, but are numbered from 0" in line
    assert "--first-action -1" in line
    assert "go up to 3" in complaint(numbered, log, 1, first_action=0)  # masks of three columns


def columns_of(dataset):
    return {
        "observations": dataset.observation,
        "actions": dataset.action,
        "rewards": dataset.reward,
        "next_observations": dataset.next_observation,
        "terminals": dataset.terminated,
        "timeouts": dataset.truncated,
        "action_masks": dataset.extra["mask"],
        "next_action_masks": dataset.extra["next_mask"],
    }


def test_every_file_keeps_the_first_number(log, tmp_path, capsys):
    shifted = numbered(log, 1)
    np.savez(tmp_path / "says.npz", **columns_of(shifted), first_action=1)
    np.savez(tmp_path / "plain.npz", **columns_of(shifted))
    for source, more in (("says.npz", {}), ("plain.npz", {"first_action": 1})):
        assert load_dataset(tmp_path / source, **more).fingerprint == shifted.fingerprint
    assert prudent("data", "import", tmp_path / "plain.npz", "--first-action", 1, "--out", tmp_path / "log.hdf5") == 0
    assert prudent("data", "convert", tmp_path / "log.hdf5", "--out", tmp_path / "folder") == 0
    for source in ("log.hdf5", "folder"):
        found = load_dataset(tmp_path / source)
        assert (found.fingerprint, found.spec) == (shifted.fingerprint, shifted.spec)
        agent = package.DiscreteCQL(**SMALL).fit(found, steps=20)
        plain = package.DiscreteCQL(**SMALL).fit(log, steps=20)
        np.testing.assert_array_equal(agent.predict(log.observation), plain.predict(log.observation) + 1)
    assert prudent("data", "describe", tmp_path / "says.npz") == 0
    assert "3 discrete actions numbered from 1" in capsys.readouterr().out
    assert prudent("data", "describe", tmp_path / "plain.npz", "--first-action", "-1") == 2
    assert "actions go up to 3, but only 3 are declared (-1 to 1)" in capsys.readouterr().err
    assert prudent("data", "describe", tmp_path / "folder", "--json") == 0
    assert json.loads(capsys.readouterr().out)["first_action"] == 1
    assert prudent("data", "describe", tmp_path / "log.hdf5", "--discrete", "no", "--first-action", 1) == 2
    assert "first_action is for discrete actions" in capsys.readouterr().err


def test_a_table_says_it_in_its_mapping(log, tmp_path):
    lines = ["x,t,a,r,e,end"]
    ends = np.repeat(np.arange(log.n_episodes), log.episode_lengths)
    for row in range(len(log)):
        state = ",".join(f"{v:g}" for v in log.observation[row])
        flag = int(log.terminated[row])
        lines.append(f"{state},{log.action[row] + 1},{log.reward[row]:g},{ends[row]},{flag}")
    (tmp_path / "log.csv").write_text("\n".join(lines))
    roles = {"observation": ["x", "t"], "action": "a", "reward": "r", "episode": "e", "terminated": "end"}
    found = load_dataset(tmp_path / "log.csv", mapping=roles | {"first_action": 1})
    assert (found.spec.first_action, found.spec.action_size, found.action.min()) == (1, 3, 1)
    assert "and first_action=1 if they count from 1" in complaint(load_dataset, tmp_path / "log.csv", mapping=roles)


@pytest.mark.usefixtures("quick_report")
def test_a_run_keeps_the_numbers_to_its_end(log, tmp_path):
    """Train with an environment, resume, evaluate, fine-tune, record with the policy, value and support."""
    runs = {}
    for first in (0, 1):
        path = tmp_path / f"log{first}.npz"
        np.savez(path, **columns_of(numbered(log, first)), n_actions=3)
        runs[first] = run = tmp_path / f"run{first}"
        words = ["train", path, "--first-action", first, "--algo", "discrete_cql", "--hidden", 8, "--batch-size", 16]
        words += ["--env", ENVS[first], "--eval-every", 20, "--eval-episodes", 2, "--threads", 1]
        assert prudent(*words, "--steps", 20, "--out", run) == 0
        assert prudent("train", "--resume", run, "--steps", 40) == 0
        assert json.loads((run / "config.json").read_text())["dataset"]["first_action"] == first
        assert json.loads((run / "dataset.json").read_text())["actions"]["first_action"] == first
        assert prudent("evaluate", run, "--episodes", 2) == 0
        assert prudent("finetune", run, "--steps", 30, "--out", tmp_path / f"tuned{first}") == 0
        words = ["data", "collect", "--env", ENVS[first], "--policy", run, "--steps", 50, "--noise", 0.3]
        assert prudent(*words, "--out", tmp_path / f"collected{first}.hdf5") == 0
        assert prudent("support", run) == 0
    assert_same_weights(runs[0], runs[1])
    assert_same_weights(tmp_path / "tuned0", tmp_path / "tuned1")
    results = [json.loads((run / "evaluation.json").read_text())["members"] for run in runs.values()]
    assert results[0] == results[1]
    one, other = (load_dataset(tmp_path / f"collected{first}.hdf5") for first in (0, 1))
    np.testing.assert_array_equal(other.action, one.action + 1)
    assert other.spec.first_action == 1
    assert (
        prudent("data", "collect", "--env", ENVS[0], "--policy", runs[1], "--steps", 5, "--out", tmp_path / "x.h5") == 2
    )
