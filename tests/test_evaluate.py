"""Evaluation against an environment whose returns can be written down."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.toys import Constants, Highest
from prudent import evaluate as module
from prudent import recorder
from prudent.errors import ConfigError, PrudentError
from prudent.evaluate import evaluate, evaluate_both
from prudent.loop import Options
from prudent.types import Spec

TOY = "prudent/Toy-v0"
KEYS = ["return_mean", "return_std", "normalized_score", "iqm", "ci95"]
KEYS += ["predicted_value", "realized_value", "lower_bound_share"]


def test_returns_and_lengths_of_known_policies():
    found = evaluate(Constants([-0.5, 0.25]), TOY, episodes=12)
    assert set(found.lengths[0]) == {4, 7}
    np.testing.assert_allclose(found.returns[0], 0.5 * found.lengths[0])
    assert not found.truncated[0].any()
    assert (found.lengths[1] == 20).all()
    np.testing.assert_allclose(found.returns[1], 20 * 1.25)
    assert found.truncated[1].all()


def test_realised_value_uses_own_discount_and_transformed_rewards():
    population = Constants([-0.5, 0.25, 0.25], discount=[0.9, 0.9, 0.5], reward_scale=2.0, reward_shift=-1.0)
    found = evaluate(population, TOY, episodes=6)
    # Terminated: a finite sum, whatever the shift would add afterwards.
    reward = 2.0 * 0.5 - 1.0
    assert reward == 0.0
    np.testing.assert_allclose(found.realized[0], 0.0, atol=1e-12)
    # Truncated with a constant reward: the continuation makes it the whole geometric series.
    np.testing.assert_allclose(found.realized[1], 1.5 / (1 - 0.9))
    np.testing.assert_allclose(found.realized[2], 1.5 / (1 - 0.5))
    np.testing.assert_allclose(found.tail_weight, [[0.0] * 6, [0.9**20] * 6, [0.5**20] * 6])
    np.testing.assert_allclose(found.continuation[1], 0.9**20 * 15)


def test_a_terminated_episode_is_worth_its_own_sum():
    found = evaluate(Constants([-0.5]), TOY, episodes=12)
    np.testing.assert_allclose(found.realized, 0.5 * (1 - 0.9**found.lengths) / (1 - 0.9))
    assert not found.continuation.any()


def test_reward_transform_may_be_one_per_member():
    population = Constants([0.0, 0.0], reward_scale=np.array([1.0, 3.0]), reward_shift=np.array([0.0, 1.0]))
    found = evaluate(population, TOY, episodes=2)
    np.testing.assert_allclose(found.realized.mean(1), [10.0, 40.0])
    np.testing.assert_allclose(found.returns, 20.0)


@pytest.mark.parametrize("deterministic", [True, False])
def test_members_earn_in_company_what_they_earn_alone(deterministic):
    actions = [-0.5, 0.25, -0.05]
    together = evaluate(Constants(actions), TOY, episodes=5, deterministic=deterministic)
    for index, action in enumerate(actions):
        alone = evaluate(Constants([action]), TOY, episodes=5, deterministic=deterministic)
        np.testing.assert_array_equal(alone.returns[0], together.returns[index])
        np.testing.assert_array_equal(alone.realized[0], together.realized[index])


def test_every_member_meets_the_same_start_states():
    found = evaluate(Constants([-0.5, -0.25]), TOY, episodes=20)
    np.testing.assert_array_equal(found.lengths[0], found.lengths[1])


def test_seeds_choose_the_start_states():
    starts = []

    class Watching(Constants):
        def predicted_value(self, observation, generator, *, mask=None):
            starts.append(observation[0, :, 0])
            return super().predicted_value(observation, generator, mask=mask)

    for seed, episodes in ((0, 8), (0, 8), (0, 4), (1, 8)):
        evaluate(Watching([-0.5]), TOY, seed=seed, episodes=episodes)
    np.testing.assert_array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0][:4], starts[2])
    assert not set(starts[0]) & set(starts[3])


def test_many_episodes_run_in_portions_with_the_same_figures(monkeypatch):
    whole = evaluate(Constants([-0.5, 0.1], predicted=[1.0, 2.0]), TOY, episodes=11)
    monkeypatch.setattr(module.envs, "at_once", lambda _: 4)
    portions = evaluate(Constants([-0.5, 0.1], predicted=[1.0, 2.0]), TOY, episodes=11)
    for key in ("returns", "lengths", "realized", "predicted"):
        np.testing.assert_array_equal(getattr(whole, key), getattr(portions, key))


# --- summaries --------------------------------------------------------------------------------------------------------


def test_summary_has_the_documented_keys_and_is_json():
    summary = evaluate(Constants([-0.5, 0.25]), TOY, episodes=3).summary()
    assert set(summary) == {"overall", "members", "settings"}
    assert list(summary["members"]) == ["action=-0.5", "action=0.25"]
    for figures in (summary["overall"], *summary["members"].values()):
        assert list(figures) == KEYS
        assert figures["normalized_score"] is None  # nobody published references
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
    # The critic speaks of the policy that samples.
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
    assert set(summary) == {"overall", "members", "settings", "deterministic", "stochastic"}
    assert summary["settings"] == sampled_settings(summary) == {}
    assert summary["overall"]["return_mean"] == pytest.approx(25.0)
    sampled = summary["stochastic"]["overall"]
    assert sampled["return_mean"] != pytest.approx(25.0, abs=1e-3)
    for figures in (summary["overall"], summary["members"]["action=0.25"]):
        assert list(figures) == KEYS
        assert figures["realized_value"] == sampled["realized_value"]
        assert figures["lower_bound_share"] == 1.0


def test_select_makes_the_summary_of_one_setting():
    found = evaluate(Constants([-0.5, 0.25, 0.5], predicted=[1.0, 2.0, 3.0]), TOY, episodes=3)
    part = found.select([1, 2])
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
    assert module.settings_of(names) == groups


def test_each_setting_has_figures_of_its_own():
    # An action a >= 0 earns 20 (1 + a): 20 and 25, 30 and 30.
    found = evaluate(grid_of([0.0, 0.25, 0.5, 0.5], [1.0, 3.0, 5.0, 7.0]), TOY, episodes=4)
    summary = found.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    first, second = summary["settings"]["alpha=1"], summary["settings"]["alpha=5"]
    assert list(summary["settings"]) == ["alpha=1", "alpha=5"]
    assert list(first) == list(second) == KEYS
    assert [first["return_mean"], first["iqm"], first["return_std"]] == pytest.approx([22.5, 22.5, 2.5])
    assert first["ci95"] == pytest.approx([20.0, 25.0])
    assert [second["return_mean"], second["iqm"], *second["ci95"]] == pytest.approx([30.0] * 4)
    assert [first["predicted_value"], second["predicted_value"]] == [2.0, 6.0]
    assert first == found.select([0, 1]).summary()["overall"]
    # The pooled figures are those of neither.
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
        assert list(figures) == KEYS
        assert figures["realized_value"] == sampled[name]["realized_value"]
        assert figures["lower_bound_share"] == 1.0


def test_a_diverged_member_takes_the_figures_of_its_own_setting_only():
    settings = evaluate(grid_of([0.0, np.nan, 0.5, 0.5], [1.0] * 4), TOY, episodes=2).summary()["settings"]
    assert settings["alpha=1"]["return_mean"] is settings["alpha=1"]["ci95"] is None
    assert settings["alpha=5"]["return_mean"] == pytest.approx(30.0)


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_a_diverged_member_has_no_figures_and_harms_nobody():
    found = evaluate(Constants([np.nan, 0.25], predicted=[np.nan, 1.0]), TOY, episodes=3, deterministic=False)
    assert found.diverged == ["action=nan"]
    assert (found.lengths[0] == 0).all()
    summary = found.summary()
    json.dumps(summary, allow_nan=False)
    assert all(value is None for value in summary["members"]["action=nan"].values())
    assert summary["overall"]["return_mean"] is None
    alone = evaluate(Constants([0.25], predicted=[1.0]), TOY, episodes=3, deterministic=False)
    assert summary["members"]["action=0.25"] == alone.summary()["overall"]


def test_all_members_diverged():
    found = evaluate(Constants([np.nan]), TOY, episodes=2)
    assert found.summary()["overall"]["return_mean"] is None


@pytest.mark.parametrize(
    ("env_id", "says"),
    [
        ("prudent/ToyRaise-v0", "RuntimeError: the simulator fell over"),
        ("prudent/ToyReward-v0", "reward with NaN"),
        ("prudent/ToyObservation-v0", "observation with NaN"),
    ],
)
def test_a_broken_environment_is_named_in_one_line(env_id, says):
    with pytest.raises(PrudentError) as caught:
        evaluate(Constants([0.0]), env_id, episodes=2)
    message = str(caught.value)
    assert says in message
    assert env_id in message
    assert "step 3" in message
    assert "\n" not in message


@pytest.mark.parametrize("options", [{"episodes": 0}, {"seed": -1}])
def test_options_that_are_no_counts(options):
    with pytest.raises(ConfigError, match="episodes must be 1 or more"):
        evaluate(Constants([0.0]), TOY, **options)


def test_an_environment_that_does_not_fit():
    population = Constants([0.0])
    population.spec = Spec(3, 1)
    with pytest.raises(ConfigError, match="2 observation features, the dataset 3"):
        evaluate(population, TOY)


def test_endless_episodes_are_cut_and_count_as_truncated():
    found = evaluate(Constants([0.0]), "prudent/ToyEndless-v0", episodes=2, max_steps=30)
    assert (found.lengths == 30).all()
    assert found.truncated.all()
    np.testing.assert_allclose(found.realized, 10.0)


def test_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    with pytest.raises(PrudentError):
        evaluate(Constants([0.0]), "prudent/ToyRaise-v0", episodes=1)
    assert torch.get_num_threads() == before


# --- real ones --------------------------------------------------------------------------------------------------------


def test_discrete_actions():
    class Pushing(Constants):
        spec = Spec(4, 2, discrete=True)

        def act(self, observation, deterministic, generator, *, mask=None):
            del deterministic, generator, mask
            return np.broadcast_to(self.actions.astype(np.int64)[:, None], observation.shape[:2])

    found = evaluate(Pushing([0, 1]), "CartPole-v1", episodes=4)
    assert ((found.lengths >= 8) & (found.lengths <= 11)).all()  # pushing one way topples the pole at once
    np.testing.assert_array_equal(found.returns, found.lengths)


def test_a_population_is_evaluated_member_by_member_as_alone():
    from prudent import algorithms, envs
    from prudent.members import grid
    from prudent.population import Population
    from prudent.scaling import Scaling

    spec = envs.spec_of("Pendulum-v1")
    members = grid(algorithms.get("cql").Config(hidden=(8, 8)), {"alpha": [1.0]}, [0, 1])
    scaling = Scaling(torch.zeros(3), torch.ones(3), torch.zeros(1), torch.full((1,), 2.0))
    population = Population("cql", members, spec, scaling)
    together = evaluate_both(population, "Pendulum-v1", episodes=3)
    alone = evaluate_both(population.member(1), "Pendulum-v1", episodes=3)
    for mode in ("deterministic", "stochastic"):
        company, solo = getattr(together, mode).select([1]), getattr(alone, mode)
        # Matrix products of other shapes round differently, and the pendulum carries that on.
        np.testing.assert_allclose(solo.returns, company.returns, rtol=1e-4)
        np.testing.assert_allclose(solo.predicted, company.predicted, rtol=1e-4, atol=1e-6)
    assert together.stochastic.summary()["overall"]["lower_bound_share"] is not None


# --- the best evaluation of a training ----------------------------------------------------------------------------


class Scripted:
    """A summary in which every member returned what is written down."""

    def __init__(self, names, returns):
        empty = dict.fromkeys(KEYS)
        members = {name: {**empty, "return_mean": value} for name, value in zip(names, returns, strict=True)}
        # Pooled, every evaluation is better than the one before.
        self.table = {"overall": {**empty, "return_mean": 1e6}, "members": members, "settings": {}}

    def summary(self):
        return {**self.table, "deterministic": self.table, "stochastic": self.table}


def record(monkeypatch, folder, names, evaluations):
    """The recorder's ``best`` in evaluation.json after each of the evaluations, and the recorder."""
    population = Constants([0.0] * len(names))
    population.names = names
    given = iter(evaluations)
    monkeypatch.setattr(recorder.evaluate, "evaluate_both", lambda *_, **__: Scripted(names, next(given)))
    log = SimpleNamespace(log=lambda *_: None)
    one = recorder.Recorder(population, Options(), folder, log, log)
    found = []
    for step in range(10, 10 * len(evaluations) + 1, 10):
        best = one.evaluate(step, TOY)
        found.append((best, json.loads((folder / "evaluation.json").read_text())["best"]))
    return found, one


