"""Windows: the logged steps from each row of a batch on, for targets over several steps (``n_steps``).

Episodes are contiguous, so the rows of a window are found from the row where it begins: nothing is stored for it but
one flag per row, whether the next row follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from prudent.algorithms.shared.multi_step import values_every_state
from prudent.data import Dataset
from prudent.engine.members import Member
from prudent.errors import ConfigError
from prudent.types import Hyper, Next, Step

Pick = Callable[[Tensor], Tensor]
"""A column's values at rows (P, ...)."""


def n_steps(hyper: Hyper) -> int:
    """Steps in a window; 1 for algorithms that do not bootstrap."""
    return getattr(hyper, "n_steps", 1)


def fitted_to(dataset: Dataset, members: Sequence[Member]) -> list[Member]:
    """The members with the ``n_steps`` that they can have on these data: 1 if every episode has a single step.

    Raises:
        ConfigError: a window would be longer than every episode.
        DataError: the rows are in no order of time.
    """
    wanted = getattr(members[0].config, "n_steps", 1)
    if wanted == 1:
        return list(members)
    longest = int(dataset.episode_lengths.max())
    if longest == 1:
        return [replace(member, config=replace(member.config, n_steps=1)) for member in members]
    if wanted > longest:
        raise ConfigError(
            f"n_steps {wanted} is longer than every episode of {dataset.name}: the longest has {longest} steps, "
            f"so give at most {longest}"
        )
    dataset.check_order()
    return list(members)


def taken_as_one(asked: Sequence[Member], fitted: Sequence[Member]) -> list[str]:
    """One line if :func:`fitted_to` changed ``n_steps``, else none."""
    steps = getattr(asked[0].config, "n_steps", 1)
    if steps == getattr(fitted[0].config, "n_steps", 1):
        return []
    return [f"every episode is a single step, so n_steps {steps} is taken as 1"]


def rows_of(rows_PB: Tensor, follows: Pick, count: int) -> tuple[Tensor, Tensor]:
    """The rows (P, n, B) of the windows of n = ``count`` steps from ``rows_PB`` on, and whether each window goes on.

    ``follows`` says of rows whether the next row continues the episode. A window goes on as long as it does; one that
    has ended repeats its last row.
    """
    step_n1 = torch.arange(count, device=rows_PB.device).unsqueeze(-1)
    rows_PnB = rows_PB.unsqueeze(1) + step_n1
    goes_on = follows(rows_PnB[:, :-1]).to(torch.int64).cumprod(1)
    last_P1B = goes_on.sum(1, keepdim=True)
    ended = torch.zeros_like(rows_PB).unsqueeze(1)
    return rows_PB.unsqueeze(1) + torch.minimum(step_n1, last_P1B), torch.cat([goes_on, ended], 1).bool()


class Windows:
    """How the windows of a population's batches are gathered.

    Args:
        hyper: the settings; ``n_steps`` must be above 1.
        follows: whether the row after each of these rows continues its episode.
        reward, terminated, dt: these columns; no ``dt`` where every step takes one unit of time.
        following: what followed these rows, (P, B) -> :class:`prudent.types.Next`.
    """

    def __init__(
        self,
        hyper: Hyper,
        follows: Pick,
        reward: Pick,
        terminated: Pick,
        dt: Pick | None,
        following: Callable[[Tensor], Next],
    ):
        self.count, self.every_state = n_steps(hyper), values_every_state(hyper.members)
        self.follows, self.following = follows, following
        self.reward, self.terminated, self.dt = reward, terminated, dt

    def gather(self, rows_PB: Tensor) -> tuple[Step, ...]:
        """The steps of the windows from these rows on."""
        rows_PnB, goes_on_PnB = rows_of(rows_PB, self.follows, self.count)
        reward_PnB, dt_PnB = self.reward(rows_PnB), None if self.dt is None else self.dt(rows_PnB)
        ends_PB = self.terminated(rows_PnB[:, -1])
        steps = []
        for k in range(self.count):
            goes_on = goes_on_PnB[:, k]
            valued = self.every_state or k == self.count - 1
            steps.append(
                Step(
                    reward=reward_PnB[:, k],
                    terminated=ends_PB & ~goes_on,
                    goes_on=goes_on,
                    dt=None if dt_PnB is None else dt_PnB[:, k],
                    next=self.following(rows_PnB[:, k]) if valued else None,
                )
            )
        return tuple(steps)
