"""The regression check says what got worse, and nothing else."""

import json
from copy import deepcopy

import pytest
from benchmarks.compare import NotComparableError, worse

from benchmarks import __main__ as suite_main


def result(**ratios):
    """A result with ratios given as (q1, median, q3)."""
    return {
        "part": "step",
        "what": "the work item",
        "clock": "process",
        "margin": 0.1,
        "environment": {"processor": "one", "threads": 1},
        "ratios": {
            name: {"q1": q1, "median": median, "q3": q3, "min": q1, "max": q3}
            for name, (q1, median, q3) in ratios.items()
        },
    }


STORED = result(exact=(0.9, 1.0, 1.1), sampled=(0.4, 0.5, 0.6))


def test_the_same_again_is_no_worse():
    assert worse(STORED, deepcopy(STORED)) == []


def test_a_ratio_beyond_range_and_margin_is_told_with_its_figures():
    (line,) = worse(STORED, result(exact=(1.22, 1.3, 1.4), sampled=(0.4, 0.5, 0.6)))
    assert "exact" in line, line
    assert "1.3" in line, line
    assert "10 %" in line, line


@pytest.mark.parametrize(
    ("exact", "why"),
    [
        ((1.2, 1.3, 1.4), "beyond the range, within the margin: 1.1 * 1.1 is 1.21"),
        ((1.0, 1.5, 9.0), "its middle half still touches the stored one"),
        ((0.1, 0.2, 0.3), "it got better"),
    ],
)
def test_what_is_not_told(exact, why):
    assert worse(STORED, result(exact=exact, sampled=(0.4, 0.5, 0.6))) == [], why


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"environment": {"processor": "two", "threads": 1}}, "processor"),
        ({"environment": {"processor": "one", "threads": 2}}, "threads"),
        ({"what": "another"}, "another"),
        ({"clock": "wall"}, "wall"),
        ({"ratios": {"exact": STORED["ratios"]["exact"]}}, "sampled"),
    ],
)
def test_what_is_unlike_is_not_compared(change, named):
    with pytest.raises(NotComparableError, match=named):
        worse(STORED, {**STORED, **change})


@pytest.mark.parametrize(
    ("stored", "found", "status", "said"),
    [
        (STORED, STORED, 0, "no ratio got worse"),
        (STORED, result(exact=(2, 3, 4), sampled=(0.4, 0.5, 0.6)), 1, "worse: step, exact"),
        (None, STORED, 2, "no stored result"),
    ],
)
def test_the_exit_status(stored, found, status, said, tmp_path, capsys):
    for name, content in (("stored", stored), ("found", found)):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / "step.json").write_text(json.dumps(content), encoding="utf-8")
    assert suite_main.check(tmp_path / "found", tmp_path / "stored") == status
    assert said in capsys.readouterr().out
