"""When to deploy, when to keep BC, and when to abstain."""

import numpy as np
import pytest

from prudent.ope import interval
from prudent.tuning import curve
from prudent.tuning.result import Candidate, _unfinished
from prudent.tuning.stored_values import StoredValue
from prudent.tuning.verdict import BC, DEPLOY, KEEP_BC, KEEP_LOG, against_bc, judge


def estimate(name, value, error=0.1):
    """Replicates with noise of their own, so the error of a difference is that of both."""
    noise = np.random.default_rng(round(1000 * abs(value))).normal(size=40)
    return interval.from_replicates(name, value, value + error * (noise - noise.mean()) / noise.std(ddof=1))


def stored_value(name, value, behaviour=1.0, error=0.1, wdr=None, returned=None, bad_ends=None):
    unsupported = interval.unsupported("wdr", "too few")
    fqe = interval.unsupported("fqe", "60% of its actions") if value is None else estimate("fqe", value, error)
    support = {"support": {"outside": 0.02, "effective_sample_size": 25.0, "units": 40, "by": "episode"}}
    second = unsupported if wdr is None else estimate("wdr", wdr)
    monte_carlo = estimate("behaviour", behaviour if returned is None else returned, error)
    chances = () if bad_ends is None else (estimate("bad ends", bad_ends, 0.01), estimate("bad ends", 0.3, 0.01))
    fitted = estimate("fitted behaviour", behaviour, error)
    return StoredValue(name, fqe, second, monte_carlo, fitted, support, *chances)


@pytest.mark.parametrize(
    ("policy", "bc", "error", "verdict", "clone"),
    [
        (3.0, 1.0, 0.1, DEPLOY, True),
        (3.0, 2.0, 0.1, DEPLOY, True),  # both are better than the log, the winner more so
        (3.0, 0.2, 0.1, DEPLOY, False),
        (3.0, None, 0.1, DEPLOY, False),  # a clone that the data do not support has no say
        (2.0, 3.0, 0.1, KEEP_BC, True),
        (0.5, 2.5, 0.1, KEEP_BC, True),
        (None, 3.0, 0.1, KEEP_BC, True),
        (3.0, 1.0, 5.0, KEEP_LOG, True),  # nothing is shown
        (1.0, 1.0, 0.1, KEEP_LOG, True),
        (None, 1.0, 0.1, KEEP_LOG, True),
        (1.0, 0.2, 0.1, KEEP_LOG, False),  # the clone is shown to be worse than the log
        (1.0, None, 0.1, KEEP_LOG, False),
        (None, None, 0.1, KEEP_LOG, False),
    ],
)
def test_three_figures_decide(policy, bc, error, verdict, clone):
    winner = None if policy is None else stored_value("alpha=5", policy, error=error)
    judgement = judge(winner, stored_value("BC", bc, error=error), "none can be ranked")
    assert (judgement.verdict, judgement.clone) == (verdict, clone), judgement.reasons


def test_every_verdict_prints_its_three_figures():
    for policy in (3.0, 1.0, 0.5):
        reasons = judge(stored_value("alpha=5", policy), stored_value("BC", 1.2)).reasons
        assert reasons[0].startswith(f"alpha=5 over what made the log: {policy - 1:+.4g}, 95 % interval ")
        assert reasons[1].startswith(f"alpha=5 over BC: {policy - 1.2:+.4g}, 95 % interval ")
        assert reasons[2].startswith("BC over what made the log: +0.2, 95 % interval ")


def test_nothing_is_deployed_where_the_outcomes_were_dropped():
    lost = "reward on dropped rows (245): dropped rows hold 82 % of all reward"
    judgement = judge(stored_value("alpha=5", 3.0), stored_value("BC", 2.0), lost=lost)
    assert judgement.verdict == KEEP_LOG
    assert lost in judgement.reasons


def test_no_winner_says_why():
    judgement = judge(None, stored_value("BC", 1.0), "none of the 3 runs can be ranked: it diverged")
    assert judgement.reasons[0].startswith("none of the 3 runs")
    assert {name for name in judgement.differences if "policy" in name} == set()


def test_a_second_estimator_that_says_worse_forbids_it():
    assert judge(stored_value("alpha=5", 3.0, wdr=3.0), stored_value("BC", 1.2, wdr=1.2)).verdict == DEPLOY
    judgement = judge(stored_value("alpha=5", 3.0, wdr=0.2), stored_value("BC", 1.2, wdr=1.2))
    assert judgement.verdict != DEPLOY
    assert any("WDR contradicts" in reason for reason in judgement.reasons)


def test_returns_that_say_worse_forbid_it():
    """The fitted value of the behaviour policy is the better reference, unless the log returned far more."""
    judgement = judge(stored_value("alpha=5", 3.0, returned=4.0), stored_value("BC", 1.2, returned=4.0))
    assert judgement.verdict == KEEP_LOG
    assert any("Monte Carlo contradicts" in reason for reason in judgement.reasons)


