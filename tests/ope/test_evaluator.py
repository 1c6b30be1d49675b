"""All estimators together on problems with known values, and what they refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import known
from ope.problems import LINEAR, random_log
from prudent import ConfigError, DataError, algorithms, ope
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.ope import behaviour, episodes, evaluator, fqe, interval

TABULAR = known.tabular(4, shift=0.4)
QUADRATIC = known.quadratic(2)
CURVED = replace(LINEAR, hidden=(32,), lr=5e-3)


@pytest.fixture(scope="module")
def tabular():
    return ope.evaluate_policy(TABULAR.target, TABULAR.log(700, 0), settings=replace(LINEAR, n_bootstrap=8))


@pytest.fixture(scope="module")
def quadratic():
    return ope.evaluate_policy(QUADRATIC.target, QUADRATIC.log(400, 0), settings=CURVED)


@pytest.mark.parametrize("name", ["fqe", "wdr", "pdwis"])
@pytest.mark.parametrize("problem", ["tabular", "quadratic"])
def test_the_value_is_found(problem, name, request):
    """Within 8 % of the exact value, and closer to it than to the value of the behaviour policy."""
    truth = {"tabular": TABULAR, "quadratic": QUADRATIC}[problem]
    estimate = getattr(request.getfixturevalue(problem), name)
    assert abs(estimate.value - truth.target_value) < 0.08 * abs(truth.target_value), f"{name}: {estimate}"
    assert abs(estimate.value - truth.target_value) < abs(estimate.value - truth.behaviour_value)
    assert estimate.interval[0] < estimate.value < estimate.interval[1]


@pytest.mark.parametrize("problem", ["tabular", "quadratic"])
def test_the_behaviour_is_found(problem, request):
    truth = {"tabular": TABULAR, "quadratic": QUADRATIC}[problem]
    estimate = request.getfixturevalue(problem).behaviour
    assert abs(estimate.value - truth.behaviour_value) < 0.08 * abs(truth.behaviour_value), str(estimate)


def test_intervals_with_and_without_refits(tabular, quadratic):
    assert {tabular.fqe.method, tabular.wdr.method, tabular.behaviour.method} == {"refit"}
    assert len(tabular.wdr.replicates) == 8
    assert (quadratic.fqe.method, quadratic.wdr.method) == ("start", "influence")
    low, high = tabular.wdr.interval
    assert low < TABULAR.target_value < high


def test_the_improvement_is_paired(tabular):
    gain = tabular.improvement["wdr"]
    assert gain.value == pytest.approx(tabular.wdr.value - tabular.behaviour.value)
    assert gain.method == "refit"
    assert gain.standard_error < np.hypot(tabular.wdr.standard_error, tabular.behaviour.standard_error)


def test_fitted_values_are_compared_with_fitted_ones(tabular):
    """The fitted value of the behaviour is near the exact one, and a difference of two fits has
    neither the noise of the log's actions nor that of its start states."""
    fitted, gain = tabular.fitted_behaviour, tabular.improvement["fqe"]
    assert abs(fitted.value - TABULAR.behaviour_value) < 0.08 * abs(TABULAR.behaviour_value), str(fitted)
    assert fitted.method == "refit"
    assert gain.value == pytest.approx(tabular.fqe.value - fitted.value)
    assert gain.standard_error < np.hypot(tabular.fqe.standard_error, fitted.standard_error)
    assert tabular.summary()["fitted_behaviour"]["value"] == fitted.value


def test_the_undiscounted_return_is_that_of_the_recording(tabular):
    data = TABULAR.log(700, 0)
    assert tabular.undiscounted["behaviour"].value == pytest.approx(data.episode_returns.mean(), rel=1e-5)
    assert tabular.undiscounted["pdwis"].value > data.episode_returns.mean(), "the target is the better policy"


def test_the_summary_is_json_and_the_table_readable(tabular):
    summary = json.loads(json.dumps(tabular.summary()))
    assert summary["wdr"]["ci95"] == pytest.approx(list(tabular.wdr.interval))
    assert summary["behaviour_model"]["source"] == "logged"
    text = str(tabular)
    assert all(name in text for name in ("fqe", "wdr", "pdwis", "behaviour", "effective episodes"))


def test_equal_seeds_give_equal_figures():
    data, settings = TABULAR.log(40, 1), replace(LINEAR, steps=50, behaviour_steps=50, n_bootstrap=2, min_effective=1)
    first, second, third = (
        ope.evaluate_policy(TABULAR.target, data, settings=settings, seed=s).summary() for s in (0, 0, 1)
    )
    assert first == second
    assert first != third


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patients():
    """Ten episodes each of twenty patients; rewards differ more between patients than between episodes."""
    data = TABULAR.log(200, 0)
    patient = data.episode_of_row % 20
    luck = np.random.default_rng(0).normal(scale=1.0, size=20).astype(np.float32)
    return replace(data, reward=data.reward + luck[patient], extra={**data.extra, "group": patient})


