"""How named values become observations, and what the numbers of actions stand for.

A table's columns keep their names: a column of categories becomes one feature per value, or the value's place in a
list; a missing cell becomes the column's fill value. The same rules hold for what a policy is asked later.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from prudent.errors import DataError, shown
from prudent.types import Spec

Kind = Literal["number", "one-hot", "index"]
KINDS = ("number", "one-hot", "index")

MOST_VALUES = 1_024
"""The most categories of a column: each may become a feature, and an id is no category."""

_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")
_LISTED = 12
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """A column of observations by its name.

    ``values`` are the categories, as text; none if it holds numbers. ``fill`` is what a missing cell counts as; None
    refuses missing cells. With ``flag`` a further feature is 1 where the cell was missing.
    """

    name: str
    kind: Kind = "number"
    values: tuple[str, ...] = ()
    fill: float | str | None = None
    flag: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the observation features that it becomes, in order."""
        names = [f"{self.name}={value}" for value in self.values] if self.kind == "one-hot" else [self.name]
        return (*names, *([f"{self.name} missing"] if self.flag else []))

    def place(self, value: Any) -> int | None:
        """The number of a category, from 0; None if it is none of ``values``."""
        return self.places([value])[0]

    def places(self, cells: Iterable[Any]) -> list[int | None]:
        """:meth:`place` of each of several values."""
        place_of = {text: place for place, text in enumerate(self.values)}
        return [next((place_of[text] for text in texts_of(cell) if text in place_of), None) for cell in cells]

    @property
    def fill_number(self) -> float | None:
        """The fill value as a number: of categories, its place."""
        return None if self.fill is None else float(self.values.index(self.fill) if self.values else self.fill)  # type: ignore[arg-type]

    def encoded(self, numbers: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Numbers, or places of categories, (rows,) as features (rows, features); ``missing`` (rows,) are filled.

        A missing row of a column without a fill value becomes NaN.
        """
        if self.kind == "number" and not self.flag and not missing.any():
            return numbers[:, None]
        if missing.any():
            fill = self.fill_number
            numbers = np.where(missing, np.nan if fill is None else fill, numbers)
        parts = [numbers[:, None]]
        if self.kind == "one-hot":
            hot = numbers[:, None] == np.arange(len(self.values))
            parts = [np.where(np.isnan(numbers)[:, None], np.nan, hot)] if numbers.dtype.kind == "f" else [hot]
        return np.concatenate([*parts, missing[:, None]], axis=1) if self.flag else parts[0]

    def decoded(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """The inverse of :meth:`encoded`: features (rows, features) as cells (rows,), by name.

        Categories are their texts; missing cells hold the fill value, and where the column has a flag it follows.
        """
        width = max(1, len(self.values)) if self.kind == "one-hot" else 1
        cells = features[:, 0].copy()
        if self.values:
            places = features[:, :width].argmax(axis=1) if self.kind == "one-hot" else cells.astype(np.int64)
            cells = np.array(self.values)[places]
        return {self.name: cells} | ({f"{self.name} missing": features[:, width].copy()} if self.flag else {})

    def unknown(self, value: Any, what: str = "its categories") -> str:
        """Why a value is refused that is none of ``what``, as the end of a sentence."""
        close = get_close_matches(str(value), self.values, n=1)
        hint = f"; did you mean {shown(close[0])}?" if close else ""
        return f"{shown(value)}, which is none of {what} ({listed(self.values)}){hint}"


@dataclass(frozen=True)
class Encoding:
    """The columns of a dataset's observations, in order, and what its actions are called.

    ``actions`` names the columns of the actions. ``labels`` has the label of each discrete action, from number 0 on;
    None if the log has numbers.
    """

    columns: tuple[Column, ...]
    actions: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """The name of each observation feature, (S,): ``on_hand``, ``weekday=Mon``, ``weekday=Tue``, ..."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def cells(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        """Observations (rows, S) as the columns of the table, each (rows,), by name; see :meth:`Column.decoded`."""
        cells, begin = {}, 0
        for column in self.columns:
            end = begin + len(column.features)
            cells |= column.decoded(observation[:, begin:end])
            begin = end
        return cells

    def label(self, action: Any) -> Any:
        """The label of a discrete action, () -> text; of several (B,) -> a list of texts.

        Raises:
            DataError: the actions have no labels, or there is no such action.
        """
        if self.labels is None:
            raise DataError(
                "these actions have no labels: they are the numbers or amounts of the log (labels come from "
                "action_labels in a mapping)"
            )
        numbers = np.asarray(action)
        if numbers.dtype.kind not in "iu" or ((numbers < 0) | (numbers >= len(self.labels))).any():
            raise DataError(f"there is no action {shown(action)}: labels are for numbers 0 to {len(self.labels) - 1}")
        texts = np.array(self.labels, dtype=object)[numbers]
        return texts if isinstance(texts, str) else texts.tolist()

    def number(self, label: Any) -> int:
        """The number of the action that is called ``label``.

        Raises:
            DataError: no action is called so.
        """
        if self.labels is None:
            raise DataError(
                f"these actions have no labels, so none is called {shown(label)}: give its number (labels come from "
                "action_labels in a mapping)"
            )
        place = Column("action", "index", self.labels).place(label)
        if place is None:
            raise DataError(f"no action is called {shown(label)}: there are {listed(self.labels)} (action_labels)")
        return place

    @property
    def label_advice(self) -> str:
        """How else actions may be given, as the end of a sentence; empty if they have no labels."""
        return "" if self.labels is None else f"; or their labels, as text: {listed(self.labels)} (action_labels)"

    def notes(self) -> list[str]:
        """A note on each column of categories, and one on the labels of actions."""
        notes = []
        for column in self.columns:
            if column.values:
                what = "one feature for each of" if column.kind == "one-hot" else "the place, from 0, in"
                notes.append(f"observation {shown(column.name)}: {what} {listed(column.values)}")
        if self.labels is not None:
            pairs = [f"{number} = {shown(label)}" for number, label in enumerate(self.labels[:_LISTED])]
            notes.append(f"action: {', '.join(pairs)}{', ...' if len(self.labels) > _LISTED else ''}")
        return notes

    def difference_from(self, other: "Encoding") -> str:
        """The first difference of ``other``, as text; empty if they are equal."""
        if other.names != self.names:
            return f"observation columns {listed(other.names)} against {listed(self.names)}"
        for here, there in zip(self.columns, other.columns, strict=True):
            if (here.kind, here.values) != (there.kind, there.values):
                return (
                    f"other categories of {shown(here.name)}: {_categories(there)} against {_categories(here)}; "
                    "list them in the mapping, so that they are the same everywhere"
                )
            if (here.fill, here.flag) != (there.fill, there.flag):
                return f"another fill value of {shown(here.name)}: {there.fill!r} against {here.fill!r}"
        for what in ("actions", "labels"):
            here, there = getattr(self, what) or (), getattr(other, what) or ()
            if here != there:
                kind = "action columns" if what == "actions" else "action labels"
                return f"{kind} {listed(there) or 'none'} against {listed(here) or 'none'}"
        return ""

    def check_fits(self, spec: Spec) -> None:
        """Refuse a description of other spaces.

        Raises:
            ValueError: the number of features or actions is another one.
        """
        if len(self.features) != spec.observation_size:
            raise ValueError(f"{len(self.features)} names for {spec.observation_size} observation features")
        if self.labels is not None and (not spec.discrete or len(self.labels) != spec.action_size or spec.first_action):
            raise ValueError(f"{len(self.labels)} labels for {spec.action_size} actions")

    def to_json(self) -> dict[str, Any]:
        """The same as values of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any, spec: Spec) -> "Encoding":
        """The inverse of :meth:`to_json`, checked: it may come from a file that somebody else wrote.

        Raises:
            ValueError: it is something else, or describes other spaces than ``spec``.
        """
        if not isinstance(values, Mapping) or set(values) != {"columns", "actions", "labels"}:
            raise ValueError("the names of columns are no encoding")
        columns = tuple(_column(entry) for entry in _list(values["columns"]))
        labels = values["labels"]
        encoding = cls(columns, _texts(values["actions"]), None if labels is None else _texts(labels))
        if len(set(encoding.names)) < len(columns) or len(set(encoding.labels or ())) < len(encoding.labels or ()):
            raise ValueError("a name is there twice")
        encoding.check_fits(spec)
        return encoding


