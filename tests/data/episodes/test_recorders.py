"""Recorders side by side: refused until they are declared, then taken apart, by every reader."""

import numpy as np
import pytest

from helpers.data_logs import complaint, write_hdf5, write_npz
from prudent.data import Dataset, audit, convert, load_dataset
from prudent.data.episodes import recorders as turns
from prudent.errors import DataError

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")


def recorder(rng, steps, lengths=(20, 60)):
    """The columns of one recorder: random walks; the last one may be open."""
    parts, left = [], steps
    while left:
        n = min(left, int(rng.integers(*lengths)))
        x = (rng.normal(size=3) + 0.3 * np.cumsum(rng.normal(size=(n + 1, 3)), axis=0)).astype(np.float32)
        terminals, timeouts = np.zeros(n, bool), np.zeros(n, bool)
        if left > n:
            (terminals if rng.random() < 0.5 else timeouts)[-1] = True
        actions, rewards = rng.uniform(-1, 1, (n, 2)).astype(np.float32), rng.normal(size=n).astype(np.float32)
        parts.append((x[:-1], actions, rewards, terminals, timeouts, x[1:]))
        left -= n
    return dict(zip(KEYS, (np.concatenate(column) for column in zip(*parts, strict=True)), strict=True))


def side_by_side(count, steps=300, cut=0):
    """The rows of several recorders in turn, without the last ``cut``; and each recorder's own."""
    rng = np.random.default_rng(count)
    each = [recorder(rng, steps) for _ in range(count)]
    columns = {
        key: np.stack([r[key] for r in each], axis=1).reshape(count * steps, *each[0][key].shape[1:]) for key in KEYS
    }
    return {key: column[: count * steps - cut] for key, column in columns.items()}, each


def without_next(columns):
    return {key: column for key, column in columns.items() if key != "next_observations"}


def assert_right(dataset, each):
    """Every successor is the true one."""
    after = {o.tobytes(): n for r in each for o, n in zip(r["observations"], r["next_observations"], strict=True)}
    for row in np.flatnonzero(~dataset.terminated):
        np.testing.assert_array_equal(dataset.next_observation[row], after[dataset.observation[row].tobytes()])


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("count", [2, 4, 16])
def test_next_rows_are_refused_until_recorders_are_declared(tmp_path, count, cut):
    columns, each = side_by_side(count, cut=cut)
    path = write_hdf5(tmp_path / "log.hdf5", **without_next(columns))
    for line in (complaint(load_dataset, path), complaint(convert, path, tmp_path / "no")):
        assert f"rows {count} apart follow each other far better" in line
        assert f"--recorders {count}" in line
    assert not (tmp_path / "no").exists()
    dataset = load_dataset(path, recorders=count)
    assert_right(dataset, each)
    # All rows but those that time out or stop.
    lost = sum(int(r["timeouts"].sum()) for r in each) + count
    assert len(dataset) == count * 300 - cut - lost
    assert dataset.dropped is not None
    assert dataset.dropped.rows == lost
    assert any(f"{count} recorders side by side" in note for note in dataset.notes)
    mapped = convert(path, tmp_path / "folder", recorders=count)
    assert (mapped.fingerprint, mapped.notes, mapped.dropped) == (dataset.fingerprint, dataset.notes, dataset.dropped)


def test_one_recorder_says_that_all_is_well(tmp_path):
    columns, _ = side_by_side(2)
    path = write_hdf5(tmp_path / "log.hdf5", **without_next(columns))
    assert len(load_dataset(path, recorders=1)) > 500
    sound = write_hdf5(tmp_path / "sound.hdf5", **without_next(recorder(np.random.default_rng(0), 900)))
    assert load_dataset(sound).fingerprint == load_dataset(sound, recorders=1).fingerprint


@pytest.mark.parametrize("wrong", [3, 4, 8, 5])
def test_a_wrong_number_is_refused(tmp_path, wrong):
    columns, _ = side_by_side(2, steps=600)
    line = complaint(load_dataset, write_hdf5(tmp_path / "log.hdf5", **without_next(columns)), recorders=wrong)
    assert "rows 2 apart" in line
    assert f"not {wrong}" in line


def test_rows_in_order_of_time_are_not_taken_apart_unnoticed(tmp_path):
    columns = recorder(np.random.default_rng(0), 900)
    path = write_hdf5(tmp_path / "log.hdf5", **without_next(columns))
    assert any("neighbours in the file are closer" in note for note in load_dataset(path, recorders=3).notes)
    stated = write_hdf5(tmp_path / "stated.hdf5", **columns)
    assert "does not fit" in complaint(load_dataset, stated, recorders=3)
    assert "recorders=1 does not apply" in complaint(load_dataset, stated, recorders=1)


