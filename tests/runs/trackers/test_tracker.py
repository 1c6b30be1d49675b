"""What every tracker does: names of figures, and what waits for the next checkpoint."""

import math
from pathlib import Path

import pytest

from prudent.runs.trackers.tracker import Tracked, Tracker, flat, labels


class Kept(Tracker):
    """A tracker in memory."""

    keeps = True

    def __init__(self, run):
        super().__init__(run)
        self.lines, self.files, self.state = [], [], ""

    @classmethod
    def open(cls, run):
        return cls(run)

    @property
    def run_id(self):
        return "one"

    @property
    def place(self):
        return "in memory"

    def send(self, lines):
        self.lines += lines.items()

    def attach(self, paths):
        self.files += paths

    def end(self, state):
        self.state = state


def opened(names, sent=-1):
    return Kept(Tracked(Path(), names, {}, None, sent))


def test_a_single_member_has_the_documented_names_and_several_have_their_own():
    one, two = opened(["alpha=5,seed=0"]), opened(["alpha=5,seed=0", "alpha=0.5,seed=0"])
    one.log(10, {"eval/return": [3.0], "time/ms_per_step": 2.0})
    one.sync()
    assert one.lines == [(10, {"eval/return": 3.0, "time/ms_per_step": 2.0})]
    two.log(10, {"eval/return": [3.0, 4.0]})
    two.log(10, {"guard/stopped": [1.0]}, members=[1])
    two.sync()
    returns = {"eval/return/alpha_5 seed_0": 3.0, "eval/return/alpha_0.5 seed_0": 4.0}
    assert two.lines == [(10, returns | {"guard/stopped/alpha_0.5 seed_0": 1.0})]


def test_figures_wait_for_the_checkpoint_and_are_sent_once_in_the_order_of_steps():
    tracker = opened(["a"])
    tracker.log(20, {"train/alpha": 2.0})
    tracker.log(10, {"train/alpha": 1.0})
    assert tracker.lines == []
    tracker.sync()
    assert tracker.lines == [(10, {"train/alpha": 1.0}), (20, {"train/alpha": 2.0})]
    assert tracker.sent == 20
    tracker.log(20, {"train/alpha": 9.0})  # as a resumed run does that computes this step again
    tracker.log(30, {"train/alpha": 3.0})
    tracker.sync()
    tracker.sync()
    assert tracker.lines[2:] == [(30, {"train/alpha": 3.0})]


@pytest.mark.parametrize("figure", [math.inf, -math.inf, math.nan, None])
def test_what_is_not_finite_is_nan(figure):
    tracker = opened(["a"])
    tracker.log(1, {"train/td_error": [figure]})
    tracker.sync()
    assert math.isnan(tracker.lines[0][1]["train/td_error"])


def test_labels_are_distinct_and_have_only_characters_that_trackers_take():
    assert labels(["whatever=1"]) == [""]
    assert labels(["a=1,b=2", "a=1 b=2", "ü"]) == ["a_1 b_2-0", "a_1 b_2-1", "_"]
    assert labels(["", "x"]) == ["-0", "x"]


def test_nested_settings_become_one_level():
    assert flat({"a": 1, "b": {"c": [2], "d": {"e": None}}}) == {"a": 1, "b.c": [2], "b.d.e": None}
