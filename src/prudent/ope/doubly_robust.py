"""Weighted doubly robust: fitted values, corrected by the weighted errors that they make along the log.

Thomas & Brunskill 2016 (arXiv 1604.00923, section 4), with a sum by parts of their equation:

    V = mean_i V(s_i0) + sum_t sum_i gamma^t w_it (r_it + gamma^dt V(s_i,t+1) - Q(s_it, a_it))

and w as in :mod:`prudent.ope.importance`; V behind a termination is 0, behind a truncation it is that of the state in
which the recording stopped. It is right in the limit where either the ratios or the values are. Q and V of an episode
come from critics that were fitted without its fold (cross-fitting; Chernozhukov et al. 2018, arXiv 1608.00060): their
errors are then not those of the episode's own luck.
"""

import numpy as np

from prudent.ope import importance
from prudent.ope.importance import Weights


def errors(weights: Weights, q: np.ndarray, value: np.ndarray, end_value: np.ndarray) -> np.ndarray:
    """Discounted errors of the fitted values at each step, (E, T).

    ``q`` (rows,) is Q of the logged action, ``value`` (rows,) V of the state, ``end_value`` (E,) V behind the last row.
    """
    episodes, dataset = weights.episodes, weights.episodes.dataset
    following = np.append(value[1:], 0.0)
    following[episodes.last] = np.where(episodes.cut, end_value, 0.0)
    step_discount = episodes.discount**episodes.dt
    return episodes.pad(episodes.discount**episodes.time * (dataset.reward + step_discount * following - q))


def wdr(
    weights: Weights, q: np.ndarray, value: np.ndarray, end_value: np.ndarray, counts: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Value and influence (E,), as :func:`prudent.ope.importance.pdwis` gives them."""
    start = value[weights.episodes.first]
    if counts is not None:
        start = start * counts * (len(counts) / counts.sum())
    w_ET = importance.normalized(weights.log_rho, counts)
    return importance.weighted_sum(w_ET, errors(weights, q, value, end_value), start)
