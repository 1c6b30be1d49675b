"""Time that training takes: ``time/`` metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepClock:
    """Time spent in steps, without evaluations and checkpoints."""

    def __init__(self) -> None:
        self.began, self.steps = time.perf_counter(), 0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.began += time.perf_counter() - before

    def metrics(self) -> dict[str, float]:
        seconds = max(time.perf_counter() - self.began, 1e-9)
        return {"time/steps_per_second": self.steps / seconds, "time/ms_per_step": 1000 * seconds / max(self.steps, 1)}
