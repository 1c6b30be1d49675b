"""The log's own probabilities against its actions: contradictions are found, truth is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from prudent.data import Dataset, audit, outcomes
from prudent.data.audit import cautions
from prudent.data.logged_prob import contradiction

KIND = "logged probabilities contradict the actions"


def log_of(policy, states=0, rows=2000, actions=3, seed=0, length=10, masked=False):
    """A log, its true probabilities of the actions taken (rows,), and those of all actions (rows, A).

    The states are ``states`` different ones, or normal in two features. ``policy`` is what chooses in a state.
    """
    rng = np.random.default_rng(seed)
    number = rng.integers(states or 1, size=rows)
    observation = np.eye(states)[number] if states else rng.normal(size=(rows, 2))
    score = observation @ np.random.default_rng(7).normal(size=(observation.shape[1], actions))
    mask = np.ones((rows, actions), bool)
    if masked:
        mask[:, 0] = rng.random(rows) < 0.5
    best = np.eye(actions)[np.where(mask, score, -np.inf).argmax(1)]
    random = mask / mask.sum(1, keepdims=True)
    softmax = np.exp(2 * score) * mask
    table = {
        "random": random,
        "greedy": best,
        "epsilon-greedy": 0.7 * best + 0.3 * random,
        "softmax": softmax / softmax.sum(1, keepdims=True),
    }[policy]
    action = (table.cumsum(1) > rng.random(rows)[:, None]).argmax(1)
    ends = np.arange(rows) % length == length - 1
    log = Dataset.from_columns(
        observation=observation,
        action=action,
        reward=rng.normal(size=rows),
        next_observation=np.where(ends[:, None], observation, np.roll(observation, -1, axis=0)),
        terminated=ends,
        truncated=np.zeros(rows, bool),
        discrete=True,
        n_actions=actions,
        extra={"mask": mask, "next_mask": np.ones_like(mask)} if masked else {},
        name="x",
    )
    return log, table[np.arange(rows), action], table


def with_prob(log, probability, name="behavior_log_prob"):
    column = np.broadcast_to(np.log(probability), (len(log),)).astype(np.float32)
    return replace(log, extra={**log.extra, name: column})


@pytest.mark.parametrize("policy", ["random", "greedy", "epsilon-greedy", "softmax"])
@pytest.mark.parametrize("states", [0, 6, 300])
@pytest.mark.parametrize("length", [1, 10])
def test_true_probabilities_are_left_alone(policy, states, length):
    for rows in (200, 2000):
        for masked in (False, True):
            log, true, _ = log_of(policy, states, rows, length=length, masked=masked)
            assert contradiction(with_prob(log, true)) is None, (rows, masked)


@pytest.mark.parametrize(
    ("policy", "states"),
    [("epsilon-greedy", 0), *[(policy, n) for policy in ("random", "epsilon-greedy", "softmax") for n in (6, 300)]],
)
def test_a_probability_of_1_of_an_action_that_was_one_of_several_is_found(policy, states):
    log, _, table = log_of(policy, states)
    found = contradiction(with_prob(log, 1.0, "behaviour_log_prob"))
    assert found is not None
    assert found.advice.startswith("behaviour_log_prob gives the actions a probability of 1.00 on average, but in ")
    assert "leave it out, and a model of the behaviour is fitted instead" in found.advice
    if states:  # all rows are compared: the share is the mean of sum b^2 over states
        share = float(found.advice.partition("only ")[2].partition(" %")[0]) / 100
        assert share == pytest.approx((table**2).sum(1).mean(), abs=0.03)


@pytest.mark.parametrize("features", [2, 8])
@pytest.mark.parametrize("rows", [300, 2000])
def test_a_policy_without_chance_may_change_from_each_state_to_the_next(features, rows):
    """Neighbours hardly agree then, as with a policy of chance alone: nothing can be said."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        log, _, _ = log_of("greedy", rows=rows, seed=seed)
        observation = rng.normal(size=(rows, features))
        action = np.sin(2 * observation @ rng.normal(size=(features, 3))).argmax(1)
        log = replace(log, observation=observation.astype(np.float32), action=action)
        assert contradiction(with_prob(log, 1.0)) is None


def test_probabilities_that_are_too_low_are_found():
    """By how much at least: action 0 of 0.7 + 0.1 where 0.4 is logged is taken twice as often."""
    log, true, _ = log_of("epsilon-greedy", 6)
    found = contradiction(with_prob(log, true / 2))
    assert found is not None
    assert "too low a probability: action" in found.advice
    times = float(found.advice.partition(" is taken ")[2].partition(" times")[0])
    assert times == pytest.approx(2, abs=0.3)


def test_every_verb_says_it():
    log, true, _ = log_of("random", 6)
    wrong = with_prob(log, 1.0)
    for findings in (audit(wrong), cautions(wrong)):
        assert [finding.kind for finding in findings].count(KIND) == 1
    (line,) = outcomes.warnings(wrong)
    assert line.startswith(f"x: {KIND} (2,000): behavior_log_prob gives the actions a probability of 1.00 on average")
    assert "\n" not in line
    right = with_prob(log, true)
    assert outcomes.warnings(right) == []
    assert KIND not in {finding.kind for finding in (*audit(right), *cautions(right))}


@pytest.mark.parametrize("column", [np.full(2000, np.nan), np.full(2000, -np.inf), np.ones(2000), np.zeros((2000, 2))])
def test_what_is_no_probability_is_left_to_the_check_of_the_column(column):
    log, _, _ = log_of("random", 6)
    assert contradiction(replace(log, extra={"behavior_log_prob": column})) is None


def test_few_rows_and_one_episode_say_nothing():
    assert contradiction(with_prob(log_of("random", 6, rows=60)[0], 1.0)) is None
    assert contradiction(with_prob(log_of("random", 0, rows=500, length=500)[0], 1.0)) is None