@pytest.mark.parametrize("n_bootstrap", [0, 20])
def test_groups_widen_the_intervals(patients, n_bootstrap):
    """Episodes of one patient are alike, so there are twenty independent units, not two hundred."""
    settings = replace(LINEAR, steps=100, behaviour_steps=50, n_bootstrap=n_bootstrap, min_effective=2)
    alone = replace(patients, extra={"behavior_log_prob": patients.extra["behavior_log_prob"]})
    grouped, apart = (ope.evaluate_policy(TABULAR.target, d, settings=settings) for d in (patients, alone))
    names = ["behaviour", "pdwis"] + ["fqe", "wdr"] * bool(n_bootstrap)
    for name in names:
        wide, narrow = getattr(grouped, name), getattr(apart, name)
        assert wide.standard_error > 1.25 * narrow.standard_error, f"{name}: {wide} by group, {narrow} by episode"
    assert (grouped.support.units, grouped.support.by) == (20, "group")
    assert grouped.support.effective_sample_size <= 20 < apart.support.effective_sample_size
    assert "of 20" in str(grouped)
    assert "effective groups" in str(grouped)


def test_no_group_is_torn_apart(patients):
    log = ope.Evaluator(patients, 0.9, replace(LINEAR, behaviour_steps=1, n_bootstrap=2))
    for of_episode in (log.fold_E, *log.counts):
        assert (of_episode.reshape(10, 20) == of_episode[:20]).all(), "episodes of one patient differ"
    for fold in range(2):
        fitted, held = (
            {*patients.extra["group"][rows].tolist()} for rows in behaviour.split(patients, log.fold_E, fold, 0)
        )
        assert not fitted & held, "a patient both trains the behaviour model and stops it"


def test_the_error_by_group_is_that_of_the_groups_means(patients):
    """Groups have equal sizes, so a mean over episodes is the mean of the group means."""
    log = episodes.lay_out(patients, 0.9)
    values = np.random.default_rng(1).normal(size=200)
    np.testing.assert_allclose(log.per_unit(values), values.reshape(10, 20).mean(0), rtol=1e-9)


def test_too_few_groups_are_refused(patients):
    few = replace(patients, extra={"group": patients.extra["group"] % 3})
    with pytest.raises(DataError, match=r"3 groups, off-policy evaluation needs 4 or more.*column group") as caught:
        evaluate(few)
    assert one_line(caught)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_no_minimum_over_members(monkeypatch):
    """After few steps members differ: the estimate has to be their mean."""
    settings = replace(LINEAR, steps=20, behaviour_steps=20, members=4)
    seen = []
    plain = fqe.combine

    def check():
        seen.clear()
        monkeypatch.setattr(evaluator.interval, "from_starts", lambda _name, _members, values: _keep(seen, values))
        ope.evaluate_policy(TABULAR.target, TABULAR.log(40, 0), settings=settings)
        values, members = seen[0], seen[1]
        np.testing.assert_allclose(values, members, err_msg="not the mean over members")

    def _keep(seen, values):
        seen.append(values)
        return ope.Estimate("fqe", float(values.mean()), (0.0, 0.0), 1.0, "start")

    def remembering(combine):
        def inner(values):
            seen.append(combine(values))
            seen.append(values.mean(0))
            return seen[-2]

        return inner

    monkeypatch.setattr(fqe, "combine", remembering(plain))
    check()
    monkeypatch.setattr(fqe, "combine", remembering(lambda values: values.min(axis=0)))
    with pytest.raises(AssertionError):
        check()


# --- abstention -------------------------------------------------------------------------------------------------------


def never_taken():
    """A policy that always takes the one action that the log never shows."""
    data = replace(random_log(0, episodes=60), extra={})
    data = replace(data, spec=replace(data.spec, action_size=3))
    return data, ope.DiscretePolicy(data.spec, lambda s, _: np.eye(3)[[2] * len(s)], "elsewhere", 0.9)


def test_a_policy_that_leaves_the_data_gets_no_figure():
    data, elsewhere = never_taken()
    values = ope.evaluate_policy(elsewhere, data, settings=replace(LINEAR, steps=20))
    for estimate in (values.fqe, values.wdr, values.pdwis, values.undiscounted["pdwis"], values.improvement["fqe"]):
        assert estimate.value is None
        assert estimate.interval is None
    assert "rarer in the log" in values.fqe.reason
    assert values.support.outside > 0.99
    assert values.behaviour.supported, "the behaviour needs no support"


