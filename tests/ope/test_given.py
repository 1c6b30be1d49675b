"""Policies that are given: what a plain function may return, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import prudent
from ope.problems import random_log
from prudent import ope
from prudent.data import Dataset
from prudent.data.encoding import Column, Encoding
from prudent.data.meanings import Meanings
from prudent.errors import ConfigError
from prudent.ope import given

LOG = random_log(0, episodes=30, terminated=1.0)
QUICK = {"members": 1, "folds": 2, "n_bootstrap": 0, "steps": 5, "behaviour_steps": 5, "hidden": (), "max_outside": 1.0}
R = len(LOG)


def probabilities(observation):
    return np.tile([0.25, 0.75], (len(observation), 1))


def continuous(rows=40):
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(rows, 2)).astype(np.float32)
    ends = np.arange(rows) % 2 == 1
    following = np.where(ends[:, None], observation, np.roll(observation, -1, axis=0))
    return Dataset.from_columns(
        observation=observation,
        action=rng.uniform(-1, 1, size=(rows, 1)),
        reward=rng.normal(size=rows),
        next_observation=following,
        terminated=ends,
        truncated=np.zeros(rows, bool),
        action_low=-1.0,
        action_high=1.0,
        name="continuous",
    )


@pytest.mark.parametrize("form", [np.int64, np.float32, bool])
def test_numbers_and_probabilities_are_one_policy(form):
    numbers = given.policy_of(lambda observation: (observation[:, 0] > 0).astype(form), LOG.spec, "rule")
    right = LOG.observation[:, 0] > 0
    table = numbers.probability(LOG.observation, None)
    np.testing.assert_array_equal(table, np.stack([~right, right], axis=1))
    from_one = replace(LOG.spec, first_action=1)
    counted = given.policy_of(lambda observation: 1 + (observation[:, 0] > 0), from_one, "rule")
    np.testing.assert_array_equal(counted.probability(LOG.observation, None), table)


def test_a_function_is_valued_like_the_policy_that_it_is():
    plain = prudent.value(probabilities, LOG, discount=0.9, **QUICK)
    policy = ope.DiscretePolicy(LOG.spec, lambda observation, _: probabilities(observation), "probabilities")
    assert plain.best.title == "probabilities"
    assert plain.to_json() == prudent.value(policy, LOG, discount=0.9, **QUICK).to_json()
    beside = prudent.value(policy, LOG, compare={"same": probabilities}, discount=0.9, **QUICK)
    assert beside.differences["same"]["fqe"].value == 0


def test_mask_and_columns_reach_the_function_and_the_log_stays_as_it_was():
    mask = np.ones((R, 2), bool)
    masked = replace(LOG, extra={"mask": mask, "next_mask": mask})
    seen = []

    def rule(columns, mask):
        seen.append((sorted(columns), mask.shape))
        columns["x"][:] = 0
        mask[:] = False
        return np.zeros(len(columns["x"]), int)

    before = LOG.observation.copy()
    prudent.value(rule, masked, discount=0.9, names=["x", "y"], **QUICK)
    assert seen[0] == (["x", "y"], (R, 2))
    np.testing.assert_array_equal(LOG.observation, before)
    assert mask.all()

    def setting(observation, threshold=0.5):
        assert threshold == 0.5
        return (observation[:, 0] > threshold).astype(int)

    given.check(given.policy_of(setting, LOG.spec), masked)


ENCODING = Encoding(
    (Column("stock"), Column("day", "one-hot", ("Mon", "Tue", "Wed")), Column("size", "index", ("S", "L"))),
    ("order",),
    ("0", "40"),
)
FEATURES = np.stack([np.arange(R) % 7, *np.eye(3)[np.arange(R) % 3].T, np.arange(R) % 2], axis=1).astype(np.float32)
ENDS = (LOG.terminated | LOG.truncated)[:, None]
NAMED = replace(
    LOG,
    observation=FEATURES,
    next_observation=np.where(ENDS, FEATURES, np.roll(FEATURES, -1, axis=0)),
    spec=replace(LOG.spec, observation_size=5),
    meanings=Meanings(encoding=ENCODING),
)


def test_a_rule_by_name_gets_the_columns_of_the_table_and_may_answer_with_labels():
    seen = {}

    def rule(columns):
        seen.update(columns)
        return np.where((columns["day"] == "Tue") & (columns["stock"] < 3), "40", "0")

    def by_number(observation):
        return ((observation[:, 2] == 1) & (observation[:, 0] < 3)).astype(int)

    result = prudent.value(rule, NAMED, compare={"same": by_number}, discount=0.9, **QUICK)
    assert result.differences["same"]["fqe"].value == 0
    assert list(seen) == ["stock", "day", "size"], "one name for each column, as in the table"
    policy = given.policy_of(rule, NAMED.spec, encoding=ENCODING)
    policy.probability(NAMED.observation[:4], None)
    assert seen["day"].tolist() == ["Mon", "Tue", "Wed", "Mon"]
    assert seen["size"].tolist() == ["S", "L", "S", "L"]
    assert seen["stock"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (lambda columns: columns["dya"] == "Mon", "no column 'dya' among 'stock', 'day', 'size'; did you mean 'day'?"),
        (lambda columns: columns["day=Mon"] > 0, "no column 'day=Mon' among 'stock', 'day', 'size'"),
        (lambda columns: ["30"] * len(columns["day"]), "none of the action_labels ('0', '40') in"),
        (lambda columns: np.full(len(columns["day"]), 40), "(such as 40); or their labels, as text: '0', '40'"),
    ],
)
def test_a_name_or_label_that_does_not_exist_is_one_line_with_those_that_do(rule, complaint):
    with pytest.raises(ConfigError) as caught:
        prudent.value(rule, NAMED, discount=0.9, **QUICK)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    if "no column" in complaint:
        assert "test_given.py line " in str(caught.value)


def test_one_continuous_feature_may_come_without_its_axis():
    log = continuous()
    flat = given.policy_of(lambda observation: np.zeros(len(observation)), log.spec, "zero")
    assert isinstance(flat, ope.ContinuousPolicy)
    assert flat.draw(log.observation, None).shape == (40, 1)
    result = prudent.value(flat, log, discount=0.9, **QUICK)
    assert result.best.estimates.fqe.supported
    assert "no density" in result.best.estimates.wdr.reason


@pytest.mark.parametrize("form", [bool, np.uint8, np.float16])
def test_probabilities_of_0_and_1_may_be_of_any_kind_of_number(form):
    def rule(observation):
        return np.stack([observation[:, 0] <= 0, observation[:, 0] > 0], axis=1).astype(form)

    numbers = prudent.value(lambda observation: observation[:, 0] > 0, LOG, discount=0.9, **QUICK)
    by_hand = ope.DiscretePolicy(LOG.spec, lambda observation, _: rule(observation), "by hand")
    for policy in (rule, by_hand):
        result = prudent.value(policy, LOG, discount=0.9, **QUICK)
        assert result.best.estimates.fqe.value == numbers.best.estimates.fqe.value
    switch = prudent.value(lambda observation: observation[:, 0] > 0, continuous(), discount=0.9, **QUICK)
    same = prudent.value(lambda observation: 1.0 * (observation[:, 0] > 0), continuous(), discount=0.9, **QUICK)
    assert switch.best.estimates.fqe.value == same.best.estimates.fqe.value


def once_more(observation):
    return np.random.default_rng().random((len(observation), 2)).argmax(1)


def fails(observation):
    return observation["x"]


async def later(observation):
    return np.zeros(len(observation), int)


def far(mask_or_observation):
    return mask_or_observation.sum(1) * 0 + 7


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (lambda _: np.zeros((3, 3, 3)), r"returns an array of shape \(3, 3, 3\)"),
        (lambda _: np.zeros(3, int), r"returns an array of shape \(3, 2\)"),
        (lambda o: probabilities(o) * 0.9, "do not sum to 1 in .* the first is row 0 of random"),
        (lambda o: np.tile([1.5, -0.5], (len(o), 1)), "gives negative probabilities"),
        (lambda o: np.full((len(o), 2), np.nan), "probabilities that are not numbers"),
        (lambda o: np.full(len(o), 0.5), "no whole numbers"),
        (lambda o: np.full(len(o), 1e30), r"actions that are not 0 to 1 .*such as 1e\+30"),
        (later, "is an async function"),
        (far, r"actions that are not 0 to 1 .*such as 7"),
        (lambda o: ["left"] * len(o), "not numbers"),
        (lambda _: None, "not numbers"),
        (once_more, "answers differently when it is asked again"),
        (fails, r"fails: test_given.py line \d+: IndexError"),
        (lambda: 0, "has the arguments none"),
        (lambda _a, _b, _c: 0, "has the arguments _a, _b, _c"),
        (lambda columns: columns["x"], "the log has no names"),
        (dict, "is a class"),
        (3, "a policy to value is a function"),
    ],
)
def test_what_is_no_policy_is_refused_before_anything_is_fitted(function, complaint, monkeypatch):
    monkeypatch.setattr(ope.behaviour, "fit", lambda *_: pytest.fail("fitted first"))
    with pytest.raises(ConfigError, match=complaint) as caught:
        prudent.value(function, LOG, discount=0.9, **QUICK)
    assert "\n" not in str(caught.value)


class Stop(BaseException):
    """What a policy may raise that is no Exception."""


def raises(error):
    def rule(*_):
        raise error

    return rule


@pytest.mark.parametrize("error", [Stop("enough"), SystemExit(3), GeneratorExit("gone"), ValueError("wrong")])
def test_whatever_a_policy_raises_is_one_line(error):
    log, rule = continuous(), raises(error)
    given_policies = [
        (rule, LOG),
        (ope.DiscretePolicy(LOG.spec, rule, "rule"), LOG),
        (ope.ContinuousPolicy(log.spec, rule, None, "rule"), log),
        (ope.ContinuousPolicy(log.spec, lambda o, _: np.zeros((len(o), 1), np.float32), rule, "rule"), log),
    ]
    for policy, data in given_policies:
        with pytest.raises(ConfigError, match=rf"rule: test_given.py line \d+: {type(error).__name__}: {error}$"):
            prudent.value(policy, data, discount=0.9, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        prudent.value(raises(KeyboardInterrupt()), LOG, discount=0.9, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        prudent.value(ope.DiscretePolicy(LOG.spec, raises(KeyboardInterrupt()), "rule"), LOG, discount=0.9, **QUICK)


def test_what_fails_only_when_it_is_asked_later_is_one_line_too():
    asked = []

    def rule(observation):
        asked.append(len(observation))
        if len(asked) > 4:
            raise Stop("enough")
        return probabilities(observation)

    with pytest.raises(ConfigError, match=r"rule: test_given.py line \d+: Stop: enough"):
        prudent.value(rule, LOG, discount=0.9, **QUICK)


@pytest.mark.parametrize(
    ("density", "told"),
    [
        (lambda _, action: np.zeros(action.shape), r"shape \(40, 1\) and type float64, expected 40 numbers"),
        (lambda _, action: ["a"] * len(action), "type <U1, expected 40 numbers"),
        (lambda _, action: np.where(np.arange(len(action)) == 7, np.nan, 0.0), "in 1 row, the first is row 7 of cont"),
        (lambda _, action: np.full(len(action), np.inf), "not numbers in 40 rows"),
    ],
)
def test_a_density_is_checked(density, told):
    log = continuous()
    policy = ope.ContinuousPolicy(log.spec, lambda o, _: np.zeros((len(o), 1), np.float32), density, "rule")
    with pytest.raises(ConfigError, match=told):
        prudent.value(policy, log, discount=0.9, **QUICK)


def test_masks_bounds_and_rows_of_next_states_are_checked():
    mask = np.ones((R, 2), bool)
    inside = ~(LOG.terminated | LOG.truncated)
    row = int(np.flatnonzero(inside)[0])
    mask[row, 1] = LOG.action[row] == 1
    mask[row, 0] = LOG.action[row] == 0
    masked = replace(LOG, extra={"mask": mask, "next_mask": np.ones((R, 2), bool)})
    with pytest.raises(ConfigError, match=f"takes actions that the mask forbids in 1 row, the first is row {row} of"):
        prudent.value(probabilities, masked, discount=0.9, **QUICK)
    later = replace(LOG, extra={"mask": np.ones((R, 2), bool), "next_mask": mask})
    with pytest.raises(ConfigError, match=f"the first is the state after row {row} of random"):
        prudent.value(probabilities, later, discount=0.9, **QUICK)
    log = continuous()
    for answer, complaint in ((1.5, r"outside the declared bounds \(-1 to 1\)"), (np.nan, "not numbers")):
        with pytest.raises(ConfigError, match=complaint):
            prudent.value(lambda o, a=answer: np.full(len(o), a), log, discount=0.9, **QUICK)


def test_a_policy_written_by_hand_is_checked_too():
    policy = ope.DiscretePolicy(LOG.spec, lambda observation, _: np.ones((len(observation), 2)), "twice")
    with pytest.raises(ConfigError, match="twice gives probabilities that do not sum to 1"):
        prudent.value(policy, LOG, discount=0.9, **QUICK)
    words = ope.DiscretePolicy(LOG.spec, lambda observation, _: np.full((len(observation), 2), "a"), "words")
    with pytest.raises(ConfigError, match="words returns an array of <U1, not numbers"):
        prudent.value(words, LOG, discount=0.9, **QUICK)
    other = ope.DiscretePolicy(replace(LOG.spec, action_size=3), lambda o, _: o, "other")
    with pytest.raises(ConfigError, match="other is a policy for other spaces"):
        prudent.value(other, LOG, discount=0.9, **QUICK)
    with pytest.raises(ConfigError, match="no discount of its own"):
        prudent.value(probabilities, LOG, **QUICK)