GRID = ["alpha=1,seed=0", "alpha=1,seed=1", "alpha=5,seed=0", "alpha=5,seed=1"]


def test_the_best_step_is_that_of_the_best_setting(monkeypatch, tmp_path):
    # Means over all members are 3, 10 and 5; the best setting's are 5, 10 and 10.5.
    evaluations = [[0, 2, 4, 6], [10, 10, 10, 10], [10, 11, -1, 0], [8, 8, 9, 9]]
    found, one = record(monkeypatch, tmp_path, GRID, evaluations)
    assert found == [
        (True, {"step": 10, "return": 5.0, "setting": "alpha=5"}),
        (True, {"step": 20, "return": 10.0, "setting": "alpha=1"}),
        (True, {"step": 30, "return": 10.5, "setting": "alpha=1"}),
        (False, {"step": 30, "return": 10.5, "setting": "alpha=1"}),
    ]
    assert one.best == (10.5, 30, 0)


def test_a_diverged_member_does_not_stop_the_best_from_moving(monkeypatch, tmp_path):
    evaluations = [[None] * 4, [1, None, 0, 0], [2, None, None, None], [None] * 4, [None, None, 3, 5]]
    found, _ = record(monkeypatch, tmp_path, GRID, evaluations)
    assert found == [
        (False, None),
        (True, {"step": 20, "return": 1.0, "setting": "alpha=1"}),
        (True, {"step": 30, "return": 2.0, "setting": "alpha=1"}),
        (False, {"step": 30, "return": 2.0, "setting": "alpha=1"}),
        (True, {"step": 50, "return": 4.0, "setting": "alpha=5"}),
    ]


