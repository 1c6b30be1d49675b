"""Columns that mark ends of episodes, under all their names: each is read rightly, or refused."""

import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk, write_hdf5, write_npz
from prudent.data import Dataset, convert, load_dataset
from prudent.data.end_names import meaning_of
from prudent.errors import DataError

LENGTHS = [4, 3, 5, 2]
LOG = walk(LENGTHS)
ENDS = LOG["ends"]
TERMINALS = ENDS & (np.cumsum(ENDS) % 2 == 1)
TIMEOUTS = ENDS & ~TERMINALS
STARTS = np.roll(ENDS, 1)
NONE = np.zeros_like(ENDS)


@pytest.fixture(params=["npz", "hdf5", "stream"])
def load(request, tmp_path):
    """Reads columns by way of each reader; in npz every row has its true successor."""

    def read(columns, **options):
        if request.param == "npz":
            return load_dataset(
                write_npz(tmp_path / "log.npz", **flat(LOG, next_observations=LOG["successor"], **columns)), **options
            )
        path = write_hdf5(tmp_path / "log.hdf5", **flat(LOG, **columns))
        if request.param == "hdf5":
            return load_dataset(path, **options)
        number = len(list(tmp_path.glob("folder*")))
        return convert(path, tmp_path / f"folder{number}", **options)

    read.stated = request.param == "npz"
    return read


def check(dataset, load, terminals, ends):
    """Every episode has its length, its end has its flag, and no row leads into another episode."""
    true = {k: n if terminals[stop] or load.stated else n - 1 for k, (n, stop) in enumerate(_episodes(ends))}
    assert dataset.n_episodes == len(true)
    assert dataset.episode_lengths.tolist() == list(true.values())
    last = dataset.episode_bounds[1:] - 1
    assert dataset.terminated[last].tolist() == [bool(terminals[stop]) for _, stop in _episodes(ends)]
    assert (dataset.observation[:, 0] == dataset.next_observation[:, 0]).all()


def _episodes(ends):
    stops = np.flatnonzero(ends)
    return list(zip(np.diff([-1, *stops]), stops, strict=True))


TERMINATED_NAMES = "terminals terminal Terminated terminateds termination terminations is_terminal isTerminal absorbing"
TRUNCATED_NAMES = "timeouts timeout time_outs truncated truncateds TRUNCATIONS truncation is_truncated"


@pytest.mark.parametrize("prefix", ["", "flags/", "infos/", "info/TimeLimit."])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((name, "timeouts") for name in TERMINATED_NAMES.split()),
        *(("terminals", name) for name in TRUNCATED_NAMES.split()),
    ],
)
def test_terminations_and_truncations(load, prefix, one, other):
    dataset = load({prefix + one: TERMINALS, prefix + other: TIMEOUTS.astype(np.float32)})
    check(dataset, load, TERMINALS, ENDS)


