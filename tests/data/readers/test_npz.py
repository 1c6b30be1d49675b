import io
import zipfile

import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk, write_hdf5, write_npz
from prudent.data import convert, load_dataset
from prudent.data.readers import npz
from prudent.data.readers.declared import Declared
from prudent.errors import DataError


def good(**changes):
    log = walk([4, 3, 5])
    columns = flat(log, next_observations=log["successor"], dones=log["ends"])
    return {key: column for key, column in (columns | changes).items() if column is not None}


def read(tmp_path, columns, **options):
    return npz.read(write_npz(tmp_path / "log.npz", **columns), Declared(**options))


# --- content ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_mlx_cql_keys(tmp_path, kind):
    log = walk([4, 3, 5])
    dataset = read(tmp_path, good(dones=log["ends"].astype(kind)))
    np.testing.assert_array_equal(dataset.observation, log["observations"])
    np.testing.assert_array_equal(dataset.next_observation, log["successor"])
    np.testing.assert_array_equal(dataset.action, log["actions"])
    np.testing.assert_array_equal(dataset.reward, log["rewards"])
    np.testing.assert_array_equal(dataset.terminated, log["ends"])
    assert not dataset.truncated.any()


def test_columns_of_shape_n_by_1(tmp_path):
    log = walk([4, 3, 5])
    dataset = read(tmp_path, good(rewards=log["rewards"][:, None], dones=log["ends"][:, None]))
    np.testing.assert_array_equal(dataset.reward, log["rewards"])


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        ({"terminals": np.zeros(12)}, {"dones": "terminated"}),
        ({"terminals": np.zeros(12), "timeouts": np.zeros(12)}, {"dones": "truncated"}),
        ({"timeouts": np.zeros(12)}, {"horizon": 4}),
        ({"dones": np.ones(12), "timeouts": np.zeros(12)}, {"horizon": 4}),
        ({"dones": np.zeros(12)}, {"dones": "truncated", "horizon": 4}),
    ],
)
def test_what_the_flags_say_themselves_is_not_asked_for(tmp_path, flags, options):
    assert "does not apply to it" in complaint(read, tmp_path, good(dones=None) | flags, **options)


def test_dones_alone_cannot_tell_so_the_user_chooses(tmp_path):
    dataset = read(tmp_path, good())
    assert any("cannot tell" in note for note in dataset.notes)
    chosen = read(tmp_path, good(), dones="truncated")
    assert not chosen.terminated.any()
    np.testing.assert_array_equal(chosen.truncated, walk([4, 3, 5])["ends"])
    assert len(chosen) == 12
    np.testing.assert_array_equal(chosen.next_observation, walk([4, 3, 5])["successor"])


def test_terminals_and_timeouts_tell_them_apart(tmp_path):
    ends = walk([4, 3, 5])["ends"]
    timeouts = ends.copy()
    timeouts[3] = False
    for columns in (
        good(dones=None, terminals=ends & ~timeouts, timeouts=timeouts),
        good(terminals=ends & ~timeouts),
        good(timeouts=timeouts),
    ):
        dataset = read(tmp_path, columns)
        assert np.flatnonzero(dataset.terminated).tolist() == [3]
        assert np.flatnonzero(dataset.truncated).tolist() == [6, 11]


def test_an_unflagged_end_shows_in_the_successors(tmp_path):
    dones = walk([4, 3, 5])["ends"]
    dones[6] = False
    dataset = read(tmp_path, good(dones=dones))
    assert np.flatnonzero(dataset.truncated).tolist() == [6]
    assert dataset.episode_lengths.tolist() == [4, 3, 5]


def test_successors_of_the_next_episode_are_not_believed(tmp_path):
    log = walk([4, 3, 5])
    shifted = np.concatenate([log["observations"][1:], log["observations"][-1:]])
    ended = read(tmp_path, good(next_observations=shifted))
    assert (ended.next_observation[:, 0] == ended.observation[:, 0]).all()
    assert len(ended) == 12
    cut = read(tmp_path, good(next_observations=shifted), dones="truncated")
    assert (cut.next_observation[:, 0] == cut.observation[:, 0]).all()
    assert cut.episode_lengths.tolist() == [3, 2, 5]