def test_the_best_of_a_single_setting_and_after_resuming(monkeypatch, tmp_path):
    found, one = record(monkeypatch, tmp_path, ["seed=0", "seed=1"], [[1, 3]])
    assert found == [(True, {"step": 10, "return": 2.0, "setting": "all seeds"})]
    one.best = None
    one.restore({"best": torch.tensor([7.0, 40.0, 0.0])})
    assert one.best_so_far() == {"step": 40, "return": 7.0, "setting": "all seeds"}
    one.restore({"best": torch.tensor([8.0, 50.0])})  # a checkpoint from before settings
    assert one.best == (8.0, 50, 0)


# --- masks ------------------------------------------------------------------------------------------------------------


def test_policies_are_told_what_is_allowed():
    """The environment fails where a closed gate is chosen; the highest open ones are 1 and 2 in turn."""
    population = Highest(size=2)
    found = evaluate(population, "prudent/Gates-v0", episodes=5)
    assert (found.lengths == 6).all()
    assert (found.returns == 9).all()  # 2 + 1 + 2 + 1 + 2 + 1
    np.testing.assert_array_equal(found.predicted, np.full((2, 5), 2.0))  # at the start one of three is closed
    for observation, mask in population.asked:
        np.testing.assert_array_equal(mask, np.arange(3) != observation[..., :1])


