"""Fitted Q evaluation reaches the empirical fixed point, and every planted mistake is noticed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import known
from ope.problems import LINEAR, prepared
from prudent.ope import episodes, fqe, last_layer
from prudent.ope import policy as policies

PROBLEM = known.tabular(3, states=4, actions=2, shift=1.0)
DATA = PROBLEM.log(600, 0)


def fit(log, policy, settings=LINEAR, fits=2):
    return fqe.fit(*prepared(log, policy, settings), [fqe.all_rows(log)] * fits)


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


def test_tables_are_the_fixed_point_of_the_data(monkeypatch):
    """Near it with the penalty; without one, exactly."""
    agrees_with_the_fixed_point()
    monkeypatch.setattr(last_layer, "STATE_ROWS", 1e-6)
    monkeypatch.setattr(last_layer, "CHOICE_ROWS", 1e-6)
    log = episodes.lay_out(DATA, PROBLEM.discount)
    expected = empirical_values(log, PROBLEM.target)[DATA.observation[log.first].argmax(1)]
    np.testing.assert_allclose(fit(log, PROBLEM.target).value([0], log.first)[0], expected, rtol=1e-6)


MISTAKES = {
    "a truncation ends value": (fqe, "goes_on", lambda data: ~(data.terminated | data.truncated)),
    "a termination does not": (fqe, "goes_on", lambda data: np.ones(len(data), dtype=bool)),
    "the likeliest action instead of the policy's": (
        policies,
        "probabilities",
        lambda policy, observation, mask: np.eye(2, dtype=np.float32)[policy.probability(observation, mask).argmax(1)],
    ),
    "the actions of another state": (
        last_layer.System,
        "_next",
        lambda self, rows: self._by_action(
            self.features.next_state(self.member)[rows] / self.state_scale, self.problem.policy[rows].double()
        ),
    ),
    "the target of another policy": (
        last_layer.System,
        "_next",
        lambda self, rows: self._by_action(
            self.features.next_state(self.member)[rows] / self.state_scale,
            1 - self.problem.next_policy[rows].double(),
        ),
    ),
    "the value of the state itself": (last_layer.System, "_next", lambda self, rows: self._logged(rows)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_noticed(monkeypatch, name):
    module, function, mistaken = MISTAKES[name]
    log, both = episodes.lay_out(DATA, PROBLEM.discount), (PROBLEM.target, PROBLEM.behaviour)
    state = DATA.observation[log.first].argmax(1)
    truth = [empirical_values(log, policy)[state].mean() for policy in both]
    sound = [fit(log, policy).value(range(2), log.first).mean(1) for policy in both]
    assert all(np.abs(values - value).max() < 0.25 for values, value in zip(sound, truth, strict=True))
    monkeypatch.setattr(module, function, mistaken)
    fitted = [fit(log, policy).value(range(2), log.first).mean(1) for policy in both]
    missed = max(np.abs(values - value).min() for values, value in zip(fitted, truth, strict=True))
    assert missed > 0.25, f"{name}: nobody would notice"


def test_time_that_passed_counts(monkeypatch):
    """Steps of two units of time: the discount of each is gamma squared."""
    double = replace(DATA, extra={**DATA.extra, "dt": np.full(len(DATA), 2.0)})
    slow, fast = episodes.lay_out(double, 0.9), episodes.lay_out(DATA, 0.81)
    np.testing.assert_allclose(
        fit(slow, PROBLEM.target).value([0], slow.first), fit(fast, PROBLEM.target).value([0], fast.first), rtol=1e-9
    )
    monkeypatch.setattr(episodes.Episodes, "dt", property(lambda log: np.ones(len(log.dataset))))
    forgetful = episodes.lay_out(double, 0.9)
    fitted = fit(forgetful, PROBLEM.target).value([0], forgetful.first)
    assert np.abs(fitted - fit(fast, PROBLEM.target).value([0], fast.first)).min() > 1, "time that passed is ignored"


def test_a_fit_is_the_same_alone_as_in_company():
    """Fits take turns with the members of the features; each has rows of its own."""
    log = episodes.lay_out(DATA.episodes(np.arange(100)), PROBLEM.discount)
    problem, learned = prepared(log, PROBLEM.target, replace(LINEAR, steps=30, hidden=(8,)))
    every, odd = fqe.all_rows(log), fqe.rows_of(log, np.arange(100) % 2)
    alone = fqe.fit(problem, learned, [every]).value([0], log.first)[0]
    company = fqe.fit(problem, learned, [every, odd, every, every, odd])
    assert company.member == (0, 1, 2, 0, 1)
    together = company.value(range(5), log.first)
    np.testing.assert_allclose(together[[0, 3]], [alone, alone], rtol=1e-9)
    np.testing.assert_allclose(together[4], together[1], rtol=1e-9)
    assert np.abs(together[2] - together[0]).max() > 1e-3, "members are not independent"
    np.testing.assert_array_equal(company.value([4, 0], log.first), together[[4, 0]])


def test_members_are_averaged():
    np.testing.assert_allclose(fqe.combine(np.array([[1.0, 2.0], [3.0, 0.0]])), [2.0, 1.0])


def prices_the_sampled_action():
    """Rewards depend on the action alone, with no future: a value is the mean reward of the policy's draws."""
    data = known.quadratic(0).log(150, 0)
    priced = replace(data, reward=-(data.action[:, 0] ** 2))
    log, policy = episodes.lay_out(priced, 0.0), known.quadratic(0).target
    settings = replace(LINEAR, hidden=(16,), lr=1e-2, draws=8, members=2, steps=200)
    fitted = fit(log, policy, settings).value([0, 1], np.arange(len(data)))
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


