import time
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import known
from helpers.data_logs import complaint, walk
from prudent.data import Dataset, columns
from prudent.data.dataset import COLUMNS
from prudent.errors import DataError


def dataset(lengths=(4, 3, 5), terminated=(), **options):
    log = walk(lengths)
    last = np.cumsum(lengths) - 1
    ended = np.zeros(sum(lengths), bool)
    ended[last[list(terminated)]] = True
    columns = {
        "observation": log["observations"],
        "action": log["actions"],
        "reward": log["rewards"],
        "next_observation": log["successor"],
        "terminated": ended,
        "truncated": log["ends"] & ~ended,
    }
    return Dataset.from_columns(**(columns | options))


def test_episodes():
    data = dataset()
    assert data.episode_bounds.tolist() == [0, 4, 7, 12]
    assert data.episode_lengths.tolist() == [4, 3, 5]
    assert data.episode_of_row.tolist() == [0] * 4 + [1] * 3 + [2] * 5
    np.testing.assert_allclose(data.episode_returns, [0.006, 3.003, 10.01], rtol=1e-6)


def slow_returns_to_go(data, discount):
    """The definition, row by row."""
    result = []
    window = max(1, round(1 / (1 - discount)))
    for start, end in zip(data.episode_bounds[:-1], data.episode_bounds[1:], strict=True):
        rewards = data.reward[start:end].astype(np.float64)
        after = 0.0 if data.terminated[end - 1] else rewards[-window:].mean() / (1 - discount)
        for row in range(len(rewards)):
            rest = rewards[row:]
            result.append((rest * discount ** np.arange(len(rest))).sum() + discount ** len(rest) * after)
    return np.array(result)


def test_returns_to_go_follow_their_definition():
    data = dataset(terminated=(1,))
    for discount in (0.5, 0.9):
        np.testing.assert_allclose(data.returns_to_go(discount), slow_returns_to_go(data, discount), rtol=1e-5)
    np.testing.assert_allclose(data.returns_to_go(1.0)[4:7], [3.003, 2.003, 1.002], rtol=1e-5)
    np.testing.assert_allclose(data.returns_to_go(0.5, np.zeros(12)), 0)
    assert "reward has shape" in complaint(data.returns_to_go, 0.5, np.zeros(3))
    assert "discount must lie in [0, 1]" in complaint(data.returns_to_go, 1.5)


def test_returns_to_go_count_the_length_of_steps():
    """Steps of one unit give the same as no dt; a step of two units discounts as two steps do."""
    plain = dataset(terminated=(1,))
    same = dataset(terminated=(1,), extra={"dt": np.ones(len(plain))})
    np.testing.assert_array_equal(same.returns_to_go(0.9), plain.returns_to_go(0.9))
    for terminated in ((), (0, 1, 2)):
        data = dataset(terminated=terminated, extra={"dt": np.full(len(plain), 2.0)})
        reward, end = data.reward.astype(float), int(data.episode_bounds[1])
        after = 0.0 if terminated else reward[max(0, end - 5) : end].mean() / (1 - 0.9**2)
        for row in range(end - 1, -1, -1):
            after = reward[row] + 0.9**2 * after
            assert data.returns_to_go(0.9)[row] == pytest.approx(after, rel=1e-5), f"row {row}, ended {terminated}"


def test_returns_to_go_of_very_short_steps_are_numbers():
    data = dataset(extra={"dt": np.full(12, 1e-18)})
    returns = data.returns_to_go(0.9, np.ones(12))
    # Mean reward divided by the share that a step discounts away: 1 / (1e-18 ln(1 / 0.9)).
    np.testing.assert_allclose(returns[-1], 1 / (1e-18 * np.log(1 / 0.9)), rtol=1e-5)


def test_returns_to_go_of_a_large_log_take_no_time():
    rows = 200_000
    flags = np.arange(1, rows + 1) % 1000 == 0
    zeros = np.zeros((rows, 1), np.float32)
    data = Dataset.from_columns(
        observation=zeros,
        action=zeros,
        reward=zeros[:, 0],
        next_observation=zeros,
        terminated=flags,
        truncated=flags,
    )
    start = time.process_time()
    data.returns_to_go(0.99)
    assert time.process_time() - start < 0.5  # 0.02 s on a laptop


