import json

import numpy as np
import pytest

from helpers.data_logs import walk
from prudent.data import Dataset, audit, describe, describe_dict, load_dataset
from prudent.data.audit import cautions, not_finite
from prudent.data.columns import differing_rows
from prudent.data.encoding import Column, Encoding
from prudent.data.meanings import Meanings
from prudent.errors import DataError

OPTIONS = ("action_low", "action_high", "discrete", "n_actions", "extra")


def dataset(lengths=(1000, 1000, 1000), name="log.npz", **changes):
    log = walk(lengths)
    columns = {
        "observation": log["observations"],
        "action": log["actions"],
        "reward": log["rewards"],
        "next_observation": log["successor"],
        "terminated": np.zeros(len(log["ends"]), bool),
        "truncated": log["ends"],
    }
    options = {key: changes.pop(key) for key in OPTIONS if key in changes}
    for key, change in changes.items():
        columns[key] = change(columns[key].copy()) if callable(change) else change
    return Dataset.from_columns(**columns, name=name, **options)


def at(rows, value):
    def change(column):
        column[rows] = value
        return column

    return change


STATES = ("observation", "next_observation")


def moved(feature, offset, scale):
    """A feature as a sensor with this offset and scale records it."""

    def change(column):
        column = column.astype(np.float64)
        column[:, feature] = offset + scale * column[:, feature]
        return column

    return change


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def test_a_sound_log_has_no_problems():
    assert audit(dataset()) == []
    assert "Problems: none found" in describe(dataset())


@pytest.mark.parametrize(
    ("changes", "kind", "rows", "count"),
    [
        (dict.fromkeys(STATES, moved(1, 1000.0, 1e-3)), "observation features that hardly vary", (1,), 1),
        ({STATES[0]: at((1500, 2), 1e5), STATES[1]: at((1499, 2), 1e5)}, "observation outliers", (1500,), 1),
        ({"action": at([5, 9], 1.5)}, "actions outside [-1, 1]", (5, 9), 2),
        ({"reward": at(700, -1e4)}, "reward outliers", (700,), 1),
        ({"reward": at(slice(None), 1)}, "constant reward", (0,), 3000),
        ({"next_observation": at([3, 4], 5)}, "successor mismatch", (3, 4), 2),
        ({"truncated": at(999, False)}, "successor mismatch", (999,), 1),
        ({"lengths": (1000, 1, 1, 2000)}, "episodes of length one", (1000, 1001), 2),
        ({"lengths": (500, 500)}, "few transitions", (), 1000),
        ({"action": at((slice(None), 1), 0.3)}, "constant action features", (1,), 1),
    ],
)
def test_problems_with_their_rows(changes, kind, rows, count):
    finding = only(audit(dataset(**changes)))
    assert (finding.kind, finding.rows, finding.count) == (kind, rows, count)
    assert "\n" not in finding.advice
    assert len(finding.advice) > 10


def test_features_that_were_recorded_as_float32_without_their_digits_are_found():
    coarse = moved(1, 1e6, 0.1)
    log = dataset(**dict.fromkeys(STATES, lambda column: coarse(column).astype(np.float32)))
    found = {finding.kind: finding.rows for finding in audit(log)}
    assert found["observation features rounded by float32"] == (1,)
    exact = dataset(**dict.fromkeys(STATES, coarse))
    assert audit(exact) == [], "float64 keeps the digits, and the offset is no size"


STEPS = np.tile(np.arange(1000), 3)


def planted(kind):
    """A log with one defect, and the rows that have it."""
    still = at((slice(None), 2), 4.0)
    shifted = {"extra": {"step": at(slice(1500, 2000), STEPS[1500:2000] + 3)(STEPS.copy())}}
    return {
        "NaN or infinity in rewards": ({"reward": at([7, 8], np.nan)}, (7, 8)),
        "duplicate transitions": (
            dict.fromkeys(
                ("observation", "action", "reward", "next_observation"),
                lambda column: at(slice(2000, 3000), column[1000:2000])(column),
            ),
            tuple(range(2000, 2010)),
        ),
        "unsorted steps": ({"extra": {"step": at([40, 41], [41, 40])(STEPS.copy())}}, (41,)),
        "gaps": (shifted, (1499,)),
        "actions outside [-1, 1]": ({"action": at([5, 9], -3.0)}, (5, 9)),
        "reward outliers": ({"reward": at(700, 1e4)}, (700,)),
        "successor mismatch": ({"next_observation": at([3, 4], 5)}, (3, 4)),
        "episodes of length one": ({"lengths": (1000, 1, 1, 2000)}, (1000, 1001)),
        "constant observation features": ({"observation": still, "next_observation": still}, (2,)),
        "few transitions": ({"action": np.where(STEPS == 0, 1, 0), "discrete": True}, (1,)),
    }[kind]


