"""What the numbers of a dataset stand for, so that several tables can be joined without mixing them up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prudent.data.columns import counted
from prudent.data.encoding import Encoding, check_same
from prudent.errors import DataError, shown

_LISTED = 20
UNKNOWN_UNIT = "unit of time"
_UNITS = (("week", 604_800.0), ("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0))


@dataclass(frozen=True)
class Meanings:
    """What a reader knows about a dataset's columns.

    ``groups`` names the numbers in ``group``, from 0 on, and ``column`` is where they come from. ``dt_unit`` is how
    much time a ``dt`` of 1 is: in seconds if ``in_seconds``, as for timestamps, else in the units of a column of
    numbers. ``encoding`` names the columns of observations, their categories and fill values, and the labels of
    actions. None: the reader does not know, or there is no such column.
    """

    groups: tuple[str, ...] | None = None
    column: str = "group"
    dt_unit: float | None = None
    encoding: Encoding | None = None
    in_seconds: bool = False

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The label of each discrete action, in order; None if they have none, or nobody knows."""
        return None if self.encoding is None else self.encoding.labels

    @property
    def clock(self) -> str:
        """What a ``dt`` of 1 is called: ``hour``, ``15 minutes``; ``unit of time`` if nobody knows."""
        if not self.in_seconds or self.dt_unit is None:
            return UNKNOWN_UNIT
        name, seconds = next((pair for pair in _UNITS if self.dt_unit % pair[1] == 0), ("second", 1.0))
        count = self.dt_unit / seconds
        return name if count == 1 else f"{count:,.6g} {name}s"

    def duration(self, dt: float) -> str:
        """So much ``dt`` in words: ``24 hours``, ``0.5 units of time``."""
        clock = self.clock
        plural = "units of time" if clock == UNKNOWN_UNIT else f"{clock}s"
        return f"{dt:.4g} times {clock}" if clock[0].isdigit() else f"{dt:.4g} {plural}"

    def notes(self) -> list[str]:
        """The note that says which group has which number; none without groups."""
        if self.groups is None:
            return []
        listed = ", ".join(f"{code} = {shown(name)}" for code, name in enumerate(self.groups[:_LISTED]))
        more = f", ... ({len(self.groups):,} groups)" if len(self.groups) > _LISTED else ""
        return [f"group {shown(self.column)}: {listed}{more}"]


UNKNOWN = Meanings()


@dataclass(frozen=True)
class Joined:
    """The meanings of several datasets as one.

    ``numbers`` has, for each dataset, the new number of each of its groups; None where they keep their numbers.
    ``notes`` are new; those of :meth:`Meanings.notes` no longer hold where there are ``numbers``.
    """

    meanings: Meanings
    numbers: list[np.ndarray | None]
    notes: list[str]

    def renumbered(self, part: int, group: np.ndarray) -> np.ndarray:
        """The column of groups (rows,) of a dataset, given by its place.

        Raises:
            DataError: a group has no name, as in a folder that somebody edited.
        """
        numbers = self.numbers[part]
        if numbers is None:
            return group
        if len(group) and not 0 <= group.min() <= group.max() < len(numbers):
            raise DataError(f"group {shown(self.meanings.column)}: a number without a name: read the original again")
        return numbers[group]


def join(parts: Sequence[tuple[str, Meanings, bool]]) -> Joined:
    """One meaning for several datasets, each given by its name, its meanings, and whether it has groups.

    A group of the same name is the same group, whatever its number in each. Numbers without names are taken as they
    stand: equal ones are one group, and a note says so.

    Raises:
        DataError: their ``dt`` count in different units, or their columns have other names or categories.
    """
    encoding, unnamed = _encoding(parts)
    units = [(name, meanings.dt_unit) for name, meanings, _ in parts if meanings.dt_unit is not None]
    for name, unit in units[1:]:
        if unit != units[0][1]:
            raise DataError(
                f"{name} has dt in units of {unit:g}, {units[0][0]} in units of {units[0][1]:g}: "
                "set time_unit in the mapping, so that they are the same"
            )
    dt_unit = units[0][1] if units else None
    in_seconds = bool(units) and all(meanings.in_seconds for _, meanings, _ in parts if meanings.dt_unit is not None)
    time = {"dt_unit": dt_unit, "in_seconds": in_seconds}
    nothing: list[np.ndarray | None] = [None] * len(parts)
    if not all(has for _, _, has in parts):
        return Joined(Meanings(**time, encoding=encoding), nothing, unnamed)
    lists = [meanings.groups for _, meanings, _ in parts]
    known = [groups for groups in lists if groups is not None]
    if len(known) < len(lists):
        nameless = [name for (name, meanings, _) in parts if meanings.groups is None]
        note = f"group: {nameless[0]} has numbers without names, so equal numbers count as one group in all files"
        return Joined(Meanings(**time, encoding=encoding), nothing, [note, *unnamed])
    names = sorted({name for groups in known for name in groups}, key=in_order)
    number_of = {name: number for number, name in enumerate(names)}
    numbers: list[np.ndarray | None] = [np.array([number_of[n] for n in groups], dtype=np.int64) for groups in known]
    meanings = Meanings(tuple(names), parts[0][1].column, **time, encoding=encoding)
    notes = [f"{note}; {counted(len(names), 'group')} in all files" for note in meanings.notes()]
    return Joined(meanings, numbers, [*notes, *unnamed])


def _encoding(parts: Sequence[tuple[str, Meanings, bool]]) -> tuple[Encoding | None, list[str]]:
    """The names of columns that all parts share, and a note if some have none: those of the others are then lost."""
    first, whose = parts[0][1].encoding, parts[0][0]
    for name, meanings, _ in parts[1:]:
        check_same(first, meanings.encoding, name, whose)
        if first is None:
            first, whose = meanings.encoding, name
    nameless = [name for name, meanings, _ in parts if meanings.encoding is None]
    if first is None or not nameless:
        return first, []
    return None, [f"{nameless[0]} does not name its columns, so those of the joined data have no names"]


def in_order(name: str) -> tuple[int, float, str]:
    """Numbers come first, in their order, then names in alphabetical order."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
