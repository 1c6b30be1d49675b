"""Practice problems: logs follow from their seeds, the truth is what the logs show, and there is something to gain."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.practice import NAMES, problem_of
from benchmarks.practice.problem import Outcome, Problem, Simulator, acting, exploring, nearest_allowed
from benchmarks.practice.skilled import GAIN, THRUST

import prudent

ROOT = Path(__file__).resolve().parents[2]
DISCRETE = ("inventory", "dosing", "queue", "disasters")
FEW = {"inventory": 150, "heater": 300, "dosing": 1500, "pricing": 6000, "queue": 300, "battery": 800, "skilled": 2500}
FEW |= {"disasters": 1500}


@pytest.fixture(scope="module", params=NAMES)
def problem(request):
    return problem_of(request.param)


@pytest.fixture(scope="module")
def log(problem):
    return problem.log(0)


def test_a_log_follows_from_its_seed(problem, log):
    assert problem.log(0).fingerprint == log.fingerprint
    assert problem.log(1).fingerprint != log.fingerprint


def test_a_log_is_as_large_as_a_users(problem, log):
    assert 2_000 <= len(log) <= 10_000
    assert log.n_episodes == problem.episodes
    assert log.spec.observation_size == len(problem.features)
    log.check_order()


def test_a_value_follows_from_its_seed(problem):
    values = [problem.true_value(problem.behaviour, n=40, seed=seed) for seed in (3, 3, 4)]
    assert values[0] == values[1]
    assert values[0] != values[2]
    assert np.isfinite(values).all()


def test_policies_meet_the_same_luck(problem):
    """Whatever the actions are, a step draws as many random numbers."""
    first, second = (problem.simulator(30, np.random.default_rng(5)) for _ in range(2))
    rng = np.random.default_rng(6)
    for _ in range(20):
        mask = second.mask()
        lowest = np.zeros(30, dtype=np.int64) if problem.n_actions else np.full((30, 1), problem.low)
        first.step(lowest if first.mask() is None else nearest_allowed(lowest, first.mask()))
        second.step(problem.behaviour(second.observe(), mask, rng))
    assert (first.observe() != second.observe()).any()
    assert first.rng.bit_generator.state == second.rng.bit_generator.state


def test_the_log_earns_what_the_truth_says(problem):
    """Over recordings so long that nothing is left to come, their discounted returns agree with the true value."""
    longest = 3000 if problem.name == "queue" else 800
    long = replace(problem, episodes=min(problem.episodes, 96), lengths=(longest, longest)).log(11)
    dt = long.extra.get("dt", np.ones(len(long)))
    before = np.concatenate([[0.0], np.cumsum(dt)[:-1]])
    clock = before - before[long.episode_bounds[:-1]][long.episode_of_row]
    returns = np.bincount(long.episode_of_row, problem.discount**clock * long.reward)
    truth, error, _ = problem.true_value(problem.behaviour, n=FEW[problem.name])
    assert abs(returns.mean() - truth) < 4 * np.hypot(returns.std() / len(returns) ** 0.5, error)


def test_the_better_rule_is_better(problem):
    n = FEW[problem.name]
    log, rule = problem.returns(problem.behaviour, n=n), problem.returns(problem.better, n=n)
    gain, error = (rule.value - log.value).mean(), (rule.value - log.value).std() / n**0.5
    share = abs(log.value.mean())
    if problem.name == "skilled":
        assert 0 < gain < 0.03 * share
    else:
        assert gain - 3 * error > 0.1 * share
    assert rule.bad.mean() <= log.bad.mean()


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_logs_explore(name):
    log = problem_of(name).log(0)
    assert log.spec.discrete
    assert (np.bincount(log.action, minlength=log.spec.action_size) > 0.02 * len(log)).all()


@pytest.mark.parametrize("name", ["inventory", "queue"])
def test_masks_are_those_of_the_next_row(name):
    log = problem_of(name).log(0)
    inside = np.flatnonzero(log.followed)
    np.testing.assert_array_equal(log.extra["next_mask"][inside], log.extra["mask"][inside + 1])
    assert not log.extra["mask"].all()
    assert log.extra["mask"].sum(1).min() >= 1


def test_logged_probabilities_are_those_of_the_rule():
    """The share of each action agrees with its mean probability, and the log's figure is that of the action taken."""
    problem = problem_of("inventory")
    log = problem.log(2)
    probability = problem.probability(log.observation, log.extra["mask"])
    np.testing.assert_allclose(probability.sum(1), 1)
    assert (probability[~log.extra["mask"]] == 0).all()
    taken = np.eye(log.spec.action_size)[log.action]
    np.testing.assert_allclose(np.exp(log.extra["behavior_log_prob"]), (probability * taken).sum(1), rtol=1e-5)
    np.testing.assert_allclose(taken.mean(0), probability.mean(0), atol=4 * 0.5 / len(log) ** 0.5)


@pytest.mark.parametrize("name", ["heater", "queue"])
def test_time_is_irregular(name):
    dt = problem_of(name).log(0).extra["dt"]
    assert dt.min() > 0
    assert dt.std() > 0.5 * dt.mean()


def test_the_heater_has_few_groups_and_trips():
    logs = [problem_of("heater").log(seed) for seed in range(4)]
    assert all(len(np.unique(log.units()[0])) == 12 for log in logs)
    ends = [log.reward[log.terminated] for log in logs]
    assert sum(map(len, ends)) > 0
    assert np.concatenate(ends).max() < -20
    assert all(log.truncated.sum() > 80 for log in logs)


