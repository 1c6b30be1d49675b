"""Batches are those that would be drawn one by one, whoever draws in between."""

import torch

from prudent.engine.prefetch import Prefetcher
from prudent.nn.rng import MemberRng
from prudent.types import Batch


def prefetcher(gathered=None):
    """Batches whose observations are the numbers of their rows."""

    def gather(rows):
        if gathered is not None:
            gathered.append(rows)
        return Batch(observation=rows, action=rows, reward=rows, next_observation=rows, terminated=rows)

    return Prefetcher(lambda rng, size: rng.integers(1000, size), gather)


def drawn(calls, ahead):
    """Rows and final state of generators that are asked for what ``calls`` says: a batch size, or None to draw."""
    rng, source, found = MemberRng([3, 4], "sample"), prefetcher(), []
    for size in calls:
        if size is None:
            rng.normal(2)
        else:
            found.append(source.next(rng, size).observation if ahead else rng.integers(1000, size))
    return found, rng.state()


def test_rows_and_generators_are_as_without_it():
    for calls in ([4] * 6, [4, 7, 4, 4, 7], [4, None, 4, None, 4, 4, 4], [None, 4, None, 4, None, 4, None, 4, 4]):
        (rows, state), (expected, expected_state) = drawn(calls, True), drawn(calls, False)
        assert all(torch.equal(a, b) for a, b in zip(rows, expected, strict=True)), f"other rows for {calls}"
        assert torch.equal(state, expected_state), f"other generators after {calls}"


def test_each_batch_is_gathered_once_and_ahead():
    gathered = []
    source, rng = prefetcher(gathered), MemberRng([0], "sample")
    first = source.next(rng, 4)
    source.ahead.batch.result()
    assert len(gathered) == 2, "the second batch was not gathered ahead"
    second = source.next(rng, 4)
    assert not torch.equal(first.observation, second.observation)
    assert second.observation is gathered[1], "the batch gathered ahead was not used"


def test_nothing_is_gathered_in_vain_for_ever():
    gathered = []
    source, rng = prefetcher(gathered), MemberRng([0], "sample")
    for _ in range(20):
        source.next(rng, 4)
        rng.normal(1)
    assert len(gathered) <= 24


def test_a_drained_batch_is_gathered_anew():
    gathered = []
    source, rng = prefetcher(gathered), MemberRng([0], "sample")
    source.next(rng, 4)
    source.drain()
    source.drain()
    assert len(gathered) == 2, "the batch in the making was not waited for"
    second = source.next(rng, 4).observation
    assert torch.equal(second, gathered[1]), "other rows"
    assert second is gathered[2], "the drained batch was handed out"


def test_a_restored_generator_gets_its_own_batch():
    source, rng = prefetcher(), MemberRng([0], "sample")
    start = rng.state()
    first = source.next(rng, 4).observation
    source.next(rng, 4)
    rng.restore(start)
    assert torch.equal(source.next(rng, 4).observation, first)
