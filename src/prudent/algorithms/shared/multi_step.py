"""Targets over one or several logged steps, ``n_steps`` and ``trace``: Peng's Q(lambda).

From row i the log gives rewards r_0 .. r_{n-1} and next states s_1 .. s_n. With lambda for ``trace``,

    G_{n-1} = r_{n-1} + gamma^dt_{n-1} (1 - terminated) V(s_n)
    G_k     = r_k + gamma^dt_k [ (1 - lambda) V(s_{k+1}) + lambda G_{k+1} ]
    y       = G_0

(Peng & Williams 1996; Kozuno et al. 2021, arXiv 2103.00107; for CQL: Kim & Oh 2026, CPQL, arXiv 2605.14779). With n 1
or lambda 0, y is the one-step target. With lambda 1 it is the n-step return and only V(s_n) is evaluated. A window ends
sooner at a termination, where nothing is added, and where the episode or its recording ends: V is taken there.

- What the algorithm adds to a value (the minimum over the critics, the entropy, ReBRAC's penalty) is inside each V. So
  it counts where a V is taken, in proportion to its weight: not at states that a window passes over with lambda 1. Of
  SAC's entropy, one bonus in n steps is left then. ReBRAC's penalty is nothing there anyway: a logged action has no
  distance from itself. The code of CPQL's authors backs up each critic apart and takes the minimum of the two G_0,
  which is never smaller than y.
- All V of a window take the same noise, so a step draws as many random numbers as with n 1. Each V alone has the
  distribution of a one-step target's, and the variance that the noise gives y is at most that of one V.
- The states before a window's last one are valued in one call, because one costs less than n - 1. The last one has a
  call of its own: so a member with lambda 1 learns the same bits, whether or not another one needs the states before.
- Nothing corrects for the actions that the behaviour policy took: y leans towards the value of the behaviour policy,
  the more, the larger n and lambda are.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from prudent.types import Batch, Hyper, Next, Step

NextValue = Callable[[Next], Tensor]
"""V(s'), (P, B) or (..., P, B), or that of n B rows: n states for each row of the batch, see :func:`repeated`."""


def values_every_state(configs: Sequence[Any]) -> bool:
    """Whether targets need V of every next state of a window: some member has a ``trace`` below 1."""
    return getattr(configs[0], "n_steps", 1) > 1 and any(config.trace < 1 for config in configs)


def bootstrap(batch: Batch, value: NextValue, hyper: Hyper) -> Tensor:
    """The target ``y = G_0``, (P, B): ``r + gamma^dt (1 - terminated) V(s')`` for a single step.

    Terminated steps are not bootstrapped, truncated ones are.
    """
    if not batch.window:
        return _one_step(batch.reward, batch.terminated, batch.dt, value(batch.next), hyper)
    *passed, last = batch.window
    assert last.next is not None
    y_PB = _one_step(last.reward, last.terminated, last.dt, value(last.next), hyper)
    for step, value_PB in reversed(list(zip(passed, _values(passed, value), strict=True))):
        further_PB = step.reward + discount(step.dt, hyper) * _ahead(y_PB, value_PB, hyper)
        # Where the window has ended, this step is its last one: y is there already.
        y_PB = torch.where(step.goes_on, further_PB, y_PB)
    return y_PB


def _one_step(reward_PB: Tensor, terminated_PB: Tensor, dt_PB: Tensor | None, value_PB: Tensor, hyper: Hyper) -> Tensor:
    return reward_PB + discount(dt_PB, hyper) * torch.where(terminated_PB, 0.0, value_PB)


def _ahead(y_PB: Tensor, value_PB: Tensor | None, hyper: Hyper) -> Tensor:
    """``(1 - lambda) V(s_{k+1}) + lambda G_{k+1}``."""
    if value_PB is None:  # lambda is 1
        return y_PB
    trace_P1 = hyper.trace.unsqueeze(-1)
    return (1 - trace_P1) * value_PB + trace_P1 * y_PB


def _values(steps: Sequence[Step], value: NextValue) -> Sequence[Tensor | None]:
    """V after each of n steps, from one call for all; None where V is not needed."""
    following = [step.next for step in steps if step.next is not None]
    if not following:
        return [None] * len(steps)
    present = [f.name for f in fields(Next) if getattr(following[0], f.name) is not None]
    # (P, n B, ...): step after step.
    joined = Next(**{name: torch.cat([getattr(after, name) for after in following], dim=1) for name in present})
    return value(joined).unflatten(-1, (len(following), -1)).unbind(-2)


def repeated(noise: Tensor, observation: Tensor) -> Tensor:
    """The noise (..., B, A) of the batch's rows for states (P, n B, S), n for each row: all n take the same."""
    count = observation.shape[-2] // noise.shape[-2]
    return noise if count == 1 else torch.cat([noise] * count, dim=-2)


def discount(dt_PB: Tensor | None, hyper: Hyper) -> Tensor:
    """``gamma^dt``, (P, B), or (P, 1) if every step takes one unit of time."""
    if dt_PB is None:
        return hyper.discount.unsqueeze(-1)
    return (hyper.log_discount.unsqueeze(-1) * dt_PB).exp()