def test_an_open_end_is_a_truncation():
    data = dataset(truncated=np.zeros(12, bool))
    assert np.flatnonzero(data.truncated).tolist() == [11]


def test_selection_and_split_keep_whole_episodes():
    data = dataset((4, 3, 5, 2, 6))
    selection = data.episodes([2, 0])
    assert selection.observation[:, 0].tolist() == [200] * 5 + [0] * 4
    first, second = data.split(0.6, seed=1)
    assert first.n_episodes == 3
    assert second.n_episodes == 2
    episodes = sorted(set(first.observation[:, 0]) | set(second.observation[:, 0]))
    assert episodes == [0, 100, 200, 300, 400]
    assert "at least one episode" in complaint(data.episodes, [])
    assert "between 0 and 1" in complaint(data.split, 1.5)


def test_a_split_keeps_groups_whole():
    lengths = (4, 3, 5, 2, 6, 3, 3)
    patients = np.repeat([7, 1, 7, 3, 1, 9, 9], lengths)
    data = dataset(lengths, extra={"group": patients})
    for seed in range(20):
        first, second = data.split(0.5, seed=seed)
        groups = [set(part.extra["group"].tolist()) for part in (first, second)]
        assert not groups[0] & groups[1], f"seed {seed}: {groups}"
        assert groups[0] | groups[1] == {1, 3, 7, 9}
        assert first.n_episodes in (3, 4), f"seed {seed}: {first.n_episodes} of 7 episodes for a half"
    alone = dataset((4, 3), extra={"group": np.ones(7)})
    assert "two or more groups" in complaint(alone.split, 0.5)


LOG = known.tabular(0).log(6, 0)


def test_episodes_are_units_without_groups():
    unit, kind = LOG.units()
    assert (unit.tolist(), kind) == ([0, 1, 2, 3, 4, 5], "episode")


def test_groups_are_units_by_number_or_name():
    for column in (np.array([7, 3, 7, 3, 9, 9]), np.array(["b", "a", "b", "a", "c", "c"])):
        unit, kind = replace(LOG, extra={"group": column[LOG.episode_of_row]}).units()
        assert (unit.tolist(), kind) == ([1, 0, 1, 0, 2, 2], "group")


