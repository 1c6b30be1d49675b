"""The page of a tuning."""

import copy
import re

import pytest

from prudent.report.tuning import tune_report

HOSTILE = "<script>window.owned=1</script>\"'><img src=x onerror=alert(1)>"


def estimate(value=None, low=None, high=None, why=None):
    return {"value": value, "ci95": None if low is None else [low, high], "unsupported": why}


def policy_value(name, value):
    nothing = estimate(why="effective sample size 3.0 of 24 episodes, below 20")
    return {
        "policy": name,
        "discount": 0.99,
        "fqe": estimate(value, value - 1, value + 1),
        "wdr": nothing,
        "pdwis": nothing,
        "behaviour": estimate(4.0, 3.0, 5.0),
        "undiscounted": {"pdwis": nothing, "behaviour": estimate(6.5, 6.0, 7.0)},
    }


def run(name, alpha, rank, value=8.0, reason=None):
    return {
        "name": name,
        "setting": "" if alpha is None else f"alpha={alpha:g}",
        "strength": alpha,
        "step": 40_000,
        "q": 2.5,
        "peak_step": 60_000,
        "reading": "dataset Q falls after step 40,000: overfitting from there",
        "value": value,
        "interval": None if value is None else [value - 1, value + 1],
        "reason": reason,
        "rank": rank,
    }


RESULT = {
    "plan": {
        "algorithm": "cql",
        "grids": [{"algorithm": "cql", "strength": "alpha", "values": [1.0, 5.0], "config": {"discount": 0.99}}],
        "seeds": [0],
        "settings": {"steps": 100},
        "dataset": {"name": HOSTILE, "episodes": 120},
    },
    "verdict": "deploy this policy",
    "reasons": ["alpha=5,seed=0 over BC: +3, 95 % interval +1 to +5: shown to be better"],
    "winner": "alpha=5,seed=0",
    "kept": "alpha=5,seed=0",
    "stability": {"splits": 5, "setting": {"alpha=5": 4, "alpha=1": 1}, "verdict": {"deploy this policy": 5}},
    "splits": [
        {
            "parts": {"by": "episode", "train": 72, "evaluation": 24, "final": 24},
            "candidates": [run("alpha=1,seed=0", 1.0, None, None, "out of the data"), run("alpha=5,seed=0", 5.0, 1)],
            "imitators": [run("BC,seed=1", None, 2, 4.5), run("BC,seed=0", None, 1, 5.0)],
            "imitator": "BC,seed=0",
            "final": {
                "policy": policy_value("alpha=5,seed=0", 8.0),
                "bc": policy_value("seed=0", 5.0),
                "differences": {"policy - BC": estimate(3.0, 1.0, 5.0)},
            },
        }
    ],
    "checked": {"env": "Pendulum-v1", "returns": {"alpha=5,seed=0": -150.0, "BC,seed=0": -480.0}},
}


@pytest.fixture
def result():
    return copy.deepcopy(RESULT)


def text_of(path):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", path.read_text("utf-8").partition("<body>")[2]))


def test_the_verdict_then_the_values_then_the_grid(tmp_path, result):
    path = tune_report(tmp_path, result)
    text = text_of(path)
    assert path == tmp_path / "report.html"
    told = ["Deploy this policy: alpha=5,seed=0", "Value of each policy", "policy, alpha=5,seed=0 8 (7 to 9)"]
    told += ["behaviour (what was logged) 4 (3 to 5)", "The grid", "alpha=5,seed=0 40,000 2.5 60,000 8 7 to 9 1 -150.0"]
    places = [text.find(part) for part in told]
    assert -1 not in places, told[places.index(-1)]
    assert places == sorted(places)
    assert "alpha=1,seed=0: out of the data" in text
    grid, _, clones = text.partition("The grid")[2].partition(" BC ")
    assert "alpha=1,seed=0" in grid
    assert "BC,seed=" not in grid, "BC has no rank among the runs of the grid"
    assert "BC,seed=1 40,000 4.5 3.5 to 5.5 no" in clones
    assert "BC,seed=0 40,000 5 4 to 6 yes -480.0" in clones
    assert "alpha=5 won 4 of 5" in text
    assert "seed=0: effective sample size 3.0 of 24 episodes, below 20." in text
    assert 'class="verdict good"' in path.read_text()


def test_what_is_not_deployed_is_not_green(tmp_path, result):
    result |= {"verdict": "keep BC", "kept": "BC,seed=0", "checked": None}
    result["stability"]["splits"] = 1
    result["splits"][0]["final"]["policy"] = None
    page = tune_report(tmp_path, result).read_text()
    assert 'class="verdict open"' in page
    assert "<strong>Keep BC</strong>" in page
    assert '<tr class="overall"><th scope="row" title="BC,seed=0">' in page
    assert "Other splits" not in page
    assert "Pendulum-v1" not in page


def test_a_hostile_name_stays_text(tmp_path, result):
    page = tune_report(tmp_path, result).read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page
