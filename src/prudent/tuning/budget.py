"""How much training a log asks for: a small log is learned in a few thousand steps of small networks.

docs/tuning.md has figures of twice as many steps, on problems with a known truth.
"""

from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Budget:
    """Budget of logs with up to ``rows`` rows. ``own`` are settings of the algorithms that have them."""

    rows: float
    steps: int
    rank_steps: int
    final_steps: int
    own: dict[str, Any]


BUDGETS = (
    Budget(
        20_000,
        steps=4_000,
        rank_steps=1_500,
        final_steps=2_000,
        own={
            "hidden": (64, 64),
            "batch_size": 64,
            "critic_lr": 1e-3,
            "value_lr": 1e-3,
            "actor_lr": 3e-4,
            "polyak": 0.02,
            "n_actions": 2,
        },
    ),
    Budget(
        100_000,
        steps=20_000,
        rank_steps=4_000,
        final_steps=10_000,
        own={
            "hidden": (128, 128),
            "batch_size": 128,
            "critic_lr": 5e-4,
            "value_lr": 5e-4,
            "polyak": 0.01,
            "n_actions": 4,
        },
    ),
    Budget(500_000, steps=50_000, rank_steps=4_000, final_steps=10_000, own={}),
    Budget(float("inf"), steps=100_000, rank_steps=4_000, final_steps=10_000, own={}),
)
"""The automatic budgets, the smallest first. What is not named has the algorithm's own default."""

LARGEST = BUDGETS[-1]


def of(rows: int) -> Budget:
    """The budget of a log with so many rows."""
    return next(budget for budget in BUDGETS if rows <= budget.rows)


def complete(settings: Any, budget: Budget) -> Any:
    """Settings of a tuning with the steps of a budget where they have none."""
    missing = {name: getattr(budget, name) for name in ("steps", "rank_steps", "final_steps")}
    return replace(settings, **{name: n for name, n in missing.items() if getattr(settings, name) is None})


def own_settings(config_type: type, budget: Budget) -> dict[str, Any]:
    """The settings of an algorithm that a budget sets."""
    names = {f.name for f in fields(config_type)}
    return {name: value for name, value in budget.own.items() if name in names}
