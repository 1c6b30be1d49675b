"""Batches that are gathered while the step before them is computed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from prudent.nn.rng import MemberRng
from prudent.types import Batch

_MISSES = 3
"""Batches in a row gathered for nothing after which none is gathered ahead: somebody else draws in between."""


@dataclass
class _Ahead:
    """A batch in the making, of the rows that a generator in the state ``before`` draws, which leaves it ``after``."""

    before: Tensor
    after: Tensor
    batch_size: int
    batch: Future[Batch]


class Prefetcher:
    """Gives ``gather(draw(rng, batch_size))`` and has a thread gather what the same call would give next.

    The generators are left as if each batch were drawn when it is asked for: what they draw, and what a checkpoint
    stores of them, is the same with and without. A batch gathered for a generator that has moved meanwhile is dropped.
    """

    def __init__(self, draw: Callable[[MemberRng, int], Tensor], gather: Callable[[Tensor], Batch]):
        self.draw, self.gather = draw, gather
        self.thread = ThreadPoolExecutor(1, "prefetch")
        self.ahead: _Ahead | None = None
        self.misses = 0

    def next(self, rng: MemberRng, batch_size: int) -> Batch:
        """The batch for the generators as they stand."""
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
        """The batch gathered ahead, if it is the one asked for."""
        ahead, self.ahead = self.ahead, None
        if ahead is None:
            return None
        if ahead.batch_size != batch_size or not torch.equal(ahead.before, rng.state()):
            # Waited for: two threads must not gather at once.
            ahead.batch.result()
            self.misses += 1
            return None
        self.misses = 0
        rng.restore(ahead.after)
        return ahead.batch.result()

    def drain(self) -> None:
        """Wait for the batch gathered ahead and drop it, before what is gathered changes; the next is gathered anew."""
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            ahead.batch.result()