def check_same(here: Encoding | None, there: Encoding | None, name: str, whose: str) -> None:
    """Refuse data ``name`` whose columns are called otherwise, or mean something else, than those of ``whose``.

    Data without names are taken as they are: nothing is known about them.

    Raises:
        DataError: one line with the first difference.
    """
    difference = "" if here is None or there is None else here.difference_from(there)
    if difference:
        raise DataError(f"{name} does not fit {whose}: {difference}")


def is_finite(number: Any) -> bool:
    """Whether float32 can hold a number, whatever its type."""
    return bool(abs(number) <= _LARGEST)  # works for whole numbers of any size, which do not all become floats


def texts_of(value: Any) -> tuple[str, ...]:
    """The texts under which a category may be listed: ``1``, ``1.0`` and "1" are one, "007" is another one."""
    if isinstance(value, bool | np.bool_):
        return ("true", "True", "TRUE", "1") if value else ("false", "False", "FALSE", "0")
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        return (whole[1] if whole else value,)
    if isinstance(value, Integral):
        return (str(int(value)),)
    if isinstance(value, Real) and math.isfinite(number := float(value)):
        return (str(int(number)) if number.is_integer() else repr(number),)
    return ()


def distinct(values: Iterable[Any], what: str) -> tuple[str, ...]:
    """Categories or labels as text.

    Raises:
        ValueError: there are none or too many of ``what``, one is no text or number, or is there twice.
    """
    texts: list[str] = []
    for value in values:
        text = next(iter(texts_of(value)), "")
        if not text.strip():
            raise ValueError(f"{what} must be texts or numbers, got {value!r}")
        if text in texts:
            raise ValueError(f"{what} name {shown(text)} twice")
        texts.append(text)
    if not 1 <= len(texts) <= MOST_VALUES:
        raise ValueError(f"{what} must be 1 to {MOST_VALUES:,}, got {len(texts):,}")
    return tuple(texts)