def test_the_first_row_of_an_episode_decides():
    column = np.repeat(100, len(LOG))
    column[LOG.episode_bounds[:-1]] = [0, 0, 0, 1, 1, 1]
    assert replace(LOG, extra={"group": column}).units()[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_join_counts_discrete_actions_over_all_parts():
    few = dataset(action=np.zeros(12, int), discrete=True)
    more = dataset(action=np.arange(12) % 4, discrete=True)
    for parts in ([few, more], [more, few]):
        assert Dataset.join(parts).spec.action_size == 4
    line = complaint(Dataset.join, [few, dataset()])
    assert line == "dataset does not fit dataset: it has continuous actions against discrete actions", line


def test_declared_number_of_actions():
    assert dataset(action=np.zeros(12, int), discrete=True, n_actions=5).spec.action_size == 5
    assert "only 2 are declared" in complaint(dataset, action=np.arange(12) % 4, discrete=True, n_actions=2)


def test_extra_columns_stay_with_their_rows():
    data = dataset(extra={"dt": np.arange(12.0)})
    assert data.episodes([1]).extra["dt"].tolist() == [4, 5, 6]
    joined = Dataset.join([data, dataset()])
    assert joined.extra == {}
    assert any("dt" in note for note in joined.notes)
    assert "dt has 3 rows" in complaint(dataset, extra={"dt": np.zeros(3)})


def test_batches_are_rows_of_the_log():
    data = dataset()
    for batch in data.batches(64, steps=3, seed=5):
        row = np.array([np.flatnonzero((data.observation == o).all(axis=1))[0] for o in batch.observation.numpy()])
        np.testing.assert_array_equal(batch.action.numpy(), data.action[row])
        np.testing.assert_array_equal(batch.next_observation.numpy(), data.next_observation[row])
        assert batch.source is data
    assert "batch_size" in complaint(next, data.batches(0))


def test_batches_of_rows_without_an_order_of_time_have_no_returns():
    order = np.random.default_rng(0).permutation(12)
    ordered = dataset()
    data = replace(ordered, **{key: getattr(ordered, key)[order] for key in COLUMNS})
    assert "rows do not lead to the next one" in complaint(next, data.batches(4, discount=0.9))
    assert next(data.batches(4)).return_to_go is None
    assert next(ordered.batches(4, discount=0.9)).return_to_go is not None


def test_the_fingerprint_depends_on_the_content_alone():
    assert dataset().fingerprint == dataset(name="other").fingerprint
    assert dataset().fingerprint != dataset(terminated=(0,)).fingerprint


@pytest.mark.parametrize("bound", [np.array([-1.5]), -1.5, [-1.5, -1.5]])
def test_one_bound_serves_all_features(bound):
    assert dataset(action_low=bound, action_high=2).spec.action_low == (-1.5, -1.5)


@pytest.mark.parametrize("rows", [1, 2, columns.CACHED, columns.CACHED + 1, columns.BLOCK + 3])
def test_strays_are_rows_that_do_not_lead_to_the_next(rows):
    """Both functions find the same rows, also at the ends of blocks."""
    states = np.random.default_rng(0).standard_normal((rows + 1, 3), dtype=np.float32)
    following = states[1:].copy()
    stray = np.isin(np.arange(rows), [0, columns.CACHED - 1, columns.CACHED, columns.BLOCK - 1])
    following[stray] += 1
    stray[-1] = False
    np.testing.assert_array_equal(columns.strays_of(states[:-1], following), stray)
    np.testing.assert_array_equal(columns.finite_strays_of(states[:-1], following), stray)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_strays_are_unknown_where_values_may_not_be_finite(column, value):
    """A log may hold 3e38, but its square overflows: the slow check decides then."""
    states = np.ones((columns.BLOCK + 9, 2), dtype=np.float32)
    table = [states, states.copy()]
    table[column][-2, 1] = value
    assert columns.finite_strays_of(*table) is None
    names = ["observation", "next_observation"]
    observations = dict(zip(names, table, strict=True))
    rest = {"action": states, "reward": states[:, 0], "terminated": states[:, 0] == 0, "truncated": states[:, 0] == 0}
    if np.isfinite(value):
        assert np.flatnonzero(Dataset.from_columns(**observations, **rest).strays).tolist() == [
            len(states) - 3 + column
        ]
    else:
        line = complaint(Dataset.from_columns, **observations, **rest)
        assert line.startswith(
            f"dataset: {names[column]}s has 1 row with NaN or infinity, the first is row {len(states) - 2}"
        )


def test_flags_are_the_datasets_own():
    """The recorder may reuse its arrays."""
    ended = np.zeros(12, bool)
    table = {key: getattr(dataset(), key) for key in COLUMNS}
    data = Dataset.from_columns(**table | {"terminated": ended})
    ended[:] = True
    assert not data.terminated.any()


@pytest.mark.parametrize("key", ["observation", "reward", "terminated", "group"])
def test_masked_values_are_refused(key):
    columns = {
        "observation": np.zeros((3, 1)),
        "action": np.zeros((3, 1)),
        "reward": np.zeros(3),
        "next_observation": np.ones((3, 1)),
        "terminated": np.zeros(3, dtype=bool),
        "truncated": np.zeros(3, dtype=bool),
    }
    extra = {"group": np.zeros(3, dtype=int)}
    place = extra if key == "group" else columns
    place[key] = np.ma.masked_array(place[key])
    Dataset.from_columns(**columns, extra=extra)
    place[key][1] = np.ma.masked
    with pytest.raises(DataError, match=f"{key} has masked values"):
        Dataset.from_columns(**columns, extra=extra)
