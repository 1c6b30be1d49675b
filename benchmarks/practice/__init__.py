"""Practice problems with a known truth: each writes logs as a user would bring them, and says what a policy is worth.

The contents, a file each:

- ``problem``: what all of them are made of; a :class:`~benchmarks.practice.problem.Problem` writes logs and simulates
  policies, ``acting`` turns an agent into a policy
- ``inventory``: orders of 90 shops; masks, lead time, season; the log's probabilities are known
- ``heater``: power of heaters; continuous, irregular time, 12 groups, terminations with a loss
- ``dosing``: doses for patients; every episode ends, most of them in a death
- ``pricing``: prices in sessions of a few visits; continuous, noisy rewards
- ``queue``: speed of a server; masks, irregular time, very noisy costs
- ``battery``: a battery against prices; continuous, days that end with a settlement
- ``skilled``: a pilot whom nobody can beat; continuous
- ``disasters``: load of a boiler; rare bursts, which a greedy policy brings about
- ``measure``: one run: writes a log, tunes with default settings, and holds the outcome against the truth
- ``table``: adds up the runs that are stored, and writes them as tables
- ``__main__``: ``python -m benchmarks.practice``, as far as that is left to do

>>> from benchmarks.practice import problem_of
>>> inventory = problem_of("inventory")
>>> log = inventory.log(seed=0)
>>> inventory.true_value(inventory.behaviour)
"""

import importlib

from benchmarks.practice.problem import Problem

NAMES = ("inventory", "heater", "dosing", "pricing", "queue", "battery", "skilled", "disasters")


def problem_of(name: str) -> Problem:
    """The problem of this name, one of :data:`NAMES`."""
    return importlib.import_module(f"benchmarks.practice.{name}").PROBLEM
