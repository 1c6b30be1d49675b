"""Gathers the next batch in a thread while a step is computed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from prudent.nn.rng import MemberRng
from prudent.types import Batch

_MISSES = 3
"""After so many unused batches in a row nothing is gathered ahead: other code draws from the generators in between."""


@dataclass
class _Ahead:
    """A batch being gathered, with the random state before and after its rows were drawn."""

    before: Tensor
    after: Tensor
    batch_size: int
    batch: Future[Batch]


class Prefetcher:
    """Returns ``gather(draw(rng, batch_size))`` and has a thread gather what the next such call would return.

    The random state is what it would be without prefetching: draws and checkpoints are the same. If the random state
    has changed by the next call, the prefetched batch is dropped.
    """

    def __init__(self, draw: Callable[[MemberRng, int], Tensor], gather: Callable[[Tensor], Batch]):
        self.draw, self.gather = draw, gather
        self.thread = ThreadPoolExecutor(1, "prefetch")
        self.ahead: _Ahead | None = None
        self.misses = 0

    def next(self, rng: MemberRng, batch_size: int) -> Batch:
        """The batch for the current random state."""
        batch = self._taken(rng, batch_size)
        if batch is None:
            batch = self.gather(self.draw(rng, batch_size))
        if self.misses < _MISSES:
            before = rng.state()
            rows = self.draw(rng, batch_size)
            self.ahead = _Ahead(before, rng.state(), batch_size, self.thread.submit(self.gather, rows))
            rng.restore(before)
        return batch

    def _taken(self, rng: MemberRng, batch_size: int) -> Batch | None:
        """The prefetched batch, if it is the right one."""
        ahead, self.ahead = self.ahead, None
        if ahead is None:
            return None
        if ahead.batch_size != batch_size or not torch.equal(ahead.before, rng.state()):
            # Wait for it: two threads must not gather at once.
            ahead.batch.result()
            self.misses += 1
            return None
        self.misses = 0
        rng.restore(ahead.after)
        return ahead.batch.result()

    def drain(self) -> None:
        """Wait for the prefetched batch and drop it; call this before the columns change."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            ahead.batch.result()