@pytest.mark.parametrize(
    "columns",
    [
        {"terminals": TERMINALS, "episode_terminals": ENDS},
        {"terminals": TERMINALS, "Episode_Ends": ENDS},
        {"terminals": TERMINALS, "episode_starts": STARTS},
        {"terminals": TERMINALS, "episode_starts": STARTS, "ends": ENDS},
        {"terminals": TERMINALS, "done": ENDS},
        {"terminals": TERMINALS, "next/dones": ENDS[:, None]},
        {"truncated": TIMEOUTS, "next.done": ENDS},
        {"terminals": TERMINALS, "episode_ids": np.repeat([7, 3, 9, 1], LENGTHS)},
        {"terminals": TERMINALS, "meta/episode_index": np.repeat([0, 1, 0, 1], LENGTHS)},
        {"timeouts": TIMEOUTS, "trajectory_id": np.repeat([0.0, 1, 2, 3], LENGTHS)},
        {"timeouts": TIMEOUTS, "ends": ENDS},
        {"masks": 1.0 - TERMINALS, "dones_float": ENDS},
        {"not_done": ~TERMINALS, "timeouts": TIMEOUTS},
        {"discount": np.where(TERMINALS, 0, 0.99), "dones": ENDS},
        {"dones": TERMINALS, "episode_end": ENDS},
        {"terminals": TERMINALS, "timeouts": TIMEOUTS, "is_last": ENDS},
        {"terminals": TERMINALS, "timeouts": TIMEOUTS, "is_first": STARTS},
        {"terminals": TERMINALS, "timeouts": TIMEOUTS, "dones": ENDS, "done": ENDS, "masks": ~TERMINALS},
        {"terminals": TERMINALS, "timeouts": TIMEOUTS, "my_done_flag": ENDS},
        {"terminals": TERMINALS, "ep_idx": np.repeat([5, 6, 7, 8], LENGTHS)},
        {"terminals": TERMINALS, "run_id": np.repeat([5, 6, 7, 8], LENGTHS)},
        {"continue": ~TERMINALS, "new_episode": STARTS},
        {"terminals": TERMINALS, "infos/time_limit_reached": TIMEOUTS},
        {"terminals": TERMINALS, "game_over": ENDS},
        {"terminals": TERMINALS, "timeouts": TIMEOUTS, "step_type": np.where(STARTS, 0, np.where(ENDS, 2, 1))},
        {"terminals": TERMINALS, "infos/t": np.concatenate([np.arange(n) for n in LENGTHS])},
        {"terminals": TERMINALS, "time_step": np.concatenate([np.arange(1.0, n + 1) for n in LENGTHS])[:, None]},
        {"timeouts": TIMEOUTS, "steps_in_episode": np.concatenate([np.arange(n) for n in LENGTHS])},
        {"terminals": TERMINALS, "trajectory_lengths": np.array(LENGTHS)},
        {"terminals": TERMINALS, "meta/episode_ends": np.cumsum(LENGTHS)},
        {"terminals": TERMINALS, "episode_ends": np.cumsum(LENGTHS) - 1, "ends": ENDS},
        {"terminals": TERMINALS, "episode_starts": np.array([0, 4, 7, 12])},
    ],
    ids=lambda columns: "+".join(columns),
)
def test_flags_are_put_together(load, columns):
    check(load(columns), load, TERMINALS, ENDS)


