"""Readers that installed packages offer: a function from a path to a ``Dataset``, found by the suffix of a file.

A package says in its ``pyproject.toml``::

    [project.entry-points."prudent.readers"]
    rosbag = "my_package.logs:read"          # for files that end in .rosbag

Formats that prudent reads itself stay its own. What the function raises is one line.
"""

from dataclasses import fields
from pathlib import Path

from prudent.data.dataset import Dataset
from prudent.data.readers.declared import Declared
from prudent.errors import ConfigError, DataError, EpisodeError
from prudent.user_code import entry_points
from prudent.user_code.raised import one_line


def suffixes() -> list[str]:
    """The suffixes, such as ``.rosbag``, for which an installed package offers a reader."""
    return sorted(f".{name.lower().lstrip('.')}" for name in entry_points.names(entry_points.READERS))


def read(path: Path, suffix: str, declared: Declared) -> Dataset:
    """The dataset in a file.

    Raises:
        DataError: the package's reader cannot be imported, raised, or returned something else; or something is declared
            about the data: the reader says all of it.
    """
    name = next(n for n in entry_points.names(entry_points.READERS) if f".{n.lower().lstrip('.')}" == suffix)
    package = entry_points.package(entry_points.READERS, name)
    declared.refuse(path.name, [field.name for field in fields(Declared)])
    try:
        reader = entry_points.load(entry_points.READERS, name)
        with one_line(f"{path.name}: the reader of {package}", reader if callable(reader) else None, DataError):
            dataset = reader(path)
    except (ConfigError, EpisodeError) as error:
        # Bad episodes are the reader's to leave out: there is no flag for it.
        raise DataError(str(error)) from error
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"{path.name}: the reader of {package} returned {type(dataset).__name__}, expected a prudent.Dataset"
        )
    return dataset
