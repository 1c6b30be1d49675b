"""When to deploy, when to keep BC, and when to abstain."""

import numpy as np
import pytest

from prudent.ope import interval
from prudent.tuning import curve
from prudent.tuning.result import Candidate, _unfinished
from prudent.tuning.stored_values import StoredValue
from prudent.tuning.verdict import DEPLOY, KEEP_BC, NOTHING, judge

NOISE = np.linspace(-1, 1, 8)


def estimate(name, value, error=0.1):
    """Replicates that pair with those of every other estimate, so the error of a difference is that of both."""
    return interval.from_replicates(name, value, value + error * np.roll(NOISE, int(10 * value)))


def stored_value(name, value, behaviour=1.0, error=0.1, wdr=None, returned=None):
    unsupported = interval.unsupported("wdr", "too few")
    fqe = interval.unsupported("fqe", "60% of its actions") if value is None else estimate("fqe", value, error)
    support = {"support": {"outside": 0.02, "effective_sample_size": 25.0, "units": 40, "by": "episode"}}
    second = unsupported if wdr is None else estimate("wdr", wdr)
    monte_carlo = estimate("behaviour", behaviour if returned is None else returned, error)
    return StoredValue(name, fqe, second, monte_carlo, estimate("fitted behaviour", behaviour, error), support)


@pytest.mark.parametrize(
    ("policy", "bc", "error", "verdict"),
    [
        (3.0, 1.2, 0.1, DEPLOY),
        (3.0, 2.9, 0.3, KEEP_BC),  # better than the log, but no better than imitation, which is
        (3.0, 1.0, 5.0, NOTHING),  # nothing is shown
        (0.5, 2.5, 0.1, KEEP_BC),
        (1.0, 1.0, 0.1, NOTHING),
        (None, 1.0, 0.1, NOTHING),
        (None, 3.0, 0.1, KEEP_BC),
        (3.0, None, 0.1, NOTHING),  # without a value of BC nobody knows whether it is beaten
    ],
)
def test_both_lower_bounds_have_to_lie_above_zero(policy, bc, error, verdict):
    judgement = judge(stored_value("alpha=5", policy, error=error), stored_value("BC", bc, error=error))
    assert judgement.verdict == verdict, judgement.reasons


def test_reasons_have_figures():
    reasons = list(judge(stored_value("alpha=5", 3.0), stored_value("BC", 1.2)).reasons)
    assert reasons[0].startswith("alpha=5 over the behaviour policy: +2, 95 % interval +")
    assert reasons[0].endswith("shown to be better")
    assert reasons[1].startswith("alpha=5 over BC: +1.8")
    assert reasons.pop(2).startswith("second estimator, policy - behaviour, Monte Carlo: +2")
    assert "2.0 % of the policy's actions" in reasons[2]
    assert "after importance weighting, the 40 final episodes count as 25.0" in reasons[2]


def test_nothing_is_deployed_where_the_outcomes_were_dropped():
    lost = "reward on dropped rows (245): dropped rows hold 82 % of all reward"
    judgement = judge(stored_value("alpha=5", 3.0), stored_value("BC", 1.2), lost=lost)
    assert judgement.verdict == NOTHING
    assert lost in judgement.reasons


def test_no_winner_says_why():
    judgement = judge(None, stored_value("BC", 1.0), "none of the 3 runs of the grid can be ranked: it diverged")
    assert judgement.verdict == NOTHING
    assert judgement.reasons[0].startswith("none of the 3 runs")
    assert set(judgement.differences) == {"BC - behaviour"}


def test_a_second_estimator_that_says_worse_forbids_it():
    assert judge(stored_value("alpha=5", 3.0, wdr=3.0), stored_value("BC", 1.2, wdr=1.2)).verdict == DEPLOY
    judgement = judge(stored_value("alpha=5", 3.0, wdr=0.2), stored_value("BC", 1.2, wdr=1.2))
    assert judgement.verdict != DEPLOY
    assert "contradict each other" in judgement.reasons[-1]


def test_returns_that_say_worse_forbid_it():
    """The fitted value of the behaviour policy is the better reference, unless the log returned far more."""
    judgement = judge(stored_value("alpha=5", 3.0, returned=4.0), stored_value("BC", 1.2))
    assert judgement.verdict != DEPLOY
    assert "Monte Carlo" in judgement.reasons[-1]


@pytest.mark.parametrize(("returned", "deployed"), [(1.0, True), (2.0, True), (2.9, False), (0.0, True), (-1.5, False)])
def test_the_gain_has_to_exceed_what_the_fit_is_visibly_off_by(returned, deployed):
    """By the fit the policy gains 2 over a behaviour policy of value 1, which truly earned ``returned``."""
    judgement = judge(stored_value("alpha=5", 3.0, returned=returned), stored_value("BC", 1.2))
    assert (judgement.verdict == DEPLOY) is deployed, judgement.reasons
    assert any("the fit is off by that much" in reason for reason in judgement.reasons) is (returned != 1.0)
    assert deployed or "than the error of the fit" in judgement.reasons[-1]


def test_why_bc_is_kept_where_nothing_beats_the_log():
    judgement = judge(stored_value("alpha=5", 1.0), stored_value("BC", 0.2))
    assert judgement.verdict == NOTHING
    assert judgement.differences["policy - BC"].sign == 1
    assert judgement.reasons[-1].startswith(
        "alpha=5 beats BC, but nothing is shown to be better than the behaviour policy"
    )
    assert "More episodes" in judgement.reasons[-1]
    assert judge(None, stored_value("BC", 1.0), "why").reasons[-1].startswith("nothing is shown to be better")
    assert "nothing is shown" not in " ".join(judge(stored_value("alpha=5", 0.5), stored_value("BC", 2.5)).reasons)


@pytest.mark.parametrize("climbing", [False, True])
def test_more_steps_are_told_in_the_terminal(climbing):
    steps, end = np.arange(1, 21) * 10, np.linspace(0, 20, 20)
    q = end if climbing else 5 - np.exp(-end)
    readings = [curve.choose(list(steps), q, 0.0).reading] * 2 + ["diverged"]
    where = ("alpha=1", "cql", "grid")
    runs = [
        Candidate(f"seed={i}", *where, f"seed={i}", 1.0, i, 10, 1.0, 10, 1.0, text) for i, text in enumerate(readings)
    ]
    lines = _unfinished(runs)
    assert [line.partition(":")[0] for line in lines] == ["seed=0, seed=1"] * climbing
    assert [line.partition(":")[0] for line in _unfinished(runs[:2])] == ["all 2 runs"] * climbing