@pytest.mark.parametrize(("returned", "deployed"), [(1.0, True), (2.0, True), (2.9, False), (0.0, True), (-1.5, False)])
def test_the_gain_has_to_exceed_what_the_fit_is_visibly_off_by(returned, deployed):
    """By the fit the policy gains 2 over a behaviour policy of value 1, which truly earned ``returned``."""
    judgement = judge(stored_value("alpha=5", 3.0, returned=returned), stored_value("BC", 1.0, returned=returned))
    assert (judgement.verdict == DEPLOY) is deployed, judgement.reasons
    assert any("the fit is off by that much" in reason for reason in judgement.reasons) is (returned != 1.0)
    assert deployed or any("larger than the error of the fit" in reason for reason in judgement.reasons)


def test_harm_stands_beside_the_value_and_more_of_it_forbids_a_policy():
    safe = judge(stored_value("alpha=5", 3.0, bad_ends=0.1), stored_value("BC", 1.0))
    assert safe.verdict == DEPLOY
    assert any("alpha=5 ends badly (terminated with a loss) in 10.0 %" in reason for reason in safe.reasons)
    harmful = judge(stored_value("alpha=5", 3.0, bad_ends=0.6), stored_value("BC", 1.0, bad_ends=0.9))
    assert (harmful.verdict, harmful.clone) == (KEEP_LOG, False)
    assert "alpha=5 is shown to end badly more often than what made the log" in harmful.reasons


@pytest.mark.parametrize(
    ("bc", "bad_ends", "why"),
    [
        (None, None, "the data do not support a value of BC (fqe: 60% of its actions)"),
        (0.9, None, "BC seems worse than what made the log"),
        (1.2, 0.9, "BC is shown to end badly more often than what made the log"),
    ],
)
def test_why_bc_cannot_stand_for_the_log(bc, bad_ends, why):
    judgement = judge(None, stored_value("BC", bc, bad_ends=bad_ends), "none can be ranked")
    assert (judgement.verdict, judgement.clone) == (KEEP_LOG, False)
    assert against_bc(judgement.differences[BC].summary()) == why


@pytest.mark.parametrize(("policy", "error", "says"), [(1.2, 0.3, "times as many episodes"), (0.8, 0.3, "would not")])
def test_how_many_more_episodes_would_show_it(policy, error, says):
    """The width of an interval falls with the root of the episodes: half of it needs four times as many."""
    judgement = judge(stored_value("alpha=5", policy, error=error), stored_value("BC", 1.0), episodes=100)
    assert judgement.verdict == KEEP_LOG
    assert says in judgement.reasons[-1]
    if policy > 1:
        gain = judgement.differences["policy - behaviour"]
        factor = ((gain.value - gain.lower_bound) / gain.value) ** 2
        assert f"about {factor:.1f} times" in judgement.reasons[-1]
        assert f"({int(np.ceil(100 * (factor - 1))):,} more)" in judgement.reasons[-1]


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
    assert all("the verdict judges it as it is" in line for line in lines), "it is no doubt about the decision"
    assert [line.partition(":")[0] for line in lines] == ["seed=0, seed=1"] * climbing
    assert [line.partition(":")[0] for line in _unfinished(runs[:2])] == ["all 2 runs"] * climbing


@pytest.mark.parametrize(
    ("winner", "bc", "verdict", "last"),
    [
        ({"value": 2.0}, {"value": 3.0}, KEEP_BC, "so is alpha=5, but BC is worth more"),
        ({"value": 1.0}, {"value": 3.0}, KEEP_BC, "and alpha=5 is not"),
        ({"value": 2.0}, {"value": 3.0, "bad_ends": 0.9}, DEPLOY, "BC ends badly"),
        ({"value": 2.0}, {"value": 3.0, "wdr": 0.2}, KEEP_LOG, "worth less than BC, which is in doubt: neither"),
        ({"value": 2.0, "bad_ends": 0.9}, {"value": 1.0}, KEEP_LOG, "alpha=5 is shown to end badly more often"),
        (None, {"value": 3.0, "returned": 4.0}, KEEP_LOG, "Monte Carlo contradicts the fitted gain of BC"),
    ],
)
def test_what_is_shown_and_yet_not_kept_has_its_reason(winner, bc, verdict, last):
    value = None if winner is None else stored_value("alpha=5", **winner)
    judgement = judge(value, stored_value("BC", **bc), "none can be ranked", episodes=100)
    assert judgement.verdict == verdict, judgement.reasons
    assert any(last in reason for reason in judgement.reasons), judgement.reasons


@pytest.mark.parametrize("against", [{"bad_ends": 0.9}, {"wdr": 0.2}, {"lost": "reward on dropped rows"}])
def test_more_episodes_are_not_advised_where_a_gain_would_not_count(against):
    lost = against.pop("lost", "")
    reasons = judge(
        stored_value("alpha=5", 1.1, error=0.3, **against), stored_value("BC", 1.0, error=0.3), lost=lost, episodes=100
    ).reasons
    assert not any("times as many episodes" in reason for reason in reasons), reasons