def test_too_few_effective_episodes_silence_the_weights_alone():
    data = TABULAR.log(30, 0)
    settings = replace(LINEAR, steps=20, min_effective=29)
    values = ope.evaluate_policy(TABULAR.target, data, settings=settings)
    assert values.fqe.supported
    assert "effective sample size" in values.wdr.reason
    assert "effective sample size" in values.pdwis.reason
    assert "no policy can reach" not in values.wdr.reason, "a policy closer to the log may reach it"
    few = ope.evaluate_policy(TABULAR.behaviour, data, settings=replace(settings, min_effective=31))
    for estimate in (few.wdr, few.pdwis, few.undiscounted["pdwis"]):
        assert estimate.reason.endswith("below 31, which no policy can reach with so few")
    assert ope.evaluate_policy(TABULAR.behaviour, data, settings=settings).wdr.supported


def test_one_action_per_state_has_fitted_values_alone():
    data = QUADRATIC.log(20, 0)
    policy = Population(
        "td3_bc", grid(algorithms.get("td3_bc").Config(hidden=(8,)), {}, [0]), data.spec, Scaling.fit(data, True)
    )
    settings = replace(CURVED, steps=20, behaviour_steps=20, max_outside=1.0)
    values = ope.evaluate_policy(policy, data, settings=settings)
    assert values.fqe.supported
    assert "no density" in values.wdr.reason
    assert values.support.effective_sample_size is None


# --- what users do wrong ----------------------------------------------------------------------------------------------


def evaluate(data, discount=0.9, **settings):
    return ope.evaluate_policy(
        ope.DiscretePolicy(data.spec, lambda s, _: np.full((len(s), 2), 0.5), "even"),
        data,
        discount=discount,
        settings=replace(LINEAR, steps=20, behaviour_steps=20, **settings),
    )


def one_line(caught):
    assert "\n" not in str(caught.value)
    return True


def test_one_episode_is_too_few():
    with pytest.raises(DataError, match="1 episode, off-policy evaluation needs 4 or more") as caught:
        evaluate(random_log(episodes=1))
    assert one_line(caught)


def test_missing_truncation_flags_are_seen():
    data = random_log(0, episodes=12, terminated=0.4)
    bare = replace(data, truncated=np.zeros(len(data), bool) | (np.arange(len(data)) == len(data) - 1))
    with pytest.raises(DataError, match="truncation flags are missing") as caught:
        evaluate(bare)
    assert one_line(caught)


def test_no_discount_for_what_does_not_end():
    with pytest.raises(ConfigError, match="discount below 1") as caught:
        evaluate(random_log(episodes=8), discount=1.0)
    assert one_line(caught)
    assert evaluate(random_log(episodes=8, terminated=1.1), discount=1.0).behaviour.supported


@pytest.mark.parametrize("discount", [-0.1, 1.1, float("nan")])
def test_a_discount_out_of_range(discount):
    with pytest.raises(ConfigError, match="discount must lie"):
        evaluate(random_log(episodes=8), discount=discount)


def test_a_policy_without_a_discount_needs_one():
    with pytest.raises(ConfigError, match="no discount of its own"):
        evaluate(random_log(episodes=8), discount=None)


def test_constant_rewards_are_worth_their_sum():
    """Policies differ only in how long episodes last. Here all are truncated, so every value is 1 / (1 - gamma)."""
    data = TABULAR.log(60, 0)
    flat = replace(data, reward=np.ones_like(data.reward), terminated=np.zeros(len(data), bool))
    flat = replace(flat, truncated=data.terminated | data.truncated)
    values = ope.evaluate_policy(TABULAR.target, flat, settings=replace(LINEAR, min_effective=2))
    for estimate in (values.fqe, values.wdr, values.pdwis, values.behaviour):
        assert estimate.value == pytest.approx(10, rel=0.02), estimate.name
    assert any("every reward is 1" in note for note in values.notes)


@pytest.mark.parametrize("problem", [TABULAR, known.quadratic(0)], ids=["tabular", "quadratic"])
def test_short_steps_are_no_divergence(problem):
    """Sixty steps per unit of time: values are sixty times as large as steps of a whole unit would allow."""
    data = problem.log(60, 0)
    ended = data.terminated | data.truncated
    short = replace(data, reward=data.reward - 20, terminated=np.zeros_like(ended), truncated=ended)
    short = replace(short, extra={"dt": np.full(len(data), 1 / 60)})
    values = ope.evaluate_policy(problem.behaviour, short, discount=0.9, settings=replace(LINEAR, steps=50))
    assert values.fqe.supported, str(values.fqe)
    assert abs(values.fqe.value) > 10 * np.abs(short.reward).max() / (1 - 0.9), "the case tests nothing"


