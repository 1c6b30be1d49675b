"""Members of populations as policies to evaluate, in the units of the log."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import prudent
from ope.problems import random_log
from prudent import ConfigError, algorithms
from prudent.data import Dataset
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.ope import ContinuousPolicy, DiscretePolicy, policy
from prudent.types import Spec


def continuous_log(rows=40):
    rng = np.random.default_rng(0)
    return Dataset.from_columns(
        observation=rng.normal(5, 3, size=(rows, 2)),
        action=rng.uniform(-2, 4, size=(rows, 2)),
        reward=rng.normal(size=rows),
        next_observation=rng.normal(size=(rows, 2)),
        terminated=np.zeros(rows, bool),
        truncated=np.ones(rows, bool),
        action_low=-2.0,
        action_high=4.0,
        name="wide",
    )


def population(algorithm, data, members=2):
    config = algorithms.get(algorithm).Config(hidden=(8,))
    return Population(algorithm, grid(config, {}, range(members)), data.spec, Scaling.fit(data, True))


@pytest.mark.parametrize("algorithm", ["bc", "cql", "iql"])
def test_densities_are_those_of_the_samples(algorithm):
    data = continuous_log()
    trained = population(algorithm, data)
    member = policy.as_policy(trained, member=1)
    observation = np.repeat(data.observation[:1], 4000, axis=0)
    generator = torch.Generator().manual_seed(0)
    action, log_prob = trained.act_with_log_prob(observation[None], False, generator, member=1)
    np.testing.assert_allclose(member.log_prob(observation, action[0]), log_prob[0], atol=2e-3)
    uniform = np.random.default_rng(0).uniform(-2, 4, size=(4000, 2))
    mass = np.exp(member.log_prob(observation, uniform)).mean() * 36
    assert mass == pytest.approx(1, rel=0.1), "a density in the log's units integrates to 1 over the action box"


@pytest.mark.parametrize("algorithm", ["td3_bc", "rebrac"])
def test_one_action_per_state_has_no_density(algorithm):
    data = continuous_log()
    member = policy.as_policy(population(algorithm, data))
    assert member.log_prob is None
    assert policy.log_probs(member, data) is None
    drawn = policy.draws(member, data.observation, 3, 0)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])


@pytest.mark.parametrize("algorithm", ["discrete_bc", "discrete_iql", "discrete_cql"])
def test_probabilities_are_the_frequencies_of_the_actions(algorithm):
    data = random_log(actions=3)
    trained = population(algorithm, data)
    member = policy.as_policy(trained, member=1)
    mask = np.ones((len(data), 3), bool)
    mask[:, 0] = False
    probability = policy.probabilities(member, data.observation, mask)
    assert (probability[:, 0] == 0).all(), "a forbidden action"
    greedy = algorithms.get(algorithm).POLICY == "greedy"
    row, repeated = data.observation[:1].repeat(4000, axis=0), mask[:1].repeat(4000, axis=0)
    both, masks = np.stack([row, row]), np.stack([repeated, repeated])
    action = trained.act(both, greedy, torch.Generator().manual_seed(0), mask=masks)[1]
    np.testing.assert_allclose(np.bincount(action, minlength=3) / 4000, probability[0], atol=0.03)
    log_prob = policy.log_probs(member, data)
    expected = policy.probabilities(member, data.observation, None)[np.arange(len(data)), data.action]
    np.testing.assert_allclose(np.exp(log_prob), expected, rtol=1e-5)


def test_draws_are_of_each_row_and_repeatable():
    data = continuous_log()
    member = policy.as_policy(population("bc", data))
    drawn = policy.draws(member, data.observation, 5, 0)
    assert drawn.shape == (40, 5, 2)
    np.testing.assert_array_equal(drawn, policy.draws(member, data.observation, 5, 0))
    assert np.abs(drawn[:, 0] - drawn[:, 1]).max() > 1e-3, "draws of the policy do not differ"


def test_an_agent_is_its_population():
    agent = prudent.BC(hidden=(8,))
    with pytest.raises(ConfigError, match="not been fitted"):
        policy.as_policy(agent)
    agent.fit(continuous_log(), steps=1)
    assert policy.as_policy(agent).discount == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"observation_size": 3}, "observation_size is 3"),
        ({"discrete": False}, "discrete is False"),
        ({"action_size": 4}, "action_size is 4"),
    ],
)
def test_other_spaces_are_refused(changed, message):
    data = random_log()
    other = DiscretePolicy(replace(data.spec, **changed), lambda s, _: np.ones((len(s), 2)) / 2, "mine")
    with pytest.raises(ConfigError, match=message) as caught:
        policy.check(other, data)
    assert "\n" not in str(caught.value)


def test_other_bounds_are_refused_unless_undeclared():
    data = continuous_log()
    spec = Spec(2, 2, action_low=(-1.0, -1.0), action_high=(1.0, 1.0))
    with pytest.raises(ConfigError, match="action_low"):
        policy.check(ContinuousPolicy(spec, lambda s, _: s, None), data)
    policy.check(ContinuousPolicy(Spec(2, 2), lambda s, _: s, None), data)


def test_what_has_diverged_is_refused():
    data = continuous_log()
    broken = population("cql", data)
    for tensor in broken.state.networks["actor"].values():
        tensor.fill_(np.nan)
    with pytest.raises(ConfigError, match="diverged"):
        policy.draws(policy.as_policy(broken), data.observation, 2, 0)
    discrete = random_log()
    for algorithm, network in (("discrete_cql", "critic"), ("discrete_bc", "actor")):
        broken = population(algorithm, discrete)
        for tensor in broken.state.networks[network].values():
            tensor.fill_(np.nan)
        with pytest.raises(ConfigError, match="diverged"):
            policy.probabilities(policy.as_policy(broken), discrete.observation, None)


@pytest.mark.parametrize(("agent", "message"), [("cql", "got str"), (3, "got int")])
def test_what_does_not_act_is_refused(agent, message):
    with pytest.raises(ConfigError, match=message):
        policy.as_policy(agent)
    with pytest.raises(ConfigError, match="member must lie within 0 to 1"):
        policy.as_policy(population("bc", continuous_log()), member=2)
