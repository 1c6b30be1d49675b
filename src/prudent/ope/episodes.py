"""The log as episodes in time: what the estimators may be asked to estimate from, and the clock of the discount.

One convention for what was cut off: a truncated episode goes on. Its sum of discounted rewards ends with the fitted
value of the state in which the recording stopped, ``gamma ** t * V(s_t)``; a terminated one ends with nothing. The
undiscounted return per episode is the other thing that people mean: what the recording holds, where a truncation ends
the sum.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prudent import statistics
from prudent.data import Dataset
from prudent.data.audit import reward_constant
from prudent.data.columns import counted
from prudent.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Episodes:
    """A checked dataset with a discount; (E, T) arrays have a column per step and one for what a cut episode is worth.

    Make one with :func:`lay_out`.
    """

    dataset: Dataset
    discount: float

    def __len__(self) -> int:
        return self.dataset.n_episodes

    @property
    def first(self) -> np.ndarray:
        """(E,) rows in which the episodes start."""
        return self.dataset.episode_bounds[:-1]

    @property
    def last(self) -> np.ndarray:
        """(E,) their last rows."""
        return self.dataset.episode_bounds[1:] - 1

    @property
    def cut(self) -> np.ndarray:
        """(E,) bool: truncated, so that there is a future which the log does not show."""
        return ~self.dataset.terminated[self.last]

    @cached_property
    def unit(self) -> np.ndarray:
        """(E,) int64: which unit each belongs to, see :func:`prudent.data.units.units`."""
        return self.dataset.units()[0]

    @property
    def n_units(self) -> int:
        return int(self.unit.max()) + 1

    @property
    def by(self) -> str:
        """What a unit is: ``episode`` or ``group``."""
        return self.dataset.units()[1]

    def per_unit(self, influence: np.ndarray) -> np.ndarray:
        """Contributions of episodes (E,) as those of units (U,), whose mean is the same.

        Each unit's share of the deviation from the mean: the variance of these over the units is that of the mean when
        whole units are drawn (Liang & Zeger 1986, with ``U / (U - 1)`` for few of them).
        """
        if self.n_units == len(self):
            return influence
        mean = influence.mean()
        return mean + self.n_units / len(self) * np.bincount(self.unit, influence - mean, self.n_units)

    @cached_property
    def step(self) -> np.ndarray:
        """(rows,) int64: number of decisions before this one in its episode."""
        return np.arange(len(self.dataset)) - self.first[self.dataset.episode_of_row]

    @cached_property
    def dt(self) -> np.ndarray:
        """(rows,) float64: units of time that each step took."""
        column = self.dataset.extra.get("dt")
        return np.ones(len(self.dataset)) if column is None else column.astype(np.float64)

    @property
    def clock(self) -> str:
        """What the discount is of: ``step``, or ``unit of time`` where steps say how long they took."""
        return "unit of time" if "dt" in self.dataset.extra else "step"

    @cached_property
    def time(self) -> np.ndarray:
        """(rows,) float64: time since the start of the episode."""
        passed = np.cumsum(self.dt)
        before = passed - self.dt
        return before - before[self.first][self.dataset.episode_of_row]

    def pad(self, values: np.ndarray, ending: np.ndarray | None = None) -> np.ndarray:
        """(rows,) as (E, T) float64, zero behind the end; ``ending`` (E,) stands in the column behind the last step."""
        table = np.zeros((len(self), int(self.dataset.episode_lengths.max()) + 1))
        table[self.dataset.episode_of_row, self.step] = values
        if ending is not None:
            table[np.arange(len(self)), self.dataset.episode_lengths] = ending
        return table

    @property
    def end_weight(self) -> np.ndarray:
        """(E,) ``gamma ** t`` at the end of each episode."""
        return self.discount ** (self.time[self.last] + self.dt[self.last])

    @property
    def largest_value(self) -> float:
        """What no value exceeds in size: of the largest reward for ever, every shortest step; without a discount, of
        as many rewards as the log has."""
        reward = float(np.abs(self.dataset.reward).max())
        if self.discount == 1:
            return reward * len(self.dataset)
        return statistics.largest_value(reward, self.discount, float(self.dt.min()))

    @property
    def tail_weight(self) -> float:
        """Mean over episodes of ``gamma ** t`` where the recording stopped, 0 where the task ended."""
        return float((self.end_weight * self.cut).mean())


def going_on(dataset: Dataset) -> np.ndarray:
    """(rows,) bool: whether there is a value behind each row: yes after a truncation, no after a termination."""
    return ~dataset.terminated


def check_rewards(dataset: Dataset) -> None:
    """Refuse rewards by which no policy can be told from another.

    Raises:
        DataError: they are all the same, and no episode ends by the task, or they are all 0.
    """
    if reward_constant(dataset) is not None:
        raise DataError(
            f"{dataset.name}: every reward is {dataset.reward[0]:g}, so no policy can be told from another: name the "
            "column that says what went well"
        )


def lay_out(dataset: Dataset, discount: float, least: int = 2) -> Episodes:
    """Check that values can be estimated from the dataset and lay it out.

    Raises:
        ConfigError: the discount is out of range, or 1 where episodes do not end.
        DataError: there are fewer than ``least`` units, or rows of an episode do not follow each other.
    """
    if not 0 <= discount <= 1:
        raise ConfigError(f"discount must lie within [0, 1], got {discount}")
    inside = ~(dataset.terminated | dataset.truncated)
    broken = np.flatnonzero(inside & ~dataset.followed)
    if len(broken):
        raise DataError(
            f"{dataset.name}: {counted(len(broken), 'row')} inside episodes do not lead to the next one, the first is "
            f"row {broken[0]}: truncation flags are missing there, or rows stand in no order of time"
        )
    unit, by = dataset.units()
    count = int(unit.max()) + 1
    if count < least:
        remedy = "flag where they end" if by == "episode" else "leave the column group out"
        raise DataError(
            f"{dataset.name}: {counted(count, by)}, off-policy evaluation needs {least} or more: "
            f"it resamples and splits whole {by}s; {remedy}, or collect more"
        )
    dt = dataset.extra.get("dt")
    if dt is not None and not (np.isfinite(dt).all() and (dt > 0).all()):
        row = np.flatnonzero(~(np.isfinite(dt) & (dt > 0)))[0]
        raise DataError(f"{dataset.name}: dt must be a number above 0 in every row, row {row} is not")
    endless = int((~dataset.terminated[dataset.episode_bounds[1:] - 1]).sum())
    longest = 1.0 if dt is None else float(dt.max())
    if endless and np.float32(discount**longest) == 1:
        lasting = "" if dt is None else f", and none of their steps (dt of at most {longest:g}) costs value"
        raise ConfigError(
            f"{dataset.name}: {counted(endless, 'episode')} of {dataset.n_episodes} do not terminate{lasting}, so "
            "values without a discount have no bound: give a discount below 1"
            f"{'' if dt is None else ', or dt in a smaller unit of time'}"
        )
    return Episodes(dataset, discount)