@pytest.mark.parametrize("name", ["dones", "done", "is_done", "DoneFlags", "infos/done"])
def test_one_flag_alone_is_read_as_terminals_or_as_the_user_says(load, name):
    check(load({name: ENDS}), load, ENDS, ENDS)
    check(load({name: ENDS}, dones="truncated"), load, NONE, ENDS)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("episode_terminals", ENDS),
        ("dones_float", ENDS),
        ("ends", ENDS),
        ("episode_starts", STARTS),
        ("episode", np.repeat([0, 1, 2, 3], LENGTHS)),
        ("trial", np.repeat([0, 1, 2, 3], LENGTHS)),
        ("timestep", np.concatenate([np.arange(n) for n in LENGTHS])),
        ("traj_lengths", np.array(LENGTHS)),
        ("episode_ends", np.cumsum(LENGTHS)),
    ],
)
def test_ends_that_say_nothing_about_value_need_a_declaration(load, name, column):
    line = complaint(load, {name: column})
    assert f"{name} says where episodes end, not whether value ends there" in line
    assert "--dones" in line
    check(load({name: column}, dones="terminated"), load, ENDS, ENDS)
    check(load({name: column}, dones="truncated"), load, NONE, ENDS)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"terminals": TERMINALS, "is_last": np.roll(ENDS, 2)}, "is_last is not read: in some logs"),
        ({"is_terminal": ENDS, "is_last": ENDS}, "in RLDS the last row has none"),
        ({"is_terminal": TERMINALS, "is_first": STARTS}, "is_first is not read"),
        ({"terminals": TERMINALS, "next_done": ENDS}, "next_done looks like the end of an episode but has no clear"),
        ({"terminals": TERMINALS, "a/trajectory_over": ENDS}, "a/trajectory_over looks like the end"),
        ({"terminals": TERMINALS, "terminated": ENDS}, "terminals and terminated mean the same but differ in row 6"),
        ({"terminals": TERMINALS, "last": ENDS}, "last looks like the end of an episode but has no clear meaning"),
        (
            {"terminals": TERMINALS, "episode_id": np.arange(14) % 4},
            "do not stand together by episode_id: sort the rows",
        ),
        ({"terminals": TERMINALS, "episode_id": np.repeat([b"a", b"b"], 7)}, "not numbers"),
        ({"terminals": ENDS, "episode_id": np.zeros(14)}, "terminals is set in row 3, episode_id is not"),
        ({"terminals": ENDS, "episode_terminals": TERMINALS}, "terminals is set in row 6, episode_terminals is not"),
        ({"timeouts": ENDS, "terminals": TERMINALS, "dones": STARTS}, "dones is neither terminals nor terminals or"),
        ({"terminals": TERMINALS, "dones": TIMEOUTS}, "terminals is set in row 3, dones is not"),
        ({"terminals": TERMINALS, "episode_lengths": np.array([4, 3, 5])}, "episode_lengths adds up to 12 rows"),
        ({"terminals": TERMINALS, "episode_ends": np.array([4, 7, 12])}, "episode_ends has 3 rows"),
        ({"terminals": TERMINALS, "step_type": np.where(ENDS, 2, 1)}, "step_type is not read: in some logs"),
        ({"terminals": TERMINALS, "game_over": TIMEOUTS}, "terminals is set in row 3, game_over is not"),
        ({"terminals": TERMINALS, "truncated": np.full(14, 0.5)}, "truncated must be true/false or 0/1, row 0 is 0.5"),
        ({"terminals": TERMINALS, "episode_ends": np.cumsum(ENDS)}, "episode_ends must be true/false"),
        ({"terminals": TERMINALS, "truncated": TIMEOUTS[:3]}, "truncated has 3 rows"),
        ({"terminals": TERMINALS, "truncated": np.array(True)}, "truncated has"),
        ({"terminals": TERMINALS, "truncated": np.zeros((14, 2))}, "truncated has shape (14, 2)"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_what_is_unclear_or_contradicts_itself_is_refused(load, columns, words):
    assert words in complaint(load, columns)


def test_other_columns_are_not_taken_for_flags(load):
    others = {
        "terminal_observations": LOG["successor"],
        "termination_reason": np.arange(14),
        "discount": 0.99,
        "info/discount": np.full(14, 0.99),
        "discounts": np.full(1, 0.99),
        "metadata/timeouts": 3,
        "infos/goal": np.ones(14),
        "weekends": np.ones(14),
        "last": np.arange(14),
        "episodes": 4,
        "boundaries": np.ones(14),
    }
    dataset = load({"terminals": TERMINALS, "timeouts": TIMEOUTS, **others})
    check(dataset, load, TERMINALS, ENDS)
    assert any("termination_reason" in note and "not read" in note for note in dataset.notes)


def test_counters_that_prove_nothing_are_not_taken_for_ends(load):
    others = {
        "t": np.arange(14),  # counts on
        "step": np.arange(14) % 6,  # restarts, but not where episodes end
        "frame": np.concatenate([np.arange(n) for n in LENGTHS]),  # says what the flags say
        "time": np.arange(14) % 3,  # the time of day
        "lengths": np.repeat(LENGTHS, LENGTHS),
        "run": np.zeros(14),
        "session": np.arange(14),
        "success": np.arange(14) % 2,
    }
    dataset = load({"terminals": TERMINALS, "timeouts": TIMEOUTS, **others})
    check(dataset, load, TERMINALS, ENDS)
    for key in others:
        assert any(key in note and "not read" in note for note in dataset.notes), key


def test_a_time_that_begins_anew_without_a_flag_is_said(load):
    dataset = load({"terminals": TERMINALS, "time": 0.05 * np.concatenate([np.arange(n) for n in LENGTHS])})
    assert any("time begins anew after 1 rows without a flag" in note for note in dataset.notes)


@pytest.mark.parametrize("name", ["crashed", "infos/goal_reached", "Died"])
def test_an_outcome_after_which_value_goes_on_is_asked_about(load, name):
    question = f"{name} is set in 2 last rows of episodes, nowhere else, and was not read: does value end there?"
    assert any(question in note for note in load({"timeouts": ENDS, name: TERMINALS}).notes)
    for columns in ({"terminals": TERMINALS, "timeouts": TIMEOUTS}, {"timeouts": NONE, "terminals": ENDS}):
        assert not any("does value end" in note for note in load({**columns, name: TERMINALS}).notes)


def test_lists_of_rows_do_not_go_with_recorders(load):
    words = "trajectory_lengths counts rows, so recorders does not apply to it"
    assert words in complaint(load, {"terminals": TERMINALS, "trajectory_lengths": np.array(LENGTHS)}, recorders=2)


def test_the_notes_say_what_was_read_as_what(load):
    notes = load({"masks": ~TERMINALS, "dones_float": ENDS}).notes
    assert "masks was read as 1 - terminals: value ends where it is 0" in notes
    assert "dones_float was read as the last rows of all episodes" in notes
    assert "terminated was read as terminals" in load({"terminated": TERMINALS, "timeouts": TIMEOUTS}).notes


def test_a_stated_end_is_believed_although_nothing_jumps(tmp_path):
    steps = np.cumsum(np.full((40, 2), 0.01), axis=0)
    ends = np.arange(40) % 10 == 9
    columns = {"observations": steps, "actions": np.sin(steps), "rewards": np.ones(40), "terminals": np.zeros(40)}
    jumping = steps.copy()
    jumping[5:] += 100
    for observations in (steps, jumping):
        path = write_hdf5(tmp_path / "log.hdf5", **columns | {"observations": observations}, episode_terminals=ends)
        assert load_dataset(path).episode_lengths.tolist() == [9, 9, 9, 9]
        path.unlink()


def test_a_horizon_is_refused_where_ends_are_stated(load):
    words = "horizon does not apply to it, episode_terminals says where episodes end"
    assert words in complaint(load, {"terminals": TERMINALS, "episode_terminals": ENDS}, horizon=3)


def test_joined_files_may_name_their_flags_differently(tmp_path):
    one = write_hdf5(tmp_path / "a.hdf5", **flat(LOG, terminated=TERMINALS, truncated=TIMEOUTS))
    other = write_hdf5(tmp_path / "b.hdf5", **flat(LOG, terminals=TERMINALS, timeouts=TIMEOUTS))
    joined = load_dataset([one, other])
    half = len(joined) // 2
    np.testing.assert_array_equal(joined.terminated[:half], joined.terminated[half:])
    np.testing.assert_array_equal(joined.truncated[:half], joined.truncated[half:])


def test_columns_given_in_python_may_not_hide_ends_among_the_extra_ones():
    columns = {
        "observation": LOG["observations"],
        "action": LOG["actions"],
        "reward": LOG["rewards"],
        "next_observation": LOG["successor"],
        "terminated": TERMINALS,
        "truncated": TIMEOUTS,
    }
    with pytest.raises(DataError, match="extra holds dones, which marks ends"):
        Dataset.from_columns(**columns, extra={"dones": ENDS})


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("env_infos/TimeLimit.truncated", "truncated"),
        ("info/timed_out", "truncated"),
        ("EPISODE_TERMINALS", "end"),
        ("trajectory_ends", "end"),
        ("notDone", "alive"),
        ("nonterminals", "alive"),
        ("episodeStart", "start"),
        ("rollout_end", "unclear"),
        ("resets", "unclear"),
        ("Episode.Index", None),
        ("EpisodeIndex", "label"),
        ("mask", None),
        ("action_masks", None),
        ("observations", None),
        ("undone", None),
        ("x" * 100_000, None),
        ("", None),
    ],
)
def test_meaning_of_names(name, meaning):
    assert meaning_of(name) == meaning
