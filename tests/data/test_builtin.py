import numpy as np
import pytest

from prudent import envs
from prudent.data import BUILTIN, load_dataset


@pytest.fixture(scope="module")
def pendulum():
    return BUILTIN["pendulum-mixed"].make(0)


def test_sizes_and_returns(pendulum):
    assert len(pendulum) == 30_000
    assert (pendulum.episode_lengths == 200).all()
    assert not pendulum.terminated.any()
    assert pendulum.spec.action_low == (-2,)
    assert pendulum.spec.action_high == (2,)
    assert -680 < pendulum.episode_returns.mean() < -580
    assert pendulum.episode_returns.std() > 200


def test_deterministic_by_seed(pendulum):
    assert load_dataset("pendulum-mixed").fingerprint == pendulum.fingerprint
    assert load_dataset("pendulum-mixed", seed=1).fingerprint != pendulum.fingerprint


def test_it_is_what_the_environment_does(pendulum):
    """Reward and successor of a row follow from its observation and action, as Pendulum-v1 computes them."""
    rng = np.random.default_rng(0)
    env = envs.make(BUILTIN["pendulum-mixed"].env_id)
    env.reset(seed=0)
    for row in rng.integers(len(pendulum), size=50):
        cos, sin, velocity = pendulum.observation[row].astype(np.float64)
        env.unwrapped.state = np.array([np.arctan2(sin, cos), velocity])
        observation, reward, *_ = env.step(pendulum.action[row])
        np.testing.assert_allclose(observation, pendulum.next_observation[row], atol=1e-4)
        np.testing.assert_allclose(reward, pendulum.reward[row], atol=1e-3)
    env.close()


def test_episodes_are_contiguous(pendulum):
    inside = ~pendulum.truncated[:-1]
    np.testing.assert_array_equal(pendulum.next_observation[:-1][inside], pendulum.observation[1:][inside])
    assert (pendulum.next_observation[:-1][~inside] != pendulum.observation[1:][~inside]).any(axis=1).all()
