"""The grid goes on beyond its edge while the winner sits there, and only there."""

from dataclasses import replace

import pytest

from benchmarks import known
from prudent.tuning import plan
from prudent.tuning.grid import Grid, around, at_edge, edge_note
from prudent.tuning.growth import further_runs
from prudent.tuning.result import Candidate


@pytest.fixture(scope="module")
def log():
    return known.tabular(0).log(30, 0)


def request(log, *algorithms, alpha=None):
    return plan.make(log, algorithms, alpha, [0, 1], {"discount": 0.5, "steps": 1})


def candidates(run, bound=None):
    """The candidates of a run, without a value, except where ``bound`` gives the lower bound of a strength."""
    made = []
    for member in run.members:
        strength = getattr(member.config, run.strength)
        low = None if bound is None else bound(strength)
        setting = run.prefix + member.name.partition(",seed")[0]
        c = Candidate(
            run.name(member),
            setting,
            run.algorithm,
            run.folder,
            member.name,
            strength,
            member.seed,
            10,
            reason="outside",
        )
        made.append(c if low is None else replace(c, value=low + 1, interval=(low, low + 2)))
    return made


def all_runs(plan, bound):
    """Folders and values of the runs that follow, one after the other."""
    runs, valued, followed = [plan.run(grid) for grid in plan.grids], [], []
    while runs:
        valued += [c for run in runs for c in candidates(run, bound=bound)]
        runs = further_runs(plan, valued)
        followed += [
            (run.folder, [getattr(m.config, run.strength) for m in run.members if m.seed == 0]) for run in runs
        ]
    return followed


def test_below_the_smallest_it_goes_on_to_zero(log):
    made = request(log, "discrete_cql")
    least = min(made.grids[0].values)
    followed = all_runs(made, lambda alpha: -alpha)
    assert [folder for folder, _ in followed] == ["grid_below", "grid_below_2"]
    assert followed[0][1] == pytest.approx([least / 3, least / 9], rel=0.06)
    assert followed[1][1] == [pytest.approx(least / 27, rel=0.06), 0.0]


def test_above_the_largest_it_ends_after_four(log):
    made = request(log, "discrete_cql")
    most = max(made.grids[0].values)
    followed = all_runs(made, lambda alpha: alpha)
    assert [folder for folder, _ in followed] == ["grid_above", "grid_above_2"]
    assert [v for _, values in followed for v in values] == pytest.approx([most * 3**k for k in range(1, 5)], rel=0.06)


def test_it_ends_when_the_winner_has_neighbours(log):
    made = request(log, "discrete_cql")
    assert all_runs(made, lambda alpha: -abs(alpha - made.grids[0].values[2])) == []
    target = min(made.grids[0].values) / 3
    assert [folder for folder, _ in all_runs(made, lambda alpha: -abs(alpha - target))] == ["grid_below"]
    refused = lambda alpha: -alpha if alpha >= min(made.grids[0].values) else None  # noqa: E731
    assert len(all_runs(made, refused)) == 1, "what is refused beyond the edge ends it"


def test_given_values_are_all_there_is(log):
    made = request(log, "discrete_cql", alpha=[1.0, 2.0])
    assert all_runs(made, lambda alpha: -alpha) == []
    grid = made.grids[0].to_json()
    assert edge_note(grid, [1.0, 2.0], 1.0) == (
        "the best alpha of discrete_cql, 1, is the smallest that was tried: 0.33 may be better"
    )
    assert edge_note(grid, [1.0, 2.0], 2.0).endswith("2, is the largest that was tried: 6 may be better")
    assert edge_note(grid, [1.0, 2.0, 3.0], 2.0) == ""
    assert edge_note(grid, [0.0, 2.0, 3.0], 0.0) == "", "nothing is below 0"
    assert edge_note(grid, [1.0], 1.0) == "", "a single value was meant to be the one"
    assert at_edge([1.0, 2.0], None) == ""


def test_only_the_winners_grid_goes_on(log):
    made = request(log, "discrete_cql", "discrete_iql")
    betas = made.grids[1].values
    assert betas == around(3.0)
    followed = all_runs(made, lambda strength: strength if strength in betas else -1000.0 - strength)
    assert followed[0] == ("grid_discrete_iql_above", [90.0, 270.0])
    assert all(folder.startswith("grid_discrete_iql_above") for folder, _ in followed)


def test_where_all_leave_the_log_each_grid_goes_on_to_its_cautious_side(log):
    made = request(log, "discrete_cql", "discrete_iql")
    followed = all_runs(made, lambda _: None)
    assert [folder for folder, _ in followed] == [
        "grid_above",
        "grid_discrete_iql_below",
        "grid_above_2",
        "grid_discrete_iql_below_2",
    ]
    stopped = [replace(c, step=None) for grid in made.grids for c in candidates(made.run(grid))]
    assert further_runs(made, stopped) == [], "all have diverged, as more of them would"


def test_zero_is_left_out_where_it_is_not_allowed():
    from prudent.algorithms import sparse_ql

    grid = Grid("sparse_ql", sparse_ql.Config(), "alpha", (0.9, 9.0), given=False)
    assert [v for values in grid.beyond("below") for v in values] == [0.3, 0.1, 0.033, 0.011]
    assert Grid("sparse_ql", sparse_ql.Config(), "alpha", (0.0, 9.0), given=False).beyond("below") == []