def test_shuffled_rows_are_used_as_they_are(tmp_path):
    log = walk([40, 30, 50])
    order = np.random.default_rng(0).permutation(120)
    columns = flat(log, next_observations=log["successor"], dones=log["ends"])
    dataset = read(tmp_path, {key: column[order] for key, column in columns.items()})
    np.testing.assert_array_equal(dataset.next_observation, log["successor"][order])
    assert len(dataset) == 120
    assert any("no order of time" in note for note in dataset.notes)


def test_declared_bounds_and_the_users(tmp_path):
    dataset = read(tmp_path, good(action_low=np.array([-1, -2]), action_high=np.array([1.0, 2])))
    assert dataset.spec.action_low == (-1, -2)
    assert dataset.spec.action_high == (1, 2)
    dataset = read(tmp_path, good(action_low=-1, action_high=1), action_low=-3, action_high=3)
    assert dataset.spec.action_low == (-3, -3)
    assert read(tmp_path, good()).spec.action_low is None


def test_discrete_is_declared_not_guessed(tmp_path):
    whole = np.arange(12) % 3
    assert read(tmp_path, good(actions=whole, discrete=True)).spec.discrete
    dataset = read(tmp_path, good(actions=whole.astype(np.float32)[:, None]), discrete=True)
    assert dataset.spec.action_size == 3
    assert dataset.action.tolist() == whole.tolist()
    assert read(tmp_path, good(actions=whole, n_actions=5)).spec.action_size == 5
    assert read(tmp_path, good(actions=whole, n_actions=5), n_actions=4).spec.action_size == 4
    for declared in ({"discrete": False}, {"action_low": 0, "action_high": 2}):
        dataset = read(
            tmp_path,
            good(actions=whole[:, None], n_actions=5) if "discrete" in declared else good(actions=whole[:, None]),
            **declared,
        )
        assert not dataset.spec.discrete
        assert dataset.action.dtype == np.float32
    assert "whole numbers from 0" in complaint(read, tmp_path, good(actions=whole + 0.5, discrete=1))


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_whole_numbers_without_a_declaration_are_asked_about(tmp_path, kind, shape):
    actions = (np.arange(12) % 3).astype(kind).reshape(shape)
    line = complaint(read, tmp_path, good(actions=actions))
    assert "actions are whole numbers from 0 to 2" in line
    assert "discrete=True" in line
    assert "discrete=False" in line


@pytest.mark.parametrize(
    "actions",
    [
        np.arange(12)[:, None] % 3 - 1.0,  # thrusts
        np.stack([np.arange(12) % 2, np.arange(12) % 3], axis=1),  # two features
        np.zeros((12, 1), np.float32),  # a motor at rest
        np.arange(12)[:, None] / 4,
    ],
)
def test_what_can_only_be_continuous_is_not_asked_about(tmp_path, actions):
    assert not read(tmp_path, good(actions=actions)).spec.discrete


def test_equal_episode_lengths_look_like_a_time_limit(tmp_path):
    log = walk([6, 6, 6])
    columns = flat(log, next_observations=log["successor"], dones=log["ends"])
    assert any("exactly 6 steps" in note and 'dones="truncated"' in note for note in read(tmp_path, columns).notes)
    assert not any("exactly" in note for note in read(tmp_path, columns, dones="truncated").notes)
    assert not any("exactly" in note for note in read(tmp_path, good()).notes)


# --- refusals -----------------------------------------------------------------------------------------------


