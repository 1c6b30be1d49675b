"""Fitted Q evaluation reaches the empirical fixed point, and every planted mistake is noticed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import known
from ope.problems import LINEAR
from prudent import ConfigError
from prudent.ope import episodes, fqe
from prudent.ope import policy as policies

PROBLEM = known.tabular(3, states=4, actions=2, shift=1.0)
DATA = PROBLEM.log(600, 0)


def fit(log, policy, settings=LINEAR, members=2):
    return fqe.fit(fqe.decisions(log, policy, settings, 0), [torch.arange(len(log.dataset))] * members, settings, 0)


def empirical_values(log, policy):
    """V (S,) of the policy in the process given by the frequencies of the log: what a table of values must learn."""
    data, states, actions = log.dataset, 4, 2
    s, s2 = data.observation.argmax(1), data.next_observation.argmax(1)
    pi_SA = policies.probabilities(policy, np.eye(states, dtype=np.float32), None)
    left, right = np.zeros((states * actions,) * 2), np.zeros(states * actions)
    for row in range(len(data)):
        here = s[row] * actions + data.action[row]
        left[here, here] += 1
        right[here] += data.reward[row]
        if not data.terminated[row]:
            left[here, s2[row] * actions : (s2[row] + 1) * actions] -= log.discount * pi_SA[s2[row]]
    return (pi_SA * np.linalg.solve(left, right).reshape(states, actions)).sum(1)


def agrees_with_the_fixed_point():
    log = episodes.lay_out(DATA, PROBLEM.discount)
    fitted = fit(log, PROBLEM.target).value(range(2), log.first)
    expected = empirical_values(log, PROBLEM.target)[log.dataset.observation[log.first].argmax(1)]
    assert np.abs(fitted - expected).max() < 0.25, "FQE is not at the fixed point of the data"


def test_tables_learn_the_fixed_point_of_the_data():
    agrees_with_the_fixed_point()


MISTAKES = {
    "a truncation ends value": (fqe, "goes_on", lambda data: ~(data.terminated | data.truncated)),
    "a termination does not": (fqe, "goes_on", lambda data: np.ones(len(data), dtype=bool)),
    "the likeliest action instead of the policy's": (
        policies,
        "probabilities",
        lambda policy, observation, mask: np.eye(2, dtype=np.float32)[policy.probability(observation, mask).argmax(1)],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_noticed(monkeypatch, name):
    module, function, mistaken = MISTAKES[name]
    softer = replace(PROBLEM, target=PROBLEM.behaviour)
    monkeypatch.setitem(globals(), "PROBLEM", softer)
    agrees_with_the_fixed_point()
    log = episodes.lay_out(DATA, softer.discount)
    truth = empirical_values(log, softer.target)[DATA.observation[log.first].argmax(1)]
    monkeypatch.setattr(module, function, mistaken)
    fitted = fit(log, softer.target).value(range(2), log.first)
    assert np.abs(fitted.mean(1) - truth.mean()).min() > 0.25, f"{name}: nobody would notice"


def test_time_that_passed_counts():
    """Steps of two units of time: the discount of each is gamma squared."""
    double = replace(DATA, extra={**DATA.extra, "dt": np.full(len(DATA), 2.0)})
    slow, fast = episodes.lay_out(double, 0.9), episodes.lay_out(DATA, 0.81)
    np.testing.assert_allclose(
        fit(slow, PROBLEM.target).value([0], slow.first), fit(fast, PROBLEM.target).value([0], fast.first), rtol=1e-4
    )


def test_a_member_fits_alone_as_in_company():
    log = episodes.lay_out(DATA, PROBLEM.discount)
    problem, rows = fqe.decisions(log, PROBLEM.target, LINEAR, 0), torch.arange(len(DATA))
    settings = replace(LINEAR, steps=50, hidden=(8,))
    alone = fqe.fit(problem, [rows], settings, 0).value([0], log.first)
    together = fqe.fit(problem, [rows, rows[::2], rows], settings, 0).value(range(3), log.first)
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-4)
    assert np.abs(together[2] - together[0]).max() > 1e-3, "members are not independent"


def test_members_are_averaged():
    np.testing.assert_allclose(fqe.combine(np.array([[1.0, 2.0], [3.0, 0.0]])), [2.0, 1.0])


def prices_the_sampled_action():
    """Rewards depend on the action alone, with no future: a value is the mean reward of the policy's draws."""
    data = known.quadratic(0).log(150, 0)
    priced = replace(data, reward=-(data.action[:, 0] ** 2))
    log, policy = episodes.lay_out(priced, 0.0), known.quadratic(0).target
    problem = fqe.decisions(log, policy, replace(LINEAR, draws=8), 0)
    settings = replace(LINEAR, hidden=(32,), lr=5e-3)
    fitted = fqe.fit(problem, [torch.arange(len(data))] * 2, settings, 0).value([0, 1], np.arange(len(data)))
    generator = torch.Generator().manual_seed(5)
    price = np.mean([(policy.draw(data.observation, generator) ** 2).mean() for _ in range(20)])
    assert abs(fitted.mean() + price) < 0.1 * price, "not the value of the policy as it samples"