def test_the_behaviour_without_its_actions():
    log = episodes.lay_out(DATA, PROBLEM.discount)
    _, learned = prepared(log, PROBLEM.behaviour)
    fitted = fqe.fit(fqe.behaviour_decisions(log, learned.rows), learned, [fqe.all_rows(log)])
    assert fitted.value([0], log.first).mean() == pytest.approx(PROBLEM.behaviour_value, abs=0.5)
    with_actions = fit(log, PROBLEM.behaviour).value([0], log.first)
    assert fitted.value([0], log.first).mean() == pytest.approx(with_actions.mean(), abs=0.1)


def test_resampled_rows():
    """An episode that a resample holds twice counts as two; the penalty is worth the same number of rows."""
    log = episodes.lay_out(DATA.episodes(range(4)), 0.9)
    counts = np.array([2, 0, 1, 0])
    np.testing.assert_array_equal(fqe.rows_of(log, counts), counts[log.dataset.episode_of_row])
    assert fqe.all_rows(log).sum() == len(log.dataset)
    data = DATA.episodes(np.arange(20))
    twice = data.episodes(np.repeat(np.arange(20), 2))
    one, two = episodes.lay_out(data, 0.9), episodes.lay_out(twice, 0.9)
    problem, learned = prepared(one, PROBLEM.target)
    counted = fqe.fit(problem, learned, [fqe.rows_of(one, np.full(20, 2))]).value([0], one.first)[0]
    repeated = fit(two, PROBLEM.target).value([0], two.first)[0]
    np.testing.assert_allclose(np.repeat(counted, 2), repeated, rtol=1e-5)
    once = fit(one, PROBLEM.target).value([0], one.first)[0]
    assert np.abs(once - counted).max() > 1e-3, "the case tests nothing"


def test_the_errors_of_a_fit_are_those_of_its_values():
    """Their mean, weighed by any feature of V, is what the penalty takes."""
    log = episodes.lay_out(DATA, PROBLEM.discount)
    fitted, rows = fit(log, PROBLEM.target), np.arange(len(DATA))
    ahead = 0.9 * ~DATA.terminated * fitted.next_value([1], rows)[0]
    np.testing.assert_allclose(fitted.errors(1), DATA.reward + ahead - fitted.logged_q([1], rows)[0], atol=1e-5)
    state = DATA.observation.argmax(1)
    assert max(abs(fitted.errors(1)[state == s].mean()) for s in range(4)) < 0.02


def test_a_fit_of_many_rows_gives_one_value_per_row(monkeypatch):
    """Values are computed in pieces."""
    log = episodes.lay_out(DATA.episodes(np.arange(40)), PROBLEM.discount)
    fitted, rows = fit(log, PROBLEM.target), np.arange(len(log.dataset))[::-1].copy()
    whole = [f([0, 1], rows) for f in (fitted.value, fitted.next_value, fitted.logged_q)]
    monkeypatch.setattr(policies, "ROWS", 7)
    for function, values in zip((fitted.value, fitted.next_value, fitted.logged_q), whole, strict=True):
        np.testing.assert_allclose(function([0, 1], rows), values, rtol=1e-12)
