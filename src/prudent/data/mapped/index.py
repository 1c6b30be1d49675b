"""The index of a folder of columns: every entry is checked before it is used."""

import json
import math
import re
import stat
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data.columns import MOST_ACTIONS, counted
from prudent.data.encoding import Encoding
from prudent.data.end_names import is_flag_name
from prudent.data.episodes.dropped import Dropped
from prudent.data.figures import Figures
from prudent.data.meanings import UNKNOWN, Meanings
from prudent.errors import DataError
from prudent.types import Spec

INDEX, VERSION = "index.json", 2
PER_EPISODE = ("episode_bounds", "episode_returns")
FIGURES = (*PER_EPISODE, "followed")
"""Cached properties of a dataset that are arrays; each has a file."""
_DTYPES = {"observation": "<f4", "next_observation": "<f4", "reward": "<f4", "terminated": "|b1", "truncated": "|b1"}
KEY = re.compile(r"[A-Za-z]\w*")
NUMBER = re.compile(r"[<>|=]?[fiub]\d{1,2}")


def read(path: Path) -> dict[str, Any]:
    """The entries of a folder's index, all checked.

    Raises:
        DataError: the index cannot be read, has another format or version, or is damaged.
    """
    check_regular(path / INDEX)
    try:
        index = json.loads((path / INDEX).read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path / INDEX} cannot be read: {error}") from error
    if not isinstance(index, dict) or index.get("format") != "prudent columns":
        raise DataError(f"{path / INDEX} is not the index of a converted dataset")
    if index.get("version") != VERSION:
        raise DataError(
            f"{path}: written in format {index.get('version')}, this version reads {VERSION}: convert it again"
        )
    try:
        return _checked(index)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{path / INDEX} is damaged ({reason}): convert the source again") from error