def test_values_beyond_what_rewards_allow_are_refused(monkeypatch):
    """Steps of half a unit: the limit is ten times ``1 / (1 - gamma^dt)`` of the largest reward."""
    data = TABULAR.log(60, 0)
    data = replace(data, extra={"dt": np.full(len(data), 0.5)})
    largest = np.abs(data.reward).max() / (1 - 0.9**0.5)

    def fitted(factor):
        monkeypatch.setattr(evaluator.Critics, "start", np.full((3, 60), factor * largest))
        return ope.evaluate_policy(TABULAR.target, data, settings=replace(LINEAR, steps=20)).fqe

    assert fitted(9.9).supported
    assert "diverged" in fitted(10.1).reason


def test_probabilities_in_other_units_are_noted():
    data = TABULAR.log(60, 0)
    shifted = replace(data, extra={"behavior_log_prob": data.extra["behavior_log_prob"] - 3.0})
    values = ope.evaluate_policy(TABULAR.target, shifted, settings=replace(LINEAR, steps=20, min_effective=2))
    assert any("check their units" in note for note in values.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "folds"),
        ({"n_bootstrap": 1}, "n_bootstrap"),
        ({"steps": 0}, "steps"),
        ({"hidden": (0,)}, "hidden"),
        ({"max_outside": 1.5}, "max_outside"),
        ({"members": 2.5}, "members must be a whole number"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        ope.Settings(**settings)


def test_nothing_random_outside_the_seed():
    """The global generator of torch is not used."""
    torch.manual_seed(7)
    before = torch.get_rng_state()
    evaluate(random_log(episodes=8))
    assert torch.equal(before, torch.get_rng_state())


def test_a_greedy_policy_says_why_weights_are_of_no_use():
    def greedy(observation, _):
        best = TABULAR.target.probability(observation, None).argmax(axis=1)
        return np.eye(TABULAR.target.spec.action_size)[best]

    policy = ope.DiscretePolicy(TABULAR.target.spec, greedy, "greedy", TABULAR.discount)
    values = ope.evaluate_policy(policy, TABULAR.log(30, 0), settings=replace(LINEAR, steps=20, max_outside=1.0))
    assert values.fqe.supported
    assert values.wdr.reason.startswith("it takes one action per state")
    sampled = ope.evaluate_policy(TABULAR.target, TABULAR.log(30, 0), settings=replace(LINEAR, steps=20))
    assert "one action per state" not in str(sampled)


def test_the_fitted_value_of_each_start_state():
    data = TABULAR.log(30, 0)
    values = ope.evaluate_policy(TABULAR.target, data, settings=replace(LINEAR, steps=20))
    assert values.starts.shape == (30,)
    assert values.starts.mean() == pytest.approx(values.fqe.value)
    state = data.observation[data.episode_bounds[:-1]].argmax(axis=1)
    assert all(np.ptp(values.starts[state == s]) == 0 for s in np.unique(state)), "a value depends on its state alone"


# --- a fit that is not at its end -------------------------------------------------------------------------------------


def test_a_fitted_value_that_still_moves_is_told_and_one_that_settled_is_not():
    problem = known.tabular(0, shift=1.0)
    data, settings = problem.log(100, 0), replace(LINEAR, n_bootstrap=4)
    short, long = (
        ope.evaluate_policy(problem.target, data, settings=replace(settings, steps=steps)) for steps in (60, 1500)
    )
    assert short.fqe.interval[1] < long.fqe.value, "the case tests nothing: its interval allows for it"
    assert short.drift == pytest.approx(short.fqe.value - short.halfway)
    assert short.moving.startswith(f"the fitted value still moved from {short.halfway:.4g} to {short.fqe.value:.4g} in")
    assert "note: the fitted value still moved" in str(short)
    assert long.moving == ""
    assert long.summary()["drift"] == pytest.approx(long.drift)
    nowhere = replace(short, fqe=interval.unsupported("fqe", "no"))
    assert (nowhere.drift, nowhere.moving) == (None, "")


def test_the_value_at_half_of_the_steps_is_that_of_half_of_the_fit(monkeypatch):
    monkeypatch.setattr(fqe, "learning_rate", lambda settings, _: settings.lr)
    data = TABULAR.log(20, 0)
    log = episodes.lay_out(data, 0.9)
    problem, rows = fqe.decisions(log, TABULAR.target, LINEAR, 0), [torch.arange(len(data))]
    half, whole = (fqe.fit(problem, rows, replace(LINEAR, steps=steps), 0) for steps in (20, 40))
    np.testing.assert_array_equal(whole.halfway.value([0], log.first), half.value([0], log.first))
    assert np.abs(whole.value([0], log.first) - half.value([0], log.first)).max() > 1e-3, "the case tests nothing"