def with_nan(key, row):
    column = np.array(good()[key], dtype=np.float64)
    column[row] = np.nan
    return {key: column}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"observations": None}, "no observations"),
        ({"next_observations": None}, "no next_observations"),
        ({"dones": None}, "no dones"),
        ({"rewards": np.zeros(11)}, "rewards has 11 rows"),
        ({"dones": np.zeros(11)}, "dones has 11 rows"),
        ({"rewards": 1.0}, "rewards is a single value"),
        ({"next_observations": np.zeros((12, 5))}, "next_observations has shape (12, 5)"),
        ({"observations": np.zeros(12)}, "observations has shape (12,)"),
        ({"dones": np.full(12, 0.5)}, "dones must be true/false or 0/1, row 0 is 0.5"),
        ({"dones": np.arange(12)}, "dones must be true/false or 0/1, row 2 is 2"),
        ({"dones": np.array(["yes"] * 12)}, "dones holds <U3"),
        (with_nan("observations", 4), "observations has 1 row with NaN or infinity, the first is row 4"),
        (with_nan("next_observations", 7), "next_observations has 1 row with NaN"),
        (with_nan("actions", 2), "actions has 1 row with NaN"),
        (with_nan("rewards", 0), "rewards has 1 row with NaN"),
        ({"actions": np.full((12, 1), 2), "action_low": -1, "action_high": 1}, "12 actions lie outside"),
        ({"action_low": -1}, "action_low and action_high must be declared together"),
        ({"action_low": 1, "action_high": -1}, "action_low must lie below action_high"),
        (
            {"action_low": [-1, -1, -1], "action_high": 1},
            "action_low must be one finite number per action feature",
        ),
        ({"action_low": "a", "action_high": 1}, "action_low holds <U1"),
        ({"discrete": 7}, "discrete must be one true/false"),
        ({"n_actions": 2.5}, "n_actions must be one whole number from 1"),
        ({"n_actions": 0}, "n_actions must be one whole number from 1"),
        ({"n_actions": 4, "discrete": False}, "these are declared continuous"),
        ({"n_actions": 4}, "discrete actions must be whole numbers from 0"),
        ({key: column[:0] for key, column in good().items()}, "no transitions"),
    ],
)
def test_bad_columns_get_one_clear_line(tmp_path, changes, words):
    line = complaint(read, tmp_path, good(**changes))
    assert line.startswith("log.npz: ")
    assert words in line


class Canary:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the canary ran')",))


def test_objects_are_never_loaded(tmp_path):
    objects = np.array([Canary()] * 12, dtype=object)
    assert "log.npz: rewards holds objects" in complaint(read, tmp_path, good(rewards=objects))


