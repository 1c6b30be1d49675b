"""Policies that leave the data are flagged and others are not, at the promised rates."""

import json
import math
import tracemalloc

import numpy as np
import pytest

import prudent
from benchmarks import known
from prudent.coverage.actions import action_table
from prudent.coverage.result import Measure
from prudent.coverage.support import Settings, support
from prudent.data import Dataset
from prudent.errors import ConfigError, DataError
from prudent.ope import ContinuousPolicy, DiscretePolicy
from prudent.report.terminal import _action_cells
from prudent.types import Spec

SPEC = Spec(3, 2, action_low=(-9.0, -9.0), action_high=(9.0, 9.0))
GAIN = np.array([[0.5, -0.5], [0.3, 0.2], [0.0, 0.4]])


def line(episodes=200, steps=10, seed=0, center=0.0, **changes):
    """Independent states around ``center`` in three dimensions; actions are linear in them, with noise."""
    rng = np.random.default_rng(seed)
    rows = episodes * steps
    observation = rng.normal(center, 1, size=(rows, 3))
    columns = {
        "observation": observation,
        "action": observation @ GAIN + 0.3 * rng.normal(size=(rows, 2)),
        "reward": rng.normal(size=rows),
        "next_observation": observation,
        "terminated": np.zeros(rows, bool),
        "truncated": np.arange(1, rows + 1) % steps == 0,
        "action_low": SPEC.action_low,
        "action_high": SPEC.action_high,
        "name": "line",
    }
    return Dataset.from_columns(**columns | changes)


def policy(shift=lambda _: 0.0, noise=0.3):
    """The policy that made :func:`line`, with ``shift`` added to its first action feature."""

    def draw(observation, generator):
        del generator
        rng = np.random.default_rng(5)
        action = observation @ GAIN + noise * rng.normal(size=(len(observation), 2))
        action[:, 0] += shift(observation)
        return action

    return ContinuousPolicy(SPEC, draw, None)


