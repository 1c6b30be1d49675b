"""When a policy counts as worth having. Nothing is asserted about time."""

import dataclasses

import numpy as np
import pytest
from benchmarks.race import TASKS, Course, good
from benchmarks.racers import columns_of, figures_of, ours

from helpers.runs import write_log
from prudent.data import load_dataset


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((-190, -185, -160), True),
        ((-190, -160, -160), True),
        ((-201, -185, -160), False),  # earns too little
        ((-190, -159, -160), False),  # promises more than follows
        ((-190, -209, -160), False),  # promises more than 30 % less
        ((1100, 180, 250), True),
        ((1100, 170, 250), False),
        ((1100, 251, 250), False),
    ],
)
def test_good_is_a_high_return_and_a_near_lower_bound(figures, expected):
    goal = -200 if figures[0] < 0 else 1000
    assert good(dict(zip(("return", "predicted", "realised"), figures, strict=True)), goal) is expected, figures


def test_a_course_ends_with_two_good_evaluations_in_a_row():
    fine = {"return": -150.0, "predicted": -160.0, "realised": -155.0}
    poor = fine | {"return": -300.0}
    course = Course(seconds=1.0)
    arrived = []
    for figures in (fine, poor, fine, fine):
        course.add(2.0, 500, figures, goal=-200)
        arrived.append(course.arrived)
    assert arrived == [False, False, False, True]
    assert (course.steps, course.seconds) == (2000, 5.0), "steps, and seconds with those from before the first step"


def test_our_racer_trains_and_is_evaluated():
    task = dataclasses.replace(TASKS["pendulum"], config=dataclasses.replace(TASKS["pendulum"].config, hidden=(8, 8)))
    population, step, before = ours("cql", task.config, load_dataset(task.data), 0)
    step()
    assert population.state.step == 1
    assert before >= 0
    assert set(figures_of(population, task.env, episodes=1)) == {"return", "predicted", "realised"}


@pytest.mark.parametrize(("given", "low", "high"), [({"action_low": None, "action_high": None}, -1, 1), ({}, -2, 2)])
def test_the_peer_is_told_the_bounds_that_ours_goes_by(tmp_path, given, low, high):
    actions = np.random.default_rng(0).uniform(-1, 1, (240, 1)).astype(np.float32)
    columns = columns_of(load_dataset(write_log(tmp_path / "log.npz", actions=actions, **given)))
    assert (columns["low"].tolist(), columns["high"].tolist()) == ([low], [high])
    assert all(np.isfinite(column).all() for column in columns.values())
