"""What the rewards allow, and how many steps count."""

from dataclasses import replace

import numpy as np
import pytest

from ope.problems import random_log
from prudent import ConfigError
from prudent.ope import episodes


def lasting(dt, reward=1.0):
    """The same reward for ever, in steps of ``dt``."""
    data = random_log(episodes=20)
    ended = data.terminated | data.truncated
    return replace(
        data,
        reward=np.full_like(data.reward, reward),
        terminated=np.zeros_like(ended),
        truncated=ended,
        extra={"dt": np.full(len(data), dt)},
    )


@pytest.mark.parametrize("reward", [1.0, -3.0, 1e-9])
@pytest.mark.parametrize(("discount", "dt"), [(0.9, 1.0), (0.9, 1 / 60), (0.999, 1e-2)])
def test_one_reward_for_ever_allows_one_value(discount, dt, reward):
    log = episodes.lay_out(lasting(dt, reward), discount)
    level = float(np.float32(reward)) / (1 - discount**dt)
    margin = 2e-6 * abs(level)
    assert log.attainable == pytest.approx((level, level), abs=margin)
    assert log.attainable[0] < level < log.attainable[1]
    assert log.usual_steps == pytest.approx(1 / (1 - discount**dt))


def best_value(reward, discount, terminated, sign):
    """The value of always choosing the best (or worst) row next, by iteration."""
    value = 0.0
    for _ in range(2000):
        value = sign * (sign * (reward + np.where(terminated, 0.0, discount * value))).max()
    return value


@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_the_attainable_range_is_that_of_the_best_and_the_worst_row(shift):
    """Also where every going-on reward is a loss, so that the best is to end at once."""
    data = random_log(0, episodes=30, with_dt=True)
    data = replace(data, reward=(data.reward + shift).astype(np.float32))
    log = episodes.lay_out(data, 0.9)
    discount = 0.9**log.dt
    worst, best = (best_value(data.reward.astype(float), discount, data.terminated, sign) for sign in (-1, 1))
    assert log.attainable == pytest.approx((worst, best), abs=2e-6 * max(abs(worst), abs(best)))


def test_without_a_discount_the_rows_of_the_log_bound_the_value():
    data = random_log(0, episodes=30, terminated=1.1)
    low, high = episodes.lay_out(data, 1.0).attainable
    assert low == pytest.approx(data.reward.min() * len(data), rel=1e-5)
    assert high == pytest.approx(data.reward.max() * len(data), rel=1e-5)


def test_terminations_shorten_the_usual_episode():
    data = lasting(1.0)
    half = np.arange(len(data)) % 2 == 0
    ended = replace(data, terminated=half, truncated=data.truncated & ~half)
    log = episodes.Episodes(ended, 0.9)
    assert log.usual_steps == pytest.approx(1 / (half.mean() + 0.1 * (1 - half.mean())))
    assert log.usual_steps < 2 < episodes.lay_out(data, 0.9).usual_steps


def test_steps_too_short_for_the_discount_are_refused():
    with pytest.raises(ConfigError, match="smaller unit of time") as caught:
        episodes.lay_out(lasting(1e-9), 0.999)
    assert "\n" not in str(caught.value)


def test_a_step_too_short_to_be_discounted_leaves_a_range():
    """Each of the log's rewards at every row, as without a discount; none if every reward were 0."""
    log = replace(random_log(episodes=30, terminated=1.0), extra={"dt": np.full(len(random_log(episodes=30)), 1e-30)})
    low, high = episodes.lay_out(log, 0.99).attainable
    reward = log.reward.astype(np.float64) * len(log)
    assert low == pytest.approx(reward.min(), rel=1e-5)
    assert high == pytest.approx(reward.max(), rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_rewards_at_the_end_of_float32_are_not_constant():
    log = random_log(episodes=30)
    episodes.check_rewards(replace(log, reward=np.where(log.reward > 0, 3e38, -3e38).astype(np.float32)))
