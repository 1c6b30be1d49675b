"""The index of a folder of columns: every entry is checked before anything is made of it."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prudent.errors import DataError
from prudent.types import Spec

INDEX, VERSION = "index.json", 1
PER_EPISODE = ("episode_bounds", "episode_returns")
FIGURES = (*PER_EPISODE, "followed")
"""Figures of a dataset that are arrays, with files of their own."""
_DTYPES = {"observation": "<f4", "next_observation": "<f4", "reward": "<f4", "terminated": "|b1", "truncated": "|b1"}
KEY = re.compile(r"[A-Za-z]\w*")
NUMBER = re.compile(r"[<>|=]?[fiub]\d{1,2}")


def read(path: Path) -> dict[str, Any]:
    """The index of a folder, every entry of the kind it has to be."""
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
        told = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise DataError(f"{path / INDEX} is damaged ({told}): convert the source again") from error


def _checked(index: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of an index as what they mean.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: one is missing, or cannot be what it is said to be.
    """
    rows, episodes = (_count(index, key) for key in ("rows", "episodes"))
    spec = _spec(index["spec"])
    columns = {key: {"dtype": _dtype(found), "shape": _shape(found)} for key, found in index["columns"].items()}
    _check_columns(columns, spec, rows)
    mean, std = (_numbers(index[key], key, spec.observation_size) for key in ("observation_mean", "observation_std"))
    if min(std) < 0:
        raise ValueError("a deviation below 0")
    texts = [index["fingerprint"], index["name"], *_list(index["notes"], "notes")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("name, fingerprint and notes are text")
    return {
        **index,
        "rows": rows,
        "episodes": episodes,
        "spec": spec,
        "columns": columns,
        "observation_mean": mean,
        "observation_std": std,
    }


def _spec(found: Mapping[str, Any]) -> Spec:
    sizes = {key: _count(found, key) for key in ("observation_size", "action_size")}
    low, high = (
        None if found[key] is None else _numbers(found[key], key, sizes["action_size"])
        for key in ("action_low", "action_high")
    )
    if type(found["discrete"]) is not bool:
        raise ValueError(f"discrete is {found['discrete']!r}")
    if (low is None) != (high is None) or (found["discrete"] and low is not None):
        raise ValueError("bounds on one side only, or of choices")
    if low is not None and high is not None and any(a >= b for a, b in zip(low, high, strict=True)):
        raise ValueError("action_low is not below action_high")
    return Spec(**{**found, **sizes, "action_low": low, "action_high": high})


def _count(found: Mapping[str, Any], key: str) -> int:
    if type(found[key]) is not int or found[key] < 1:
        raise ValueError(f"{key} is {str(found[key])[:40]!r}, not a whole number from 1")
    return found[key]


def _list(found: Any, key: str) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError(f"{key} is no list")
    return found


def _numbers(found: Any, key: str, count: int) -> tuple[float, ...]:
    """A list of ``count`` finite numbers."""
    numbers = _list(found, key)
    if len(numbers) != count:
        raise ValueError(f"{key} is of another number of features")
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{key} holds something else than finite numbers")
    return tuple(float(number) for number in numbers)


def _dtype(found: Mapping[str, Any]) -> np.dtype:
    # NumPy takes whole descriptions of records for a type, and evaluates parts of them.
    if not isinstance(found["dtype"], str) or not NUMBER.fullmatch(found["dtype"]):
        raise ValueError(f"{str(found['dtype'])[:40]!r} is no type of numbers")
    return np.dtype(found["dtype"])


def _shape(found: Mapping[str, Any]) -> tuple[int, ...]:
    shape = _list(found["shape"], "shape")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"{str(shape)[:40]} is no shape")
    return tuple(shape)


def _check_columns(columns: Mapping[str, Mapping[str, Any]], spec: Spec, rows: int) -> None:
    """Raise ValueError where columns are missing, or of a type or shape that a dataset's do not have."""
    states = (rows, spec.observation_size)
    wanted = {
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
        wanted |= {"mask": (rows, spec.action_size), "next_mask": (rows, spec.action_size)}
    types = _DTYPES | {"action": "<i8" if spec.discrete else "<f4", "mask": "|b1", "next_mask": "|b1"}
    for key, shape in wanted.items():
        if columns[key]["shape"] != shape or columns[key]["dtype"].str != types[key]:
            raise ValueError(f"{key} is {columns[key]['dtype']} of shape {columns[key]['shape']}")
    for key, found in columns.items():
        if not KEY.fullmatch(key) or key in FIGURES or found["shape"][:1] != (rows,):
            raise ValueError(f"no column can be {key!r}, {found['dtype']} of shape {found['shape']}")
