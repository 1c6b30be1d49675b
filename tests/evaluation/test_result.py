"""The figures of an evaluation, over members and over the seeds of a setting."""

import json

import numpy as np
import pytest

from helpers.toys import FIGURES, Constants
from prudent.engine.members import settings_of
from prudent.evaluation.rollouts import evaluate, evaluate_both

TOY = "prudent/Toy-v0"


def test_summary_has_the_documented_keys_and_is_json():
    summary = evaluate(Constants([-0.5, 0.25]), TOY, episodes=3).summary()
    assert set(summary) == {"overall", "members", "settings"}
    assert list(summary["members"]) == ["action=-0.5", "action=0.25"]
    for figures in (summary["overall"], *summary["members"].values()):
        assert list(figures) == FIGURES
        assert figures["normalized_score"] is None  # no published references
        assert figures["predicted_value"] is figures["lower_bound_share"] is None  # no critic
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["members"]["action=0.25"]["return_mean"] == pytest.approx(25.0)
    assert summary["members"]["action=0.25"]["ci95"] == pytest.approx([25.0, 25.0])
    overall = summary["overall"]["return_mean"]
    assert overall == pytest.approx(np.mean([m["return_mean"] for m in summary["members"].values()]))


def test_normalised_score_of_the_mean(monkeypatch):
    monkeypatch.setattr("prudent.data.scores.normalized_score", lambda name, value: value / 2 if name == TOY else None)
    summary = evaluate(Constants([0.25]), TOY, episodes=2).summary()
    assert summary["overall"]["normalized_score"] == pytest.approx(12.5)


def test_share_of_start_states_where_the_prediction_is_a_lower_bound():
    # Realised: exactly 10 in every episode of a policy with action 0; without noise, sampling changes nothing.
    class Still(Constants):
        def act(self, observation, deterministic, generator, *, mask=None):
            del deterministic
            return super().act(observation, True, generator, mask=mask)

    population = Still([0.0, 0.0, 0.0], predicted=[9.0, 10.0 - 1e-9, 11.0])
    population.names = ["below", "just below", "above"]
    summary = evaluate(population, TOY, episodes=4, deterministic=False).summary()
    assert [figures["lower_bound_share"] for figures in summary["members"].values()] == [1.0, 1.0, 0.0]
    assert summary["overall"]["lower_bound_share"] == pytest.approx(2 / 3)
    assert summary["overall"]["realized_value"] == pytest.approx(10.0)
    assert summary["overall"]["predicted_value"] == pytest.approx(10.0)


def test_the_bound_is_not_claimed_for_the_deterministic_policy():
    # The critic predicts the value of the stochastic policy.
    summary = evaluate(Constants([0.0], predicted=[9.0]), TOY, episodes=2).summary()
    assert summary["overall"]["predicted_value"] == 9.0
    assert summary["overall"]["lower_bound_share"] is None


def sampled_settings(summary):
    return summary["stochastic"]["settings"]


def grid_of(actions, predicted):
    population = Constants(actions, predicted=predicted)
    population.names = ["alpha=1,seed=0", "alpha=1,seed=1", "alpha=5,seed=0", "alpha=5,seed=1"]
    return population


def test_both_takes_returns_from_one_and_the_bound_from_the_other():
    both = evaluate_both(Constants([0.25], predicted=[1.0]), TOY, episodes=3)
    summary = both.summary()
    assert set(summary) == {"overall", "members", "settings", "deterministic", "stochastic", "starts"}
    assert summary["starts"]["action=0.25"]["predicted"] == [1.0] * 3
    assert summary["settings"] == sampled_settings(summary) == {}
    assert summary["overall"]["return_mean"] == pytest.approx(25.0)
    sampled = summary["stochastic"]["overall"]
    assert sampled["return_mean"] != pytest.approx(25.0, abs=1e-3)
    for figures in (summary["overall"], summary["members"]["action=0.25"]):
        assert list(figures) == FIGURES
        assert figures["realized_value"] == sampled["realized_value"]
        assert figures["lower_bound_share"] == 1.0


