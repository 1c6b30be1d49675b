"""Weighted doubly robust against the form in the paper, and the double robustness."""

import numpy as np
import pytest

from ope.problems import random_log
from prudent.ope import doubly_robust, episodes, importance


def loop_wdr(log, log_ratio, q, value, end_value):
    """Thomas & Brunskill 2016, the WDR estimator: w_t R_t - (w_t Q_t - w_{t-1} V_t), with w_{-1} = 1 / n.

    A truncated episode has one more state, with the value V: its term is ``w_{t-1} V``.
    """
    data, bounds, total = log.dataset, log.dataset.episode_bounds, 0.0
    count = len(log)
    before = [1 / count] * count
    for t in range(int(data.episode_lengths.max()) + 1):
        rho = [np.exp(sum(log_ratio[bounds[e] : bounds[e + 1]][: t + 1])) for e in range(count)]
        w = [r / sum(rho) for r in rho]
        for e in range(count):
            rows = range(bounds[e], bounds[e + 1])
            weight = log.discount ** sum(log.dt[r] for r in rows[:t])
            if t < len(rows):
                r = rows[t]
                total += weight * (w[e] * data.reward[r] - (w[e] * q[r] - before[e] * value[r]))
            elif t == len(rows) and not data.terminated[rows[-1]]:
                total += weight * before[e] * end_value[e]
        before = w
    return total


def case(seed):
    log = episodes.lay_out(random_log(seed, with_dt=seed == 2), 0.9)
    rng = np.random.default_rng(seed)
    rows = len(log.dataset)
    return log, rng.normal(0, 0.5, rows), rng.normal(size=rows), rng.normal(size=rows), rng.normal(size=len(log))


def agrees_with_the_loop():
    for seed in range(4):
        log, log_ratio, q, value, ends = case(seed)
        estimate, influence = doubly_robust.wdr(importance.weights_of(log, log_ratio), q, value, ends)
        assert estimate == pytest.approx(loop_wdr(log, log_ratio, q, value, ends), abs=1e-10), "WDR is not the paper's"
        assert influence.mean() == pytest.approx(estimate, abs=1e-10)


def test_wdr_is_the_papers():
    agrees_with_the_loop()


@pytest.mark.parametrize(
    ("name", "mistaken"),
    [
        ("history", lambda ratio: np.cumsum(ratio, axis=1) - ratio),
        ("normalized", lambda log_rho, _=None: np.exp(log_rho) / len(log_rho)),
    ],
    ids=["the action that earned the reward left out", "weights not normalised"],
)
def test_mistakes_are_noticed(monkeypatch, name, mistaken):
    monkeypatch.setattr(importance, name, mistaken)
    with pytest.raises(AssertionError):
        agrees_with_the_loop()


def test_without_values_it_is_pdwis():
    log, log_ratio, *_ = case(1)
    weights, nothing = importance.weights_of(log, log_ratio), np.zeros(len(log.dataset))
    ends = np.zeros(len(log))
    assert doubly_robust.wdr(weights, nothing, nothing, ends)[0] == pytest.approx(importance.pdwis(weights, ends)[0])


def test_values_without_error_need_no_weights():
    """Where Q satisfies the Bellman equation on every row, the weights have nothing to correct."""
    log, log_ratio, _, value, ends = case(3)
    following = np.append(value[1:], 0.0)
    following[log.last] = np.where(log.cut, ends, 0.0)
    q = log.dataset.reward + 0.9 * following
    estimate, influence = doubly_robust.wdr(importance.weights_of(log, log_ratio), q, value, ends)
    assert estimate == pytest.approx(value[log.first].mean())
    np.testing.assert_allclose(influence, value[log.first], atol=1e-10)


def test_a_resample_is_the_log_with_its_episodes_repeated():
    log, log_ratio, q, value, ends = case(0)
    chosen = np.array([0, 0, 1, 3, 5, 5, 5, 7])
    rows = np.concatenate([np.arange(*log.dataset.episode_bounds[e : e + 2]) for e in chosen])
    repeated = importance.weights_of(episodes.lay_out(log.dataset.episodes(chosen), 0.9), log_ratio[rows])
    expected, _ = doubly_robust.wdr(repeated, q[rows], value[rows], ends[chosen])
    counts = np.bincount(chosen, minlength=len(log))
    estimate, _ = doubly_robust.wdr(importance.weights_of(log, log_ratio), q, value, ends, counts)
    assert estimate == pytest.approx(expected, abs=1e-10)
