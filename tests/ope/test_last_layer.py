"""The linear system equals a dense one that is written down row by row, and gives the exact discounted chances."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import known
from ope.problems import LINEAR, prepared, random_log, risky
from prudent import ope
from prudent.data import Dataset
from prudent.ope import DiscretePolicy, abstention, episodes, features, fqe, last_layer
from prudent.ope.critics import Critics

SMALL = replace(LINEAR, hidden=(6,), steps=5, members=2)
QUADRATIC = known.quadratic(1)


def dense(phi_RF, ahead_RF, reward_R, discount_R, count_R, penalty_F):
    """theta (F,) by its definition, in float64."""
    total = count_R.sum()
    left, right = np.diag(penalty_F / total), np.zeros(len(penalty_F))
    for phi, ahead, reward, discount, count in zip(phi_RF, ahead_RF, reward_R, discount_R, count_R, strict=True):
        left += count / total * np.outer(phi, phi - discount * ahead)
        right += count / total * phi * reward
    return np.linalg.solve(left, right)


def phi_of(problem, learned, member, basis=None):
    """phi(s, a), E phi(s', pi) and E phi(s, pi), each (rows, F), and the number of coefficients of V."""
    h, following = learned.state(member).numpy(), learned.next_state(member).numpy()
    scale = np.sqrt((h**2).mean(0))
    h, following, width = h / scale, following / scale, h.shape[1]
    basis = np.eye(width) if basis is None else basis(h)
    if problem.discrete:
        taken = np.eye(problem.policy.shape[1])[problem.action.numpy()]
        of_action = [
            np.array([np.kron(p, state @ basis) for p, state in zip(table, states, strict=True)])
            for table, states in (
                (taken, h),
                (problem.next_policy.double().numpy(), following),
                (problem.policy.double().numpy(), h),
            )
        ]
    else:
        pair_scale = np.sqrt((learned.pair(member).numpy() ** 2).mean(0))
        of_action = [learned.pair(member).numpy() / pair_scale]
        for states, drawn in (
            (problem.next_observation, problem.next_policy),
            (problem.observation, problem.policy),
        ):
            draws = [learned.mean_pair(member, states, drawn[:, i : i + 1]).numpy() for i in range(drawn.shape[1])]
            of_action.append(np.mean(draws, axis=0) / pair_scale)
    phi = [np.concatenate(parts, axis=1) for parts in zip((h, following, h), of_action, strict=True)]
    return *phi, width


def penalty_of(problem, width, size):
    """The penalty of each coefficient (size,), in rows; the first ``width`` are those of V."""
    of_action = last_layer.CHOICE_ROWS if problem.discrete else last_layer.PAIR_ROWS
    return width * np.where(np.arange(size) < width, last_layer.STATE_ROWS, of_action)


def oracle(log, problem, learned, count, member=0, basis=None):
    """Q of the logged actions, V of the next states and V of the states, each (rows,), by the dense system."""
    phi, ahead, expected, width = phi_of(problem, learned, member, basis)
    penalty = penalty_of(problem, width, phi.shape[1])
    discount = log.discount**log.dt * ~log.dataset.terminated
    reward = (log.dataset.reward + (discount - 1) * problem.centre) / problem.spread
    theta = dense(phi, ahead, reward, discount, count, penalty)
    return [problem.centre + problem.spread * (part @ theta) for part in (phi, ahead, expected)]


def coin(actions, seed=3):
    """A policy whose probabilities differ from state to state."""
    weights = np.random.default_rng(seed).normal(size=(2, actions))

    def probability(observation, _):
        table = np.exp(observation @ weights)
        return table / table.sum(1, keepdims=True)

    return lambda spec: DiscretePolicy(spec, probability, "coin", 0.9)


def agrees(log, problem, learned, basis=None, rtol=1e-6):
    """Two fits, to all rows and to a resample, equal the dense system, each in the features of its member."""
    rng, rows = np.random.default_rng(0), np.arange(len(log.dataset))
    counts = [np.ones(len(rows)), fqe.rows_of(log, rng.integers(0, 4, size=len(log))).numpy()]
    fitted = fqe.fit(problem, learned, [torch.from_numpy(count) for count in counts])
    for k, count in enumerate(counts):
        expected = oracle(log, problem, learned, count, fitted.member[k], basis)
        for name, values in zip(("logged_q", "next_value", "value"), expected, strict=True):
            found = getattr(fitted, name)([k], rows)[0]
            np.testing.assert_allclose(found, values, rtol=rtol, atol=rtol * np.abs(values).max(), err_msg=name)


@pytest.mark.parametrize("with_dt", [False, True])
@pytest.mark.parametrize("settings", [LINEAR, SMALL], ids=["inputs", "learned"])
def test_discrete_actions(settings, with_dt, monkeypatch):
    """Terminations, truncations, repeated rows, steps of any length; in pieces of a few rows."""
    monkeypatch.setattr(last_layer, "ROWS", 7)
    data = random_log(1, episodes=20, actions=3, with_dt=with_dt)
    assert 0 < data.terminated.sum() < data.n_episodes, "the case tests nothing"
    log = episodes.lay_out(data, 0.9)
    agrees(log, *prepared(log, coin(3)(data.spec), settings))


@pytest.mark.parametrize("settings", [LINEAR, SMALL], ids=["inputs", "learned"])
def test_continuous_actions(settings, monkeypatch):
    monkeypatch.setattr(last_layer, "ROWS", 50)
    log = episodes.lay_out(QUADRATIC.log(12, 0), 0.9)
    agrees(log, *prepared(log, QUADRATIC.target, settings))


def test_many_actions_keep_the_main_directions(monkeypatch):
    """Three actions, and room for two directions each: the same as the dense system with projected features."""
    data = random_log(1, episodes=20, actions=3)
    log = episodes.lay_out(data, 0.9)
    problem, learned = prepared(log, coin(3)(data.spec), SMALL)
    monkeypatch.setattr(last_layer, "WIDEST", 8)
    agrees(log, problem, learned, lambda h: np.linalg.svd(h)[2][:2].T)
    assert last_layer.System(problem, learned, 0).size == 7 + 3 * 2
    with pytest.raises(AssertionError):
        agrees(log, problem, learned)


def test_the_visits_are_the_weights_of_the_rows():
    """The transposed system: rewards weighed by visits give the value, exactly with what the penalty takes."""
    log = episodes.lay_out(random_log(1, episodes=40, actions=2), 0.9)
    problem, learned = prepared(log, coin(2)(log.dataset.spec))
    fitted = fqe.fit(problem, learned, [fqe.all_rows(log)], log.first)
    visits = fitted.solutions[0].visits.numpy()
    value, discount = fitted.value([0], log.first).mean(), problem.discount.numpy()
    centred = problem.reward.double().numpy() + (discount - 1) * problem.centre
    assert problem.centre + visits @ centred == pytest.approx(value, rel=1e-9)
    phi, ahead, expected, width = phi_of(problem, learned, 0)
    penalty = penalty_of(problem, width, phi.shape[1])
    matrix = phi.T @ (phi - discount[:, None] * ahead) + np.diag(penalty)
    np.testing.assert_allclose(visits, phi @ np.linalg.solve(matrix.T, expected[log.first].mean(0)), rtol=1e-7)


def test_rewards_weighed_by_visits_are_the_value_but_for_the_penalty(monkeypatch):
    problem_of = known.tabular(3, states=4, actions=2, shift=1.0)
    log = episodes.lay_out(problem_of.log(300, 0), problem_of.discount)
    problem, learned = prepared(log, problem_of.target)

    def difference():
        fitted = fqe.fit(problem, learned, [fqe.all_rows(log)], log.first)
        weighed = fitted.solutions[0].visits.numpy() @ problem.reward.double().numpy()
        return abs(weighed / fitted.value([0], log.first).mean() - 1)

    assert difference() < 0.05
    monkeypatch.setattr(last_layer, "STATE_ROWS", 1e-6)
    monkeypatch.setattr(last_layer, "CHOICE_ROWS", 1e-6)
    assert difference() < 1e-6


def test_values_do_not_depend_on_the_units_of_inputs():
    """Features are divided by their size, so the penalty is the same for all."""
    log = episodes.lay_out(random_log(1, episodes=20), 0.9)
    problem, learned = prepared(log, coin(2)(log.dataset.spec))
    wide = replace(
        learned.rows,
        observation=learned.rows.observation * 1024,
        next_observation=learned.rows.next_observation * 1024,
    )
    other = features.LogFeatures({}, {}, 1, wide)
    plain, scaled = (fqe.fit(problem, f, [fqe.all_rows(log)]).value([0], log.first) for f in (learned, other))
    np.testing.assert_allclose(scaled, plain, rtol=1e-9)


# --- V(s) is shared ---------------------------------------------------------------------------------------------------


def half_seen():
    """Two states, rewards 1 and 5 for ever; the log has action 1 in state 0 alone. A policy takes it everywhere."""
    rows = 400
    state, first = np.arange(rows) // 2 % 2, np.arange(rows) % 2
    one_hot = np.eye(2, dtype=np.float32)
    data = Dataset.from_columns(
        observation=one_hot[state],
        action=np.where(state == 0, first, 0),
        reward=np.where(state == 0, 1.0, 5.0),
        next_observation=one_hot[state],
        terminated=np.zeros(rows, bool),
        truncated=np.ones(rows, bool),
        discrete=True,
        n_actions=2,
        name="half seen",
    )
    return data, DiscretePolicy(data.spec, lambda o, _: np.eye(2)[[1] * len(o)], "one", 0.5)


def gives_the_states_value():
    data, policy = half_seen()
    log = episodes.lay_out(data, 0.5)
    values = fqe.fit(*prepared(log, policy), [fqe.all_rows(log)]).value([0], log.first)[0]
    state = data.observation.argmax(1)
    expected = np.array([2.0, 10.0])
    assert np.abs(values - expected[state]).max() < 0.5, "an action that the log lacks is not worth what its state is"


def test_an_action_that_the_log_lacks_is_worth_what_its_state_is(monkeypatch):
    gives_the_states_value()
    monkeypatch.setattr(last_layer, "STATE_ROWS", 1e12)
    with pytest.raises(AssertionError, match="what its state is"):
        gives_the_states_value()


# --- no solution ------------------------------------------------------------------------------------------------------


def rarely_taken():
    """Three actions; the last one is in the first two episodes alone."""
    data = random_log(0, episodes=40)
    action = data.action.copy()
    action[: data.episode_bounds[2]] = 2
    return replace(data, action=action, spec=replace(data.spec, action_size=3))


def test_a_system_without_a_solution_is_nan_and_told(monkeypatch):
    monkeypatch.setattr(last_layer, "CHOICE_ROWS", 0.0)
    data = rarely_taken()
    policy = coin(3)(data.spec)
    log = episodes.lay_out(data, 0.9)
    problem, learned = prepared(log, policy)
    counts = np.ones(len(log))
    counts[:2] = 0
    fitted = fqe.fit(problem, learned, [fqe.all_rows(log), fqe.rows_of(log, counts)])
    values = fitted.value([0, 1], log.first)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()

    settings = replace(LINEAR, n_bootstrap=12, behaviour_steps=5, max_outside=1.0)
    prepared_log = ope.Evaluator(data, 0.9, settings, seed=1)
    monkeypatch.setattr(abstention, "FAR_OUTSIDE", math.inf)
    lacking = np.array([counts[:2].sum() == 0 for counts in prepared_log.counts])
    assert 1 <= lacking.sum() <= 3, "the case tests nothing"
    with np.errstate(all="raise"):
        estimate = prepared_log.evaluate(policy).fqe
    critics = Critics(problem, learned, log, prepared_log.fold_E, prepared_log.counts, settings)
    np.testing.assert_array_equal(np.isnan(critics.replicates(critics.start, critics.resamples)), lacking)
    assert np.isnan(estimate.replicates[lacking]).all()
    assert estimate.left_out >= lacking.sum()

    never = replace(data, action=np.where(data.action == 2, 0, data.action))
    silent = ope.evaluate_policy(policy, never, settings=settings).fqe
    assert not silent.supported
    assert silent.reason == "the fitted values lie outside what the rewards allow"


# --- bad ends ---------------------------------------------------------------------------------------------------------


def test_a_loss_is_a_termination_below_the_other_rewards():
    log, _, _ = risky(50)
    np.testing.assert_array_equal(fqe.bad_ends(log), log.terminated & (log.reward < -5))
    assert 0 < fqe.bad_ends(log).sum() < log.terminated.sum()
    assert not fqe.bad_ends(replace(log, reward=log.reward + 100)).any(), "a loss is below 0"
    every = replace(log, reward=np.where(log.terminated, log.reward, -20).astype(np.float32))
    assert not fqe.bad_ends(every).any(), "a loss is worse than going on"
    alone = log.episodes(np.arange(4))
    ended = replace(alone, terminated=np.ones(len(alone), bool), truncated=np.zeros(len(alone), bool))
    assert not fqe.bad_ends(ended).any(), "nothing to compare with"


def test_chances_of_a_bad_end_are_exact(monkeypatch):
    """By the dense system with a reward of 1 at a bad end; near the truth of the process."""
    data, policy, chance_S = risky()
    log = episodes.lay_out(data, policy.discount)
    problem, learned = prepared(log, policy)
    fitted = fqe.fit(problem, learned, [fqe.all_rows(log)]).bad_end.value([0], log.first)[0]
    state = data.observation[log.first].argmax(1)
    assert np.abs(fitted - chance_S[state]).max() < 0.06
    assert fitted.mean() == pytest.approx(chance_S[state].mean(), abs=0.03)
    ends = replace(problem, centre=0.0, spread=1.0, reward=problem.bad_end)
    as_rewards = episodes.lay_out(replace(data, reward=fqe.bad_ends(data).astype(np.float32)), policy.discount)
    expected = oracle(as_rewards, ends, learned, np.ones(len(data)))[2][log.first]
    np.testing.assert_allclose(fitted, expected, atol=1e-9)
    monkeypatch.setattr(last_layer, "STATE_ROWS", 1e-6)
    monkeypatch.setattr(last_layer, "CHOICE_ROWS", 1e-6)
    exact = fqe.fit(problem, learned, [fqe.all_rows(log)]).bad_end.value([0], log.first)[0]
    np.testing.assert_allclose(exact, empirical_chance(data, policy)[state], atol=1e-5)


def empirical_chance(data, policy):
    """The discounted chance (S,) in the process given by the frequencies of the log."""
    s, s2 = data.observation.argmax(1), data.next_observation.argmax(1)
    policy_SA = policy.probability(np.eye(4), None)
    left, right = np.zeros((8, 8)), np.zeros(8)
    for row, bad in enumerate(fqe.bad_ends(data)):
        here = s[row] * 2 + data.action[row]
        left[here, here] += 1
        right[here] += bad
        if not data.terminated[row]:
            left[here, s2[row] * 2 : s2[row] * 2 + 2] -= policy.discount * policy_SA[s2[row]]
    return (policy_SA * np.linalg.solve(left, right).reshape(4, 2)).sum(1)


def test_without_a_loss_there_is_no_chance_of_one():
    log = episodes.lay_out(known.tabular(0, termination=0.0).log(20, 0), 0.9)
    problem, learned = prepared(log, known.tabular(0).target)
    assert problem.bad_end is None
    assert fqe.fit(problem, learned, [fqe.all_rows(log)]).bad_end is None
