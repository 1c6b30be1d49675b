"""One run of one racer: train up to a mark, evaluate, go on to the next."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Measure

FIRST_CALLS = 10
"""Steps of the first measurement of a run, before it is known how long a step takes."""
PORTION = 0.5
"""Share of the time that is left to a mark which a measurement may take: the last ones end close to it."""


@dataclass(frozen=True)
class Marks:
    """When to evaluate: ``count`` times, at equal shares of the ``minutes`` of CPU time; some racers go on for longer.

    ``times`` is how many times as long those of :data:`LONGER` go on, at the same distances.
    """

    minutes: float
    count: int
    times: int = 1

    def of(self, racer: str) -> list[float]:
        """The marks of a racer, in minutes."""
        last = self.count * (self.times if racer in LONGER else 1)
        return [self.minutes * (k + 1) / self.count for k in range(last)]


LONGER = ("d3rlpy_cql",)
"""Racers that may have several times the minutes of the others."""


def run(
    marks: list[float],
    measure: Measure,
    evaluate: Callable[[], dict[str, Any]],
    seconds: float,
    say: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """The evaluations at the marks: each has the ``step``, the ``mark`` and the ``minutes`` really used, and figures.

    ``seconds`` is what the racer has cost before its first step; ``say`` is called with every evaluation. A policy
    whose actions are no longer numbers ends the run.
    """
    steps, trained, points = 0, 0.0, []
    for mark in marks:
        while seconds + trained < 60 * mark:
            calls = FIRST_CALLS if steps == 0 else portion(60 * mark - seconds - trained, trained / steps)
            trained += measure(calls) * calls / 1000
            steps += calls
        points.append({"step": steps, "mark": mark, "minutes": (seconds + trained) / 60, **evaluate()})
        say(points[-1])
        if points[-1]["return"] is None:
            break
    return points


def portion(left: float, per_step: float) -> int:
    """How many steps to take in the ``left`` seconds to a mark: half of those that fit, one at least."""
    return max(1, math.floor(PORTION * left / per_step))
