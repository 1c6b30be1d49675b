"""Importance sampling: the rewards of the log, weighted by how much more likely they are under the policy.

Per-decision weighted importance sampling (PDWIS; Precup, Sutton & Singh 2000, section 3; Thomas 2015, section 3.7):

    V = sum_t sum_i gamma^t w_it r_it,   w_it = rho_it / sum_j rho_jt,   rho_it = prod_{k <= t} pi(a_k|s_k) / b(a_k|s_k)

The weight of the reward at step t includes the ratio of the action that earned it. Weights are normalised over the
episodes at each step. An episode that has ended keeps its last ratio and stays in the sum. The bias of normalising
falls with the number of episodes.
"""

from dataclasses import dataclass

import numpy as np

from prudent.ope.episodes import Episodes


@dataclass(frozen=True, eq=False)
class Weights:
    """Log-ratios of histories: ``log_rho`` (E, T), constant after the end of an episode."""

    episodes: Episodes
    log_rho: np.ndarray

    def effective_sample_size(self) -> float:
        """Effective number of units: this many, recorded with the policy itself, would be as informative.

        A unit is an episode or a group. Kish's ``(sum rho)^2 / sum rho^2`` over units at each step, averaged
        harmonically over steps, since variances add. The weight of a step is ``gamma^t`` times the share of episodes
        still running.
        """
        w_ET = normalized(self.log_rho)
        w_UT = np.zeros((self.episodes.n_units, w_ET.shape[1]))
        np.add.at(w_UT, self.episodes.unit, w_ET)
        squares_T = (w_UT**2).sum(0)
        running_T = self.episodes.pad(self.episodes.discount**self.episodes.time).sum(0)
        kish_T = np.divide(1.0, squares_T, out=np.zeros_like(squares_T), where=squares_T > 0)
        if (kish_T[running_T > 0] == 0).any():
            return 0.0
        counts = running_T > 0
        return float(running_T[counts].sum() / (running_T[counts] / kish_T[counts]).sum())


def weights_of(episodes: Episodes, log_ratio: np.ndarray) -> Weights:
    """The weights of histories from the log-ratio (rows,) of each action."""
    return Weights(episodes, history(episodes.pad(log_ratio)))


def history(log_ratio_ET: np.ndarray) -> np.ndarray:
    """Log-ratio of all actions up to and including each step, (E, T)."""
    return np.cumsum(log_ratio_ET, axis=1)


def normalized(log_rho_ET: np.ndarray, counts_E: np.ndarray | None = None) -> np.ndarray:
    """Weights (E, T) that sum to 1 over the episodes at each step; all 0 where every ratio is 0.

    ``counts_E`` is how often a resample holds each episode. The weight is then that of all its copies together.
    """
    highest_T = log_rho_ET.max(axis=0)
    rho_ET = np.exp(log_rho_ET - np.where(np.isfinite(highest_T), highest_T, 0.0))
    if counts_E is not None:
        rho_ET = rho_ET * counts_E[:, None]
    total_T = rho_ET.sum(axis=0)
    return np.divide(rho_ET, total_T, out=np.zeros_like(rho_ET), where=total_T > 0)


def weighted_sum(w_ET: np.ndarray, gain_ET: np.ndarray, base_E: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """``mean base + sum_t sum_i w_it gain_it``, and the influence (E,) of each episode, whose mean is that value.

    The influence is that of a ratio of means: ``n w_it (gain_it - theta_t)`` with ``theta_t = sum_i w_it gain_it``.
    """
    count = len(w_ET)
    theta_T = (w_ET * gain_ET).sum(axis=0)
    base = np.zeros(count) if base_E is None else base_E
    influence = base + theta_T.sum() + count * (w_ET * (gain_ET - theta_T)).sum(axis=1)
    return float(base.mean() + theta_T.sum()), influence


def rewards(episodes: Episodes, end_value: np.ndarray) -> np.ndarray:
    """Discounted rewards (E, T), and the discounted ``end_value`` (E,) after the last step of a truncated episode."""
    row_weight = episodes.discount**episodes.time
    ending = np.where(episodes.cut, episodes.end_weight * end_value, 0.0)
    return episodes.pad(row_weight * episodes.dataset.reward, ending)


def pdwis(weights: Weights, end_value: np.ndarray, counts: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Value and influence (E,).

    ``end_value`` (E,) is the value of the state in which each episode was truncated. With ``counts`` (a resample, as in
    :func:`normalized`) the influence has no meaning.
    """
    return weighted_sum(normalized(weights.log_rho, counts), rewards(weights.episodes, end_value))


def monte_carlo(episodes: Episodes, end_value: np.ndarray) -> np.ndarray:
    """Discounted return of the behaviour policy in each episode, (E,)."""
    return rewards(episodes, end_value).sum(axis=1)
