"""One generator per member and stream."""

import torch

from helpers.threads import one_thread  # noqa: F401
from prudent.nn.rng import MemberRng


def draws(rng):
    return [rng.normal(3, 2), rng.uniform(-2.0, 5.0, 4), rng.integers(1000, 5)]


def test_a_member_draws_the_same_alone_and_in_company():
    together = draws(MemberRng([7, 3, 7_000_000_000, -1], "noise"))
    for p, seed in enumerate([7, 3, 7_000_000_000, -1]):
        for own, all_of_them in zip(draws(MemberRng([seed], "noise")), together, strict=True):
            assert torch.equal(own[0], all_of_them[p]), f"seed {seed} draws other numbers alone"


def test_seeds_and_streams_are_independent():
    found = [MemberRng([seed], stream).normal(50) for seed in (0, 1, 2) for stream in ("init", "sample", "noise")]
    for i, a in enumerate(found):
        for b in found[:i]:
            assert abs(float((a * b).mean())) < 0.6
            assert not torch.equal(a, b)


def test_distributions():
    rng = MemberRng([0, 1], "x")
    normal, uniform, integers = rng.normal(20_000), rng.uniform(-2.0, 5.0, 20_000), rng.integers(7, 20_000)
    assert abs(float(normal.mean())) < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    assert uniform.min() >= -2
    assert uniform.max() < 5
    assert abs(float(uniform.mean()) - 1.5) < 0.05
    assert integers.dtype == torch.int64
    assert sorted(integers.unique().tolist()) == list(range(7)), "not every row of 0 ... high - 1 is drawn"


def test_state_round_trip():
    rng = MemberRng([0, 1], "x")
    rng.normal(3)
    state = rng.state()
    expected = draws(rng)
    rng.restore(state)
    assert all(torch.equal(a, b) for a, b in zip(draws(rng), expected, strict=True))
    other = MemberRng([5, 6], "y")
    other.restore(state)
    assert all(torch.equal(a, b) for a, b in zip(draws(other), expected, strict=True))
    assert state.shape[0] == 2
    assert state.dtype == torch.uint8


def test_a_stream_is_pinned():
    """Numbers must not change from release to release: a seed in a paper names a run."""
    found = MemberRng([0], "noise").integers(1_000_000, 3)
    assert found.tolist() == [[482414, 217422, 633448]], "seed 0 of stream noise draws other numbers than it used to"


def test_a_range_for_each_member():
    drawn = MemberRng([3, 4], "sample").integers([5, 1000], 200)
    assert drawn[0].max() < 5
    assert drawn[1].max() > 100, "the second member draws from the first one's range"
    assert torch.equal(drawn[1], MemberRng([4], "sample").integers(1000, 200)[0]), "company changes a member's draws"