def test_continuous_values_are_those_of_the_sampled_policy(monkeypatch):
    prices_the_sampled_action()
    plain = policies.draws

    def without_chance(policy, observation, count, seed):
        return plain(policy, observation, 30, seed).mean(1, keepdims=True).repeat(count, axis=1)

    monkeypatch.setattr(policies, "draws", without_chance)
    with pytest.raises(AssertionError, match="as it samples"):
        prices_the_sampled_action()


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_values_come_in_raw_reward_units(scale):
    log = episodes.lay_out(replace(DATA, reward=DATA.reward * np.float32(scale)), PROBLEM.discount)
    plain = episodes.lay_out(DATA, PROBLEM.discount)
    settings = replace(LINEAR, steps=200)
    fitted = fit(log, PROBLEM.target, settings).value([0], log.first)
    np.testing.assert_allclose(fitted, scale * fit(plain, PROBLEM.target, settings).value([0], plain.first), rtol=1e-2)


def test_the_behaviour_without_its_actions():
    log = episodes.lay_out(DATA, PROBLEM.discount)
    fitted = fqe.fit(fqe.behaviour_decisions(log), [torch.arange(len(DATA))], LINEAR, 0)
    assert fitted.value([0], log.first).mean() == pytest.approx(PROBLEM.behaviour_value, abs=0.5)


def test_resampled_rows():
    log = episodes.lay_out(DATA.episodes(range(4)), 0.9)
    counts = np.array([2, 0, 1, 0])
    rows, bounds = fqe.rows_of(log, counts).numpy(), log.dataset.episode_bounds
    assert (np.bincount(rows, minlength=len(log.dataset)) == counts[log.dataset.episode_of_row]).all()
    assert len(rows) == 2 * (bounds[1] - bounds[0]) + bounds[3] - bounds[2]


def test_the_learning_rate_falls_late():
    assert fqe.learning_rate(LINEAR, 0) == LINEAR.lr
    assert fqe.learning_rate(LINEAR, LINEAR.steps // 2) == pytest.approx(LINEAR.lr)
    assert fqe.learning_rate(LINEAR, LINEAR.steps) == pytest.approx(LINEAR.lr / 20)


def lasting(dt):
    """Rewards of 1 for ever, in steps of ``dt``."""
    ended = DATA.terminated | DATA.truncated
    return replace(
        DATA,
        reward=np.ones_like(DATA.reward),
        terminated=np.zeros_like(ended),
        truncated=ended,
        extra={"dt": np.full(len(DATA), dt)},
    )


@pytest.mark.parametrize(("discount", "dt"), [(0.9, 1.0), (0.9, 1 / 60), (0.999, 1e-2)])
def test_values_start_from_the_level_of_the_rewards(discount, dt):
    """However long the horizon: 1 / (1 - gamma^dt) of a reward of 1 at every step."""
    log = episodes.lay_out(lasting(dt), discount)
    centre, _ = fqe.first_values(log)
    assert centre == pytest.approx(1 / (1 - discount**dt), rel=1e-9)
    assert log.largest_value == pytest.approx(centre, rel=1e-9), "the largest value is that of the largest reward"


def test_steps_too_short_for_the_discount_are_refused():
    with pytest.raises(ConfigError, match="smaller unit of time") as caught:
        episodes.lay_out(lasting(1e-9), 0.999)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", [1024.0, 2.0**-40])
@pytest.mark.parametrize("constant", [False, True])
def test_first_values_have_the_unit_of_the_reward(unit, constant):
    """Tiny rewards start no larger, for their size, than others: with and without a spread."""
    data = replace(DATA, reward=np.ones_like(DATA.reward)) if constant else DATA
    one = fqe.first_values(episodes.lay_out(data, 0.9))
    other = fqe.first_values(episodes.lay_out(replace(data, reward=data.reward * np.float32(unit)), 0.9))
    assert other == (unit * one[0], unit * one[1])
    assert one[1] > 0
