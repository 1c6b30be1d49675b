"""What every agent does alike, walked over the algorithms there are."""

import numpy as np
import pytest
import torch

import prudent
from helpers.runs import TINY, task_of, write_log
from prudent import algorithms
from prudent.agents import AGENTS, class_name
from prudent.errors import ConfigError, DataError, PrudentError
from prudent.evaluation.rollouts import evaluate

NAMES = algorithms.names()


def fitted(name, folder, **changes):
    dataset = prudent.load_dataset(write_log(folder / "log.npz", **task_of(name)[1]))
    settings = {key: value for key, value in TINY[name].items() if not key.startswith("value_init")}
    return AGENTS[name](seeds=[0, 1], device="cpu", **settings, **changes).fit(dataset, steps=3, threads=1), dataset


def test_agents_are_called_as_their_algorithms_are():
    found = {class_name(algorithms.get(name).TITLE): name for name in NAMES}
    assert len(found) == len(NAMES), "two algorithms have one name"
    assert {"CQL": "cql", "TD3BC": "td3_bc", "CalQL": "cal_ql", "DiscreteCQL": "discrete_cql"}.items() <= found.items()
    for title, name in found.items():
        agent = getattr(prudent, title)
        assert agent.algorithm == name
        assert agent.__name__ == title
        assert title in dir(prudent)
        assert f"prudent.algorithms.{name}.Config" in agent.__doc__
    for wrong in ("CQLL", "envs_of", "Dataset2"):
        with pytest.raises(AttributeError, match=wrong):
            getattr(prudent, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_it_acts_and_comes_back_from_a_file(name, tmp_path):
    agent, dataset = fitted(name, tmp_path)
    observations = dataset.observation[:5]
    actions = agent.predict(observations, member=1)
    if algorithms.is_discrete(name):
        assert actions.shape == (5,)
        assert actions.dtype == np.int64
        assert agent.predict(observations[0]).shape == ()
    else:
        assert actions.shape == (5, 1)
        assert np.abs(actions).max() <= 2.0
    action, log_prob = agent.act(observations, generator=torch.Generator().manual_seed(0))
    assert action.shape == actions.shape
    assert log_prob.shape == (5,)
    assert (log_prob == 0).all() == (algorithms.get(name).POLICY in ("deterministic", "greedy"))
    again = prudent.load(agent.save(tmp_path / "saved"), device="cpu")
    assert type(again) is type(agent)
    np.testing.assert_array_equal(again.predict(observations, member=1), actions)
    if algorithms.get(name).q_value is not None:
        q = agent.q_value(observations, actions)
        assert q.shape == (5,)
        np.testing.assert_array_equal(again.q_value(observations, actions), q)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_from_batches(name, tmp_path):
    single = {"n_steps": 1} if name == "cpql" else {}  # batches have single steps
    agent, dataset = fitted(name, tmp_path, **single)
    (batch,) = dataset.batches(TINY[name]["batch_size"], steps=1, discount=0.99)
    metrics = agent.update(batch)
    assert all(value.shape == (2,) and np.isfinite(value).all() for value in metrics.values())
    if "return_to_go" in algorithms.get(name).NEEDS:
        (bare,) = dataset.batches(TINY[name]["batch_size"], steps=1)
        with pytest.raises(DataError, match=r"no return_to_go, which cal_ql learns from; take it from .*discount"):
            agent.update(bare)


@pytest.mark.parametrize("name", [n for n in NAMES if algorithms.is_discrete(n)])
def test_masks_hold_for_an_agent(name, tmp_path):
    agent, dataset = fitted(name, tmp_path)
    observations = dataset.observation[:40]
    mask = np.arange(2) == (np.arange(40) % 2)[:, None]
    mask.setflags(write=False)
    np.testing.assert_array_equal(agent.predict(observations, mask=mask), np.arange(40) % 2)
    action, log_prob = agent.act(observations, mask=mask)
    np.testing.assert_array_equal(action, np.arange(40) % 2)
    np.testing.assert_array_equal(log_prob, 0.0, err_msg="the only allowed action has probability 1")
    for wrong, told in ((mask[:, :1], r"shape \(40, 1\), expected \(40, 2\)"), (mask & False, "row 0 forbids every")):
        with pytest.raises(PrudentError, match=told):
            agent.predict(observations, mask=wrong)
    if agent.population.algorithm.q_value is not None:
        with pytest.raises(PrudentError, match="whole numbers from 0 to 1"):
            agent.q_value(observations, np.full(40, 2))


def test_continuous_agents_take_no_mask(tmp_path):
    agent, dataset = fitted("bc", tmp_path)
    with pytest.raises(PrudentError, match="actions are continuous"):
        agent.predict(dataset.observation[:3], mask=np.ones((3, 1), dtype=bool))


@pytest.mark.parametrize("name", [n for n in NAMES if algorithms.is_discrete(n)])
def test_a_diverged_member_takes_no_action_and_has_no_return(name, tmp_path):
    agent, dataset = fitted(name, tmp_path)
    for params in agent.population.state.networks.values():
        for value in params.values():
            value[1] = torch.nan
    mask = np.array([[False, True]] * 3)
    assert agent.predict(dataset.observation[:3], member=0, mask=mask).tolist() == [1, 1, 1]
    assert agent.predict(dataset.observation[:3], member=1, mask=mask).tolist() == [-1, -1, -1]
    found = evaluate(agent.population, "CartPole-v1", episodes=2, deterministic=False)
    assert found.diverged == ["seed=1"]
    assert np.isfinite(found.returns[0]).all()


@pytest.mark.parametrize("name", NAMES)
def test_rewards_are_never_scaled_away_or_reversed_and_the_discount_is_below_1(name):
    for setting, wrong in (("reward_scale", 0.0), ("reward_scale", -1.0), ("discount", 1.0), ("discount", -0.1)):
        with pytest.raises(ConfigError, match=setting):
            algorithms.get(name).Config(**{setting: wrong})
