"""Importance sampling against loops over its definition, and properties that hold exactly."""

import numpy as np
import pytest

from ope.problems import random_log
from prudent.ope import episodes, importance


def loop_pdwis(log, log_ratio, end_value):
    """Precup et al. 2000, step by step: an episode that ended keeps the ratio it ended with."""
    data, bounds, total = log.dataset, log.dataset.episode_bounds, 0.0
    for t in range(int(data.episode_lengths.max()) + 1):
        rho, gain = [], []
        for e in range(len(log)):
            rows = range(bounds[e], bounds[e + 1])
            rho.append(np.exp(sum(log_ratio[r] for r in rows[: t + 1])))
            clock = sum(log.dt[r] for r in rows[:t])
            if t < len(rows):
                gain.append(log.discount**clock * data.reward[rows[t]])
            elif t == len(rows) and not data.terminated[rows[-1]]:
                gain.append(log.discount**clock * end_value[e])
            else:
                gain.append(0.0)
        total += np.dot(rho, gain) / sum(rho)
    return total


def case(seed=0, **options):
    log = episodes.lay_out(random_log(seed, **options), 0.9)
    rng = np.random.default_rng(100 + seed)
    return log, rng.normal(0, 0.5, size=len(log.dataset)), rng.normal(size=len(log))


def agrees_with_the_loop():
    for seed in range(3):
        log, log_ratio, ends = case(seed, with_dt=seed == 1)
        value, influence = importance.pdwis(importance.weights_of(log, log_ratio), ends)
        assert value == pytest.approx(loop_pdwis(log, log_ratio, ends), abs=1e-10), "PDWIS is not its definition"
        assert influence.mean() == pytest.approx(value, abs=1e-10), "the influences do not average to the value"


def test_pdwis_is_its_definition():
    agrees_with_the_loop()


def test_constant_rewards_are_worth_their_sum_whatever_the_weights():
    """Only normalised weights give each step's equal rewards back exactly."""
    log, log_ratio, _ = case(episodes=6)
    gain = np.ones_like(log.pad(log_ratio))
    value, influence = importance.weighted_sum(importance.normalized(importance.history(log.pad(log_ratio))), gain)
    assert value == pytest.approx(gain.shape[1]), "weights of a step do not sum to 1"
    np.testing.assert_allclose(influence, gain.shape[1], err_msg="a constant has no influence")


def test_the_behaviour_itself_is_worth_its_monte_carlo_value():
    log, _, ends = case(2)
    weights = importance.weights_of(log, np.zeros(len(log.dataset)))
    returns = importance.monte_carlo(log, ends)
    value, influence = importance.pdwis(weights, ends)
    assert value == pytest.approx(returns.mean())
    assert np.std(influence) == pytest.approx(np.std(returns), rel=0.5)
    assert weights.effective_sample_size() == pytest.approx(len(log)), "every episode counts in full"


def test_a_resample_is_the_log_with_its_episodes_repeated():
    log, log_ratio, ends = case(3)
    chosen = np.array([0, 0, 1, 3, 5, 5, 5, 7])
    counts = np.bincount(chosen, minlength=len(log))
    repeated = episodes.lay_out(log.dataset.episodes(chosen), 0.9)
    rows = np.concatenate([np.arange(*log.dataset.episode_bounds[e : e + 2]) for e in chosen])
    expected, _ = importance.pdwis(importance.weights_of(repeated, log_ratio[rows]), ends[chosen])
    estimate, _ = importance.pdwis(importance.weights_of(log, log_ratio), ends, counts)
    assert estimate == pytest.approx(expected, abs=1e-10)


def test_impossible_histories_leave_nothing_effective():
    log, log_ratio, _ = case(4)
    log_ratio[log.step == 1] = -np.inf
    weights = importance.weights_of(log, log_ratio)
    assert np.isfinite(importance.normalized(weights.log_rho)).all()
    one = np.zeros(len(log.dataset))
    one[log.dataset.episode_of_row > 0] = -np.inf
    assert importance.weights_of(log, one).effective_sample_size() == pytest.approx(1), (
        "one episode carries all the weight"
    )
    assert importance.weights_of(log, np.full(len(one), -np.inf)).effective_sample_size() == 0


@pytest.mark.parametrize(
    ("name", "mistaken"),
    [
        ("history", lambda ratio: np.cumsum(ratio, axis=1) - ratio),
        ("normalized", lambda log_rho, _=None: np.exp(log_rho) / len(log_rho)),
    ],
    ids=["the action that earned the reward left out", "weights not normalised"],
)
def test_mistakes_are_noticed(monkeypatch, name, mistaken):
    agrees_with_the_loop()
    monkeypatch.setattr(importance, name, mistaken)
    with pytest.raises(AssertionError):
        agrees_with_the_loop()


def test_end_weight_counts_time_not_steps():
    log, *_ = case(5, with_dt=True)
    bounds = log.dataset.episode_bounds
    expected = [0.9 ** log.dt[bounds[e] : bounds[e + 1]].sum() for e in range(len(log))]
    np.testing.assert_allclose(log.end_weight, expected)
    assert log.tail_weight == pytest.approx(np.mean(log.end_weight * log.cut))
