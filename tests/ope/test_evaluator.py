"""All estimators together on problems with known values, and what they refuse."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import known
from ope.problems import LINEAR, random_log, risky
from prudent import ConfigError, DataError, algorithms, ope
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.ope import abstention, behaviour, episodes, evaluator, fqe
from prudent.ope import policy as policies
from prudent.ope.critics import Critics

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
    assert {quadratic.fqe.method, quadratic.wdr.method, quadratic.fitted_behaviour.method} == {"influence"}
    assert quadratic.improvement["fqe"].method == "influence"
    assert len(quadratic.fqe.influence) == 400
    assert quadratic.fqe.influence.mean() == pytest.approx(quadratic.fqe.value)
    low, high = quadratic.fqe.interval
    assert low < QUADRATIC.target_value < high
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
    data, settings = TABULAR.log(40, 1), replace(LINEAR, behaviour_steps=50, n_bootstrap=2, min_effective=1)
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
    settings = replace(LINEAR, behaviour_steps=50, n_bootstrap=n_bootstrap, min_effective=2)
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


def is_the_mean_over_members(data, settings):
    log = ope.Evaluator(data, 0.9, settings)
    found = log.evaluate(TABULAR.target)
    problem = fqe.decisions(log.episodes, TABULAR.target, log.features.rows, settings, 0)
    start = Critics(problem, log.features, log.episodes, log.fold_E, log.counts, settings).start
    assert np.ptp(start.mean(1)) > 1e-3, "the case tests nothing: members agree"
    assert found.fqe.value == pytest.approx(start.mean(), rel=1e-9), "not the mean over members"
    np.testing.assert_allclose(found.starts, start.mean(0), rtol=1e-9, err_msg="not the mean over members")
    return found


@pytest.mark.parametrize("mistaken", [np.min, np.max, np.median], ids=["min", "max", "median"])
def test_no_minimum_over_members(monkeypatch, mistaken):
    """After few steps members differ: the estimate has to be their mean."""
    settings = replace(LINEAR, hidden=(6,), steps=20, behaviour_steps=20, members=4)
    data = TABULAR.log(40, 0)
    is_the_mean_over_members(data, settings)
    monkeypatch.setattr(fqe, "combine", lambda values: mistaken(values, axis=0))
    with pytest.raises(AssertionError, match="not the mean over members"):
        is_the_mean_over_members(data, settings)


def finds_the_longer_horizon(data, settings):
    """The value of steps of two units of time at 0.9 is that of single steps at 0.81."""
    slow = replace(data, extra={**data.extra, "dt": np.full(len(data), 2.0)})
    apart = ope.evaluate_policy(TABULAR.target, slow, discount=0.9, settings=settings)
    plain = ope.evaluate_policy(TABULAR.target, data, discount=0.9**2, settings=settings)
    for name in ("fqe", "wdr", "pdwis", "behaviour", "fitted_behaviour"):
        assert getattr(apart, name).value == pytest.approx(getattr(plain, name).value, rel=1e-9), "dt is ignored"
        assert getattr(apart, name).interval == pytest.approx(getattr(plain, name).interval, rel=1e-9)


def test_time_that_passed_counts_everywhere(monkeypatch):
    data, settings = TABULAR.log(60, 0), replace(LINEAR, behaviour_steps=5, n_bootstrap=4, min_effective=1)
    finds_the_longer_horizon(data, settings)
    monkeypatch.setattr(episodes.Episodes, "dt", property(lambda log: np.ones(len(log.dataset))))
    with pytest.raises(AssertionError, match="dt is ignored"):
        finds_the_longer_horizon(data, settings)


# --- abstention -------------------------------------------------------------------------------------------------------


def never_taken():
    """A policy that always takes the one action that the log never shows."""
    data = replace(random_log(0, episodes=60), extra={})
    data = replace(data, spec=replace(data.spec, action_size=3))
    return data, ope.DiscretePolicy(data.spec, lambda s, _: np.eye(3)[[2] * len(s)], "elsewhere", 0.9)


def test_a_policy_that_leaves_the_data_gets_no_figure():
    data, elsewhere = never_taken()
    values = ope.evaluate_policy(elsewhere, data, settings=LINEAR)
    for estimate in (values.fqe, values.wdr, values.pdwis, values.undiscounted["pdwis"], values.improvement["fqe"]):
        assert estimate.value is None
        assert estimate.interval is None
    assert "rare in the log" in values.fqe.reason
    assert values.support.outside > 0.99
    assert values.behaviour.supported, "the behaviour needs no support"


@pytest.mark.parametrize(("discount", "supported"), [(0.0, True), (0.9, True), (0.999, False)])
def test_a_small_share_outside_counts_by_the_length_of_episodes(discount, supported):
    """One action in twenty is one that the log lacks: with a long horizon that leads far away."""
    data, _ = never_taken()
    endless = replace(data, terminated=np.zeros(len(data), bool), truncated=data.terminated | data.truncated)
    mixed = ope.DiscretePolicy(data.spec, lambda s, _: np.tile([0.475, 0.475, 0.05], (len(s), 1)), "mixed")
    settings = replace(LINEAR, behaviour_steps=100, min_effective=1)
    values = ope.evaluate_policy(mixed, endless, discount=discount, settings=settings)
    assert 0.04 < values.support.outside < settings.max_outside
    assert values.fqe.supported == supported
    assert values.wdr.supported == supported
    if not supported:
        assert "of its actions are rare in the log" in values.fqe.reason
        own = ope.Evaluator(endless, discount, settings).behaviour.own_outside
        usual = own + 3 * (own / len(data)) ** 0.5
        limit = 100 * (usual + abstention.FAR_OUTSIDE / 1000)
        assert values.fqe.reason.endswith(f"(limit {limit:.1f} % with 1000 steps that count)")
        assert values.wdr.reason == values.fqe.reason


def test_the_behaviour_policy_is_inside_its_own_log_with_a_long_horizon():
    """In a short log its share of rare actions differs from that of the log by chance."""
    shares = []
    for seed in range(3):
        problem = known.quadratic(seed)
        data = replace(problem.log(60, seed), extra={})
        log = ope.Evaluator(data, 0.998, replace(CURVED, hidden=(16,)))
        shares.append(float(log.behaviour.outside(policies.draws(problem.behaviour, data.observation, 8, 0)).mean()))
        assert log._outside_reason(shares[-1]) == "", shares[-1]
        assert log._outside_reason(shares[-1] + 0.03)
    assert max(shares) > behaviour.RARE + abstention.FAR_OUTSIDE / 500, "the case tests nothing"


def test_an_action_that_the_log_lacks_is_worth_what_its_state_is():
    """With the effect of an unseen action taken for none, a policy of such actions has the value of the log."""
    data, elsewhere = never_taken()
    settings = replace(LINEAR, behaviour_steps=20, max_outside=1.0)
    log = ope.Evaluator(data, 0.5, settings)
    values = log.evaluate(elsewhere)
    assert values.fqe.value == pytest.approx(values.fitted_behaviour.value, abs=0.25)


def test_too_few_effective_episodes_silence_the_weights_alone():
    data = TABULAR.log(30, 0)
    settings = replace(LINEAR, behaviour_steps=20, min_effective=29)
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
    settings = replace(LINEAR, behaviour_steps=20, max_outside=1.0)
    values = ope.evaluate_policy(policy, data, discount=0.9, settings=settings)
    assert values.fqe.supported, str(values)
    assert "no density" in values.wdr.reason
    assert values.support.effective_sample_size is None


# --- what users do wrong ----------------------------------------------------------------------------------------------


def evaluate(data, discount=0.9, **settings):
    return ope.evaluate_policy(
        ope.DiscretePolicy(data.spec, lambda s, _: np.full((len(s), 2), 0.5), "even"),
        data,
        discount=discount,
        settings=replace(LINEAR, behaviour_steps=20, **settings),
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
    values = ope.evaluate_policy(TABULAR.target, flat, settings=replace(LINEAR, behaviour_steps=20, min_effective=2))
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
    values = ope.evaluate_policy(problem.behaviour, short, discount=0.9, settings=LINEAR)
    assert values.fqe.supported, str(values.fqe)
    assert abs(values.fqe.value) > 10 * np.abs(short.reward).max() / (1 - 0.9), "the case tests nothing"


def test_values_beyond_what_rewards_allow_are_refused(monkeypatch):
    """Steps of half a unit: nothing above ``1 / (1 - gamma^dt)`` of the largest reward, but for the noise of a fit; for
    each member."""
    data = TABULAR.log(60, 0)
    data = replace(data, extra={"dt": np.full(len(data), 0.5)})
    largest, least = data.reward.max() / (1 - 0.9**0.5), data.reward.min() / (1 - 0.9**0.5)
    settings = replace(LINEAR, behaviour_steps=20, n_bootstrap=4)

    def fitted(*members):
        monkeypatch.setattr(evaluator.Critics, "start", np.array(members)[:, None] * np.ones(60))
        return ope.evaluate_policy(TABULAR.target, data, settings=settings).fqe

    noise = 0.1 * (largest - least)
    for members in ((largest + 0.99 * noise,), (least - 0.99 * noise,), (largest, 0.0)):
        assert fitted(*members).supported, members
    for members in ((largest + 1.01 * noise,), (least - 1.01 * noise,), (1.5 * largest, 0.0), (np.nan, 0.0)):
        estimate = fitted(*members)
        assert estimate.value is None, members
        assert estimate.reason == "the fitted values lie outside what the rewards allow"


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_a_policy_that_never_fails_has_a_value_at_the_end_of_the_range(reward):
    """Each step is rewarded with 1 (or costs 1): members and refits on both sides of the largest value are sound."""
    data = QUADRATIC.log(60, 0)
    far = np.abs(data.next_observation[:, 0]) > 0.9
    data = replace(data, reward=np.full(len(data), reward, np.float32), extra={})
    data = replace(data, terminated=data.truncated & far, truncated=data.truncated & ~far)
    calm = ope.ContinuousPolicy(data.spec, lambda o, _: -o @ np.array([[0.3], [0.5]]), None, "calm", 0.9)
    settings = replace(CURVED, steps=100, behaviour_steps=5, n_bootstrap=12, max_outside=1.0)
    estimate = ope.evaluate_policy(calm, data, settings=settings).fqe
    assert estimate.supported, str(estimate)
    assert abs(estimate.value) == pytest.approx(10, rel=0.05)
    refits = np.abs(estimate.replicates[np.isfinite(estimate.replicates)])
    assert (refits > 10).any()
    assert (refits < 10).any()
    low, high = sorted(abs(end) for end in estimate.interval)
    assert low < 10 < high


def test_a_refit_beyond_what_rewards_allow_is_left_out(monkeypatch):
    data = TABULAR.log(60, 0)
    settings = replace(LINEAR, behaviour_steps=20, n_bootstrap=12)
    plain = ope.evaluate_policy(TABULAR.target, data, settings=settings)
    assert plain.fqe.left_out == 0
    kept = evaluator.Critics.replicates

    def with_wild(critics, starts_ME, fitted):
        values = kept(critics, starts_ME, fitted).copy()
        values[3] = 1e4 if critics.problem.policy.shape[1] > 1 else values[3]
        return values

    monkeypatch.setattr(evaluator.Critics, "replicates", with_wild)
    values = ope.evaluate_policy(TABULAR.target, data, settings=settings)
    assert values.fqe.left_out == 1
    assert np.isnan(values.fqe.replicates[3])
    others = np.delete(np.arange(12), 3)
    np.testing.assert_array_equal(values.fqe.replicates[others], plain.fqe.replicates[others])
    assert values.fitted_behaviour.left_out == 0
    assert np.isfinite(plain.improvement["fqe"].replicates[3])
    assert np.isnan(values.improvement["fqe"].replicates[3])
    assert values.improvement["fqe"].supported
    assert values.summary()["fqe"]["refits_left_out"] == 1


def test_probabilities_in_other_units_are_noted():
    data = TABULAR.log(60, 0)
    shifted = replace(data, extra={"behavior_log_prob": data.extra["behavior_log_prob"] - 3.0})
    values = ope.evaluate_policy(TABULAR.target, shifted, settings=replace(LINEAR, behaviour_steps=20, min_effective=2))
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
    values = ope.evaluate_policy(
        policy, TABULAR.log(30, 0), settings=replace(LINEAR, behaviour_steps=20, max_outside=1.0)
    )
    assert values.fqe.supported
    assert values.wdr.reason.startswith("it takes one action per state")
    sampled = ope.evaluate_policy(TABULAR.target, TABULAR.log(30, 0), settings=replace(LINEAR, behaviour_steps=20))
    assert "one action per state" not in str(sampled)


def test_the_fitted_value_of_each_start_state():
    data = TABULAR.log(30, 0)
    values = ope.evaluate_policy(TABULAR.target, data, settings=replace(LINEAR, behaviour_steps=20))
    assert values.starts.shape == (30,)
    assert values.starts.mean() == pytest.approx(values.fqe.value)
    state = data.observation[data.episode_bounds[:-1]].argmax(axis=1)
    assert all(np.ptp(values.starts[state == s]) == 0 for s in np.unique(state)), "a value depends on its state alone"


# --- bad ends ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bootstrap", [0, 20])
def test_chances_of_a_bad_end_of_policy_and_behaviour(n_bootstrap):
    data, policy, chance_S = risky(300)
    settings = replace(LINEAR, behaviour_steps=20, max_outside=1.0, n_bootstrap=n_bootstrap)
    values = ope.evaluate_policy(policy, data, settings=settings)
    state = data.observation[data.episode_bounds[:-1]].argmax(1)
    low, high = values.bad_ends.interval
    assert low < chance_S[state].mean() < high
    assert high - low < 0.35
    first = data.episode_bounds[:-1][data.episode_of_row]
    ended = fqe.bad_ends(data) * 0.9 ** (np.arange(len(data)) - first)
    observed = ended.sum() / data.n_episodes
    assert observed < values.behaviour_bad_ends.value, "a truncated episode goes on and may still end badly"
    assert values.behaviour_bad_ends.value == pytest.approx(observed / (1 - values.tail_weight), abs=0.1)
    assert values.summary()["bad_ends"]["value"] == values.bad_ends.value
    assert str(values).count("bad ends") == 2
    harmless = replace(data, reward=np.abs(data.reward))
    plain = ope.evaluate_policy(policy, harmless, settings=replace(settings, n_bootstrap=0))
    assert (plain.bad_ends, plain.behaviour_bad_ends) == (None, None)
    assert "bad ends" not in str(plain)
    wide = replace(data, spec=replace(data.spec, action_size=3))
    never = ope.DiscretePolicy(wide.spec, lambda s, _: np.eye(3)[[2] * len(s)], "elsewhere", 0.9)
    outside = ope.evaluate_policy(never, wide, settings=replace(LINEAR, behaviour_steps=20))
    assert outside.bad_ends is None, "a chance without a fitted value"
    assert outside.behaviour_bad_ends.supported
