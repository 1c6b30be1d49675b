"""Practice problems with a known truth: each writes logs as a user would bring them, and says what a policy is worth.

The contents, a file each:

- ``problem``: what all of them are made of; a :class:`~benchmarks.practice.problem.Problem` writes logs and simulates
  policies, ``acting`` turns an agent into a policy
- ``inventory``: orders of 90 shops; masks, lead time, season; the log's probabilities are known
- ``heater``: power of heaters; continuous, irregular time, 12 groups, terminations with a loss
- ``dosing``: doses for patients; every episode ends, most of them in a death
- ``skilled``: a pilot whom nobody can beat; continuous

>>> from benchmarks.practice import problem_of
>>> inventory = problem_of("inventory")
>>> log = inventory.log(seed=0)
>>> inventory.true_value(inventory.behaviour)
"""

import importlib

from benchmarks.practice.problem import Problem

NAMES = ("inventory", "heater", "dosing", "skilled")


def problem_of(name: str) -> Problem:
    """The problem of this name, one of :data:`NAMES`."""
    return importlib.import_module(f"benchmarks.practice.{name}").PROBLEM
