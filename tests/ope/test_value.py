"""The value of a policy beside others: which members are evaluated, what is compared, and the sentences."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import prudent
from benchmarks import known
from prudent import algorithms, ope
from prudent.data import Dataset, split, writers
from prudent.data.meanings import Meanings
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.ope import abstention
from prudent.ope.result import ValueResult
from prudent.ope.value import shared_episodes
from prudent.report.value import value_tables

QUICK = {"members": 2, "folds": 2, "n_bootstrap": 0, "steps": 20, "behaviour_steps": 20, "hidden": (8,), "lr": 0.02}
LEARNED = {"members": 2, "folds": 2, "n_bootstrap": 6, "steps": 400, "behaviour_steps": 200, "hidden": (), "lr": 0.03}
TABULAR, QUADRATIC = known.tabular(0, shift=1.0), known.quadratic(0)
LOG, CURVED = TABULAR.log(200, 0), QUADRATIC.log(20, 0)


def population(algorithm: str, data: Dataset, seeds=(0, 1), **lists) -> Population:
    config = algorithms.get(algorithm).Config(hidden=(8,))
    return Population(algorithm, grid(config, lists, seeds), data.spec, Scaling.fit(data, True))


@pytest.fixture(scope="module")
def settled():
    """A settled fit, of a policy and a rival."""
    rivals = {"old": TABULAR.behaviour}
    return prudent.value(TABULAR.target, LOG, compare=rivals, seen=False, polyak=0.2, batch_size=128, **LEARNED)


def test_a_better_policy_is_shown_to_be_better_than_the_log_and_than_its_rival(settled):
    result = settled
    assert {name: pair["fqe"].sign for name, pair in result.differences.items()} == {"behaviour": 1, "old": 1}
    assert result.best.estimates.fqe.value == pytest.approx(TABULAR.target_value, rel=0.2)
    assert "over the behaviour policy (both fitted): +" in result.reasons[1]
    assert result.reasons[1].endswith("shown to be better.")
    assert len(result.cautions) == 1
    assert result.cautions[0].startswith(
        "What follows the end of a recording has a weight of 37 % on average. It is fitted"
    )
    assert result.firm
    again = result.to_json()
    assert json.loads(json.dumps(again, allow_nan=False)) == json.loads(json.dumps(again))
    assert again["against"]["old"]["fqe"]["sign"] == 1


def test_what_is_fitted_behind_recordings_is_not_called_earned(settled):
    result = settled

    def with_tail(share):
        policy = replace(result.best, estimates=replace(result.best.estimates, tail_weight=share))
        return replace(result, policies=(policy,))

    for share, verb, cautious, firm in ((0.0, "earned", 0, 1), (0.04, "earned", 0, 1), (0.3, "is worth", 1, 1)):
        changed = with_tail(share)
        assert f"; the behaviour policy, which made the log, {verb} " in changed.reasons[0], share
        assert sum("the end of a recording" in text for text in changed.cautions) == cautious, share
        assert sum("the end of a recording" in text for text in changed.cautions + changed.reading) == (share > 0)
        assert changed.firm == firm, share
        assert f"(of the behaviour: what it {verb} by" in value_tables(changed.to_json())[0].note, share
    assert not with_tail(0.6).firm, "more of it is fitted than observed"


def test_a_fit_that_does_not_give_what_the_log_earned_is_told(settled):
    result = settled
    assert result.firm
    fitted = result.best.estimates.fitted_behaviour
    off = replace(fitted, value=fitted.value + 9, replicates=fitted.replicates + 9)
    policy = replace(result.best, estimates=replace(result.best.estimates, fitted_behaviour=off))
    doubtful = replace(result, policies=(policy,))
    apart = ope.difference(off, result.best.estimates.behaviour)
    (sentence,) = (text for text in doubtful.cautions if text.startswith("The fit is off: "))
    low, high = apart.interval
    assert (
        f"value of the behaviour policy is {apart.value:.4g} (95 % interval {low:.4g} to {high:.4g}) above what"
        in sentence
    )
    low = replace(fitted, value=fitted.value - 9, replicates=fitted.replicates - 9)
    policy = replace(result.best, estimates=replace(result.best.estimates, fitted_behaviour=low))
    (sentence,) = (text for text in replace(result, policies=(policy,)).cautions if text.startswith("The fit is off: "))
    ends = sorted(-end for end in ope.difference(low, result.best.estimates.behaviour).interval)
    assert f"(95 % interval {ends[0]:.4g} to {ends[1]:.4g}) below what" in sentence
    narrow = prudent.value(TABULAR.target, LOG, seen=False, **{**LEARNED, "n_bootstrap": 0})
    assert not narrow.firm
    assert narrow.best.estimates.fqe.value == result.best.estimates.fqe.value
    (sentence,) = (text for text in narrow.cautions if "to first order" in text)
    assert sentence.startswith("The intervals are to first order: refits on resamples")
    chosen = replace(result, policies=(*result.policies, *result.policies))
    assert not chosen.firm, "the highest of several is partly luck"
    assert any("highest of 2 estimates" in text for text in chosen.cautions)


@pytest.mark.parametrize(("shift", "firm"), [(-1.0, False), (-0.2, True), (0.2, True)])
def test_a_gain_counts_where_it_exceeds_the_error_of_the_fit(settled, shift, firm):
    """The fit is off by ``shift`` times the gain, with certainty. The standard is that of ``tune``."""
    best = settled.best.estimates
    gain = best.improvement["fqe"]
    # Replicates that follow those of the fit: the gain keeps its interval, and the error of the fit has none.
    earned = replace(
        best.fitted_behaviour,
        name="behaviour",
        value=best.fitted_behaviour.value - shift * gain.value,
        replicates=best.fitted_behaviour.replicates - shift * gain.value,
    )
    policy = replace(settled.best, estimates=replace(best, behaviour=earned))
    result = replace(settled, policies=(policy,))
    assert gain.lower_bound > 0.2 * gain.value
    assert result.firm is firm
    assert result.reservations == ["the gain is not shown to be larger than the error of the fit"] * (not firm)
    (sentence,) = (text for text in result.cautions if text.startswith("The fit is off: "))
    assert ("is larger than that, even at its lower end." in sentence) is firm
    assert ("so the gain does not count." in sentence) is not firm
    assert result.to_json()["reservations"] == result.reservations


def test_every_reservation_is_named(settled):
    assert settled.reservations == []
    for changes, told in (
        ({"seen": True, "shared": 3}, "it learned from some of these episodes"),
        ({"seen": None}, "whether it learned from these episodes is not known"),
        ({"lost": True}, "the reader of the log dropped much of its reward"),
        ({"policies": (settled.best, settled.best)}, "it was chosen as the highest of 2 estimates"),
    ):
        assert replace(settled, **changes).reservations == [told]
        assert not replace(settled, **changes).firm
    for changes, told in (
        ({"tail_weight": 0.62}, "what follows the ends of the recordings has a weight of 62 %"),
        ({"fqe": replace(settled.best.estimates.fqe, method="influence")}, "the intervals are to first order, without"),
    ):
        policy = replace(settled.best, estimates=replace(settled.best.estimates, **changes))
        (reservation,) = replace(settled, policies=(policy,)).reservations
        assert reservation.startswith(told)


def test_refits_that_ran_away_are_told(settled):
    fqe = settled.best.estimates.fqe
    assert fqe.left_out == 0
    assert not any("ran away" in text for text in settled.cautions)
    replicates = fqe.replicates.copy()
    replicates[2] = np.nan
    lost = replace(settled.best.estimates, fqe=replace(fqe, replicates=replicates))
    result = replace(settled, policies=(replace(settled.best, estimates=lost),))
    assert "1 of 6 refits ran away and were left out of the interval." in result.cautions
    content = result.to_json()
    assert content["policies"][0]["fqe"]["refits_left_out"] == 1
    assert content["against"]["behaviour"]["fqe"]["refits_left_out"] == 1


def test_the_first_seed_of_every_setting_and_its_promise(monkeypatch):
    # Untrained policies leave the data; what is asked here is how they are listed.
    monkeypatch.setattr(abstention, "FAR_OUTSIDE", math.inf)
    agent, bc = population("cql", CURVED, alpha=[1.0, 5.0]), population("bc", CURVED)
    lines = []
    settings = QUICK | {"hidden": ()}
    result = prudent.value(agent, CURVED, compare={"BC": bc}, seen=True, say=lines.append, max_outside=1.0, **settings)
    assert [p.title for p in result.policies] == ["alpha=1,seed=0", "alpha=5,seed=0", "BC, seed=0"]
    assert [p.predicted is None for p in result.policies] == [False, False, True], "BC has no critics"
    assert result.best in result.policies[:2]
    assert len(lines) == 4
    assert lines[-1].endswith("0:00:00 left")
    assert "learned from these very episodes" in result.cautions[0]
    assert "highest of 2 estimates" in result.cautions[1]
    row = result.to_json()["policies"][0]
    assert (row["algorithm"], row["setting"], row["run"]) == ("CQL", "alpha=1", "")
    assert len(row["starts"]["predicted"]) == len(row["starts"]["fitted"]) == 20
    first = CURVED.observation[CURVED.episode_bounds[:-1]][np.newaxis]
    whole = agent.member(0).predicted_value(first, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(result.policies[0].predicted, whole[0], rtol=1e-6)


def test_promises_are_in_raw_rewards_or_not_told():
    agent = Population(
        "cql",
        grid(algorithms.get("cql").Config(hidden=(8,)), {"reward_scale": [1.0, 10.0], "reward_shift": [0.0, 1.0]}, [0]),
        CURVED.spec,
        Scaling.fit(CURVED, True),
    )
    result = prudent.value(agent, CURVED, max_outside=1.0, **QUICK)
    plain, shifted, scaled, _ = (policy.predicted for policy in result.policies)
    assert shifted is None
    np.testing.assert_allclose(scaled, plain / 10, rtol=1e-4)
    assert prudent.value(agent, CURVED, member=agent.names[0], discount=0.5, **QUICK).policies[0].predicted is None


def test_one_member_by_name():
    agent = population("cql", CURVED)
    result = prudent.value(agent, CURVED, member="seed=1", max_outside=1.0, **QUICK)
    assert [policy.title for policy in result.policies] == ["seed=1"]
    assert any("one of 2 seeds" in text for text in result.cautions)
    assert any("If the policy learned from these" in text for text in result.cautions)


def test_a_seed_that_has_diverged_gives_its_place_to_the_next():
    agent = population("cql", CURVED)
    for weight in agent.state.networks["actor"].values():
        weight[0] = np.nan
    result = prudent.value(agent, CURVED, max_outside=1.0, **QUICK)
    assert result.best.title == "seed=1"
    assert "seed=0" in result.skipped[0]
    assert any("it has diverged" in text for text in result.reading)
    for weight in agent.state.networks["actor"].values():
        weight[:] = np.nan
    with pytest.raises(ConfigError, match=r"no policy is left to evaluate: .*it has diverged"):
        prudent.value(agent, CURVED, **QUICK)


def test_what_the_data_do_not_support_has_a_reason_and_no_number():
    result = prudent.value(population("cql", CURVED), CURVED, max_outside=0.0, **QUICK)
    content = result.to_json()
    assert content["policies"][0]["fqe"]["value"] is None
    assert content["policies"][0]["starts"] == {}
    assert content["against"]["behaviour"]["fqe"]["sign"] is None
    assert result.reasons[0].startswith("The data do not support a value of seed=0: ")
    assert result.best.bound_share is None


def test_actions_to_choose_from_and_the_log_s_own_probabilities():
    logged = LOG.extra["behavior_log_prob"]
    result = prudent.value(TABULAR.target, LOG, max_outside=1.0, **QUICK)
    assert any("log itself gives the probabilities" in text for text in result.reading)
    bare = replace(LOG, extra={})
    result = prudent.value(TABULAR.target, bare, max_outside=1.0, **QUICK)
    assert any("its probabilities are off by" in text for text in result.reading)
    assert np.isfinite(logged).all()
    assert isinstance(result, ValueResult)
    assert "is worth" in str(result)


def test_the_discount_is_of_what_time_is_counted_in(settled):
    assert "discounted by 0.9 per step; " in settled.reasons[0]
    timed = replace(LOG, extra={**LOG.extra, "dt": np.full(len(LOG), 0.5)})
    result = prudent.value(TABULAR.target, timed, max_outside=1.0, **QUICK)
    assert "discounted by 0.9 per unit of time; " in result.reasons[0]
    assert "discounted by 0.9 per unit of time, " in value_tables(result.to_json())[0].note
    known = timed.relabelled(meanings=Meanings(dt_unit=3600.0, in_seconds=True))
    result = prudent.value(TABULAR.target, known, max_outside=1.0, **QUICK)
    assert "discounted by 0.9 per hour; " in result.reasons[0]


@pytest.mark.parametrize(
    ("above", "where"),
    [
        (200, "every start state"),
        (199, "99 % of the start states"),
        (1, "1 % of the start states"),
        (0, "no start state"),
    ],
)
def test_how_often_critics_promise_too_much(settled, above, where):
    fitted = settled.best.estimates.starts
    best = replace(settled.best, predicted=fitted + np.where(np.arange(len(fitted)) < above, 1, -1))
    text = "\n".join(replace(settled, policies=(best,)).reading)
    assert f"The critics of {best.title} predict more than the fitted value at {where}." in text


@pytest.mark.parametrize(
    ("changes", "options", "complaint"),
    [
        ({"reward": np.zeros(len(LOG), np.float32)}, {}, "every reward is 0, so no policy is better"),
        ({"extra": {"behavior_log_prob": np.full(len(LOG), -np.inf)}}, {}, "probability zero"),
        ({"extra": {"behavior_log_prob": np.full(len(LOG), 0.5)}}, {}, "probability above one"),
        ({"truncated": np.zeros(len(LOG), bool)}, {}, "truncation flags are missing"),
        ({}, {"discount": 1.0}, "give a discount below 1"),
        ({}, {"member": "seed=9"}, "no member seed=9"),
        ({}, {"compare": {"BC": population("bc", CURVED)}}, "BC, seed=0 is a policy for other spaces"),
    ],
)
def test_what_cannot_be_weighed_is_refused(changes, options, complaint):
    with pytest.raises((ConfigError, DataError), match=complaint):
        prudent.value(population("discrete_bc", LOG), replace(LOG, **changes), **options, **QUICK)


def test_members_of_different_discount_need_one():
    agent = population("cql", CURVED, seeds=(0,), discount=[0.9, 0.99])
    with pytest.raises(ConfigError, match="differ in their discount"):
        prudent.value(agent, CURVED, **QUICK)
    assert len(prudent.value(agent, CURVED, discount=0.9, max_outside=1.0, **QUICK).policies) == 2
    function = ope.DiscretePolicy(LOG.spec, TABULAR.target.probability)
    with pytest.raises(ConfigError, match="no discount of its own"):
        prudent.value(function, LOG, **QUICK)
    with pytest.raises(DataError, match="1 episode"):
        prudent.value(TABULAR.target, LOG.episodes([0]), **QUICK)


@pytest.mark.parametrize("problem", [TABULAR, QUADRATIC], ids=["discrete", "continuous"])
def test_rows_on_disk_give_the_same_value(problem, tmp_path):
    """Their arrays are read-only, of which PyTorch would warn."""
    writers.write(problem.log(20, 3), str(tmp_path / "log.hdf5"), {})
    log = prudent.load_dataset(tmp_path / "log.hdf5")
    parts = split(tmp_path / "log.hdf5", tmp_path / "parts", fractions=(0.5, 0.5))
    for name, part in parts.items():
        whole = log.episodes(np.load(tmp_path / "parts" / f"{name}.npy")).relabelled(name=part.name)
        values = [prudent.value(problem.target, data, seen=False, **QUICK) for data in (part, whole)]
        on_disk, in_memory = (value.to_json() for value in values)
        assert on_disk == in_memory


def test_episodes_are_counted_whatever_else_is_beside_them():
    assert shared_episodes(LOG, LOG.episodes([3, 5, 8])) == 3
    assert shared_episodes(LOG.episodes([3, 5, 8]), LOG) == 3
    assert shared_episodes(LOG, TABULAR.log(50, 9)) == 0


def test_five_groups_are_enough_and_four_episodes_without_two_folds_are_not():
    """Two folds in place of three, unless the number is given."""
    grouped = replace(TABULAR.log(20, 0), extra={"group": TABULAR.log(20, 0).episode_of_row % 5})
    settings = {name: value for name, value in QUICK.items() if name != "folds"}
    assert prudent.value(TABULAR.target, grouped, **settings).settings.folds == 2
    with pytest.raises(DataError, match="5 groups, off-policy evaluation needs 6 or more"):
        prudent.value(TABULAR.target, grouped, folds=3, **settings)


def test_a_rule_that_is_called_like_its_function_has_one_name():
    def old(observation):
        return np.zeros(len(observation), dtype=np.int64)

    result = prudent.value(TABULAR.target, LOG.episodes(range(20)), compare={"old": old, "older": old}, **QUICK)
    assert [one.title for one in result.policies] == [TABULAR.target.name, "old", "older, old"]