def forged(path, key, header, body=b"", compression=zipfile.ZIP_DEFLATED):
    """A good file in which one array has this header and body."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, column in good().items():
            stream = io.BytesIO()
            if name == key:
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(body)
            else:
                np.lib.format.write_array(stream, np.asarray(column))
            archive.writestr(f"{name}.npy", stream.getvalue())
    return path


def test_small_file_that_declares_400_gigabytes(tmp_path):
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**8, 1000)}
    path = forged(tmp_path / "log.npz", "observations", header)
    line = complaint(npz.read, path)
    assert "observations declares shape (100000000, 1000) but the file holds only" in line


def test_zeros_that_inflate(tmp_path):
    # 64 MiB of zeros deflate to 64 KiB, which is as far as deflate goes: allowed by ratio, stopped by the
    # limit.
    header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 26,)}
    path = forged(tmp_path / "log.npz", "rewards", header, bytes(1 << 26))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRUDENT_MAX_BYTES", str(1 << 20))
        assert "rewards brings the file to 256.0 MiB in memory, above the limit" in complaint(npz.read, path)


@pytest.mark.parametrize("shape", [(-1, 3), (2**62, 2**62), ()])
def test_strange_shapes(tmp_path, shape):
    path = forged(
        tmp_path / "log.npz",
        "observations",
        {"descr": "<f4", "fortran_order": False, "shape": shape},
        bytes(4),
    )
    assert complaint(npz.read, path).startswith("log.npz: ")


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_truncated_file(tmp_path, kept):
    path = write_npz(tmp_path / "log.npz", **good())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    line = complaint(load_dataset, path)
    assert line.startswith("log.npz: ")
    assert "damaged" in line


def test_damaged_bytes_never_crash(tmp_path):
    np.savez_compressed(tmp_path / "log.npz", **good())
    content = (tmp_path / "log.npz").read_bytes()
    rng = np.random.default_rng(0)
    lines = []
    path = tmp_path / "damaged.npz"
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(4, len(content), size=6):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_dataset(path)
        except DataError as error:
            lines.append(str(error))
    assert len(lines) > 10
    assert not any("\n" in line for line in lines)


# --- keys that nobody reads ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("mask", "action_masks"),
        ("Masks", "action_masks"),
        ("action_mask", "action_masks"),
    ],
)
def test_columns_under_a_wrong_name_are_refused(tmp_path, key, right):
    line = complaint(read, tmp_path, good(**{key: np.ones((12, 2))}))
    assert line == f"log.npz: {key} is not read: the column is called {right}, rename it in the file"


def test_other_masks_and_columns_under_a_wrong_name_are_refused(tmp_path):
    masked = good(actions=np.zeros(12, int), discrete=1, action_masks=np.ones((12, 2)), next_mask=np.ones((12, 2)))
    assert "next_mask is not read: the column is called next_action_masks" in complaint(read, tmp_path, masked)
    assert "it has" in (line := complaint(read, tmp_path, good(rewards=None, reward=np.zeros(12))))
    assert line.endswith("; keys not read: reward (did you mean rewards?)")


def test_keys_that_nobody_reads_are_said(tmp_path):
    more = {"acton_low": -1.0, "weights": np.ones(12), "infos/goal": np.ones(12), "metadata/author": "a", "x\ny": 1}
    notes = read(tmp_path, good(**more)).notes
    assert notes[0] == "keys not read: acton_low (did you mean action_low?), weights, 'x\\ny'"
    many = read(tmp_path, good(**{f"column{i:02}" + "y" * 99: 1 for i in range(20)})).notes[0]
    assert many.endswith("column07yyyyyyyyyyyyyyyyyyyyyyyyyyyyy..., and 12 more"), many
    assert not any("not read" in note for note in read(tmp_path, good()).notes)


# --- short episodes -----------------------------------------------------------------------------------------


def sessions(lengths, terminated=True):
    """Episodes that end in a state of their own, one after the other."""
    log = walk(lengths)
    none = np.zeros_like(log["ends"])
    ends = {"terminals": log["ends"], "timeouts": none} if terminated else {"terminals": none, "timeouts": log["ends"]}
    return flat(log, next_observations=log["successor"], **ends)


SHORT = {"one step": (1,) * 30, "one and two": (1, 2, 1, 1, 2, 1) * 5, "two": (2,) * 30, "few longer": (1,) * 20 + (9,)}


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("kind", SHORT)
def test_short_episodes_in_their_order_are_no_disorder(tmp_path, kind, terminated):
    dataset = load_dataset(write_npz(tmp_path / "log.npz", **sessions(SHORT[kind], terminated)))
    assert dataset.notes == ()
    assert dataset.episode_lengths.tolist() == list(SHORT[kind])
    dataset.check_order()
    converted = convert(write_hdf5(tmp_path / "log.hdf5", **sessions(SHORT[kind], terminated)), tmp_path / "log")
    assert converted.notes == ()
    assert converted.fingerprint == dataset.fingerprint


def test_dones_alone_end_short_episodes_too(tmp_path):
    log = walk(SHORT["one and two"])
    path = write_npz(tmp_path / "log.npz", **flat(log, next_observations=log["successor"], dones=log["ends"]))
    assert not [note for note in load_dataset(path).notes if "no order" in note]


@pytest.mark.parametrize("kind", ["one and two", "two", "few longer"])
def test_shuffled_short_episodes_are_still_noted(tmp_path, kind):
    rows = np.random.default_rng(0).permutation(sum(SHORT[kind]))
    table = {key: column[rows] for key, column in sessions(SHORT[kind]).items()}
    dataset = load_dataset(write_npz(tmp_path / "log.npz", **table))
    assert any("rows stand in no order of time" in note for note in dataset.notes)
    with pytest.raises(DataError, match="without an order of time"):
        dataset.check_order()


def test_masks_follow_short_episodes(tmp_path):
    """One-step episodes say nothing against the order, so the next row's mask may follow."""
    table = sessions((1, 2) * 10)
    table |= {"actions": np.zeros(30, dtype=int), "action_masks": np.ones((30, 2), dtype=bool)}
    dataset = load_dataset(write_npz(tmp_path / "log.npz", **table), discrete=True)
    assert len(dataset) == 30