def choices(rows=4000, seed=0, n_actions=3):
    """Two discrete actions by the sign of the first feature, one time in twenty the wrong one; the third never."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(rows, 2))
    action = (observation[:, 0] > 0).astype(int)
    action = np.where(rng.random(rows) < 0.05, 1 - action, action)
    none = np.zeros(rows, bool)
    return Dataset.from_columns(
        observation=observation,
        action=action,
        reward=none,
        next_observation=observation,
        terminated=none,
        truncated=np.arange(1, rows + 1) % 20 == 0,
        discrete=True,
        n_actions=n_actions,
        name="choices",
    )


def table(probability, n_actions=3):
    return DiscretePolicy(Spec(2, n_actions, discrete=True), lambda observation, _: probability(observation))


# --- calibration ------------------------------------------------------------------------------------------------------


def test_the_threshold_is_that_of_split_conformal_prediction():
    scores, fold = np.arange(1.0, 200.0), np.arange(199) % 5
    measure = Measure.calibrated(scores, fold, np.zeros((1, 1)), 0.95)
    assert (measure.threshold, measure.strict) == (190, 198)
    assert Measure.calibrated(scores[:50], fold[:50], np.zeros((1, 1)), 0.95).strict is None


def test_logged_decisions_lie_outside_at_the_nominal_rate():
    # Five logs of 2,000 independent decisions: the rate over all of them within three standard errors.
    results = [support(policy(), line(seed=seed), seed=seed).measures for seed in range(5)]
    for kind in ("decision", "state", "action"):
        rate = np.mean([measures[kind].fresh_outside for measures in results])
        assert abs(rate - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 10_000), f"{kind}: {rate:.2%} instead of 5 %"


def test_new_data_of_the_behaviour_lie_outside_at_the_nominal_rate():
    # Both the threshold and the rate are estimated, from 2,000 decisions each.
    data, new = line(), line(seed=77)
    copy = ContinuousPolicy(SPEC, lambda observation, _: new.action[_rows(new, observation)], None)
    figures = support(copy, data, at=new).overall
    error = math.sqrt(2 * 0.05 * 0.95 / 2000)
    for kind in ("outside", "state_outside", "action_outside"):
        assert abs(figures[kind] - 0.05) < 3 * error, f"{kind}: {figures[kind]:.2%} instead of 5 %"
    assert abs(figures["outside_strict"] - 0.01) < 3 * math.sqrt(2 * 0.01 * 0.99 / 2000)


def _rows(dataset, observation):
    where = {row.tobytes(): index for index, row in enumerate(dataset.observation)}
    return [where[row.tobytes()] for row in observation]


# --- what is flagged --------------------------------------------------------------------------------------------------


def test_the_behaviour_itself_is_not_flagged():
    for seed in range(5):
        figures = support(policy(), line(seed=seed)).overall
        assert not figures["leaves_data"]
        assert figures["outside"] < 0.08


def test_shifted_decisions_are_found_and_others_are_not():
    """Where the first feature is positive, the action is six standard deviations off."""
    data = line()
    result = support(policy(lambda observation: 1.8 * (observation[:, 0] > 0)), data)
    shifted = data.observation[result.rows, 0] > 0
    outside = result.outside[0]
    assert outside[shifted].mean() > 0.8, f"recall {outside[shifted].mean():.1%}"
    assert outside[~shifted].mean() < 0.09, f"false alarms {outside[~shifted].mean():.1%}"
    assert result.overall["leaves_data"]
    # The states are usual, only the actions are not.
    assert result.overall["state_outside"] < 0.06
    assert result.overall["because"]["action"] > 0.8


def test_a_little_less_noise_is_no_alarm():
    assert support(policy(noise=0.0), line()).overall["outside"] < 0.05


def test_a_known_target_further_away_lies_further_out():
    shares = []
    for shift in (0.0, 1.5, 6.0):
        problem = known.quadratic(0, shift=shift)
        shares.append(support(problem.target, problem.log(200, 0), decisions=1000).overall["outside"])
    assert shares[0] < 0.06 < shares[1] < shares[2], shares


def test_unusual_states_and_unusual_actions_are_distinguished():
    data, away = line(), line(seed=1, center=4.0)
    states = support(policy(), data, at=away).overall
    assert states["state_outside"] > 0.9
    assert states["because"]["state"] > 0.9
    actions = support(policy(lambda _: 3.0), data, at=line(seed=1)).overall
    assert actions["action_outside"] > 0.9
    assert actions["state_outside"] < 0.1


def test_discrete_actions_that_were_rare_or_never_taken():
    data = choices()
    same = table(lambda o: np.where((o[:, :1] > 0) == np.array([False, True, True]), 0.95, 0.05) * [1, 1, 0])
    other = table(lambda o: np.stack([o[:, 0] > 0, o[:, 0] <= 0, 0 * o[:, 0]], axis=1).astype(float))
    never = table(lambda o: np.eye(3)[np.full(len(o), 2)])
    results = [support(one, data) for one in (same, other, never)]
    shares = [result.overall["outside"] for result in results]
    assert shares[0] < 0.08
    assert shares[1] > 0.3
    assert shares[2] == 1.0
    assert [result.overall["leaves_data"] for result in results] == [False, True, True]
    assert results[1].overall["action_outside"] > 0.3
    row = results[2].actions[2]
    assert (row["logged"], row["taken"], row["taken_share"]) == (0, 2000, 1.0)
    assert "label" not in row
    assert results[2].overall["worst"]["mean_score"] is None
    json.dumps(results[2].to_json(), allow_nan=False)


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_the_worst_are_the_furthest():
    data = line()
    result = support(policy(lambda observation: 5.0 * (observation[:, 1] > 2.2)), data)
    worst = result.overall["worst"]
    score = result.measures["decision"].policy[0]
    assert len(worst["rows"]) == 20
    assert worst["mean_score"] == pytest.approx(np.sort(score)[-20:].mean())
    assert (data.observation[worst["rows"], 1] > 2.2).mean() > 0.9
    assert f"the furthest is row {worst['rows'][0]} of line" in " ".join(result.reading)


def test_the_action_table_says_where_actions_lie():
    result = support(policy(lambda _: 3.0), line())
    first, second = result.actions
    logged = np.quantile(line().action[:, 0], [0.005, 0.5, 0.995])
    np.testing.assert_allclose(first["logged"], logged, rtol=1e-5)
    assert first["outside"] > 0.9
    assert first["taken"][1] == pytest.approx(logged[1] + 3, abs=0.2)
    assert second["outside"] < 0.03
    assert first["by_member"] == [first["outside"]]


def test_labels_stand_beside_the_numbers_of_actions():
    logged, taken = np.array([0, 1, 1]), np.array([[1, 1, 1]])
    rows = action_table(logged, taken, Spec(2, 2, discrete=True), ("none", "40"))
    assert [(row["action"], row["label"], row["logged"]) for row in rows] == [(0, "none", 1), (1, "40", 2)]
    assert _action_cells(rows[1])[:2] == ["1 ('40')", "2"]


def test_equal_seeds_give_equal_figures_and_others_do_not():
    data = line(episodes=300)
    one, two, three = (support(policy(), data, decisions=500, seed=seed).to_json() for seed in (3, 3, 4))
    assert json.dumps(one) == json.dumps(two)
    assert one["overall"] != three["overall"]


def test_no_row_is_compared_with_its_own_episode():
    # Every decision is logged ten times, within one episode: there it would have ten neighbours at distance 0.
    rng = np.random.default_rng(0)
    observation = np.repeat(rng.normal(size=(200, 3)), 10, axis=0)
    action = np.repeat(rng.uniform(-1, 1, size=(200, 2)), 10, axis=0)
    data = line(observation=observation, next_observation=observation, action=action)
    assert support(policy(), data).measures["decision"].logged.min() > 0.05
    # The same for groups of episodes.
    five = np.concatenate([np.tile(observation[i : i + 10], (5, 1)) for i in range(0, 400, 10)])
    acted = np.concatenate([np.tile(action[i : i + 10], (5, 1)) for i in range(0, 400, 10)])
    group = {"group": np.arange(2000) // 50}
    grouped = line(observation=five, next_observation=five, action=acted, extra=group)
    assert support(policy(), grouped).measures["decision"].logged.min() > 0.05


def test_a_long_log_needs_no_more_memory():
    """A log ten times as long takes no more memory: eight bytes for each more row would be 2.9 MB."""

    def peak(steps):
        data = line(episodes=40, steps=steps)
        _ = data.episode_lengths  # one per episode, and cached by any training before
        tracemalloc.start()
        try:
            support(policy(), data, decisions=200, reference=400)
            return tracemalloc.get_traced_memory()[1], vars(data)
        finally:
            tracemalloc.stop()

    (short, _), (long, cached) = peak(1_000), peak(10_000)
    assert long - short < 100_000, f"{long - short} bytes more for 360,000 rows more"
    assert "episode_of_row" not in cached, "a number per row is cached"


def test_a_member_has_the_same_scores_alone_as_with_others():
    data = line(episodes=40)
    agent = prudent.BC(seeds=[0, 1], hidden=(8, 8), batch_size=16, device="cpu").fit(data, steps=5)
    both = prudent.support(agent, data, decisions=200)
    assert both.names == ("seed=0", "seed=1")
    assert agent.population is not None
    alone = support(agent.population.member(1), data, decisions=200)
    for kind in ("decision", "state", "action"):
        single, member = (result.measures[kind].policy[-1] for result in (alone, both))
        np.testing.assert_allclose(single, member, rtol=1e-4, err_msg=kind)
    mean = np.mean([both.figures(member)["outside"] for member in (0, 1)])
    assert both.overall["outside"] == pytest.approx(mean)


def test_a_diverged_member_is_named_and_left_out():
    data = line(episodes=40)
    agent = prudent.BC(seeds=[0, 1], hidden=(8, 8), batch_size=16, device="cpu").fit(data, steps=1)
    assert agent.population is not None
    for weights in agent.population.state.networks["actor"].values():
        weights[1] = math.nan
    figures = support(agent, data, decisions=200).to_json()
    assert figures["members"]["seed=1"]["outside"] is None
    assert figures["overall"]["outside"] == figures["members"]["seed=0"]["outside"]
    assert figures["actions"][0]["by_member"][1] is None
    assert "seed=1 has diverged: its actions are not numbers" in figures["reading"][-1]
    json.dumps(figures, allow_nan=False)
    for weights in agent.population.state.networks["actor"].values():
        weights[:] = math.nan
    with pytest.raises(ConfigError, match="every member has diverged"):
        support(agent, data)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        (lambda: line(episodes=1, steps=200), {}, "one episode only"),
        (lambda: line(extra={"group": np.ones(2000)}), {}, "one group only"),
        (lambda: line(episodes=2, steps=5), {}, "5 rows to compare with, fewer than the 10"),
        (lambda: line(episodes=4, steps=5), {"neighbours": 3}, "20 rows for the threshold, too few for level 0.95"),
        (lambda: choices(rows=400, n_actions=3), {"neighbours": 200}, "logged fewer than 200 times"),
    ],
)
def test_too_few_data_are_reported(data, settings, words):
    made = data()
    one = policy() if not made.spec.discrete else table(lambda o: np.full((len(o), 3), 1 / 3))
    with pytest.raises(DataError, match=words) as caught:
        support(one, made, **settings)
    assert "\n" not in str(caught.value)


def test_other_spaces_are_refused():
    other = line(action_low=(-5.0, -5.0), action_high=(5.0, 5.0))
    with pytest.raises(ConfigError, match="policy for other spaces than line"):
        support(policy(), other)
    with pytest.raises(ConfigError, match="policy for other spaces than choices"):
        support(policy(), choices())
    with pytest.raises(ConfigError, match="policy for other spaces"):
        support(policy(), line(), at=choices())
    with pytest.raises(ConfigError, match="line is the log itself"):
        support(policy(), line(), at=line())


@pytest.mark.parametrize(
    "wrong", [{"neighbours": 0}, {"decisions": 1.5}, {"reference": True}, {"level": 0.99}, {"level": 0.1}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)
