"""What depends on the step number: which networks move, whether the actor clones, how far alpha is annealed."""

from typing import Any

from prudent.types import Hyper


def actor_moves(hyper: Hyper, step: int) -> bool:
    """Whether the actor moves in this step."""
    return step % getattr(hyper, "actor_period", 1) == 0


def targets_follow(hyper: Hyper, step: int) -> bool:
    """Whether the target networks move in this step."""
    return step % getattr(hyper, "target_period", 1) == 0


def clones(hyper: Hyper, step: int) -> bool:
    """Whether the actor clones the data in this step, instead of following the critics."""
    return step < hyper.bc_warmup_steps


def alpha_progress(hyper: Hyper, step: int) -> float:
    """How far alpha is annealed towards ``alpha_final``, 0 to 1."""
    return min(step / hyper.alpha_anneal_steps, 1.0)


def stage(hyper: Hyper, step: int) -> tuple[Any, ...]:
    """All of these for one step. Steps with the same stage run the same code; only the numbers in tensors differ."""
    decisions: tuple[Any, ...] = ()
    for setting, decides in (
        ("actor_period", actor_moves),
        ("target_period", targets_follow),
        ("bc_warmup_steps", clones),
    ):
        if hasattr(hyper, setting):
            decisions += (decides(hyper, step),)
    if getattr(hyper, "alpha_final", None) is not None:
        decisions += (alpha_progress(hyper, step),)
    return decisions