def test_an_ended_episode_forbids_nothing():
    class Leaving(Highest):
        """Member 0 goes through gate 0 at once, which ends the task; the other stays."""

        def act(self, observation, deterministic, generator, *, mask=None):
            action = super().act(observation, deterministic, generator, mask=mask)
            action[0] = 0
            return action

    population = Leaving(size=2)
    found = evaluate(population, "prudent/Gates-v0", episodes=3)
    assert (found.lengths == [[1] * 3, [6] * 3]).all()
    assert not found.truncated[0].any()
    assert found.truncated[1].all()
    assert population.asked[1][1][0].all()


def test_a_dataset_may_lack_actions_but_not_all_that_are_allowed():
    found = evaluate(Highest(size=1, known=2), "prudent/Gates-v0", episodes=6)
    assert (found.returns <= 1).all()  # gate 1, then 0; or 0 at once
    with pytest.raises(PrudentError, match="allows none of the actions that the dataset has"):
        evaluate(Highest(size=1, known=1), "prudent/GatesWithout-v0", episodes=1)


def test_pybullet_by_its_id_alone():
    pytest.importorskip("pybullet_envs_gymnasium")

    class Still(Constants):
        spec = Spec(15, 3)

        def act(self, observation, deterministic, generator, *, mask=None):
            del deterministic, generator, mask
            return np.zeros((*observation.shape[:2], 3))

    found = evaluate(Still([0.0, 0.0]), "HopperBulletEnv-v0", episodes=9)  # more than run beside each other
    np.testing.assert_array_equal(found.returns[0], found.returns[1])
    assert len(set(found.returns[0])) == 9
    assert (found.lengths < 200).all()
    assert not found.truncated.any()
    assert -5 < found.summary()["overall"]["normalized_score"] < 20