@pytest.mark.parametrize("unit", [1000.0, 0.01, 1e-9])
def test_what_is_wrong_with_rewards_has_no_unit(unit):
    """A sensor fault is one in cents, too, and a column of equal rewards in any unit."""
    for change in (at(700, -1e4), at(slice(None), 1)):
        one = dataset(reward=change)
        other = dataset(reward=one.reward * np.float32(unit))
        found = [[(f.kind, f.rows, f.count) for f in audit(data)] for data in (one, other)]
        assert len(found[0]) == 1
        assert found[0] == found[1]


@pytest.mark.parametrize(
    "kind",
    [
        *("duplicate transitions", "unsorted steps", "gaps", "actions outside [-1, 1]", "reward outliers"),
        *("successor mismatch", "episodes of length one", "constant observation features", "few transitions"),
    ],
)
def test_a_planted_defect_is_found_at_its_rows_and_nothing_else(kind):
    changes, rows = planted(kind)
    finding = only(audit(dataset(**changes)))
    assert (finding.kind, finding.rows) == (kind, rows)


def test_not_a_number_is_refused_with_its_row():
    changes, rows = planted("NaN or infinity in rewards")
    with pytest.raises(DataError, match=f"rewards has 2 rows with NaN or infinity, the first is row {rows[0]}"):
        dataset(**changes)


def test_sound_steps_and_times_have_no_problems():
    rng = np.random.default_rng(0)
    for step in (STEPS, 5 * STEPS, np.cumsum(rng.integers(1, 9, size=3000))):
        assert audit(dataset(extra={"step": step, "dt": rng.uniform(0.5, 2, size=3000)})) == []
    long = at(20, 30.0)(np.ones(3000))
    assert only(audit(dataset(extra={"dt": long}))).rows == (20,)


def test_constant_observation_feature():
    still = {key: at((slice(None), 2), 4.0) for key in ("observation", "next_observation")}
    finding = only(audit(dataset(**still)))
    assert (finding.kind, finding.rows, finding.unit) == ("constant observation features", (2,), "features")


def test_duplicates_are_named_by_the_row_that_repeats():
    twice = Dataset.join([dataset((1500,)), dataset((1500,))])
    finding = only([f for f in audit(twice) if f.kind == "duplicate transitions"])
    assert finding.count == 1500
    assert finding.rows == tuple(range(1500, 1510))


def test_missing_truncation_flags():
    kinds = [finding.kind for finding in audit(dataset((3000,)))]
    assert "missing truncation flags" in kinds


def test_declared_bounds_silence_the_range():
    assert audit(dataset(action=at(5, 1.5), action_low=-2, action_high=2)) == []


def test_not_finite_looks_at_raw_columns():
    raw = {
        "observations": np.zeros((5, 2)),
        "rewards": np.array([0, np.nan, 0, np.inf, 0]),
        "n": np.arange(5),
    }
    finding = only(not_finite(raw))
    assert finding.rows == (1, 3)
    assert "rewards" in finding.kind


# --- words --------------------------------------------------------------------------------------------------


def test_describe_says_everything():
    log = dataset((1000, 1, 1999), action=at([5, 9], 1.5), name="hopper-medium.hdf5")
    text = describe(log)
    for words in (
        "transitions   3,000",
        "3 observation features, 2 action features",
        "3: 0 terminated, 3 truncated",
        "no bounds declared",
        "actions outside [-1, 1] (2): rows 5, 9",
        "episodes of length one (1): row 1000",
        "Suggested discount: ",
        "Suggested alpha: none",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) < 200


def test_describe_dict_is_json():
    figures = json.loads(json.dumps(describe_dict(dataset((1000, 1, 1999), name="hopper-medium.hdf5"))))
    assert figures["transitions"] == 3000
    assert figures["findings"][0]["rows"] == [1000]
    assert figures["suggested_alpha"] is None
    assert figures["suggested_discount"].keys() == {"discount", "behind", "why"}
    assert figures["actions"][0]["max"] <= 1


