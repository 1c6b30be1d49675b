"""Whether next rows are successors: logs in order of time stay silent, recorders side by side do not."""

import gymnasium as gym
import numpy as np
import pytest

from prudent.data import load_dataset
from prudent.data.episodes import lags

ROWS = 2400
RNG = np.random.default_rng(0)
T = np.arange(ROWS)
NO_ENDS = np.zeros(ROWS, bool)
ACTION = RNG.uniform(-1, 1, (ROWS, 1))


def autoregressive(rows, share, features=2):
    x = np.zeros((rows, features))
    noise = RNG.normal(size=x.shape)
    for row in range(1, rows):
        x[row] = share * x[row - 1] + noise[row]
    return x


def chain(rows):
    """A random walk on 20 states, one-hot: two steps on it is often back where it was."""
    return np.eye(20)[np.abs(np.cumsum(RNG.choice([-1, 1], rows)) % 38 - 19)]


def sine(period, phase=0.3):
    return np.sin(2 * np.pi * T / period + phase)[:, None]


IN_ORDER = {
    "constant": np.ones((ROWS, 3)),
    "independent": RNG.normal(size=(ROWS, 3)),
    "random walk": np.cumsum(RNG.normal(size=(ROWS, 3)), axis=0),
    "autoregressive": autoregressive(ROWS, 0.5),
    "random choices, one-hot": np.eye(5)[RNG.integers(0, 5, ROWS)],
    "a walk on a chain, one-hot": chain(ROWS),
    "to and fro": ((T // 200 % 20) + 0.5 * (T % 2))[:, None],
    "to and fro, one-hot": np.eye(40)[(T // 200 % 20) * 2 + T % 2],
}


@pytest.mark.parametrize("kind", IN_ORDER)
def test_rows_in_order_of_time_are_let_through(kind):
    for ends in (NO_ENDS, T % 100 == 99, ~NO_ENDS):
        assert lags.best(IN_ORDER[kind], ACTION, ends) is None
    assert lags.best(IN_ORDER[kind], None, NO_ENDS) is None


@pytest.mark.parametrize("period", [2, 3, 4, 7, 24])
def test_periods_are_not_taken_for_recorders(period):
    wave, walk = sine(period), autoregressive(ROWS, 0.95, 1)
    signals = {
        "sine": wave,
        "sine and cosine": np.concatenate([wave, sine(period, 1.9)], axis=1),
        "with noise": wave + 0.05 * RNG.normal(size=wave.shape),
        "with a random walk": 4 * wave + walk,
        "with a trend": 4 * wave + T[:, None] / 1000,
        "of slowly changing amplitude": wave * (1 + 0.5 * np.sin(T / 300))[:, None],
        "almost this period": np.sin(2 * np.pi * T / (period + 0.1))[:, None],
        "one-hot": np.eye(period)[T % period],
        "one-hot that slips": np.eye(period)[(T + np.cumsum(RNG.random(ROWS) < 0.02)) % period],
    }
    for kind, signal in signals.items():
        assert lags.best(signal, ACTION, T % 100 == 99) is None, kind


@pytest.mark.parametrize("recorders", [2, 4, 16])
def test_recorders_side_by_side_are_counted(recorders):
    each = max(ROWS // recorders, 200)
    clock = (np.arange(each) % 100 / 100)[:, None]
    kinds = {
        "autoregressive": [autoregressive(each, 0.8) for _ in range(recorders)],
        "hardly related": [autoregressive(max(each, 2400), 0.5) for _ in range(recorders)],
        "a walk on a chain, one-hot": [chain(max(each, 1200)) for _ in range(recorders)],
        "with a goal and a clock": [
            np.concatenate([np.full((each, 1), k), clock, autoregressive(each, 0.95)], axis=1) for k in range(recorders)
        ],
    }
    for kind, parts in kinds.items():
        rows = np.stack(parts, axis=1).reshape(-1, parts[0].shape[1])
        assert lags.best(rows, RNG.normal(size=(len(rows), 1)), np.zeros(len(rows), bool)) == recorders, kind


def test_recorders_with_episodes_of_their_own_are_counted():
    for recorders in (2, 4, 16):
        parts = [
            np.concatenate([RNG.normal(size=(n, 3)).cumsum(axis=0) for n in RNG.integers(10, 20, 40)])[:400]
            for _ in range(recorders)
        ]
        rows = np.stack(parts, axis=1).reshape(-1, 3)
        assert lags.best(rows, None, np.zeros(len(rows), bool)) == recorders


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1"])
def test_environments(env_id):
    alone, together = rollout(env_id, 1, 1500), rollout(env_id, 4, 400)
    for hide in (False, True):
        assert lags.best(*alone[:2], alone[2] & ~hide) is None
        assert lags.best(*together[:2], together[2] & ~hide) == 4


def rollout(env_id, recorders, steps):
    """Random actions in several environments side by side: observations, actions, ends."""
    parts = []
    for number in range(recorders):
        env = gym.make(env_id)
        env.action_space.seed(number)
        observation, _ = env.reset(seed=number)
        rows = []
        for _ in range(steps):
            action = env.action_space.sample()
            after, _, terminated, truncated, _ = env.step(action)
            rows.append((observation, np.ravel(action), terminated or truncated))
            observation = env.reset()[0] if terminated or truncated else after
        parts.append([np.array(column, dtype=float) for column in zip(*rows, strict=True)])
    columns = [np.stack(column, axis=1) for column in zip(*parts, strict=True)]
    observation, action, ends = (column.reshape(-1, *column.shape[2:]) for column in columns)
    return observation, action, ends.astype(bool)


def test_a_controller_that_goes_to_and_fro():
    dataset = load_dataset("cartpole-mixed")
    ends, action = dataset.terminated | dataset.truncated, dataset.action[:, None]
    assert lags.best(dataset.observation, action, ends) is None
    half = len(dataset) // 2
    rows = np.stack([np.arange(half), half + np.arange(half)], axis=1).ravel()
    assert lags.best(dataset.observation[rows], action[rows], ends[rows]) == 2, "not 4, though these are closer"


def test_few_rows_prove_nothing():
    parts = [autoregressive(20, 0.95) for _ in range(2)]
    rows = np.stack(parts, axis=1).reshape(-1, 2)
    assert lags.best(rows, None, np.zeros(40, bool)) is None
    assert lags.best(rows[:1], None, np.zeros(1, bool)) is None


def test_neighbours_that_are_closer():
    walk = autoregressive(1000, 0.95)
    assert lags.neighbours_are_closer(walk, np.zeros(1000, bool), 4)
    both = np.stack([walk, autoregressive(1000, 0.95)], axis=1).reshape(-1, 2)
    assert not lags.neighbours_are_closer(both, np.zeros(2000, bool), 2)


def cells(recorders, steps=1000, size=5):
    """One-hot cells of a grid in which each recorder walks at random, with the actions and the ends of its episodes."""
    rng, rows, ends = np.random.default_rng(recorders), [], np.zeros((steps, recorders), bool)
    actions = rng.integers(0, 4, (steps, recorders))
    place = rng.integers(0, size, (recorders, 2))
    for step in range(steps):
        rows.append(size * place[:, 0] + place[:, 1])
        ends[step] = rng.random(recorders) < 0.04
        moved = np.clip(place + np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[actions[step]], 0, size - 1)
        place = np.where(ends[step][:, None], rng.integers(0, size, (recorders, 2)), moved)
    return np.eye(size * size)[np.concatenate(rows)], np.eye(4)[actions.ravel()], ends.ravel()


@pytest.mark.parametrize("recorders", [1, 2, 3, 5, 12])
def test_one_hot_observations(recorders):
    assert lags.best(*cells(recorders)) == (None if recorders == 1 else recorders)


@pytest.mark.parametrize("period", [2, 3, 7, 24])
def test_one_hot_rows_in_order_of_time_are_let_through(period):
    rng, rows = np.random.default_rng(period), np.arange(6000)
    phase, ends = np.eye(period)[rows % period], np.zeros(6000, bool)
    usual = np.where(rng.random(6000) < 0.7, rows % period % 5, rng.integers(0, 5, 6000))
    walk = np.eye(8)[np.cumsum(rng.integers(-1, 2, 6000)) % 8]
    for observation in (
        phase,
        np.eye(5)[usual],
        np.column_stack([phase, walk]),
        np.column_stack([np.eye(5)[usual], walk]),
    ):
        assert lags.best(observation, None, ends) is None
