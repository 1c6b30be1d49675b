"""How named values become features, and what the numbers of actions are called."""

import json

import numpy as np
import pytest

from prudent.data.encoding import Column, Encoding, check_same, texts_of
from prudent.errors import DataError
from prudent.types import Spec

DAY = Column("day", "one-hot", ("Mon", "Tue", "Wed"), fill="Tue")
SIZE = Column("size", "index", ("S", "M", "L"))
STOCK = Column("stock", fill=2.5, flag=True)
ENCODING = Encoding((DAY, SIZE, STOCK), ("order",), ("0", "20"))
SPEC = Spec(6, 2, discrete=True)
NONE = np.zeros(3, dtype=bool)
SECOND = np.array([False, True, False])


def test_features_are_named_in_order():
    assert ENCODING.features == ("day=Mon", "day=Tue", "day=Wed", "size", "stock", "stock missing")
    assert ENCODING.names == ("day", "size", "stock")


def test_numbers_and_places_become_features():
    np.testing.assert_array_equal(DAY.encoded(np.array([2, 0, 1]), NONE), [[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(DAY.encoded(np.array([2, 0, 1]), SECOND), [[0, 0, 1], [0, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(SIZE.encoded(np.array([2, 0, 1]), NONE), [[2], [0], [1]])
    np.testing.assert_array_equal(STOCK.encoded(np.array([7, 0, 9]), SECOND), [[7, 0], [2.5, 1], [9, 0]])
    np.testing.assert_array_equal(Column("x").encoded(np.array([7, 0, 9]), NONE), [[7], [0], [9]])
    np.testing.assert_array_equal(SIZE.encoded(np.array([2, 0, 1]), SECOND), [[2], [np.nan], [1]])


def test_features_become_the_cells_of_the_table_again():
    features = np.array([[0, 0, 1, 2, 7, 0], [1, 0, 0, 0, 2.5, 1]], np.float32)
    cells = ENCODING.cells(features)
    assert list(cells) == ["day", "size", "stock", "stock missing"]
    assert cells["day"].tolist() == ["Wed", "Mon"]
    assert cells["size"].tolist() == ["L", "S"]
    assert cells["stock"].tolist() == [7, 2.5], "a missing cell holds its fill value"
    assert cells["stock missing"].tolist() == [0, 1]
    cells["stock"][:] = 0
    assert features[0, 4] == 7, "cells are copies"


def test_equal_categories_are_written_in_several_ways():
    assert texts_of(1) == texts_of(1.0) == texts_of("1") == texts_of("1.0") == texts_of(np.int8(1)) == ("1",)
    assert texts_of("007") == ("007",) != texts_of(7)
    assert texts_of(0.5) == texts_of("0.5") == ("0.5",)
    assert texts_of(None) == texts_of(float("nan")) == texts_of([1]) == ()
    for value in (True, np.True_, "true"):
        assert Column("promo", "index", ("false", "true")).place(value) == 1
    assert Column("promo", "index", ("0", "1")).place(True) == 1


def test_labels_both_ways():
    assert ENCODING.label(1) == "20"
    assert ENCODING.label(np.array([1, 0])) == ["20", "0"]
    assert [ENCODING.number(label) for label in ("0", 20, "20.0")] == [0, 1, 1]
    for wrong in (2, -1, 0.5, "x"):
        with pytest.raises(DataError, match="there is no action"):
            ENCODING.label(wrong)
    with pytest.raises(DataError, match=r"no action is called '30': there are '0', '20' \(action_labels\)"):
        ENCODING.number("30")
    for ask in (Encoding((DAY,)).label, Encoding((DAY,)).number):
        with pytest.raises(DataError, match=r"these actions have no labels.* from action_labels in a mapping"):
            ask(0)


def test_json_and_back():
    stored = json.loads(json.dumps(ENCODING.to_json()))
    assert Encoding.from_json(stored, SPEC) == ENCODING
    plain = Encoding((Column("x"),), ("a", "b"))
    assert Encoding.from_json(json.loads(json.dumps(plain.to_json())), Spec(1, 2)) == plain


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("columns",), {}),
        (("columns",), [1]),
        (("columns", 0, "kind"), "number"),
        (("columns", 0, "kind"), "two-hot"),
        (("columns", 0, "kind"), ["one-hot"]),
        (("columns", 0, "values"), ["Mon", "Mon", "Tue"]),
        (("columns", 0, "values"), ["Mon", 1, "Tue"]),
        (("columns", 0, "values"), ["Mon", "Tue"]),
        (("columns", 0, "fill"), "Sun"),
        (("columns", 0, "fill"), ["Mon"]),
        (("columns", 0, "name"), 3),
        (("columns", 1, "name"), "day"),
        (("columns", 2, "fill"), "x"),
        (("columns", 2, "fill"), float("nan")),
        (("columns", 2, "fill"), 10**400),
        (("columns", 2, "flag"), 1),
        (("actions",), "order"),
        (("labels",), ["0"]),
        (("labels",), ["0", "0"]),
        (("labels",), 2),
        (("more",), 2),
    ],
)
def test_what_somebody_edited_is_refused(path, value):
    stored = ENCODING.to_json() | {"columns": [dict(column) for column in ENCODING.to_json()["columns"]]}
    *way, last = path
    place = stored
    for key in way:
        place = place[key]
    place[last] = value
    with pytest.raises((ValueError, TypeError)):
        Encoding.from_json(stored, SPEC)


def test_other_spaces_are_refused():
    for spec in (Spec(5, 2, discrete=True), Spec(6, 3, discrete=True), Spec(6, 2), Spec(6, 2, True, first_action=1)):
        with pytest.raises(ValueError, match=r"names for|labels for"):
            Encoding.from_json(ENCODING.to_json(), spec)


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (
            Encoding((SIZE, DAY, STOCK), ("order",), ("0", "20")),
            "observation columns 'size', 'day', 'stock' against",
        ),
        (
            Encoding((Column("day", "one-hot", ("Tue", "Mon", "Wed"), "Tue"), SIZE, STOCK), ("order",), ("0", "20")),
            "other categories of 'day': one-hot of 'Tue', 'Mon', 'Wed' against one-hot of 'Mon'",
        ),
        (
            Encoding((DAY, SIZE, Column("stock", fill=0.0, flag=True)), ("order",), ("0", "20")),
            "another fill value of 'stock': 0.0 against 2.5",
        ),
        (Encoding((DAY, SIZE, STOCK), ("dose",), ("0", "20")), "action columns 'dose' against 'order'"),
        (Encoding((DAY, SIZE, STOCK), ("order",), ("0", "40")), "action labels '0', '40' against '0', '20'"),
        (Encoding((DAY, SIZE, STOCK), ("order",)), "action labels none against '0', '20'"),
    ],
)
def test_the_difference_of_two_is_named(other, line):
    with pytest.raises(DataError) as refused:
        check_same(ENCODING, other, "new.csv", "old.csv")
    assert str(refused.value).startswith(f"new.csv does not fit old.csv: {line}")
    check_same(ENCODING, ENCODING, "a", "b")
    check_same(None, other, "a", "b")
    check_same(ENCODING, None, "a", "b")
