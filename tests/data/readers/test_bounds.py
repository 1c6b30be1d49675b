"""Bounds that a file leaves open, in every reader."""

import h5py
import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk
from prudent.data import convert, load_dataset

LOG = walk([5, 6], size=2)
DOSES = np.linspace(0, 8, 11, dtype=np.float32)[:, None] * [1, -0.25]
LOW, HIGH = [0.0, -2.0], [np.inf, 2.0]


def write(path, low, high):
    columns = flat(LOG, next_observations=LOG["successor"], terminals=LOG["ends"]) | {"actions": DOSES}
    if path.suffix == ".npz":
        np.savez(path, **columns, action_low=low, action_high=high)
        return {}
    if path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            for key, column in columns.items():
                file[key] = column
            file["metadata/action_low"], file["metadata/action_high"] = low, high
        return {}
    rows = zip(LOG["observations"], DOSES, LOG["rewards"], LOG["ends"], strict=True)
    lines = ["x,y,a,b,r,end", *(",".join(map(str, [*s, *a, r, int(e)])) for s, a, r, e in rows)]
    path.write_text("\n".join(lines))
    roles = {"observation": ["x", "y"], "action": ["a", "b"], "reward": "r", "terminated": "end"}
    return {"mapping": roles | {"action_low": list(low), "action_high": list(high)}}


@pytest.mark.parametrize("name", ["log.npz", "log.hdf5", "log.csv"])
def test_the_user_says_where_open_sides_end(tmp_path, name):
    options = write(tmp_path / name, LOW, HIGH)
    line = complaint(load_dataset, tmp_path / name, **options)
    assert "the upper action bound is open in feature 0: declare finite bounds with --action-low" in line
    for high in (8.5, [8.5, 2.0]):
        spec = load_dataset(tmp_path / name, action_high=high, **options).spec
        assert (spec.action_low, spec.action_high) == ((0, -2), (8.5, 2))
    converted = convert(tmp_path / name, tmp_path / "folder", action_high=8.5, **options)
    assert converted.spec.action_high == (8.5, 2)
    # A number of the user's replaces bounds that are not open.
    assert load_dataset(tmp_path / name, action_low=-5, action_high=9, **options).spec.action_low == (-5, -5)


@pytest.mark.parametrize("name", ["log.npz", "log.hdf5", "log.csv"])
def test_a_file_that_leaves_every_side_open_declares_no_bounds(tmp_path, name):
    options = write(tmp_path / name, [-np.inf] * 2, [np.inf] * 2)
    assert load_dataset(tmp_path / name, **options).spec.action_low is None
    assert load_dataset(tmp_path / name, action_low=-2, action_high=9, **options).spec.action_high == (9, 9)
    assert "upper action bound is open in feature 0, 1" in complaint(
        load_dataset, tmp_path / name, action_low=-2, **options
    )
