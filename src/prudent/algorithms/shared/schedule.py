"""What the number of a step decides: whose turn it is, whether the policy still clones, how large alpha is."""

from typing import Any

from prudent.types import Hyper


def acts(hyper: Hyper, step: int) -> bool:
    """Whether the actor moves in this step."""
    return step % getattr(hyper, "actor_period", 1) == 0


def targets_follow(hyper: Hyper, step: int) -> bool:
    """Whether the target networks move in this step."""
    return step % getattr(hyper, "target_period", 1) == 0


def clones(hyper: Hyper, step: int) -> bool:
    """Whether the actor still clones the data instead of following the critic."""
    return step < hyper.bc_warmup_steps


def alpha_progress(hyper: Hyper, step: int) -> float:
    """How much of its way to ``alpha_final`` alpha has made, 0 to 1."""
    return min(step / hyper.alpha_anneal_steps, 1.0)


def stage(hyper: Hyper, step: int) -> tuple[Any, ...]:
    """All of that. Two steps of the same stage do the same work, on other numbers; a step on whose stage no other one
    is differs in one of its numbers."""
    found: tuple[Any, ...] = ()
    for setting, decides in (("actor_period", acts), ("target_period", targets_follow), ("bc_warmup_steps", clones)):
        if hasattr(hyper, setting):
            found += (decides(hyper, step),)
    if getattr(hyper, "alpha_final", None) is not None:
        found += (alpha_progress(hyper, step),)
    return found
