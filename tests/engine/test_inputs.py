"""What callers hand in as observations, actions and masks."""

import numpy as np
import pytest
import torch

from prudent.engine.inputs import action_numbers, feature_rows, mask_rows
from prudent.errors import PrudentError
from prudent.types import Spec

ROW = [0.5, -1.0, 2.0]
CHOICES = Spec(3, 3, discrete=True)


class Frame:
    """Something of another library that NumPy can read, such as a data frame."""

    def __init__(self, rows):
        self.rows = rows

    def __array__(self, dtype=None, copy=None):
        return np.array(self.rows, dtype=dtype, copy=True if copy is None else copy)


@pytest.mark.parametrize(
    "given",
    [
        ROW,
        tuple(ROW),
        np.array(ROW),
        np.array(ROW, dtype=np.float16),
        np.array(ROW, dtype=object),
        torch.tensor(ROW),
        torch.tensor(ROW, dtype=torch.float64, requires_grad=True),
        np.ma.masked_array(ROW, mask=[False] * 3),
        Frame(ROW),
        [np.float32(0.5), torch.tensor(-1.0), 2],
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_in_any_container(given):
    rows, single = feature_rows(given, 3, "observation")
    assert single
    short = getattr(given, "dtype", None) in (np.float16, torch.float32)
    assert rows.dtype == (np.float32 if short else np.float64), "digits that the scaling may need are lost"
    np.testing.assert_array_equal(rows, [ROW])


def test_bfloat16_of_other_libraries():
    # As jax has it: a type that NumPy does not know, from a package that registers it.
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in (np.float32, ml_dtypes.bfloat16):
        np.testing.assert_array_equal(feature_rows(np.asarray([ROW, ROW], dtype), 3, "observation")[0], [ROW, ROW])
    np.testing.assert_array_equal(feature_rows(torch.tensor([ROW], dtype=torch.bfloat16), 3, "observation")[0], [ROW])


def test_data_frames_as_they_are():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [0.5, 1.0], "b": [1, 2], "c": [True, False]})
    np.testing.assert_array_equal(feature_rows(frame, 3, "observation")[0], [[0.5, 1, 1], [1, 2, 0]])
    rows, single = feature_rows(frame.iloc[0], 3, "observation")
    assert single
    np.testing.assert_array_equal(rows, [[0.5, 1, 1]])
    frame["b"] = ["x", "y"]
    with pytest.raises(PrudentError, match="holds a str"):
        feature_rows(frame, 3, "observation")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((np.array(ROW), {}), r"what env.reset\(\) returns, \(observation, info\): hand over its first part"),
        ((np.array(ROW), 1.0, False, False, {}), r"what env.step\(\) returns"),
        ({"image": ROW}, "observation is a dict, expected numbers"),
        ("0.5 1 2", "observation is a str, expected numbers"),
        (b"012", "observation is a bytes"),
        (None, "observation is None"),
        (["0.5", "1", "2"], "holds str, expected numbers"),
        ([ROW, [1.0]], "no array of numbers"),
        (np.array([0.5, "x", None], dtype=object), "no array of numbers .it holds a str"),
        (np.array([0.5, None, 1.0], dtype=object), "it holds None"),
        ([{"a": 1}, {"a": 2}, {"a": 3}], "it holds a dict"),
        (np.array(ROW, dtype=complex), "holds complex128, expected numbers"),
        (np.array(["2020-01-01"] * 3, dtype="M8[s]"), "holds datetime64"),
        (np.array([(0.5, 1)], dtype=[("a", "f4"), ("b", "f4")]), "holds void|no array"),
        (np.ma.masked_array(ROW, mask=[False, True, False]), "masked values: fill them first"),
        ((x for x in ROW), "it holds a generator"),
        (object(), "it holds a object"),
        (torch.eye(3).to_sparse(), "no array of numbers"),
        ([1e300, 0.0, 0.0], "NaN or infinite"),
        (np.zeros((3, 1)), r"shape \(3, 1\), expected \(3,\) or \(rows, 3\)"),
        (0.5, r"shape \(\), expected"),
    ],
)
def test_anything_else_is_one_line(given, says):
    with pytest.raises(PrudentError, match=says) as caught:
        feature_rows(given, 3, "observation")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("observation")


@pytest.mark.parametrize("given", [1, np.int8(1), torch.tensor(1), [1], np.array([1], dtype=np.uint8)])
def test_choices_as_numbers(given):
    actions = action_numbers(given, CHOICES)
    assert actions.tolist() == [1]
    assert actions.dtype == np.int64


@pytest.mark.parametrize("given", [[1.0], True, 3, -1, "1", {}, None, [[1]], (1, {})])
def test_choices_that_are_none(given):
    with pytest.raises(PrudentError, match=r"^action") as caught:
        action_numbers(given, CHOICES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given", [[True, False, True], [1, 0, 1], torch.tensor([1.0, 0.0, 1.0]), np.array([[1, 0, 1]])]
)
def test_masks(given):
    assert mask_rows(given, 1, CHOICES).tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["True", "False", "True"], "mask holds str"),
        ([0.5, 0.0, 1.0], "mask must be true or false"),
        ([np.nan, 0.0, 1.0], "mask must be true or false"),
        ([2, 0, 1], "mask must be true or false"),
        ({}, "mask is a dict"),
        ([0, 0, 0], "forbids every action"),
        ([1, 0], "shape"),
    ],
)
def test_masks_that_are_none(given, says):
    with pytest.raises(PrudentError, match=says):
        mask_rows(given, 1, CHOICES)
