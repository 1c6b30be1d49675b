"""``prudent evaluate``: its table, its JSON, its mistakes."""

import json

import pytest

from helpers.runs import prudent, tree

EVALUATION_KEYS = {
    "return_mean",
    "return_std",
    "normalized_score",
    "iqm",
    "ci95",
    "predicted_value",
    "realized_value",
    "lower_bound_share",
}


@pytest.mark.parametrize("what", ["run", "checkpoint"])
def test_evaluate_json(finished, what, capsys):
    place = finished if what == "run" else finished / "checkpoints" / "step_5"
    before = tree(finished)
    assert prudent("evaluate", place, "--episodes", 2, "--json") == 0

    def refuse(constant):
        raise AssertionError(f"{constant} is not strict JSON")

    out, errors = capsys.readouterr()
    found = json.loads(out, parse_constant=refuse)
    assert errors == ""
    assert set(found["overall"]) == EVALUATION_KEYS
    assert list(found["members"]) == ["alpha=1,seed=0", "alpha=5,seed=0"]
    assert all(set(figures) == EVALUATION_KEYS for figures in found["members"].values())
    for kind in ("deterministic", "stochastic"):
        assert set(found[kind]["overall"]) == EVALUATION_KEYS
    assert (found["env"], found["step"], found["episodes"]) == ("Pendulum-v1", 5, 2)
    overall = found["overall"]
    assert overall["ci95"][0] <= overall["iqm"] <= overall["ci95"][1]
    assert 0 <= overall["lower_bound_share"] <= 1
    assert overall["normalized_score"] is None
    assert tree(finished) == before


def test_evaluate_is_reproducible_and_agrees_with_python(finished, capsys):
    import prudent as package

    texts = []
    for _ in range(2):
        assert prudent("evaluate", finished, "--episodes", 1, "--seed", 3, "--json") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    summary = package.load(finished).evaluate("Pendulum-v1", episodes=1, seed=3)
    assert {key: json.loads(texts[0])[key] for key in summary} == summary


def test_evaluate_prints_a_table(finished, capsys):
    assert prudent("evaluate", finished, "--episodes", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{finished}, step 5: 1 episodes per member in Pendulum-v1"
    # Nothing is pooled over different settings, and a setting of one member would only repeat it.
    assert [line.split()[0] for line in lines[3:]] == ["alpha=1,seed=0", "alpha=5,seed=0"]


def test_evaluate_in_an_environment_that_does_not_fit(finished, capsys):
    assert prudent("evaluate", finished, "--env", "MountainCarContinuous-v0") == 2
    assert "does not fit" in capsys.readouterr().err
