"""HDF5 files by their layout: flat as D4RL's, or in groups or numbered arrays as other libraries write them."""

from pathlib import Path
from typing import Literal

from prudent.data.dataset import Dataset
from prudent.data.readers import _hdf5, d3rlpy, d4rl, robomimic
from prudent.data.readers.declared import UNDECLARED, Declared

Layout = Literal["flat", "d3rlpy", "robomimic"]


def read(path: Path, user: Declared = UNDECLARED) -> Dataset:
    """Read a file by the layout that its keys show.

    Raises:
        DataError: see the reader of the layout.
    """
    readers = {"flat": d4rl.read, "d3rlpy": d3rlpy.read, "robomimic": robomimic.read}
    return readers[layout(path)](path, user)


def layout(path: Path) -> Layout:
    """The layout of a file: its keys tell, not its name.

    Raises:
        DataError: it is not HDF5, or damaged.
    """
    with _hdf5.opened(path) as file, _hdf5.reading(path.name):
        return "d3rlpy" if d3rlpy.is_one(file) else "robomimic" if robomimic.is_one(file, path.name) else "flat"


def is_flat(path: Path) -> bool:
    """Whether a file can be read block by block."""
    return layout(path) == "flat"
