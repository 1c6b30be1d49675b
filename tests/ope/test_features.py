"""Features are learned from what followed in the log, by members that differ, in any unit of reward."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import known
from ope.problems import LINEAR, prepared, random_log
from prudent import ope
from prudent.ope import episodes, features, fqe, importance

LEARNED = replace(LINEAR, hidden=(8, 6), steps=30, members=3, lr=5e-3, behaviour_steps=5)
QUADRATIC, TABULAR = known.quadratic(0), known.tabular(4, shift=0.4)


def learned_from(log, settings, seed):
    return features.learn(log, features.read(log.dataset), settings, seed)


def parts_of(learned):
    """Every feature of every member."""
    names = ["state", "next_state"] + ["pair"] * bool(learned._pair)
    return {(name, m): getattr(learned, name)(m).numpy() for name in names for m in range(learned.members)}


def differ(a, b):
    a, b = parts_of(a), parts_of(b)
    return max(np.abs(a[key] - b[key]).max() for key in a)


@pytest.mark.parametrize("problem", [TABULAR, QUADRATIC], ids=["discrete", "continuous"])
def test_features_are_those_of_the_log_alone(problem):
    """Policies leave them as they are, and whoever is evaluated first does not matter."""
    data = problem.log(40, 0)
    settings = replace(LEARNED, max_outside=1.0)
    log, again = (ope.Evaluator(data, 0.9, settings) for _ in range(2))
    first = log.evaluate(problem.target)
    kept = {key: values.copy() for key, values in parts_of(log.features).items()}
    log.evaluate(problem.behaviour)
    assert all((kept[key] == values).all() for key, values in parts_of(log.features).items())
    again.evaluate(problem.behaviour)
    assert differ(log.features, again.features) == 0
    assert again.evaluate(problem.target).fqe.value == first.fqe.value
    likelier = replace(data, extra={"behavior_log_prob": data.extra["behavior_log_prob"] - 0.1})
    assert differ(log.features, learned_from(episodes.lay_out(likelier, 0.9), settings, 0)) == 0


def test_equal_seeds_give_equal_features_and_members_differ():
    log = episodes.lay_out(random_log(0, episodes=30), 0.9)
    one, same, other = (learned_from(log, LEARNED, seed) for seed in (0, 0, 1))
    assert differ(one, same) == 0
    assert differ(one, other) > 1e-2
    assert np.abs(one.state(0).numpy() - one.state(1).numpy()).max() > 1e-2
    alone = learned_from(log, replace(LEARNED, members=1), 0)
    np.testing.assert_allclose(alone.state(0), one.state(0), rtol=1e-4, atol=1e-5)
    assert one.members == 3


def test_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    learned_from(episodes.lay_out(random_log(0), 0.9), LEARNED, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_without_hidden_layers_the_features_are_the_inputs():
    data = QUADRATIC.log(10, 0)
    learned = learned_from(episodes.lay_out(data, 0.9), LINEAR, 0)
    ones = np.ones((len(data), 1))

    def scaled(values, log):
        return (values - log.mean(0, dtype=float)) / log.std(0, dtype=float)

    state, action = scaled(data.observation, data.observation), scaled(data.action, data.action)
    np.testing.assert_allclose(learned.state(0), np.hstack([state, ones]), atol=1e-5)
    following = scaled(data.next_observation, data.observation)
    inside = (data.next_observation >= data.observation.min(0)) & (data.next_observation <= data.observation.max(0))
    np.testing.assert_allclose(learned.next_state(0)[:, :2][inside], following[inside], atol=1e-5)
    np.testing.assert_allclose(learned.pair(0), np.hstack([state, action, ones]), atol=1e-5)
    assert learned.members == 1


def test_features_are_the_last_hidden_layer():
    """By loops in NumPy: states, and the mean over several actions."""
    data = QUADRATIC.log(10, 0)
    learned = learned_from(episodes.lay_out(data, 0.9), LEARNED, 0)

    def layers(params, member, x):
        for i in range(2):
            x = np.maximum(x @ params[f"w{i}"][member].numpy() + params[f"b{i}"][member].numpy(), 0)
        return np.append(x, 1.0)

    observation, drawn = learned.rows.observation.numpy(), torch.randn(len(data), 3, 1)
    for m in range(3):
        states = [layers(learned._state, m, row) for row in observation]
        np.testing.assert_allclose(learned.state(m), states, atol=1e-4)
        means = [
            np.mean([layers(learned._pair, m, np.append(row, action)) for action in actions], axis=0)
            for row, actions in zip(observation, drawn.numpy(), strict=True)
        ]
        np.testing.assert_allclose(learned.mean_pair(m, learned.rows.observation, drawn), means, atol=1e-4)
        logged = learned.mean_pair(m, learned.rows.observation, learned.rows.action.unsqueeze(1))
        np.testing.assert_allclose(logged, learned.pair(m), atol=1e-4)


def explained(inputs, target):
    """Share of the variance that a linear function of ``inputs`` explains."""
    coefficients = np.linalg.lstsq(inputs, target, rcond=None)[0]
    return 1 - np.var(target - inputs @ coefficients) / np.var(target)


def test_values_of_the_behaviour_are_linear_in_the_features():
    """Costs are quadratic in the state, so values are nowhere near linear in the inputs."""
    data = QUADRATIC.log(150, 0)
    log = episodes.lay_out(data, 0.9)
    learned = learned_from(log, replace(LINEAR, hidden=(24,), steps=300, members=1, lr=1e-2), 0)
    cost = (data.observation**2).sum(1)
    plain = learned_from(log, LINEAR, 0)
    assert explained(plain.state(0).numpy(), cost) < 0.2, "the case tests nothing"
    assert explained(learned.state(0).numpy(), cost) > 0.9
    reward = data.reward.astype(float)
    assert explained(plain.pair(0).numpy(), reward) < 0.2
    assert explained(learned.pair(0).numpy(), reward) > 0.85


def test_what_is_learned_are_returns_of_several_horizons_and_what_follows():
    """``V_k`` of the recorded future: horizons as long as the discount's, a quarter, a sixteenth, one step; no other
    policy is in them."""
    data = random_log(0, episodes=30, with_dt=True)
    log = episodes.lay_out(data, 0.9)
    outcomes = features._outcomes(log, features.read(data))
    step_discount = 0.9**log.dt * ~data.terminated
    columns = [step_discount, step_discount**4, step_discount**16, np.zeros(len(data))]
    np.testing.assert_allclose(outcomes.discount, np.stack(columns, 1), rtol=1e-6)
    for k, discount in enumerate(columns):
        centre, spread = features.level(data.reward, discount)
        raw = spread * outcomes.reward[:, k].double().numpy() + (1 - discount) * centre
        np.testing.assert_allclose(raw, data.reward, atol=1e-5)
    np.testing.assert_array_equal(outcomes.other[:, -1], data.terminated)
    assert outcomes.other.abs().max() <= features.LARGEST_CHANGE
    many = episodes.lay_out(random_log(0, episodes=400), 0.9)
    _, spread = features.level(many.dataset.reward, 0.9 * ~many.dataset.terminated)
    returns = importance.monte_carlo(many, np.zeros(400))
    assert 0.3 < returns.std() / spread < 3, "what is learned is not of unit size"


# --- units of rewards -------------------------------------------------------------------------------------------------


def fitted(data, settings=LEARNED):
    log = episodes.lay_out(data, 0.9)
    fits = fqe.fit(*prepared(log, TABULAR.target, settings), [fqe.all_rows(log)] * settings.members)
    return fits.value(range(settings.members), log.first)


@pytest.mark.parametrize(("scale", "tolerance"), [(1e4, 1e-3), (1e-3, 1e-3), (1024, 0), (2.0**-30, 0)])
def test_values_are_proportional_to_rewards(scale, tolerance):
    data = TABULAR.log(80, 0)
    scaled = replace(data, reward=data.reward * np.float32(scale))
    plain = fitted(data)
    np.testing.assert_allclose(fitted(scaled) / scale, plain, rtol=tolerance, atol=tolerance)
    assert np.ptp(plain) > 0.1, "the case tests nothing"


@pytest.mark.parametrize(("discount", "dt"), [(0.9, 1.0), (0.9, 1 / 60), (0.999, 1e-2)])
@pytest.mark.parametrize("reward", [1.0, -40.0, 1e-8, 0.0])
def test_the_level_of_equal_rewards(reward, discount, dt):
    """However long the horizon, and in any unit: 1 / (1 - gamma^dt) of a reward at every step."""
    rewards, discounts = np.full(50, reward, np.float32), np.full(50, discount**dt)
    centre, spread = features.level(rewards, discounts)
    assert centre == pytest.approx(float(rewards[0]) / (1 - discount**dt), rel=1e-9)
    assert spread == pytest.approx(abs(centre) or 1.0)


def test_the_learning_rate_falls_late():
    assert features.learning_rate(LINEAR, 0) == LINEAR.lr
    assert features.learning_rate(LINEAR, LINEAR.steps // 2) == pytest.approx(LINEAR.lr)
    assert features.learning_rate(LINEAR, LINEAR.steps) == pytest.approx(LINEAR.lr / 20)
