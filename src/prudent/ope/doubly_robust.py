"""Weighted doubly robust: fitted values, corrected by their weighted errors along the log.

Thomas & Brunskill 2016 (arXiv 1604.00923, section 4), their equation summed by parts:

    V = mean_i V(s_i0) + sum_t sum_i gamma^t w_it (r_it + gamma^dt V(s_i,t+1) - Q(s_it, a_it))

with w as in :mod:`prudent.ope.importance`. V after a termination is 0. V after a truncation is that of the state in
which the recording stopped. The estimate is consistent if either the ratios or the values are right. Q and V of an
episode come from critics that were fitted without its fold (cross-fitting; Chernozhukov et al. 2018, arXiv 1608.00060),
so that the noise of the episode does not enter its own correction.
"""

import numpy as np

from prudent.ope import importance
from prudent.ope.importance import Weights


def errors(weights: Weights, q: np.ndarray, value: np.ndarray, end_value: np.ndarray) -> np.ndarray:
    """Discounted errors of the fitted values at each step, (E, T).

    ``q`` (rows,) is Q of the logged action, ``value`` (rows,) V of the state, ``end_value`` (E,) V after the last row.
    """
    episodes, dataset = weights.episodes, weights.episodes.dataset
    following = np.append(value[1:], 0.0)
    following[episodes.last] = np.where(episodes.cut, end_value, 0.0)
    step_discount = episodes.discount**episodes.dt
    return episodes.pad(episodes.discount**episodes.time * (dataset.reward + step_discount * following - q))


def wdr(
    weights: Weights, q: np.ndarray, value: np.ndarray, end_value: np.ndarray, counts: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Value and influence (E,), as in :func:`prudent.ope.importance.pdwis`."""
    start = value[weights.episodes.first]
    if counts is not None:
        start = start * counts * (len(counts) / counts.sum())
    w_ET = importance.normalized(weights.log_rho, counts)
    return importance.weighted_sum(w_ET, errors(weights, q, value, end_value), start)
