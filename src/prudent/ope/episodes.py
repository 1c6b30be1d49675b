"""The log as discounted episodes: checks that values can be estimated from it, and lays it out in (E, T) arrays.

One convention for truncated episodes: they go on. Their sum of discounted rewards ends with the fitted value of the
state in which the recording stopped, ``gamma ** t * V(s_t)``. After a termination nothing is added. The undiscounted
return per episode is different: it is the sum of the recorded rewards, and a truncation ends it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prudent.data import Dataset
from prudent.data.audit import reward_constant
from prudent.data.columns import counted
from prudent.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Episodes:
    """A checked dataset with a discount, made by :func:`lay_out`.

    Its (E, T) arrays have a column per step, and one more for the value after a truncation.
    """

    dataset: Dataset
    discount: float

    def __len__(self) -> int:
        return self.dataset.n_episodes

    @property
    def first(self) -> np.ndarray:
        """(E,) first row of each episode."""
        return self.dataset.episode_bounds[:-1]

    @property
    def last(self) -> np.ndarray:
        """(E,) last row of each episode."""
        return self.dataset.episode_bounds[1:] - 1

    @property
    def cut(self) -> np.ndarray:
        """(E,) bool: the episode was truncated, so its future is not in the log."""
        return ~self.dataset.terminated[self.last]

    @cached_property
    def unit(self) -> np.ndarray:
        """(E,) int64: the unit of each episode, see :meth:`prudent.data.Dataset.units`."""
        return self.dataset.units()[0]

    @property
    def n_units(self) -> int:
        return self.dataset.n_units

    @property
    def by(self) -> str:
        """The kind of unit: ``episode`` or ``group``."""
        return self.dataset.units()[1]

    def per_unit(self, influence: np.ndarray) -> np.ndarray:
        """Contributions of episodes (E,) as contributions of units (U,), with the same mean.

        Their variance over units is that of the mean when whole units are drawn (Liang & Zeger 1986, with
        ``U / (U - 1)`` for few units).
        """
        if self.n_units == len(self):
            return influence
        mean = influence.mean()
        return mean + self.n_units / len(self) * np.bincount(self.unit, influence - mean, self.n_units)

    @cached_property
    def step(self) -> np.ndarray:
        """(rows,) int64: number of steps before this one in its episode."""
        return np.arange(len(self.dataset)) - self.first[self.dataset.episode_of_row]

    @cached_property
    def dt(self) -> np.ndarray:
        """(rows,) float64: duration of each step, in units of time."""
        column = self.dataset.extra.get("dt")
        return np.ones(len(self.dataset)) if column is None else column.astype(np.float64)

    @property
    def clock(self) -> str:
        """What the discount is per: ``step``, or the unit of the column dt: ``hour``, or ``unit of time``."""
        return self.dataset.meanings.clock if "dt" in self.dataset.extra else "step"

    @cached_property
    def time(self) -> np.ndarray:
        """(rows,) float64: time since the start of the episode."""
        before = np.cumsum(self.dt) - self.dt
        return before - before[self.first][self.dataset.episode_of_row]

    def pad(self, values: np.ndarray, ending: np.ndarray | None = None) -> np.ndarray:
        """(rows,) as (E, T) float64, zero after the end; ``ending`` (E,) goes into the column after the last step."""
        table = np.zeros((len(self), int(self.dataset.episode_lengths.max()) + 1))
        table[self.dataset.episode_of_row, self.step] = values
        if ending is not None:
            table[np.arange(len(self)), self.dataset.episode_lengths] = ending
        return table

    @property
    def end_weight(self) -> np.ndarray:
        """(E,) ``gamma ** t`` at the end of each episode."""
        return self.discount ** (self.time[self.last] + self.dt[self.last])

    @cached_property
    def attainable(self) -> tuple[float, float]:
        """The lowest and the highest value that the logged rewards allow: each of them at every step, for ever.

        ``V = r + gamma^dt V'`` lies between the smallest and the largest ``r / (1 - gamma^dt)``, or r at a termination.
        Without a discount, or after a step that is too short to be discounted: as many rewards as the log has rows.
        """
        reward, alive = self.dataset.reward.astype(np.float64), goes_on(self.dataset)
        rate = np.where(alive, 1 - self.discount**self.dt, 1.0)
        if (rate == 0).any():
            ends = np.append(reward * len(reward), 0.0)
        else:
            ends = reward / rate
        margin = 1e-6 * float(np.abs(ends).max())
        return float(ends.min()) - margin, float(ends.max()) + margin

    @property
    def usual_steps(self) -> float:
        """Mean number of steps of an episode, each counted by its discount, as if truncated ones went on.

        The mean over rows of ``1 / (1 - gamma^dt)`` if no episode ends, and shorter by terminations.
        """
        rate = float(np.where(goes_on(self.dataset), 1 - self.discount**self.dt, 1.0).mean())
        return 1 / rate

    @property
    def tail_weight(self) -> float:
        """Mean over episodes of ``gamma ** t`` at a truncation, with 0 for episodes that terminated."""
        return float((self.end_weight * self.cut).mean())


def goes_on(dataset: Dataset) -> np.ndarray:
    """(rows,) bool: whether the next state has a value: yes after a truncation, no after a termination."""
    return ~dataset.terminated


def check_rewards(dataset: Dataset) -> None:
    """Refuse rewards with which all policies have the same value.

    Raises:
        DataError: all rewards are 0, or all are the same and no episode terminates.
    """
    if reward_constant(dataset) is not None:
        raise DataError(
            f"{dataset.name}: every reward is {dataset.reward[0]:g}, so no policy is better than another: name the "
            "column that holds the rewards"
        )


def lay_out(dataset: Dataset, discount: float, least: int = 2) -> Episodes:
    """The dataset as episodes, after checking that values can be estimated from it.

    Raises:
        ConfigError: the discount is out of range, or it is 1 and some episodes do not terminate.
        DataError: there are fewer than ``least`` units, a ``dt`` is not above 0, or rows of an episode do not lead to
            the next one.
    """
    if not 0 <= discount <= 1:
        raise ConfigError(f"discount must lie within [0, 1], got {discount}")
    inside = ~(dataset.terminated | dataset.truncated)
    broken = np.flatnonzero(inside & ~dataset.followed)
    if len(broken):
        raise DataError(
            f"{dataset.name}: {counted(len(broken), 'row')} inside episodes do not lead to the next row, the first is "
            f"row {broken[0]}: truncation flags are missing, or the rows are not in order of time"
        )
    count, by = dataset.n_units, dataset.units()[1]
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
        too_short = "" if dt is None else f", and no step (dt up to {longest:g}) is long enough to be discounted"
        raise ConfigError(
            f"{dataset.name}: {counted(endless, 'episode')} of {dataset.n_episodes} do not terminate{too_short}, so "
            "values are unbounded: give a discount below 1"
            f"{'' if dt is None else ', or dt in a smaller unit of time'}"
        )
    return Episodes(dataset, discount)
