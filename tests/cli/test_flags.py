"""Flags made from dataclasses, and what is said about the wrong ones."""

from dataclasses import dataclass
from typing import Literal

import pytest

from prudent.cli.flags import Parser, add_flags
from prudent.errors import ConfigError


@dataclass(frozen=True)
class Config:
    rate: float = 0.5  # a number, 100 % of it
    limit: float | None = None  # a number or none
    count: int = 3  # a whole number
    shape: tuple[int, ...] = (4, 4)  # several whole numbers
    clip: tuple[float, float] | None = None  # two numbers or none
    kind: Literal["a", "b"] = "a"  # a choice
    learn: bool = True  # yes or no


def parse(*words, several=True):
    parser = Parser(prog="prudent try")
    parser.add_argument("data", nargs="*")
    add_flags(parser, Config, several=several)
    found = vars(parser.parse_strict(list(words)))
    assert found.pop("data") == []
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {}),
        ("--rate 1 2.5", {"rate": [1.0, 2.5]}),
        ("--rate -1e-3 -.5 -2.", {"rate": [-1e-3, -0.5, -2.0]}),
        ("--limit none", {"limit": [None]}),
        ("--limit=4", {"limit": [4.0]}),
        ("--count 7", {"count": [7]}),
        ("--count 7 8", {"count": [7, 8]}),
        ("--shape 5 6 7", {"shape": [5, 6, 7]}),
        ("--clip -inf 2", {"clip": [-float("inf"), 2.0]}),
        ("--clip none", {"clip": None}),
        ("--kind b", {"kind": ["b"]}),
        ("--kind b a", {"kind": ["b", "a"]}),
        ("--no-learn", {"learn": False}),
        ("--learn", {"learn": True}),
        ("--no_learn", {"learn": False}),
    ],
)
def test_values(words, expected):
    assert parse(*words.split()) == expected


def test_one_number_where_members_may_not_differ():
    assert parse("--rate", "2", "--count", "3", "--kind", "b", several=False) == {"rate": 2.0, "count": 3, "kind": "b"}
    with pytest.raises(ConfigError, match="try: unknown argument 10: --count takes fewer values"):
        parse("--count", "5", "10", several=False)


@pytest.mark.parametrize(
    "words",
    [
        "one.npz two.npz --rate 1 2 --kind a b --shape 3 4",
        "one.npz --rate 1 2 two.npz --kind a b --shape 3 4",
        "one.npz --rate 1 2 --learn two.npz --kind a b --shape 3 4",
        "--rate 1 2 one.npz two.npz --kind a b --shape 3 4",
        "--rate 1 2 one.npz --kind a b two.npz --shape 3 4",
        "--kind a b --rate 1 2 --shape 3 4 one.npz two.npz",
        "--rate 1 2 --learn one.npz --shape 3 4 two.npz --kind a b",
    ],
)
def test_data_may_follow_the_values_of_a_flag(words):
    parser = Parser(prog="prudent try")
    parser.add_argument("data", nargs="*")
    add_flags(parser, Config, several=True)
    found = vars(parser.parse_strict(words.split()))
    found.pop("learn", None)
    assert found == {"data": ["one.npz", "two.npz"], "rate": [1, 2], "kind": ["a", "b"], "shape": [3, 4]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--rat 1", "unknown argument --rat; did you mean --rate?"),
        ("--nothing 1", "unknown argument --nothing (see"),
        ("--rate", "argument --rate: expected at least one argument"),
        ("--rate a", "argument --rate: invalid float value: 'a'"),
        ("--rate nan", "argument --rate: invalid float value: 'nan'"),
        ("--rate inf", "argument --rate: invalid float value: 'inf'"),
        ("--count 1.5", "argument --count: invalid int value: '1.5'"),
        ("--count none", "argument --count: invalid int value: 'none'"),
        ("--count 5 10.5", "argument --count: invalid int value: '10.5'"),
        ("5", "unknown argument 5 (see"),
        ("--clip 1", "argument --clip: expected 2 numbers, got 1"),
        ("--clip 1 2 3", "argument --clip: expected 2 numbers, got 3"),
        ("--clip none none", "argument --clip: expected 2 numbers, got 2"),
        ("--clip nan 1", "argument --clip: invalid float value: 'nan'"),
        ("--kind c", "argument --kind: invalid choice: 'c'"),
        ("--kind a c", "argument --kind: invalid choice: 'c'"),
        ("--rate 1 five", "argument --rate: invalid float value: 'five'"),
        ("--rate 1 inf", "argument --rate: invalid float value: 'inf'"),
        ("--count 5 x3", "argument --count: invalid int value: 'x3'"),
        ("--learn yes", None),
    ],
)
def test_complaints_are_one_line(words, said):
    if said is None:
        parser = Parser(prog="prudent try")
        add_flags(parser, Config)
        with pytest.raises(ConfigError, match="unknown argument yes"):
            parser.parse_strict(words.split())
        return
    with pytest.raises(ConfigError) as caught:
        parse(*words.split())
    assert said in str(caught.value)
    assert str(caught.value).startswith("try: ")
    assert "\n" not in str(caught.value)


def test_help_shows_comments_and_defaults():
    parser = Parser(prog="prudent try")
    add_flags(parser, Config, Config(rate=0.25, shape=(9,)), several=True)
    text = " ".join(parser.format_help().split())
    for line in (
        "--rate X [X ...] a number, 100 % of it (default: 0.25)",
        "a number or none (default: none)",
        "several whole numbers (default: 9)",
        "--learn, --no-learn yes or no (default: on)",
        "--kind {a,b} [{a,b} ...] a choice (default: a)",
    ):
        assert line in text
