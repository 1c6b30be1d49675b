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
from prudent.engine.population import MODE, SAMPLE, Population
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
    member = policy.as_policy(trained, member=1, acting=SAMPLE)
    observation = np.repeat(data.observation[:1], 4000, axis=0)
    generator = torch.Generator().manual_seed(0)
    action, log_prob = trained.act_with_log_prob(observation[None], False, generator, member=1)
    np.testing.assert_allclose(member.log_prob(observation, action[0]), log_prob[0], atol=2e-3)
    uniform = np.random.default_rng(0).uniform(-2, 4, size=(4000, 2))
    mass = np.exp(member.log_prob(observation, uniform)).mean() * 36
    assert mass == pytest.approx(1, rel=0.1), "a density in the log's units integrates to 1 over the action box"


@pytest.mark.parametrize(
    ("algorithm", "acting"),
    [("td3_bc", MODE), ("td3_bc", SAMPLE), ("rebrac", None), ("bc", MODE), ("cql", MODE), ("iql", None)],
)
def test_one_action_per_state_has_no_density(algorithm, acting):
    """The one that ``act`` takes without noise: of deterministic algorithms, and of others by the mode."""
    data = continuous_log()
    trained = population(algorithm, data)
    member = policy.as_policy(trained, member=1, acting=acting)
    assert member.log_prob is None
    assert policy.log_probs(member, data) is None
    drawn = policy.draws(member, data.observation, 3, 0)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    both = np.stack([data.observation, data.observation])
    np.testing.assert_allclose(drawn[:, 0], trained.act(both, deterministic=True)[1], atol=1e-5)


@pytest.mark.parametrize("algorithm", ["discrete_bc", "discrete_iql", "discrete_cql"])
def test_probabilities_are_the_frequencies_of_the_actions(algorithm):
    data = random_log(actions=3)
    trained = population(algorithm, data)
    member = policy.as_policy(trained, member=1, acting=SAMPLE)
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
    member = policy.as_policy(population("bc", data), acting=SAMPLE)
    drawn = policy.draws(member, data.observation, 5, 0)
    assert drawn.shape == (40, 5, 2)
    np.testing.assert_array_equal(drawn, policy.draws(member, data.observation, 5, 0))
    assert np.abs(drawn[:, 0] - drawn[:, 1]).max() > 1e-3, "draws of the policy do not differ"


@pytest.mark.parametrize("algorithm", ["discrete_bc", "discrete_iql", "discrete_cql"])
def test_the_mode_is_the_likeliest_action_that_is_allowed(algorithm):
    data = random_log(actions=3)
    trained = population(algorithm, data)
    mask = np.ones((len(data), 3), bool)
    mask[np.arange(len(data)), data.action] = False
    for forbidden in (None, mask):
        table = policy.probabilities(policy.as_policy(trained, member=1), data.observation, forbidden)
        np.testing.assert_array_equal(np.sort(table, axis=1), np.tile([0, 0, 1], (len(data), 1)))
        sampled = policy.as_policy(trained, member=1, acting=SAMPLE)
        chances = policy.probabilities(sampled, data.observation, forbidden)
        np.testing.assert_array_equal(table.argmax(1), chances.argmax(1))
        masks = None if forbidden is None else np.stack([forbidden, forbidden])
        both = np.stack([data.observation, data.observation])
        np.testing.assert_array_equal(table.argmax(1), trained.act(both, mask=masks)[1])
        soft = ((chances > 0) & (chances < 1)).any()
        assert soft == (algorithm != "discrete_cql"), "greedy policies take one action either way"


@pytest.mark.parametrize("algorithm", ["bc", "discrete_bc"])
def test_a_policy_is_judged_as_its_population_acts(algorithm):
    """The population's own way unless another is asked for; judging does not change the population."""
    data = random_log(actions=3) if algorithm == "discrete_bc" else continuous_log()
    trained = population(algorithm, data)

    def judged(acting=None):
        member = policy.as_policy(trained, acting=acting)
        if isinstance(member, DiscretePolicy):
            return policy.probabilities(member, data.observation, None)
        return policy.draws(member, data.observation, 2, 0)

    mode, sample = judged(MODE), judged(SAMPLE)
    assert np.abs(mode - sample).max() > 1e-3, "the case tests nothing"
    assert trained.acting == MODE
    np.testing.assert_array_equal(judged(), mode)
    trained.acting = SAMPLE
    np.testing.assert_array_equal(judged(), sample)
    np.testing.assert_array_equal(judged(MODE), mode)
    assert trained.acting == SAMPLE


@pytest.mark.parametrize(
    ("algorithm", "two_ways"),
    [("bc", True), ("cql", True), ("td3_bc", False), ("discrete_iql", True), ("discrete_cql", False)],
)
def test_which_algorithms_act_in_two_ways(algorithm, two_ways):
    discrete = algorithm.startswith("discrete")
    trained = population(algorithm, random_log() if discrete else continuous_log())
    assert policy.has_two_ways(algorithm) == two_ways
    assert policy.takes_one_action(trained), "by the mode"
    trained.acting = SAMPLE
    assert policy.takes_one_action(trained) != two_ways


def test_an_agent_is_its_population():
    agent = prudent.BC(hidden=(8,))
    with pytest.raises(ConfigError, match="not been fitted"):
        policy.as_policy(agent)
    agent.fit(continuous_log(), steps=1)
    assert policy.as_policy(agent).discount == pytest.approx(0.99)
    np.testing.assert_allclose(
        policy.draws(policy.as_policy(agent), continuous_log().observation, 1, 0)[:, 0],
        agent.predict(continuous_log().observation),
        atol=1e-5,
        err_msg="what is judged is not what predict does",
    )


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
    for acting in (MODE, SAMPLE):
        with pytest.raises(ConfigError, match="diverged"):
            policy.draws(policy.as_policy(broken, acting=acting), data.observation, 2, 0)
    discrete = random_log()
    for algorithm, network in (("discrete_cql", "critic"), ("discrete_bc", "actor")):
        broken = population(algorithm, discrete)
        for tensor in broken.state.networks[network].values():
            tensor.fill_(np.nan)
        for acting in (MODE, SAMPLE):
            with pytest.raises(ConfigError, match="diverged"):
                policy.probabilities(policy.as_policy(broken, acting=acting), discrete.observation, None)


@pytest.mark.parametrize(("agent", "message"), [("cql", "got str"), (3, "got int")])
def test_what_does_not_act_is_refused(agent, message):
    with pytest.raises(ConfigError, match=message):
        policy.as_policy(agent)
    with pytest.raises(ConfigError, match="member must lie within 0 to 1"):
        policy.as_policy(population("bc", continuous_log()), member=2)
