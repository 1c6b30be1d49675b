"""How long a tuning will take: what is timed, and how it is said."""

import pytest

from benchmarks import known
from prudent import ope
from prudent.tuning import estimate, plan
from prudent.tuning.parts import divide


@pytest.fixture(scope="module")
def log():
    return known.tabular(0).log(30, 0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "1 s"), (7.4, "7 s"), (33, "35 s"), (89, "90 s"), (100, "2 min"), (3_000, "50 min"), (9_000, "2.5 h")],
)
def test_durations_are_round(seconds, shown):
    assert estimate._time(seconds) == shown


def test_all_steps_count(log, monkeypatch):
    """Training: the steps of every run. Ranking: every candidate. Weighing: two policies."""
    options = {"steps": 100, "discount": 0.5, "rank_steps": 200, "final_steps": 300, "hidden": (8,)}
    request = plan.make(log, ("discrete_cql", "discrete_iql"), [1.0, 2.0], [0, 1], options | {"beta": [1.0]})
    asked = []

    def step_seconds(run, *_):
        return {"discrete_bc": 1.0, "discrete_cql": 3.0, "discrete_iql": 2.0}[run.algorithm]

    def estimate_seconds(_policy, part, _plan, settings, policies):
        asked.append((part.name.partition("(")[2], settings.steps, policies))
        return 60.0

    monkeypatch.setattr(estimate, "_step_seconds", step_seconds)
    monkeypatch.setattr(estimate, "_estimate_seconds", estimate_seconds)
    parts = divide(log, 0, 0, 6)
    assert estimate.text(request, parts).startswith("about 12 min: training 10 min, ranking 60 s, weighing 60 s")
    assert asked == [("ranking part)", 200, 2 + 4 + 2), ("final part)", 300, 2)]
    twice = plan.make(log, ("discrete_cql",), [1.0], [0], options | {"splits": 2})
    assert estimate.text(twice, parts) == (
        "about 17 min: training 7 min, ranking 60 s, weighing 60 s for each of 2 splits"
    )


def test_what_takes_time_is_scaled_to_all_of_it(log, monkeypatch):
    """Learning scales with its steps, asking for a value with the number of policies."""
    settings = ope.Settings(steps=1_000, behaviour_steps=500, n_bootstrap=2)

    def timed(_policy, _piece, _plan, _settings, steps):
        return 10.0 + steps - 1, 20.0 + 2 * (steps - 1), 30.0

    monkeypatch.setattr(estimate, "_timed", timed)
    request = plan.make(log, None, [1.0], [0], {"discount": 0.5})
    seconds = estimate._estimate_seconds(None, log, request, settings, 4)
    assert seconds == pytest.approx((10 + 499) + (20 + 2 * 999) + 4 * 30)


def test_a_real_estimate(log):
    request = plan.make(log, None, [1.0], [0], {"discount": 0.5, "steps": 20, "rank_steps": 5, "final_steps": 5})
    text = estimate.text(request, divide(log, 0, 0, 6))
    assert text.startswith("about ")
    assert all(f"{phase} " in text for phase in ("training", "ranking", "weighing"))


def test_a_long_log_is_timed_on_a_piece(log, monkeypatch):
    monkeypatch.setattr(estimate, "ROWS", len(log) // 2)
    piece = estimate._piece(log)
    assert 10 <= piece.n_episodes < log.n_episodes
    assert len(piece) <= len(log) // 2
    assert estimate._piece(piece) is piece