def check_regular(path: Path) -> None:
    """Refuse a file of a folder that is a link, or something that never ends, such as a pipe.

    Raises:
        DataError: it is so, or there is no such file.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        raise DataError(f"{path} is a link, which is never followed")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no regular file")


def _checked(index: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of an index in their types.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: an entry is missing or wrong.
    """
    rows, episodes = (_count(index, key) for key in ("rows", "episodes"))
    spec = _spec(index["spec"])
    columns = {key: {"dtype": _dtype(entry), "shape": _shape(entry)} for key, entry in index["columns"].items()}
    _check_columns(columns, spec, rows)
    keys = [f"observation_{f.name}" for f in fields(Figures)]
    figures = {key: _numbers(index[key], key, spec.observation_size) for key in keys}
    if min(figures["observation_std"]) < 0:
        raise ValueError("a standard deviation below 0")
    texts = [index["fingerprint"], index["name"], *_list(index["notes"], "notes")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("name, fingerprint and notes must be text")
    if not isinstance(index["seal"], str) or not isinstance(index["figures"], dict):
        raise ValueError("seal must be text, figures the hashes of their files")
    lost, names = index.get("dropped"), index.get("encoding")
    return {
        **index,
        "dropped": None if lost is None else Dropped.from_numbers(_list(lost, "dropped")),
        "meanings": replace(
            _meanings(index.get("meanings")), encoding=None if names is None else Encoding.from_json(names, spec)
        ),
        "rows": rows,
        "episodes": episodes,
        "spec": spec,
        "columns": columns,
        **figures,
    }


def _meanings(entries: Mapping[str, Any] | None) -> Meanings:
    """What optional columns stand for; folders of earlier versions do not say it."""
    if entries is None:
        return UNKNOWN
    groups, column, unit = entries["groups"], entries["column"], entries["dt_unit"]
    in_seconds = entries.get("in_seconds", False)
    if groups is not None and not all(isinstance(name, str) for name in _list(groups, "groups")):
        raise ValueError("the names of groups must be text")
    if not isinstance(column, str) or not (unit is None or (type(unit) in (int, float) and math.isfinite(unit))):
        raise ValueError("column must be text, dt_unit a number")
    if type(in_seconds) is not bool:
        raise ValueError("in_seconds must be true or false")
    return Meanings(None if groups is None else tuple(groups), column, unit, in_seconds=in_seconds)


def _spec(entries: Mapping[str, Any]) -> Spec:
    sizes = {key: _count(entries, key) for key in ("observation_size", "action_size")}
    low, high = (
        None if entries[key] is None else _numbers(entries[key], key, sizes["action_size"])
        for key in ("action_low", "action_high")
    )
    if type(entries["discrete"]) is not bool:
        raise ValueError(f"discrete is {entries['discrete']!r}")
    if (low is None) != (high is None) or (entries["discrete"] and low is not None):
        raise ValueError("one bound without the other, or bounds of discrete actions")
    first = entries.get("first_action", 0)
    if type(first) is not int or abs(first) > MOST_ACTIONS or (first and not entries["discrete"]):
        raise ValueError(f"first_action is {str(first)[:40]!r}")
    if low is not None and high is not None and any(a >= b for a, b in zip(low, high, strict=True)):
        raise ValueError("action_low is not below action_high")
    return Spec(**{**entries, **sizes, "action_low": low, "action_high": high})


def _count(entries: Mapping[str, Any], key: str) -> int:
    if type(entries[key]) is not int or entries[key] < 1:
        raise ValueError(f"{key} is {str(entries[key])[:40]!r}, not a whole number from 1")
    return entries[key]


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{key} is not a list")
    return value


def _numbers(value: Any, key: str, count: int) -> tuple[float, ...]:
    """A list of ``count`` finite numbers."""
    numbers = _list(value, key)
    if len(numbers) != count:
        raise ValueError(f"{key} holds {counted(len(numbers), 'number')} instead of {count}")
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{key} holds something other than finite numbers")
    return tuple(float(number) for number in numbers)


def _dtype(entry: Mapping[str, Any]) -> np.dtype:
    # np.dtype() accepts descriptions of whole records, and evaluates parts of them.
    if not isinstance(entry["dtype"], str) or not NUMBER.fullmatch(entry["dtype"]):
        raise ValueError(f"{str(entry['dtype'])[:40]!r} is not a type of numbers")
    return np.dtype(entry["dtype"])


def _shape(entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = _list(entry["shape"], "shape")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"{str(shape)[:40]} is not a shape")
    return tuple(shape)


def _check_columns(columns: Mapping[str, Mapping[str, Any]], spec: Spec, rows: int) -> None:
    """Raise KeyError if a column is missing, ValueError if it has a type or shape that no dataset has."""
    states = (rows, spec.observation_size)
    shapes = {
        "observation": states,
        "next_observation": states,
        "action": (rows,) if spec.discrete else (rows, spec.action_size),
        "reward": (rows,),
        "terminated": (rows,),
        "truncated": (rows,),
    }
    if any(key in columns for key in ("mask", "next_mask")):
        if not spec.discrete:
            raise ValueError("masks are for discrete actions, and these are continuous")
        shapes |= {"mask": (rows, spec.action_size), "next_mask": (rows, spec.action_size)}
    types = _DTYPES | {"action": "<i8" if spec.discrete else "<f4", "mask": "|b1", "next_mask": "|b1"}
    if columns["observation"]["dtype"].str == "<f8":
        types |= {"observation": "<f8", "next_observation": "<f8"}
    for key, shape in shapes.items():
        if columns[key]["shape"] != shape or columns[key]["dtype"].str != types[key]:
            raise ValueError(f"{key} is {columns[key]['dtype']} of shape {columns[key]['shape']}")
    for key, column in columns.items():
        if key not in shapes and is_flag_name(key):
            raise ValueError(f"{key} marks ends of episodes, which are in terminated and truncated")
        if not KEY.fullmatch(key) or key in FIGURES or column["shape"][:1] != (rows,):
            raise ValueError(f"no column can be {key!r}, {column['dtype']} of shape {column['shape']}")