def listed(names: Sequence[str]) -> str:
    """Names in quotes, as many as a line can hold."""
    return ", ".join(shown(name) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _categories(column: Column) -> str:
    return f"{column.kind} of {listed(column.values)}" if column.values else "numbers"


def _column(entry: Any) -> Column:
    if not isinstance(entry, Mapping) or set(entry) != {"name", "kind", "values", "fill", "flag"}:
        raise ValueError("a column of the encoding is damaged")
    column = Column(**{**entry, "values": _texts(entry["values"])})
    if type(column.name) is not str or column.kind not in KINDS or type(column.flag) is not bool:
        raise ValueError(f"a column of the encoding is damaged ({str(entry)[:60]})")
    if (column.kind == "number") == bool(column.values) or len(set(column.values)) < len(column.values):
        raise ValueError(f"the categories of {shown(column.name)} are damaged")
    fill = column.fill
    is_number = type(fill) in (int, float) and is_finite(fill)
    if fill is not None and not (fill in column.values if column.values else is_number):
        raise ValueError(f"the fill value of {shown(column.name)} is damaged")
    return column


def _texts(values: Any) -> tuple[str, ...]:
    if not all(type(value) is str for value in _list(values)):
        raise ValueError("names must be texts")
    return tuple(values)


def _list(values: Any) -> Sequence[Any]:
    if not isinstance(values, list | tuple):
        raise ValueError(f"{str(values)[:40]!r} is no list")
    return values
