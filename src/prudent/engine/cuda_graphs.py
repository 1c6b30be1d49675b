"""Training steps, one after the other or, on a GPU, several at once.

A step of small networks is hundreds of short kernels: a GPU is done with each before Python has asked for the next.
So a run of steps is recorded as one CUDA graph and replayed as a whole, sampling included. A recording repeats the
work and the places in memory, so it serves wherever the steps to come do the same work (their stages are the same) in
the same tensors (training changes them in place). Random numbers go on from where the generators stand, in a
recording as without: which way steps are taken changes how long they take, not what they compute.
"""

import gc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from prudent.algorithms.shared import schedule
from prudent.engine.batches import TrainingData
from prudent.engine.population import Population
from prudent.types import Metrics, Totals

LONGEST = 20
"""Steps in one recording: what is done between two, in Python, then takes no time that counts."""
MOST = 8
"""Recordings kept, each with memory of its own: of more kinds of runs, the others are taken one by one."""
REMEMBERED = 256
"""Kinds of runs remembered as taken once, so that those of a schedule with a long period are seen again."""

_failed: list[torch.cuda.CUDAGraph] = []
"""Recordings that failed. PyTorch's allocator goes on asking them, so they stay, and nothing is recorded any more."""

Work = tuple[tuple[Any, ...], ...]
"""The stages of a run of steps: runs that are equal in it do the same work."""


@dataclass(frozen=True)
class RecordedSteps:
    """A run of steps as a CUDA graph, and where it leaves the sums of their metrics."""

    graph: torch.cuda.CUDAGraph
    sums: Metrics
    counts: dict[str, int]

    def replay(self) -> Totals:
        """Take the steps; the sums are copies, which the next replay leaves alone."""
        self.graph.replay()
        copies = torch.stack(list(self.sums.values())).unbind() if self.sums else ()
        return Totals(dict(zip(self.sums, copies, strict=True)), dict(self.counts))


class Steps:
    """Takes the training steps of a population on its data.

    They are recorded where population and data lie on a CUDA device. The first run of its kind is taken step by step,
    which loads all that a recording cannot wait for; the second is recorded. Where that fails, ``say`` tells why and
    steps go on one by one, in this process for good.
    """

    def __init__(self, population: Population, data: TrainingData, say: Callable[[str], object]):
        self.population, self.data, self.say = population, data, say
        self.records = population.device.type == "cuda" and data.on_device and not _failed
        self._recorded: dict[Work, RecordedSteps] = {}
        self._seen: deque[Work] = deque(maxlen=REMEMBERED)

    def take(self, most: int) -> Totals:
        """``most`` steps, or fewer; at least one. Returns their metrics, added up."""
        if not self.records:
            return self._one_by_one(1)
        state, hyper = self.population.state, self.population.hyper
        count = min(most, LONGEST)
        work = tuple(schedule.stage(hyper, step) for step in range(state.step, state.step + count))
        if work not in self._recorded:
            if work not in self._seen or len(self._recorded) == MOST:
                self._seen.append(work)
                return self._one_by_one(count)
            recording = self._record(count)
            if recording is None:
                return self._one_by_one(count)
            self._recorded[work] = recording
        state.step += count
        return self._recorded[work].replay()

    def _one_by_one(self, count: int) -> Totals:
        totals = Totals()
        for _ in range(count):
            totals.add(Totals.of(self.population.step(self.data)))
        return totals

    def _record(self, count: int) -> RecordedSteps | None:
        """The next ``count`` steps, not taken yet, or None where they cannot be recorded."""
        population, state = self.population, self.population.state
        device, step = population.device, state.step
        generators = {stream: rng.state() for stream, rng in population.rngs.items()}
        # What is collected meanwhile, an old recording say, would be freed within the new one.
        gc.collect()
        # A recording that fails leaves its stream behind as the current one; the outer context puts it back.
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
            graph = torch.cuda.CUDAGraph()
            for rng in population.rngs.values():
                for generator in rng.generators:
                    graph.register_generator_state(generator)
            # Other threads (loggers, say) may use the device meanwhile. The stream is one of this device: the one that
            # PyTorch would take is of whichever device recorded first.
            recording = torch.cuda.graph(graph, stream=torch.cuda.Stream(device), capture_error_mode="thread_local")
            try:
                with recording:
                    totals = self._one_by_one(count)
            except RuntimeError as error:
                self.records = False
                _failed.append(graph)
                population.renew_generators(generators)
                # The end of a recording fails too and hides why.
                why = str(error.__context__ or error).splitlines()[0]
                self.say(f"steps are taken one by one: no CUDA graph could be made of them ({why})")
                return None
            finally:
                # Nothing has been computed yet, but Python has counted.
                state.step = step
        return RecordedSteps(graph, totals.sums, totals.counts)