def test_every_patient_is_seen_to_the_end():
    log = problem_of("dosing").log(0)
    assert log.terminated.sum() == log.n_episodes
    died = log.reward[log.terminated] < -20
    assert 0.5 < died.mean() < 0.75
    assert problem_of("dosing").true_value(problem_of("dosing").better, n=2000)[2] < 0.12


def test_nobody_beats_the_pilot():
    """Any other gain loses against the optimal one."""
    problem = problem_of("skilled")
    best = problem.returns(problem.better, n=4000)
    for factor in ([0.8, 1, 1], [1, 1.3, 1], [1, 1, 0.6], [1.15, 1.15, 1.15]):
        gain = GAIN * factor
        other = problem.returns(lambda o, _, __, gain=gain: np.clip(-o @ gain, -THRUST, THRUST)[:, None], n=4000)
        assert (best.value - other.value).mean() > 0


def test_greed_brings_disaster():
    """Full load earns most row by row, and is worth far less than the log."""
    problem = problem_of("disasters")
    log = problem.log(0)
    alive = log.reward > 0
    assert 5 <= log.terminated.sum() <= 30
    assert log.reward[alive & (log.action == 3)].mean() > 1.2 * log.reward[alive].mean()
    value, error, bad = problem.true_value(lambda o, _, __: np.full(len(o), 3), n=1500)
    truth, _, log_bad = problem.true_value(problem.behaviour, n=1500)
    assert value + 3 * error < truth
    assert bad > log_bad + 0.1


# --- the machinery ----------------------------------------------------------------------------------------------------


class Toy(Simulator):
    """Rewards equal the action, steps last 0.5; every other episode ends badly after three steps."""

    def __init__(self, n, rng):
        super().__init__(n, rng)
        self.steps = 0

    def observe(self):
        return np.stack([np.arange(self.n), np.full(self.n, self.steps)], 1).astype(np.float32)

    def step(self, action):
        self.steps += 1
        ended = (np.arange(self.n) % 2 == 1) & (self.steps == 3)
        return Outcome(action[:, 0], ended, ended, np.full(self.n, 0.5))


def toy_policy(observation, mask, _):
    assert mask is None
    return np.ones((len(observation), 1))


TOY = Problem("toy", "", Toy, ("number", "step"), toy_policy, toy_policy, 6, (4, 4), 10, 0.81, low=0.0, high=1.0)


def test_true_values_are_discounted_sums():
    returns = TOY.returns(toy_policy)
    np.testing.assert_allclose(returns.value[1::2], 1 + 0.9 + 0.81)
    np.testing.assert_allclose(returns.value[::2], 10, rtol=2e-3)
    np.testing.assert_array_equal(returns.bad, np.arange(10) % 2 == 1)
    value, error, bad = returns.summary()
    assert (value, bad) == (pytest.approx(returns.value.mean()), 0.5)
    assert error == pytest.approx(returns.value.std(ddof=1) / 10**0.5)
    assert TOY.true_value(toy_policy, discount=0.25)[0] == pytest.approx((2 + 1.75) / 2, rel=2e-3)


def test_those_who_ended_are_not_asked():
    asked = []

    def policy(observation, mask, rng):
        asked.append(len(observation))
        return toy_policy(observation, mask, rng)

    TOY.returns(policy)
    assert asked[:4] == [10, 10, 10, 5]


def test_a_recording_that_stops_is_truncated():
    log = TOY.log(0)
    np.testing.assert_array_equal(log.episode_lengths, [4, 3] * 3)
    np.testing.assert_array_equal(log.terminated[log.episode_bounds[1:] - 1], [False, True] * 3)
    np.testing.assert_array_equal(log.truncated[log.episode_bounds[1:] - 1], [True, False] * 3)
    np.testing.assert_array_equal(log.observation[:5, 1], [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(log.next_observation[:4, 1], [1, 2, 3, 4])


def test_an_agent_acts_as_it_predicts():
    problem = problem_of("inventory")
    log = problem.log(0)
    agent = prudent.DiscreteCQL(alpha=[0.1, 1.0], hidden=(16,), batch_size=32).fit(log, steps=20, progress=False)
    policy, rng = acting(agent, 1), np.random.default_rng(0)
    chosen = policy(log.observation[:300], log.extra["mask"][:300], rng)
    np.testing.assert_array_equal(chosen, agent.predict(log.observation[:300], member=1, mask=log.extra["mask"][:300]))
    assert log.extra["mask"][np.arange(300), chosen].all()
    assert np.isfinite(problem.true_value(policy, n=20)).all()


def test_helpers_of_rules():
    mask = np.array([[True, False, True, True], [True, True, False, False]])
    np.testing.assert_array_equal(nearest_allowed(np.array([1.0, 3.0]), mask), [0, 1])
    probability = exploring(np.array([2, 0]), mask, 0.3)
    np.testing.assert_allclose(probability, [[0.1, 0, 0.8, 0.1], [0.85, 0.15, 0, 0]])


def test_several_runs_at_a_time_find_their_work():
    """Processes that are started anew cannot see what is defined in ``__main__``."""
    command = [sys.executable, "-m", "benchmarks.practice", "--problem", "inventory", "--seed", "98", "99"]
    ended = subprocess.run([*command, "--jobs", "2", "--minutes", "0"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
