import numpy as np
import pytest

from prudent.data import BUILTIN, load_dataset
from prudent.data.builtin import controllers
from prudent.environments import vector
from prudent.environments.make import make, spec_of

NAMES = list(BUILTIN)


@pytest.fixture(scope="module")
def made():
    """Each built-in dataset with seed 0, generated once."""
    return {name: builtin.make(0) for name, builtin in BUILTIN.items()}


@pytest.mark.parametrize(
    ("name", "rows", "mean", "spread"),
    [
        ("pendulum-mixed", (30_000, 30_000), (-680, -580), 200),
        ("cartpole-mixed", (30_000, 45_000), (150, 220), 60),
        ("lunarlander-mixed", (25_000, 40_000), (-40, 30), 120),
    ],
)
def test_sizes_and_returns(made, name, rows, mean, spread):
    data = made[name]
    assert rows[0] <= len(data) <= rows[1]
    assert mean[0] < data.episode_returns.mean() < mean[1]
    assert data.episode_returns.std() > spread
    assert len(data.notes) == 1


def test_what_is_declared(made):
    assert (made["pendulum-mixed"].episode_lengths == 200).all()
    assert not made["pendulum-mixed"].terminated.any()
    assert made["pendulum-mixed"].spec == spec_of("Pendulum-v1")
    for name in ("cartpole-mixed", "lunarlander-mixed"):
        assert made[name].spec == spec_of(BUILTIN[name].env_id)
        shares = np.bincount(made[name].action) / len(made[name])
        assert shares.min() > 0.1


def test_cartpole_ends_by_falling_or_by_the_limit(made):
    data = made["cartpole-mixed"]
    assert (data.episode_lengths[data.truncated[data.episode_bounds[1:] - 1]] == 500).all()
    assert 1 < data.truncated.sum() < 20
    ended = data.next_observation[data.terminated]
    assert ((np.abs(ended[:, 0]) > 2.4) | (np.abs(ended[:, 2]) > 0.2094)).all()
    stayed = data.next_observation[~data.terminated]
    assert (np.abs(stayed[:, 0]) <= 2.4).all()


@pytest.mark.parametrize("name", NAMES)
def test_deterministic_by_seed(made, name):
    assert load_dataset(name).fingerprint == made[name].fingerprint
    assert load_dataset(name, seed=1).fingerprint != made[name].fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_episodes_are_contiguous(made, name):
    data = made[name]
    inside = ~(data.terminated | data.truncated)[:-1]
    np.testing.assert_array_equal(data.next_observation[:-1][inside], data.observation[1:][inside])
    assert (data.next_observation[:-1][~inside] != data.observation[1:][~inside]).any(axis=1).all()


@pytest.mark.parametrize(
    ("name", "state_of"),
    [
        ("pendulum-mixed", lambda o: np.array([np.arctan2(o[1], o[0]), o[2]])),
        ("cartpole-mixed", lambda o: np.array(o)),
    ],
)
def test_rows_agree_with_the_environment(made, name, state_of):
    """From a row's observation and action the environment computes its reward and next observation."""
    data, rng = made[name], np.random.default_rng(0)
    env = make(BUILTIN[name].env_id)
    for row in rng.integers(len(data), size=50):
        env.reset(seed=0)
        env.unwrapped.state = state_of(data.observation[row].astype(np.float64))
        observation, reward, terminated, *_ = env.step(data.action[row])
        np.testing.assert_allclose(observation, data.next_observation[row], atol=1e-4)
        np.testing.assert_allclose(reward, data.reward[row], atol=1e-3)
        assert terminated == data.terminated[row]
    env.close()


@pytest.mark.parametrize(
    ("env_id", "controller", "low", "high"),
    [
        ("CartPole-v1", controllers.balance, 500, 500),
        ("CartPole-v1", controllers.run_away, 90, 150),
        ("LunarLander-v3", controllers.land, 200, 280),
    ],
)
def test_what_the_controllers_alone_earn(env_id, controller, low, high):
    with vector.Environments(env_id, 20) as several:
        observation, total = several.reset(range(20)), np.zeros(20)
        while several.active.any():
            observation, reward, *_ = several.step(np.array([controller(row) for row in observation]))
            total += reward
    assert low <= total.mean() <= high
