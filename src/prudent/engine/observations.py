"""What a policy is asked: observations as numbers, or as named values that the data's encoding turns into numbers."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from prudent.data.encoding import Column, Encoding, is_finite, listed
from prudent.engine import outside
from prudent.engine.inputs import action_numbers, feature_rows
from prudent.errors import PrudentError, shown

if TYPE_CHECKING:
    from prudent.engine.population import Population

_WHAT = "observation"


def observation_rows(population: "Population", values: Any) -> tuple[np.ndarray, bool]:
    """Observations as floats (B, S) in the units of the log, and whether there was a single one.

    ``values`` are features (S,) or (B, S), or named values of the log's columns: a dictionary of one value each, a
    dictionary of B values each (or a data frame), or a list of B dictionaries.

    Raises:
        PrudentError: shapes, names or values do not fit, or a value is outside the log's range and that is refused.
    """
    encoding = population.scaling.encoding
    named = _named(values, encoding)
    if named is None:
        rows, single = feature_rows(values, population.spec.observation_size, _WHAT)
    elif encoding is None:
        raise PrudentError(
            f"{_WHAT} has names, but this policy was trained on data without names of columns: hand over its "
            f"{population.spec.observation_size} features in order"
        )
    else:
        rows, single = _encoded(named, encoding)
    outside.heed(population.scaling, rows, f"{_WHAT}: ")
    return rows, single


def action_rows(population: "Population", values: Any, rows: int) -> np.ndarray:
    """Actions of ``rows`` observations in the log's units, (rows, A); discrete ones, numbers or labels, (rows,) int64.

    Raises:
        PrudentError: they are no actions of the policy, or more or fewer than the observations.
    """
    texts, encoding = [values] if isinstance(values, str) else values, population.scaling.encoding or Encoding(())
    if not population.spec.discrete:
        actions, _ = feature_rows(values, population.spec.action_size, "action")
    elif isinstance(texts, list | tuple | np.ndarray) and len(texts) and all(isinstance(text, str) for text in texts):
        actions = np.array([encoding.number(text) for text in texts], dtype=np.int64)
    else:
        actions = action_numbers(values, population.spec, encoding.label_advice)
    if len(actions) != rows:
        raise PrudentError(f"{rows} observations and {len(actions)} actions: give as many of each")
    return actions


def _named(values: Any, encoding: Encoding | None) -> Mapping[str, Any] | Sequence[Mapping[str, Any]] | None:
    """``values`` if they have names, a data frame as a dictionary; None if they are numbers alone."""
    if isinstance(values, Mapping):
        return values
    if isinstance(values, list | tuple) and values and all(isinstance(row, Mapping) for row in values):
        # What env.reset() returns ends in a dictionary, but does not consist of them.
        return list(values)
    names = getattr(values, "columns", None)
    if encoding is not None and names is not None and hasattr(values, "to_numpy"):
        texts = list(names)
        # A frame without names of its own counts its columns.
        return {name: values[name] for name in texts} if all(isinstance(name, str) for name in texts) else None
    return None


def _encoded(named: Mapping[str, Any] | Sequence[Mapping[str, Any]], encoding: Encoding) -> tuple[np.ndarray, bool]:
    if isinstance(named, Mapping):
        _check_names(named, encoding, "")
        cells = {name: _cells(value, name) for name, value in named.items()}
        lengths = {name: None if value is None else len(value) for name, value in cells.items()}
        single = all(length is None for length in lengths.values())
        if not single and len(set(lengths.values())) > 1:
            first = encoding.names[0]
            other = next(name for name in encoding.names if lengths[name] != lengths[first])
            raise PrudentError(
                f"{_WHAT}: {first} has {_count(lengths[first])} and {other} {_count(lengths[other])}: give every name "
                "one value, or every name as many"
            )
        columns = {name: [named[name]] if value is None else value for name, value in cells.items()}
    else:
        for row, values in enumerate(named):
            _check_names(values, encoding, f" in row {row}")
        single = False
        columns = {name: [values[name] for values in named] for name in encoding.names}
    return np.concatenate([_features(columns[c.name], c) for c in encoding.columns], axis=1), single


def _check_names(given: Mapping[str, Any], encoding: Encoding, where: str) -> None:
    unknown = [name for name in given if name not in encoding.names]
    missing = [name for name in encoding.names if name not in given]
    if unknown:
        close = get_close_matches(str(unknown[0]), missing or encoding.names, n=1)
        hint = f"did you mean {shown(close[0])}?" if close else f"there are {listed(encoding.names)}"
        raise PrudentError(f"{_WHAT} has no column {shown(unknown[0])}{where}; {hint}")
    if missing:
        raise PrudentError(f"{_WHAT} lacks {listed(missing)}{where}: a policy needs every column of its data")


def _cells(value: Any, name: str) -> Sequence[Any] | np.ndarray | None:
    """The values of several rows; None for a single value."""
    if isinstance(value, str | bytes) or value is None or np.ndim(_plain(value)) == 0:
        return None
    cells = _plain(value)
    if np.ndim(cells) != 1:
        raise PrudentError(f"{_WHAT}: {name} has shape {np.shape(cells)}, expected one value, or one for each row")
    if len(cells) == 0:
        raise PrudentError(f"{_WHAT}: {name} has no values")
    return cells


def _plain(value: Any) -> Any:
    """Values as NumPy can take them: tensors from the CPU, lists of anything as arrays of objects."""
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, list | tuple):
        array = np.empty(len(value), dtype=object)
        array[:] = value
        return array
    if isinstance(value, np.ma.MaskedArray):
        filled = value.data.astype(object)
        filled[np.ma.getmaskarray(value)] = None
        return filled
    return np.asarray(value) if hasattr(value, "__len__") else value


def _features(cells: Any, column: Column) -> np.ndarray:
    """A column's features (B, features) as float64.

    Raises:
        PrudentError: a value is missing and the column has no fill value, or it is no number or none of the categories.
    """
    is_plain = isinstance(cells, np.ndarray) and cells.dtype.kind == "f" and column.kind == "number"
    if is_plain and (np.abs(cells) <= np.finfo(np.float32).max).all():
        return column.encoded(cells.astype(np.float64), np.zeros(len(cells), dtype=bool))
    missing = np.array([_is_missing(cell) for cell in cells])
    if missing.any() and column.fill is None:
        raise PrudentError(f"{_at(column, missing)} is missing, and its column has no fill value")
    take = _number if column.kind == "number" else _place
    numbers = np.array(
        [
            0.0 if gap else take(cell, column, row, len(cells))
            for row, (cell, gap) in enumerate(zip(cells, missing, strict=True))
        ]
    )
    return column.encoded(numbers, missing).astype(np.float64)


def _number(cell: Any, column: Column, row: int, rows: int) -> float:
    if isinstance(cell, Tensor):
        cell = cell.detach().cpu().numpy()
    if isinstance(cell, np.ndarray) and cell.ndim == 0:
        cell = cell[()]
    if not isinstance(cell, Real | np.bool_):
        raise PrudentError(f"{_name(column, row, rows)} is {shown(cell)}, expected a number")
    if not is_finite(cell):  # for the networks, which take float32
        raise PrudentError(f"{_name(column, row, rows)} is infinite or too large: a policy has no answer to that")
    return float(cell)


def _place(cell: Any, column: Column, row: int, rows: int) -> float:
    place = column.place(cell[()] if isinstance(cell, np.ndarray) and cell.ndim == 0 else cell)
    if place is None:
        raise PrudentError(f"{_name(column, row, rows)} is {column.unknown(cell)}")
    return float(place)


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, str):
        return not cell.strip()
    return isinstance(cell, Real) and bool(cell != cell)


def _at(column: Column, rows: np.ndarray) -> str:
    return _name(column, int(np.flatnonzero(rows)[0]), len(rows))


def _name(column: Column, row: int, rows: int) -> str:
    return f"{_WHAT}: {column.name}" + (f" in row {row}" if rows > 1 else "")


def _count(length: int | None) -> str:
    return "one value" if length is None else f"{length} values"