@pytest.mark.parametrize("kind", ["hdf5", "npz", "trusted"])
@pytest.mark.parametrize("count", [2, 16])
def test_stated_successors_are_put_in_order(tmp_path, kind, count):
    columns, each = side_by_side(count)
    if kind == "npz":
        path = write_npz(tmp_path / "log.npz", **columns, action_low=-1.0, action_high=1.0)
    else:
        trusted = {"metadata/true_successors": 1} if kind == "trusted" else {}
        path = write_hdf5(tmp_path / "log.hdf5", **columns, **trusted)
    dataset = load_dataset(path)
    assert len(dataset) == count * 300
    advice = next(finding.advice for finding in audit(dataset) if finding.kind == "successor mismatch")
    assert f"--recorders {count}" in advice
    if kind != "trusted":
        assert any(f"successors stand {count} rows on" in note for note in dataset.notes)
    with pytest.raises(DataError, match=f"--recorders {count}"):
        dataset.check_order()
    apart = load_dataset(path, recorders=count)
    assert_right(apart, each)
    apart.check_order()
    ends = sum(int((r["terminals"] | r["timeouts"]).sum()) for r in each) + count
    assert apart.n_episodes == ends
    returns = sum(float(r["rewards"].sum(dtype=float)) for r in each)
    assert apart.episode_returns.sum() == pytest.approx(returns)
    if kind != "npz":
        mapped = convert(path, tmp_path / "folder", recorders=count)
        assert (mapped.fingerprint, mapped.notes) == (apart.fingerprint, apart.notes)


def test_tables_without_an_episode_column(tmp_path):
    columns, each = side_by_side(4)
    rows = range(len(columns["rewards"]))
    names = "a,b,c,u,v,reward,died,cut"
    values = [(*columns["observations"][i], *columns["actions"][i], columns["rewards"][i]) for i in rows]
    flags = [(int(columns["terminals"][i]), int(columns["timeouts"][i])) for i in rows]
    path = tmp_path / "log.csv"
    path.write_text("\n".join([names, *(",".join(map(str, (*values[i], *flags[i]))) for i in rows)]) + "\n")
    mapping = {"observation": ["a", "b", "c"], "action": ["u", "v"], "reward": "reward"}
    mapping |= {"terminated": "died", "truncated": "cut"}
    assert "--recorders 4" in complaint(load_dataset, path, mapping=mapping)
    dataset = load_dataset(path, mapping=mapping, recorders=4)
    assert_right(dataset, each)
    hdf5 = load_dataset(write_hdf5(tmp_path / "log.hdf5", **without_next(columns)), recorders=4)
    assert dataset.fingerprint == hdf5.fingerprint
    assert dataset.dropped == hdf5.dropped
    assert len(load_dataset(path, mapping=mapping, recorders=1)) > 0
    line = complaint(load_dataset, path, mapping={**mapping, "episode": "died", "terminated": None}, recorders=4)
    assert "recorders does not apply" in line


def test_others_refuse_the_declaration(tmp_path):
    columns = recorder(np.random.default_rng(0), 100)
    convert(write_hdf5(tmp_path / "log.hdf5", **without_next(columns)), tmp_path / "folder")
    for source in ("pendulum-mixed", tmp_path / "folder"):
        assert "recorders does not apply" in complaint(load_dataset, source, recorders=2)
    assert "recorders must be 1 or more" in complaint(load_dataset, tmp_path / "log.hdf5", recorders=0)
    for many in (51, 10**9):
        assert "with 100 rows" in complaint(load_dataset, tmp_path / "log.hdf5", recorders=many)


def test_constant_observations_give_no_hint():
    still = np.ones((500, 2), np.float32)
    assert turns.hint(still, still, np.zeros(500, bool)) == ""
    rng = np.random.default_rng(0)
    shuffled = rng.normal(size=(500, 2)).astype(np.float32)
    assert turns.hint(shuffled, shuffled + 1, np.zeros(500, bool)) == ""


def test_columns_from_memory_get_the_hint():
    columns, _ = side_by_side(4)
    dataset = Dataset.from_columns(
        observation=columns["observations"],
        action=columns["actions"],
        reward=columns["rewards"],
        next_observation=columns["next_observations"],
        terminated=columns["terminals"],
        truncated=columns["timeouts"],
    )
    assert any("--recorders 4" in finding.advice for finding in audit(dataset))


@pytest.mark.parametrize("rows", [1, 5, 8, 23])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_columns_read_as_if_taken_apart(rows, count):
    column = np.arange(rows * 2).reshape(rows, 2)
    whole = column[turns.order(rows, count)]
    apart = turns.Interleaved(column, count)
    np.testing.assert_array_equal(apart[()], whole)
    for start in range(rows):
        for stop in range(start, rows + 2):
            np.testing.assert_array_equal(apart[start:stop], whole[start:stop])
    last = turns.last_rows(rows, count)
    assert whole[last, 0].tolist() == [2 * max(range(k, rows, count)) for k in range(min(rows, count))]