def test_labels_stand_beside_the_numbers_of_actions():
    columns = tuple(Column(f"x{j}") for j in range(dataset().spec.observation_size))
    encoding = Encoding(columns, ("order",), ("0", "20", "40"))
    log = dataset((2000, 2000), action=np.where(np.arange(4000) < 7, 1, 0), discrete=True, n_actions=3)
    named = log.relabelled(meanings=Meanings(encoding=encoding))
    text = describe(named)
    rows = [line.split() for line in text.partition("Actions taken")[2].splitlines()[1:5]]
    assert rows[0][:3] == ["action", "label", "taken"]
    assert [row[:3] for row in rows[1:]] == [["0", "'0'", "3,993"], ["1", "'20'", "7"], ["2", "'40'", "0"]]
    assert "few transitions (2): actions 1 ('20'), 2 ('40')" in text
    assert [row["label"] for row in describe_dict(named)["actions"]] == ["0", "20", "40"]
    assert "label" not in describe(log).partition("Actions taken")[2].splitlines()[1]
    assert "label" not in describe_dict(log)["actions"][0]


def test_discrete_actions_are_counted():
    log = dataset(action=np.arange(3000) % 3, discrete=True)
    text = describe(log)
    assert "3 discrete actions" in text
    assert "33.3%" in text
    assert "forbidden" not in text
    assert json.dumps(describe_dict(log))
    rare = dataset((2000, 2000), action=np.where(np.arange(4000) < 7, 1, 0), discrete=True, n_actions=3)
    finding = next(f for f in audit(rare) if f.kind == "few transitions")
    assert (finding.rows, finding.count, finding.unit) == ((1, 2), 2, "actions")
    assert (
        "1000 or more of each action are usual, the rarest has 0, so values of these actions are rough"
        in finding.advice
    )
    assert "take a larger alpha if you set it yourself (prudent tune chooses it" in finding.advice, (
        "a tuning says it too"
    )
    alone = dataset(action=np.ones(3000, int), discrete=True)
    assert next((f.kind, f.rows) for f in audit(alone) if f.unit == "actions") == ("a single action", (1,))


def test_forbidden_actions_are_counted():
    mask = np.ones((3000, 3), dtype=bool)
    mask[:600, 2] = False
    log = dataset(action=np.arange(3000) % 2, discrete=True, extra={"mask": mask, "next_mask": np.ones_like(mask)})
    assert "       2          0   0.0%         20.0%" in describe(log)
    assert describe_dict(log)["actions"][2]["forbidden"] == pytest.approx(0.2)


def test_a_constant_reward_is_a_problem_unless_episodes_end():
    ended = np.zeros(3000, bool)
    ended[999] = True
    for value, kinds in ((1, []), (0, ["constant reward"])):
        log = dataset(reward=at(slice(None), value), terminated=ended)
        assert [finding.kind for finding in audit(log)] == kinds


def test_a_single_episode_is_a_problem_and_reported_before_training():
    ended = np.zeros(3000, bool)
    ended[2999] = True
    log = dataset((3000,), reward=at(slice(None), 0), terminated=ended, truncated=np.zeros(3000, bool))
    for findings in (audit(log), cautions(log)):
        kinds = [str(finding).partition(":")[0] for finding in findings]
        assert kinds[:2] == ["a single episode (1)", "constant reward (3,000)"]


def test_one_is_singular():
    text = describe(dataset((1000, 1, 1999), action=np.zeros((3000, 1)), observation=at(5, 1e3)))
    assert "1 action feature\n" in text
    assert ": row 1000\n" in text
    assert "1 rows" not in text


def test_the_description_of_a_builtin_dataset():
    text = describe(load_dataset("pendulum-mixed"))
    assert "Suggested alpha of CQL: 3 with --reward-scale auto (try 1 to 10), which is 4.73 for raw rewards" in text
    assert "of -2 to 2" in text
    assert "Problems: none found" in text


def test_rounding_of_large_numbers_is_no_mismatch():
    """One unit in the last place of 1e6 is 0.06: above any fixed tolerance, yet only rounding."""
    large = np.array([[1e6], [2e6]], dtype=np.float32)
    assert not differing_rows(large, np.nextafter(large, np.float32(np.inf))).any()
    assert differing_rows(large, large + 10).all()
