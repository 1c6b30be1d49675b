"""What of a dataset is independent of what."""

from dataclasses import replace

import numpy as np

from benchmarks import known

LOG = known.tabular(0).log(6, 0)


def test_episodes_are_units_without_groups():
    unit, by = LOG.units()
    assert (unit.tolist(), by) == ([0, 1, 2, 3, 4, 5], "episode")


def test_groups_are_units_by_number_or_name():
    for column in (np.array([7, 3, 7, 3, 9, 9]), np.array(["b", "a", "b", "a", "c", "c"])):
        unit, by = replace(LOG, extra={"group": column[LOG.episode_of_row]}).units()
        assert (unit.tolist(), by) == ([1, 0, 1, 0, 2, 2], "group")


def test_the_first_row_of_an_episode_decides():
    column = np.repeat(100, len(LOG))
    column[LOG.episode_bounds[:-1]] = [0, 0, 0, 1, 1, 1]
    assert replace(LOG, extra={"group": column}).units()[0].tolist() == [0, 0, 0, 1, 1, 1]
