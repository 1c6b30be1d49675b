"""The cost of targets over several steps: ``python -m benchmarks.multi_step [ROUNDS]``.

Complete steps of CQL on the benchmark's workload with three hidden layers, on random rows in order of time: with
``n_steps`` 1, with 5 and a trace of 1 (only the windows' ends are evaluated), and with 5 and a trace of 0.5 (every next
state is). All are measured in turn within one process, on one thread, in processor time; the ratios to ``n_steps`` 1
are medians over the rounds.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks import work
from benchmarks.harness import prepare, ratio
from prudent.algorithms import cql
from prudent.engine.members import Member
from prudent.engine.population import new_population

WINDOWS = {"n 1": {}, "n 5": {"n_steps": 5}, "n 5, trace 0.5": {"n_steps": 5, "trace": 0.5}}
GRADIENTS = ("exact", "sampled")


def stepper(config: cql.Config) -> Callable[[], object]:
    """A function that makes one step on rows of which each leads to the next."""
    data = work.dataset()
    following = np.concatenate([data.observation[1:], data.next_observation[-1:]])
    ends = np.arange(1, len(data) + 1) % work.EPISODE == 0
    data = replace(data, next_observation=following, terminated=np.zeros_like(ends), truncated=ends)
    population = new_population(data, "cql", [Member("seed=0", 0, config)], "cpu")
    source, _ = population.prepare(data)
    return lambda: population.step(source)


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    rounds = int(words[0]) if words else 15
    prepare(1)
    for gradient in GRADIENTS:
        steps = {
            name: stepper(cql.Config(hidden=(256, 256, 256), gradient=gradient, **settings))
            for name, settings in WINDOWS.items()
        }
        turns = []
        for number in range(rounds + 1):
            turn = {}
            for name, step in steps.items():
                began = time.process_time()
                for _ in range(3):
                    step()
                turn[name] = (time.process_time() - began) / 3 * 1000
            if number:  # the first round warms up
                turns.append(turn)
        for name in WINDOWS:
            if name != "n 1":
                found = ratio(turns, name, "n 1")
                print(f"{gradient:8} {name:15} {', '.join(f'{key} {value:.3f}' for key, value in found.items())}")
        print(f"{gradient:8} n 1: {np.median([turn['n 1'] for turn in turns]):.1f} ms", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
