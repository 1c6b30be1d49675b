"""What a policy is asked, by the names of the log's columns."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from prudent.data.encoding import Column, Encoding
from prudent.engine.observations import action_rows, observation_rows
from prudent.engine.scaling import Scaling
from prudent.errors import PrudentError
from prudent.types import Spec

ENCODING = Encoding(
    (
        Column("stock"),
        Column("day", "one-hot", ("Mon", "Tue")),
        Column("size", "index", ("1", "2"), fill="2"),
        Column("demand", fill=0.5, flag=True),
    ),
    ("order",),
    ("0", "20", "40"),
)
ROW = {"stock": 3, "day": "Tue", "size": 1, "demand": 7.5}
FEATURES = [3, 0, 1, 0, 7.5, 0]


def population(encoding=ENCODING, spec=None):
    size = 6 if encoding is None else len(encoding.features)
    scaling = Scaling(torch.zeros(size), torch.ones(size), torch.zeros(0), torch.zeros(0), encoding=encoding)
    return SimpleNamespace(scaling=scaling, spec=spec or Spec(size, 3, discrete=True))


def rows(values, **others):
    return observation_rows(population(**others), values)


@pytest.mark.parametrize(
    "given",
    [
        ROW,
        dict(reversed(ROW.items())),
        {**ROW, "size": "1"},
        {**ROW, "size": 1.0, "stock": np.float32(3)},
        {**ROW, "stock": torch.tensor(3), "demand": np.array(7.5), "day": np.str_("Tue")},
        FEATURES,
        np.array(FEATURES),
    ],
)
def test_one_row(given):
    features, single = rows(given)
    assert single
    np.testing.assert_array_equal(features, [FEATURES])


@pytest.mark.parametrize(
    "given",
    [
        {"stock": [3, 4], "day": ["Tue", "Mon"], "size": [1, 2], "demand": [7.5, None]},
        {
            "stock": np.array([3, 4]),
            "day": np.array(["Tue", "Mon"]),
            "size": torch.tensor([1, 2]),
            "demand": np.array([7.5, np.nan]),
        },
        {"stock": (3.0, 4.0), "day": ("Tue", "Mon"), "size": (1, None), "demand": np.ma.array([7.5, 0], mask=[0, 1])},
        [ROW, {"stock": 4, "day": "Mon", "size": "2", "demand": float("nan")}],
    ],
)
def test_several_rows_with_missing_values_filled(given):
    features, single = rows(given)
    assert not single
    np.testing.assert_array_equal(features, [FEATURES, [4, 1, 0, 1, 0.5, 1]])
    assert features.dtype == np.float64


def test_one_row_of_lists_is_a_batch_of_one():
    features, single = rows([ROW])
    assert not single
    np.testing.assert_array_equal(features, [FEATURES])
    assert not rows({name: [value] for name, value in ROW.items()})[1]


class Frame:
    """What data frames of several libraries have in common."""

    def __init__(self, columns):
        self.columns, self._values = list(columns), columns

    def __getitem__(self, name):
        return np.array(self._values[name], dtype=object)

    def to_numpy(self):
        return np.array(list(self._values.values()), dtype=float).T

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy()


def test_a_data_frame_goes_by_its_names_not_by_its_order():
    columns = {"demand": [7.5, None], "day": ["Tue", "Tue"], "stock": [3, 3], "size": [1, 1]}
    np.testing.assert_array_equal(rows(Frame(columns))[0], [FEATURES, [3, 0, 1, 0, 0.5, 1]])
    with pytest.raises(PrudentError, match="observation lacks 'size'"):
        rows(Frame({name: column for name, column in columns.items() if name != "size"}))
    np.testing.assert_array_equal(rows(Frame({k: [v] for k, v in enumerate(FEATURES)}))[0], [FEATURES], "no names")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({**ROW, "stok": 1}, "observation has no column 'stok'; did you mean 'stock'?"),
        ({**ROW, 7: 1}, "observation has no column 7; there are 'stock', 'day', 'size', 'demand'"),
        ({k: v for k, v in ROW.items() if k != "day"}, "observation lacks 'day': a policy needs every column"),
        ({}, "observation lacks 'stock', 'day', 'size', 'demand'"),
        ([ROW, {**ROW, "dya": "Mon"}], "observation has no column 'dya' in row 1; did you mean 'day'?"),
        ({**ROW, "day": "Mno"}, "observation: day is 'Mno', which is none of its categories ('Mon', 'Tue'); did"),
        ([ROW, {**ROW, "size": 3}], "observation: size in row 1 is 3, which is none of its categories ('1', '2')"),
        ({**ROW, "stock": None}, "observation: stock is missing, and its column has no fill value"),
        ({**ROW, "stock": float("nan")}, "observation: stock is missing, and its column has no fill value"),
        ({**ROW, "day": ""}, "observation: day is missing, and its column has no fill value"),
        ({**ROW, "stock": "3"}, "observation: stock is '3', expected a number"),
        ({**ROW, "stock": {"a": 1}}, "observation: stock is {'a': 1}, expected a number"),
        ({**ROW, "stock": 10**400}, "a policy has no answer to that"),
        ({**ROW, "stock": float("inf")}, "observation: stock is infinite or too large: a policy has no answer"),
        ({**ROW, "demand": 1e300}, "observation: demand is infinite or too large: a policy has no answer"),
        ({k: [v, v] for k, v in ROW.items()} | {"size": [1]}, "observation: stock has 2 values and size 1 values"),
        ({**ROW, "size": [1]}, "observation: stock has one value and size 1 values: give every name one value"),
        ({k: [] for k in ROW}, "observation: stock has no values"),
        ({**ROW, "stock": np.zeros((2, 2))}, "observation: stock has shape (2, 2), expected one value"),
        ({k: np.array([v] * 3) for k, v in ROW.items()} | {"stock": np.array([1, np.inf, 2])}, "row 1 is infinite"),
        (FEATURES[:5], "observation has shape (5,), expected (6,)"),
        ((FEATURES, {}), "observation is what env.reset() returns"),
        ([FEATURES[0], {}], "observation is no array of numbers"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(given, line):
    with pytest.raises(PrudentError) as refused:
        rows(given)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("given", [ROW, [ROW, ROW]])
def test_names_for_a_policy_without_names_are_refused(given):
    with pytest.raises(PrudentError, match="this policy was trained on data without names of columns: hand over its 6"):
        rows(given, encoding=None)


def test_actions_by_number_and_by_label():
    policy = population()
    for given, expected in (
        (1, [1]),
        ("20", [1]),
        (["40", "0"], [2, 0]),
        (np.array(["40", "0"]), [2, 0]),
        ([2, 0], [2, 0]),
    ):
        np.testing.assert_array_equal(action_rows(policy, given, len(expected)), expected)
    for given, line in (
        ("30", "no action is called '30'"),
        (3, r"whole numbers from 0 to 2, .*; or their labels, as text: '0', '20', '40' \(action_labels\)"),
        (40, r"or their labels, as text: '0', '20', '40'"),
        ([1, 2], "1 observations and 2"),
    ):
        with pytest.raises(PrudentError, match=line):
            action_rows(policy, given, 1)
    with pytest.raises(PrudentError, match="these actions have no labels, so none is called '20'"):
        action_rows(population(encoding=None), "20", 1)
    amounts = population(spec=Spec(6, 2))
    np.testing.assert_array_equal(action_rows(amounts, [0.5, 1], 1), [[0.5, 1]])
