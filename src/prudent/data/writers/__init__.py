"""Writes datasets to files that :func:`prudent.data.load_dataset` reads.

- ``d4rl``: a flat HDF5 file
- ``minari``: a Minari dataset
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.data.dataset import Dataset
from prudent.data.readers.d4rl import EXTRA_COLUMNS
from prudent.errors import DataError
from prudent.progress import ticking

HDF5 = (".hdf5", ".h5")
MINARI = "minari:"
MASKS = ("mask", "next_mask")
"""Columns of ``Dataset.extra`` that both formats can hold."""


def check_target(target: str) -> None:
    """Refuse a target that cannot be written; call it before computing what to write.

    Raises:
        DataError: it exists, its folder cannot be written, its format is unknown, or the format's package is missing.
    """
    if target.startswith(MINARI):
        from prudent.data.writers import minari

        minari.check_target(target.removeprefix(MINARI))
    elif Path(target).suffix.lower() in HDF5:
        from prudent.data.writers import d4rl

        d4rl.check_target(Path(target))
    else:
        raise DataError(f"{target}: a dataset is written to a .hdf5 or .h5 file, or to minari:namespace/name-vN")


@ticking("writing the dataset")
def write(dataset: Dataset, target: str, about: Mapping[str, Any], env_id: str | None = None) -> None:
    """Write a dataset to a file (``.hdf5``, ``.h5``) or as a Minari dataset (``minari:namespace/name-vN``).

    ``about`` says how it was made: names to text, numbers, or anything that JSON can hold. The dataset appears under
    its name when it is complete.

    Raises:
        DataError: see :func:`check_target`, or the dataset has a column that the format cannot hold.
    """
    check_target(target)
    possible = MASKS if target.startswith(MINARI) else (*MASKS, *EXTRA_COLUMNS)
    unsupported = sorted(dataset.extra.keys() - set(possible))
    if unsupported:
        raise DataError(
            f"{dataset.name}: {target} has no place for {', '.join(unsupported)}: keep it in the file it came from"
        )
    if target.startswith(MINARI):
        from prudent.data.writers import minari

        minari.write(dataset, target.removeprefix(MINARI), about, env_id)
    else:
        from prudent.data.writers import d4rl

        d4rl.write(dataset, Path(target), about)
