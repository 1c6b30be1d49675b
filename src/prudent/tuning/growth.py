"""How the grid goes on: values beyond an edge, while the winner sits there and nobody chose the values."""

from collections.abc import Sequence

from prudent.tuning.grid import Grid, Run, at_edge
from prudent.tuning.plan import Plan
from prudent.tuning.result import Candidate, ranked


def further_runs(plan: Plan, candidates: Sequence[Candidate]) -> list[Run]:
    """The runs to train next; empty if the winner of those so far has neighbours on both sides, or none may follow.

    If no run can be ranked, as when all policies leave the log, each grid goes on to its cautious side. Values and
    folders depend on the side and the number of the run alone, so that other budgets for ranking, which may choose
    another side, never find other members in a folder.
    """
    winner = next((c for c in ranked(candidates) if c.rank == 1), None)
    if all(c.step is None for c in candidates):  # all have diverged, as others would
        return []
    sides = [(grid, _side(grid, winner, candidates)) for grid in plan.grids if not grid.given]
    runs = [_next(plan, grid, side, candidates) for grid, side in sides if side]
    return [run for run in runs if run is not None]


def _side(grid: Grid, winner: Candidate | None, candidates: Sequence[Candidate]) -> str:
    """The edge of a grid at which the winner sits; empty if it sits elsewhere."""
    if winner is None:
        return grid.cautious_side
    values = [c.strength for c in candidates if c.algorithm == grid.algorithm and c.strength is not None]
    return at_edge(sorted(set(values)), winner.strength) if winner.algorithm == grid.algorithm else ""


def _next(plan: Plan, grid: Grid, side: str, candidates: Sequence[Candidate]) -> Run | None:
    """The first run beyond an edge that is not among the candidates; None after the last."""
    trained = {c.run for c in candidates}
    for number, values in enumerate(grid.beyond(side), 1):
        run = plan.run(grid, values, f"_{side}" if number == 1 else f"_{side}_{number}")
        if run.folder not in trained:
            return run
    return None
