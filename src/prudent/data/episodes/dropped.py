"""What was lost with the rows that a reader could not keep."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal, Protocol, Self

import numpy as np

LastRows = Literal["drop", "terminated", "truncated"]
"""What becomes of the last row of an episode that did not terminate, where the file has no successor for it."""
LAST_ROWS: tuple[LastRows, ...] = ("drop", "terminated", "truncated")


class Ends(Protocol):
    """Flags of ends, which rows have a successor, and notes about both: (rows,) bool, in the order of the dataset."""

    @property
    def terminated(self) -> np.ndarray: ...
    @property
    def truncated(self) -> np.ndarray: ...
    @property
    def keep(self) -> np.ndarray: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


_TRIFLE, _RATIO, _EXCESS = 0.01, 3, 0.1


def is_telling(rows: int, magnitude: float, other_rows: int, other_magnitude: float) -> bool:
    """Whether some rows hold more of the reward than a trifle and than their number explains.

    ``magnitude`` is the sum of |reward| over ``rows``, ``other_magnitude`` that over ``other_rows``. Less than 1 % of
    all reward is a trifle. Beyond that it takes three times the reward of the other rows, row for row, or a share of
    all reward that is 10 percentage points above the share of the rows. Dense rewards stay below both, even if they
    grow steadily over an episode of ten steps.
    """
    total = magnitude + other_magnitude
    if rows == 0 or other_rows == 0 or total == 0 or magnitude < _TRIFLE * total:
        return False
    excess = magnitude / total - rows / (rows + other_rows)
    return magnitude * other_rows >= _RATIO * other_magnitude * rows or excess > _EXCESS


def percent(share: float) -> str:
    """A share in whole percent; 100 % only if it is all."""
    return f"{min(round(100 * share), 99) if share < 1 else 100} %"


@dataclass(frozen=True)
class Dropped:
    """Rows of the sources that are not in a dataset, and their reward beside that of the rows kept.

    A magnitude is a sum of |reward|. A selection of episodes keeps the record of the whole.
    """

    rows: int
    reward: float
    magnitude: float
    kept_rows: int
    kept_magnitude: float

    @classmethod
    def count(cls, rewards: Iterable[np.ndarray], keep: np.ndarray) -> Self | None:
        """The record for a reader that keeps the rows ``keep`` (rows,) bool; None if it keeps all.

        ``rewards`` are the rewards of all rows, block by block.
        """
        if keep.all():
            return None
        start, reward, magnitude, kept = 0, 0.0, 0.0, 0.0
        for column in rewards:
            values = np.asarray(column, dtype=np.float64).ravel()
            here = keep[start : start + len(values)]
            start += len(values)
            reward += float(values[~here].sum())
            magnitude += float(np.abs(values[~here]).sum())
            kept += float(np.abs(values[here]).sum())
        count = int(np.count_nonzero(keep))
        return cls(len(keep) - count, reward, magnitude, count, kept)

    @classmethod
    def nothing(cls, rewards: Iterable[np.ndarray]) -> Self:
        """The record of a dataset that has all rows of its source."""
        rows, kept = 0, 0.0
        for column in rewards:
            rows += len(column)
            kept += float(np.abs(np.asarray(column, dtype=np.float64)).sum())
        return cls(0, 0.0, 0.0, rows, kept)

    @property
    def share(self) -> float:
        """The share of all |reward| that was dropped, 0 if there is none."""
        total = self.magnitude + self.kept_magnitude
        return self.magnitude / total if total else 0.0

    @property
    def telling(self) -> bool:
        """Whether more reward was dropped than a trifle, see :func:`is_telling`; or half of the rows, with reward."""
        most = self.magnitude > 0 and self.rows >= self.kept_rows > 0
        return most or is_telling(self.rows, self.magnitude, self.kept_rows, self.kept_magnitude)

    def numbers(self) -> list[float]:
        """The five numbers of the record, to store in a file."""
        return [float(value) for value in astuple(self)]

    @classmethod
    def from_numbers(cls, values: Sequence[float]) -> Self:
        """The inverse of :meth:`numbers`.

        Raises:
            ValueError: they are no such record.
        """
        if len(values) != 5 or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
            raise ValueError("dropped must be five finite numbers")
        rows, reward, magnitude, kept_rows, kept_magnitude = values
        if rows != rows // 1 or kept_rows != kept_rows // 1 or rows < 1 or min(kept_rows, kept_magnitude) < 0:
            raise ValueError("dropped must hold numbers of rows from 1 and sums from 0")
        if abs(reward) > magnitude * (1 + 1e-9):
            raise ValueError("dropped holds a sum of rewards above that of their absolute values")
        return cls(int(rows), float(reward), float(magnitude), int(kept_rows), float(kept_magnitude))


def notes_on(dropped: Dropped | None) -> list[str]:
    """A note for a reader that has just dropped rows, if their reward is telling."""
    if dropped is None or not dropped.telling:
        return []
    return [f"{percent(dropped.share)} of all reward was dropped with these rows: last_rows says what they are"]


def merge(parts: Sequence[tuple[Dropped | None, Iterable[np.ndarray]]]) -> Dropped | None:
    """The record of several datasets together: the record of each, or None, with its rewards block by block."""
    if all(dropped is None for dropped, _ in parts):
        return None
    records = [Dropped.nothing(rewards) if dropped is None else dropped for dropped, rewards in parts]
    return Dropped(
        rows=sum(r.rows for r in records),
        reward=sum(r.reward for r in records),
        magnitude=sum(r.magnitude for r in records),
        kept_rows=sum(r.kept_rows for r in records),
        kept_magnitude=sum(r.kept_magnitude for r in records),
    )