def test_select_makes_the_summary_of_one_setting():
    result = evaluate(Constants([-0.5, 0.25, 0.5], predicted=[1.0, 2.0, 3.0]), TOY, episodes=3)
    part = result.select([1, 2])
    assert part.names == ("action=0.25", "action=0.5")
    assert part.summary()["overall"]["return_mean"] == pytest.approx((25.0 + 30.0) / 2)
    np.testing.assert_array_equal(part.predicted[:, 0], [2.0, 3.0])


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["seed=0", "seed=1"], {"all seeds": [0, 1]}),
        (["alpha=1,seed=0", "alpha=5,seed=0", "alpha=1,seed=1"], {"alpha=1": [0, 2], "alpha=5": [1]}),
        (["a=1,b=2,seed=10", "a=1,b=3,seed=10"], {"a=1,b=2": [0], "a=1,b=3": [1]}),
        (["seed=0", "lr=1,seed=0", "mine"], {"all seeds": [0], "lr=1": [1], "mine": [2]}),
        ([], {}),
    ],
)
def test_members_of_a_setting_differ_only_in_their_seed(names, groups):
    assert settings_of(names) == groups


def test_each_setting_has_its_own_figures():
    # An action a >= 0 earns 20 (1 + a): 20 and 25, 30 and 30.
    result = evaluate(grid_of([0.0, 0.25, 0.5, 0.5], [1.0, 3.0, 5.0, 7.0]), TOY, episodes=4)
    summary = result.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    first, second = summary["settings"]["alpha=1"], summary["settings"]["alpha=5"]
    assert list(summary["settings"]) == ["alpha=1", "alpha=5"]
    assert list(first) == list(second) == FIGURES
    assert [first["return_mean"], first["iqm"], first["return_std"]] == pytest.approx([22.5, 22.5, 2.5])
    assert first["ci95"] == pytest.approx([20.0, 25.0])
    assert [second["return_mean"], second["iqm"], *second["ci95"]] == pytest.approx([30.0] * 4)
    assert [first["predicted_value"], second["predicted_value"]] == [2.0, 6.0]
    assert first == result.select([0, 1]).summary()["overall"]
    # The figures over all members are those of neither setting.
    assert summary["overall"]["return_mean"] == pytest.approx(26.25)


def test_one_setting_needs_no_figures_beside_the_overall_ones():
    population = Constants([0.0, 0.25])
    population.names = ["seed=0", "seed=1"]
    assert evaluate(population, TOY, episodes=2).summary()["settings"] == {}


def test_both_carry_the_settings():
    summary = evaluate_both(grid_of([0.0, 0.25, 0.5, 0.5], [1.0, 3.0, 5.0, 7.0]), TOY, episodes=3).summary()
    settings, sampled = summary["settings"], sampled_settings(summary)
    assert [figures["return_mean"] for figures in settings.values()] == pytest.approx([22.5, 30.0])
    assert summary["deterministic"]["settings"]["alpha=1"]["lower_bound_share"] is None
    for name, figures in settings.items():
        assert list(figures) == FIGURES
        assert figures["realized_value"] == sampled[name]["realized_value"]
        assert figures["lower_bound_share"] == 1.0


def test_a_diverged_member_takes_the_figures_of_its_own_setting_only():
    settings = evaluate(grid_of([0.0, np.nan, 0.5, 0.5], [1.0] * 4), TOY, episodes=2).summary()["settings"]
    assert settings["alpha=1"]["return_mean"] is settings["alpha=1"]["ci95"] is None
    assert settings["alpha=5"]["return_mean"] == pytest.approx(30.0)


def test_a_diverged_member_has_no_figures_and_the_others_keep_theirs():
    result = evaluate(Constants([np.nan, 0.25], predicted=[np.nan, 1.0]), TOY, episodes=3, deterministic=False)
    assert result.diverged == ["action=nan"]
    assert (result.lengths[0] == 0).all()
    summary = result.summary()
    json.dumps(summary, allow_nan=False)
    assert all(value is None for value in summary["members"]["action=nan"].values())
    assert summary["overall"]["return_mean"] is None
    alone = evaluate(Constants([0.25], predicted=[1.0]), TOY, episodes=3, deterministic=False)
    assert summary["members"]["action=0.25"] == alone.summary()["overall"]


def test_all_members_diverged():
    result = evaluate(Constants([np.nan]), TOY, episodes=2)
    assert result.summary()["overall"]["return_mean"] is None
