"""Rows, pools and optional columns that members learn from."""

import numpy as np
import pytest
import torch

from prudent import algorithms
from prudent.data import Dataset
from prudent.errors import ConfigError, DataError
from prudent.rng import MemberRng
from prudent.scaling import Scaling
from prudent.training_data import TrainingData, best_rows
from prudent.types import Hyper

LENGTHS, RETURNS = (2, 3, 1, 4), (5.0, 1.0, 9.0, 7.0)


def episodes(**changes) -> Dataset:
    """Four episodes of the given lengths and returns; an observation is its row."""
    rows = sum(LENGTHS)
    ends = np.isin(np.arange(rows), np.cumsum(LENGTHS) - 1)
    reward = np.concatenate([np.full(n, total / n) for n, total in zip(LENGTHS, RETURNS, strict=True)])
    columns = {
        "observation": np.arange(rows)[:, None],
        "action": np.linspace(-1, 1, rows)[:, None],
        "reward": reward,
        "next_observation": np.arange(rows)[:, None] + 1.0,
        "terminated": ends,
        "truncated": np.zeros(rows, dtype=bool),
    }
    return Dataset.from_columns(**{**columns, **changes})


def hyper(*fractions) -> Hyper:
    config = algorithms.get("bc").Config
    return Hyper([config(top_fraction=f, normalize_observations=False) for f in fractions])


def test_the_best_episodes_that_hold_a_share_of_the_rows():
    # By return: rows 5 (9.0), 6-9 (7.0), 0-1 (5.0), 2-4 (1.0), together 1, 5, 7 and 10 rows.
    pools = best_rows(episodes(), hyper(0.1, 0.2, 0.5, 0.51, 0.7, 0.9))
    best = [[5], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9], [0, 1, 5, 6, 7, 8, 9], [0, 1, 5, 6, 7, 8, 9], list(range(10))]
    assert [pool.rows(torch.arange(len(pool))).tolist() for pool in pools] == best
    assert best_rows(episodes(), hyper(1.0, 1.0)) == []


def test_members_clone_the_best_of_their_own_share():
    data = episodes()
    settings = hyper(0.1, 1.0)
    source = TrainingData(data, Scaling.fit(data, False), settings, torch.device("cpu"), ())
    batch = source.sample(MemberRng([0, 1], "sample"), 200)
    assert set(batch.observation[0].flatten().tolist()) == {5.0}
    assert set(batch.observation[1].flatten().tolist()) == set(range(10)), "the other member sees all rows"


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_is_within_0_and_1(wrong):
    for name in ("bc", "discrete_bc"):
        with pytest.raises(ConfigError, match="top_fraction"):
            algorithms.get(name).Config(top_fraction=wrong)


def test_columns_nobody_needs_are_not_there():
    data = episodes()
    source = TrainingData(data, Scaling.fit(data, False), hyper(1.0), torch.device("cpu"), ())
    batch = source.sample(MemberRng([0], "sample"), 4)
    for name in ("return_to_go", "next_action", "next_action_known", "mask", "next_mask", "dt"):
        assert getattr(batch, name) is None, f"{name} was made though nothing needs it"


def test_returns_to_go_refuse_steps_of_different_length():
    data = episodes(extra={"dt": np.ones(10)})
    with pytest.raises(ConfigError, match="steps of different length"):
        TrainingData(data, Scaling.fit(data, False), hyper(1.0), torch.device("cpu"), ("return_to_go",))


def test_masks_belong_to_their_rows():
    rows = 10
    mask = np.zeros((rows, 3), dtype=bool)
    mask[np.arange(rows), np.arange(rows) % 3] = True
    after = np.roll(mask, 1, axis=1)
    # No row is terminated: behind a termination every mask is open.
    ends = {"terminated": np.zeros(rows, dtype=bool), "truncated": np.arange(rows) == 4}
    masks = {"mask": mask, "next_mask": after}
    data = episodes(action=np.arange(rows) % 3, discrete=True, n_actions=3, extra=masks, **ends)
    config = algorithms.get("discrete_cql").Config(normalize_observations=False)
    source = TrainingData(data, Scaling.fit(data, False), Hyper([config]), torch.device("cpu"), ())
    batch = source.sample(MemberRng([0], "sample"), 50)
    row = batch.observation[0, :, 0].long()
    assert batch.action.dtype == torch.int64
    assert torch.equal(batch.action[0], row % 3)
    assert torch.equal(batch.mask[0], torch.from_numpy(mask)[row])
    assert torch.equal(batch.next_mask[0], torch.from_numpy(after)[row])


def test_rows_in_no_order_of_time_are_refused_where_order_matters():
    shuffled = np.random.default_rng(0).permutation(30)
    ends = np.isin(shuffled, (9, 19, 29))
    data = episodes(
        observation=shuffled[:, None],
        next_observation=shuffled[:, None] + 1.0,
        action=np.zeros((30, 1)),
        reward=np.ones(30),
        terminated=ends,
        truncated=np.zeros(30, dtype=bool),
    )
    scaling = Scaling.fit(data, False)
    TrainingData(data, scaling, hyper(1.0), torch.device("cpu"), ())
    for settings, needs in ((hyper(1.0), ("next_action",)), (hyper(1.0), ("return_to_go",)), (hyper(0.5), ())):
        with pytest.raises(DataError, match="rows do not lead to the next one"):
            TrainingData(data, scaling, settings, torch.device("cpu"), needs)


def test_a_gap_within_an_episode_has_no_next_action():
    observation = np.arange(10.0)[:, None]
    observation[7] = 70.0
    data = episodes(observation=observation, next_observation=np.arange(1.0, 11.0)[:, None])
    known = data.followed
    assert not known[6], "the row before a gap does not know what came next"
    assert known[7], "from there on rows follow each other again"
