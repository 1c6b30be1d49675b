"""Statistics over episodes and runs: discounted returns, interquartile mean, bootstrap intervals. Plain NumPy."""

import math
from collections.abc import Callable

import numpy as np


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Interquartile mean: the mean after cutting off a quarter of the values at each end.

    As in Agarwal et al. 2021 (arXiv 2108.13264, section 4.3) and their rliable, ``floor(n / 4)`` values are cut at each
    end, so nothing is cut from up to three values. prudent applies it to all episodes of all members together: with
    the usual three to five seeds, cutting whole seeds would leave few.

    ``values``: numbers of any shape, reduced over ``axis``.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    count = ordered.shape[axis]
    cut = count // 4
    return np.take(ordered, np.arange(cut, count - cut), axis=axis).mean(axis)


def largest_value(largest_reward: float, discount: float, shortest: float = 1.0) -> float:
    """``r_max / (1 - gamma^dt)``: bound on a discounted sum of rewards of at most ``largest_reward``.

    ``shortest`` is the shortest time between two rewards, in the unit of time of ``discount``. Without a discount the
    bound is infinite.
    """
    decay = 1 - discount**shortest
    return largest_reward / decay if decay > 0 else math.inf


def divisor(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Divisor that standardises features with this mean and standard deviation, each (F,).

    It is the standard deviation, or 1 for a constant feature, whose standard deviation is only rounding error.
    """
    return np.where(std > 1e-6 * np.maximum(1.0, np.abs(mean)), std, 1.0)


def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean, as a ``statistic`` for :func:`interval`."""
    return np.asarray(values, dtype=np.float64).mean(axis)


def interval(
    values_PK: np.ndarray,
    statistic: Callable[..., np.ndarray] = iqm,
    *,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of a statistic over P members with K episodes each.

    It resamples on two levels: members (training seeds) with replacement, then episodes within each drawn member. So
    the interval covers the randomness of training and of the start states. **With one member only episodes can be
    resampled**: the interval then holds for this one policy, not for the method. Like every bootstrap of few samples
    it is too narrow: intervals meant to hold the truth in 95 of 100 cases held it in 80 with 3 seeds, in 85 with 5 and
    in 91 with 10 (seeds and episodes normal, with equal standard deviations).

    Args:
        values_PK: (P, K) numbers, one per member and episode.
        statistic: a function ``(values, axis)``, such as :func:`iqm` or :func:`mean`, over P * K values.
        level: share of the bootstrap distribution between the two ends.
        samples: number of bootstrap samples.
        seed: equal seeds give equal intervals.

    Returns:
        (low, high) in the units of the values; None if there is only one value, or one is not finite.
    """
    values_PK = np.asarray(values_PK, dtype=np.float64)
    if values_PK.size < 2 or not np.isfinite(values_PK).all():
        return None
    members, episodes = values_PK.shape
    generator = np.random.default_rng(seed)
    member = generator.integers(members, size=(samples, members, 1))
    episode = generator.integers(episodes, size=(samples, members, episodes))
    replicates = statistic(values_PK[member, episode].reshape(samples, -1), axis=-1)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def discounted(
    reward_TPK: np.ndarray, length_PK: np.ndarray, terminated_PK: np.ndarray, discount_P: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Discounted return of each episode, with an estimated continuation after a truncation.

    A value is an infinite sum unless the task terminates. After a time limit at step T the sum lacks ``gamma ** T``
    times the value there: nothing after 1,000 steps at 0.99, but 13 % after the 200 steps of Pendulum. Without it,
    predictions would look too low where rewards are negative, and too high where they are positive. The continuation is
    the mean reward of the last ``1 / (1 - gamma)`` steps, for ever, as in :meth:`prudent.data.Dataset.returns_to_go`.
    With a gamma of 1 it is 0.

    Args:
        reward_TPK: transformed rewards (time, member, episode); those after the end of an episode are ignored.
        length_PK: number of steps of each episode.
        terminated_PK: whether the episode terminated.
        discount_P: gamma of each member.

    Returns:
        The return including the continuation, the continuation, and its weight ``gamma ** T`` (0 if the episode
        terminated); each (P, K) float64.
    """
    steps = np.arange(len(reward_TPK))
    weight_TP = np.asarray(discount_P, dtype=np.float64) ** steps[:, None]
    played_TPK = steps[:, None, None] < length_PK
    realized = np.where(played_TPK, reward_TPK * weight_TP[..., None], 0.0).sum(axis=0)
    continuation, weight = np.zeros_like(realized), np.zeros_like(realized)
    for member, episode in zip(*np.nonzero(~terminated_PK & (length_PK > 0)), strict=True):
        gamma, length = float(discount_P[member]), int(length_PK[member, episode])
        weight[member, episode] = gamma**length
        if gamma < 1:
            window = max(1, round(1 / (1 - gamma)))
            level = reward_TPK[max(0, length - window) : length, member, episode].mean()
            continuation[member, episode] = weight[member, episode] * level / (1 - gamma)
    return realized + continuation, continuation, weight
