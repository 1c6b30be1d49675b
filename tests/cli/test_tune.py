"""``prudent tune``: what is typed, and what it becomes."""

from types import SimpleNamespace

import pytest

from helpers.runs import prudent, write_log
from prudent import tuning
from prudent.tuning import plan


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type words after ``prudent tune LOG``; returns the plan that they make."""
    log = write_log(tmp_path / "log.npz")
    made = []

    def tune(dataset, _out, *, algorithm=None, alpha=None, seeds=plan.SEEDS, sources=None, **settings):
        assert sources["source"] == [str(log)], "without them the parts of a large log cannot be had again"
        made.append(plan.make(dataset, algorithm, alpha, seeds, settings))
        return SimpleNamespace(folder=tmp_path)

    monkeypatch.setattr(tuning, "tune", tune)

    def run(*words, behind=False):
        assert prudent("tune", *words, log) == 0 if behind else prudent("tune", log, *words) == 0
        return made.pop()

    return run


def values(request):
    return {grid.algorithm: (grid.strength, grid.values, grid.given) for grid in request.grids}


def test_several_algorithms_before_or_behind_the_log(typed):
    for behind in (True, False):
        request = typed("--discount", 0.5, "--algo", "cql", "iql", "td3_bc", behind=behind)
        assert [grid.algorithm for grid in request.grids] == ["cql", "iql", "td3_bc"]
    assert values(request)["iql"] == ("beta", (0.1, 0.3, 1.0, 3.0, 9.0, 30.0), False)
    assert values(request)["td3_bc"][:2] == ("alpha", (0.083, 0.25, 0.83, 2.5, 7.5, 25.0))


def test_values_of_each_strength(typed):
    request = typed("--discount", 0.5, "--algo", "cql", "iql", "--alpha", 1, 2, "--beta", 4)
    assert values(request) == {"cql": ("alpha", (1.0, 2.0), True), "iql": ("beta", (4.0,), True)}


def test_a_setting_goes_to_those_that_have_it(typed):
    words = ["--hidden", 8, 8, "--n-actions", 3, "--expectile", 0.8, "--seeds", 4, 5]
    request = typed("--discount", 0.5, "--algo", "cql", "iql", *words)
    cql, iql = (grid.config for grid in request.grids)
    assert (cql.hidden, cql.n_actions, iql.hidden, iql.expectile) == ((8, 8), 3, (8, 8), 0.8)
    assert request.seeds == (4, 5)


def test_without_a_word_the_log_says_it(typed):
    request = typed()
    assert values(request)["cql"][2] is False
    assert request.settings.steps == 4_000


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--algo", "cql", "iqll"], "did you mean iql"),
        (["--algo", "cql", "bc"], "bc has no setting to choose, such as alpha: take one of cal_ql, ciql, cpql, cql"),
        (["--algo", "cql", "cql"], "one or more different names"),
        (["--algo", "iql", "--alpha", "1"], "unknown argument --alpha"),
        (["--expectile", "0.7"], "unknown argument --expectile"),
        (["--algo", "cql", "--beta", "x"], "unknown argument --beta"),
        (["--algo", "iql", "--beta", "x"], "argument --beta: invalid float value"),
    ],
)
def test_mistakes_are_one_line(tmp_path, words, complaint, capsys):
    log = write_log(tmp_path / "log.npz")
    assert prudent("tune", log, "--out", tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_help_shows_every_grid(capsys):
    assert prudent("tune", "--algo", "cql", "iql", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "values to try: weight of the conservative gap" in shown
    assert "values to try: inverse temperature of the cloning weights" in shown
    assert "settings of iql" in shown
    assert shown.count("--critic-lr X") == 1
