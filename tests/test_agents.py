"""Agents in the manner of scikit-learn."""

import numpy as np
import pytest
import torch

import prudent as package
from helpers.runs import TINY, assert_same_weights, columns, prudent, write_log
from prudent import BC, CQL, SAC, presets
from prudent.data import Dataset, load_dataset
from prudent.engine.loop import Observer
from prudent.errors import ConfigError, PrudentError, StartsAnewWarning
from prudent.runs import checkpoint

pytest_plugins = ["helpers.run_fixtures"]

AGENTS = {"cql": CQL, "sac": SAC, "bc": BC}
OBSERVATION = np.random.default_rng(2).normal([1, -2, 3], [1, 0.5, 4], size=(30, 3)).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    return load_dataset(write_log(tmp_path / "log.npz"))


def agent(algorithm="cql", **settings):
    return (
        AGENTS[algorithm](**{**TINY[algorithm], "value_init": "zero", "seeds": [0, 1], **settings})
        if (algorithm != "bc")
        else BC(**{**TINY["bc"], "seeds": [0, 1], **settings})
    )


def weights(one):
    return {name: t.clone() for name, t in one.population.tensors().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_as_in_the_readme(tmp_path):
    """The lines that the documentation opens with, shortened."""
    data = package.load_dataset(str(write_log(tmp_path / "logs.npz")))
    agent = package.CQL(alpha=5.0, seeds=[0, 1, 2], hidden=(8, 8), n_actions=2).fit(data, steps=5)
    observation, action = OBSERVATION[0], np.array([0.5])
    assert agent.predict(observation).shape == (1,)
    sampled, log_prob = agent.act(observation, deterministic=False)
    assert sampled.shape == (1,)
    assert np.isfinite(log_prob)
    assert np.isfinite(agent.q_value(observation, action))
    agent.save(tmp_path / "run")
    assert np.array_equal(package.load(tmp_path / "run").predict(observation), agent.predict(observation))
    for batch in data.batches(256, steps=2):
        metrics = agent.update(batch)
    assert metrics["critic_loss"].shape == (3,)
    agent.update_critic(batch)
    agent.update_actor(batch)
    agent.update_target()


@pytest.mark.parametrize("algorithm", AGENTS)
def test_saved_and_loaded_it_is_the_same(data, tmp_path, algorithm):
    fitted = agent(algorithm, actor_lr=[1e-3, 3e-4]).fit(data, steps=5)
    fitted.save(tmp_path / "saved")
    again = package.load(tmp_path / "saved")
    assert type(again) is type(fitted)
    assert again.names == fitted.names == [f"actor_lr={a},seed={s}" for a in ("0.001", "0.0003") for s in (0, 1)]
    assert again.get_params() | {"device": "auto"} == fitted.get_params() | {"hidden": (8, 8)}
    assert_equal(weights(again), weights(fitted))
    for m in range(4):
        actions = fitted.predict(OBSERVATION, member=m)
        assert np.array_equal(again.predict(OBSERVATION, member=m), actions)
        if algorithm != "bc":
            values = fitted.q_value(OBSERVATION, actions, member=m)
            assert np.array_equal(again.q_value(OBSERVATION, actions, member=m), values)
    # It can be trained again from its settings, and on from its weights.
    batch = next(data.batches(16))
    again.update(batch)
    fitted.update(batch)
    assert_equal(weights(again), weights(fitted))


def test_saving_replaces_what_was_saved_and_spares_runs(data, tmp_path, quick_report):  # noqa: ARG001
    one = agent().fit(data, steps=5)
    one.save(tmp_path / "saved")
    with pytest.warns(StartsAnewWarning):
        one.fit(data, steps=2).save(tmp_path / "saved")
    assert package.load(tmp_path / "saved").population.state.step == 2
    assert [step for step, _ in checkpoint.steps(tmp_path / "saved")] == [2]
    with pytest.warns(StartsAnewWarning):
        one.fit(data, steps=3, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="folder of a run"):
        one.save(tmp_path / "run")
    assert package.load(tmp_path / "run").population.state.step == 3


def test_fit_with_a_folder_is_the_run_of_the_command_line(data, tmp_path, quick_report):  # noqa: ARG001
    settings = {"hidden": (8, 8), "batch_size": 16, "seeds": [0, 1]}
    BC(**settings).fit(data, steps=6, out=tmp_path / "python", env="Pendulum-v1", eval_episodes=1)
    words = ["--algo", "bc", "--hidden", 8, 8, "--batch-size", 16, "--seeds", 0, 1, "--env", "Pendulum-v1"]
    words += ["--eval-episodes", 1, "--steps", 6, "--out", tmp_path / "shell"]
    assert prudent("train", tmp_path / "log.npz", *words) == 0
    assert_same_weights(tmp_path / "python", tmp_path / "shell")
    bare = BC(**settings).fit(data, steps=6)
    assert_equal(weights(bare), weights(package.load(tmp_path / "shell")))


# --- fitting again ----------------------------------------------------------------------------------------------------


def test_fitting_again_starts_anew_and_says_so(data, tmp_path):
    once = agent().fit(data, steps=4)
    loaded = package.load(once.save(tmp_path / "saved"))
    for one in (once, loaded):
        with pytest.warns(
            StartsAnewWarning, match=r"this CQL was trained or loaded before: fit .* warm_start=True"
        ) as w:
            one.fit(data, steps=4)
        assert w[0].filename == __file__
        assert one.population.state.step == 4
    assert_equal(weights(once), weights(agent().fit(data, steps=4)))


def test_going_on_is_as_if_it_had_never_stopped(data, tmp_path):
    expected = weights(agent().fit(data, steps=7))
    fitted = agent().fit(data, steps=4)
    loaded = package.load(fitted.save(tmp_path / "saved"))
    for one in (fitted, loaded):
        assert one.fit(data, steps=3, warm_start=True) is one
        assert one.population.state.step == 7
        assert_equal(weights(one), expected)


def test_there_must_be_something_to_go_on_from(data, tmp_path):
    with pytest.raises(PrudentError, match="this CQL has not been trained"):
        agent().fit(data, steps=1, warm_start=True)
    with pytest.raises(PrudentError, match="this CQL has not been trained"):
        agent().fit(data, steps=1, out=tmp_path / "run", warm_start=True)
    assert not (tmp_path / "run").exists()


# --- a loop of one's own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", AGENTS)
@pytest.mark.parametrize("settings", [{}, {"lagrange": True, "backup": "max"}], ids=["plain", "more"])
def test_the_parts_of_a_step_are_the_step(data, algorithm, settings):
    """Critics, actor and target in this order, from the same draw, and the same generators afterwards."""
    if settings and algorithm != "cql":
        pytest.skip("settings of CQL")
    whole, parts = agent(algorithm, **settings), agent(algorithm, **settings)
    for batch in data.batches(16, steps=5):
        expected = whole.update(batch)
        found = parts.update_critic(batch) | parts.update_actor(batch)
        parts.update_target()
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert whole.population.state.step == parts.population.state.step == 5
    assert_equal(weights(parts), weights(whole))


def test_parts_in_any_number_draw_anew(data):
    """Two updates of the critics in a row do not see the same noise, nor does a second one of the actor."""
    one = agent()
    batch = next(data.batches(16))
    losses = []
    for part in (one.update_critic, one.update_critic, one.update_actor, one.update_actor, one.update):
        before = one.population.rngs["noise"].state() if one.population else None
        part(batch)
        drawn = before is None or not torch.equal(before, one.population.rngs["noise"].state())
        losses.append(drawn)
    # The first actor takes what the second critic left.
    assert losses == [True, True, False, True, True]


def test_own_loop_honours_the_first_values(data):
    with_values, without = agent(value_init="constant"), agent()
    batch = next(data.batches(16))
    with_values.update(batch)
    without.update(batch)
    zero = without.q_value(OBSERVATION, np.zeros((30, 1)))
    constant = with_values.q_value(OBSERVATION, np.zeros((30, 1)))
    mean = data.returns_to_go(0.99).mean()
    assert np.allclose(constant - zero, mean, atol=0.2 * abs(mean) + 0.05)


def test_batches_that_do_not_fit(data):
    one = agent()
    with pytest.raises(PrudentError, match="batch_size is 16"):
        one.update(next(data.batches(17)))
    assert one.population is None
    from dataclasses import replace

    with pytest.raises(PrudentError, match="does not say which dataset"):
        one.update(replace(next(data.batches(16)), source=None))


# --- settings ---------------------------------------------------------------------------------------------------------


def clone(one):
    """What scikit-learn's clone does: deep copies into the constructor, which keeps them as they are."""
    import copy

    params = {name: copy.deepcopy(value) for name, value in one.get_params(deep=False).items()}
    new = type(one)(**params)
    assert all(new.get_params(deep=False)[name] is value for name, value in params.items())
    return new


@pytest.mark.parametrize("algorithm", AGENTS)
def test_params_make_the_same_agent(algorithm):
    one = agent(algorithm, actor_lr=[1e-3, 1e-4], device="cpu")
    assert one.get_params()["actor_lr"] == [1e-3, 1e-4]
    assert one.get_params()["seeds"] == [0, 1]
    assert one.get_params()["batch_size"] == 16
    assert clone(one).get_params() == one.get_params()
    assert clone(one).names == one.names
    assert repr(clone(one)) == repr(one)


def test_scikit_learn_itself():
    base = pytest.importorskip("sklearn.base")
    assert base.clone(agent(alpha=[1.0, 2.0])).get_params() == agent(alpha=[1.0, 2.0]).get_params()


def test_whole_numbers_and_lists_are_taken_for_what_they_mean():
    assert CQL(alpha=5, hidden=[8, 8], seeds=np.arange(2))._members() == CQL(hidden=(8, 8), seeds=[0, 1])._members()


def test_params_can_be_set(data):
    one = agent().fit(data, steps=2)
    assert one.set_params(alpha=[1.0, 2.0], seeds=[7]) is one
    assert one.names == ["alpha=1,seed=7", "alpha=2,seed=7"]
    assert one.get_params()["hidden"] == (8, 8)
    with pytest.raises(PrudentError, match="has not been trained"):
        one.predict(OBSERVATION)
    with pytest.raises(ConfigError, match="did you mean alpha"):
        one.set_params(alhpa=1.0)
    assert one.names == ["alpha=1,seed=7", "alpha=2,seed=7"]


def test_presets_are_defaults():
    one = CQL(preset="locomotion", alpha=3.0)
    expected = presets.locomotion().config
    assert one.get_params()["hidden"] == expected.hidden
    assert one.get_params()["alpha"] == 3.0
    assert repr(one) == "CQL(preset='locomotion', alpha=3.0, seeds=[0])"
    with pytest.raises(ConfigError, match="is for cql, not for bc"):
        BC(preset="locomotion")


@pytest.mark.parametrize(
    "bad",
    [
        {"alhpa": 1},
        {"alpha": -1.0},
        {"alpha": []},
        {"alpha": "high"},
        {"hidden": 8},
        {"batch_size": 16.0},
        {"n_actions": True},
        {"lagrange": "no"},
        {"seeds": "01"},
        {"seeds": [0.5]},
        {"hidden": (0,)},
        {"n_actions": [5, 10]},
        {"seeds": []},
        {"seeds": [1, 1]},
        {"preset": "none such"},
        {"backup": "best"},
    ],
)
def test_settings_that_make_no_sense(bad):
    with pytest.raises(ConfigError) as caught:
        CQL(**bad)
    assert "\n" not in str(caught.value)


def test_no_answer_to_what_is_no_number(data):
    one = agent().fit(data, steps=2)
    observation = data.observation[:4].copy()
    observation[2, 1] = np.nan
    with pytest.raises(PrudentError, match="observation is NaN or infinite in 1 of 4 rows, the first is row 2"):
        one.predict(observation)
    with pytest.raises(PrudentError, match="observation is NaN or infinite: "):
        one.act(observation[2])
    with pytest.raises(PrudentError, match="action is NaN or infinite"):
        one.q_value(observation[:1], np.full((1, 1), np.inf))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"env": "Pendulum-v1"}, "env: only with out"),
        ({"device": "cpu"}, "constructor"),
        ({"stpes": 3}, "did you mean"),
        ({"steps": 0}, "steps"),
        ({"env": "CartPole-v1", "out": "x"}, "does not fit"),
    ],
)
def test_fit_that_makes_no_sense(data, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = agent()
    with pytest.raises(ConfigError, match=said):
        one.fit(data, **{"steps": 2, **options})
    assert one.population is None
    assert not (tmp_path / "x").exists()


# --- use --------------------------------------------------------------------------------------------------------------


def test_before_fit_everything_says_so(tmp_path):
    one = agent()
    calls = [
        lambda: one.predict(OBSERVATION),
        lambda: one.act(OBSERVATION),
        lambda: one.q_value(OBSERVATION, np.zeros((30, 1))),
        lambda: one.evaluate("Pendulum-v1"),
        lambda: one.save(tmp_path / "x"),
        one.update_target,
    ]
    for call in calls:
        with pytest.raises(PrudentError, match="this CQL has not been trained"):
            call()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PrudentError, match="no checkpoint here"):
        package.load(tmp_path / "x")


def test_shapes_and_units(data):
    one = agent().fit(data, steps=3)
    many, log_prob = one.act(OBSERVATION, deterministic=False)
    assert (many.shape, log_prob.shape) == ((30, 1), (30,))
    assert one.predict(OBSERVATION).shape == (30, 1)
    assert one.predict(OBSERVATION.tolist()).shape == (30, 1)
    assert one.predict(torch.from_numpy(OBSERVATION)).shape == (30, 1)
    assert one.predict(OBSERVATION[0]).shape == (1,)
    assert np.allclose(one.predict(OBSERVATION[0]), one.predict(OBSERVATION)[0], atol=1e-6)
    assert one.q_value(OBSERVATION, many).shape == (30,)
    assert one.q_value(OBSERVATION[0], many[0]).shape == ()
    # In the units of the log: bounds are -2 and 2.
    far = one.act(np.repeat(OBSERVATION, 50, axis=0), deterministic=False)[0]
    assert 1.2 < np.abs(far).max() <= 2.0
    # The density is over those units too: it integrates to 1 over [-2, 2], not over [-1, 1].
    action, log_density = one.act(np.repeat(OBSERVATION[:1], 20_000, axis=0), deterministic=False)
    inside = np.abs(action[:, 0]) < 1.9
    assert np.mean(inside / np.exp(log_density)) == pytest.approx(3.8, rel=0.05)


def test_sampling_is_reproducible_and_varied(data):
    one = agent().fit(data, steps=2)
    first, again = (one.act(OBSERVATION, generator=torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(one.act(OBSERVATION)[0], one.act(OBSERVATION)[0])
    assert np.array_equal(one.act(OBSERVATION, deterministic=True)[0], one.predict(OBSERVATION))


def test_members_are_told_apart(data):
    one = agent().fit(data, steps=2)
    assert not np.array_equal(one.predict(OBSERVATION, member=0), one.predict(OBSERVATION, member=1))
    for member in (2, -1):
        with pytest.raises(PrudentError, match=f"member {member} does not exist: give a whole number below 2"):
            one.predict(OBSERVATION, member=member)


@pytest.mark.parametrize("shape", [(), (2,), (30, 2), (1, 30, 3)])
def test_observations_of_another_shape(data, shape):
    one = agent().fit(data, steps=1)
    with pytest.raises(PrudentError, match="observation has shape"):
        one.predict(np.zeros(shape))
    with pytest.raises(PrudentError, match="give as many of each"):
        one.q_value(OBSERVATION, np.zeros((2, 1)))
    with pytest.raises(PrudentError, match="action has shape"):
        one.q_value(OBSERVATION, np.zeros((30, 2)))


def test_cloning_has_no_values(data):
    one = agent("bc").fit(data, steps=1)
    with pytest.raises(ConfigError, match="no critic"):
        one.q_value(OBSERVATION, np.zeros((30, 1)))


def test_evaluate_has_the_keys_of_the_command_line(data):
    summary = agent("bc").fit(data, steps=1).evaluate("Pendulum-v1", episodes=1)
    assert set(summary) == {"overall", "members", "settings", "deterministic", "stochastic", "starts"}
    assert set(summary["members"]) == {"seed=0", "seed=1"}
    assert summary["overall"]["predicted_value"] is None


def test_discrete_actions_are_refused_in_one_line():
    log = columns()
    dataset = Dataset.from_columns(
        observation=log["observations"],
        action=np.arange(240) % 3,
        reward=log["rewards"],
        next_observation=log["next_observations"],
        terminated=log["terminals"],
        truncated=log["timeouts"],
        discrete=True,
        name="choices",
    )
    with pytest.raises(ConfigError, match="cql is for continuous actions, choices has discrete ones: choose from"):
        agent().fit(dataset, steps=1)
    with pytest.raises(ConfigError, match="continuous"):
        agent().update(next(dataset.batches(16)))


def test_interrupting_a_bare_fit_is_an_ordinary_keyboard_interrupt(data, monkeypatch):
    def stop(*_words):
        raise KeyboardInterrupt

    monkeypatch.setattr(Observer, "stepped", stop)
    one = agent()
    with pytest.raises(KeyboardInterrupt):
        one.fit(data, steps=5)
    assert one.population is None


def test_a_path_is_no_dataset():
    with pytest.raises(ConfigError, match=r"got 'log.npz': hand it prudent.load_dataset"):
        CQL().fit("log.npz", steps=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("member", [2, -1, 1.0, True, None, "seed=0"])
def test_a_member_that_does_not_exist_is_one_line(member, log):
    data = load_dataset(log)
    agent = BC(seeds=[0, 1], hidden=(8, 8), batch_size=16, device="cpu").fit(data, steps=1, threads=1)
    with pytest.raises(PrudentError, match=r"member .* does not exist: give a whole number below 2, counted from 0"):
        agent.predict(data.observation[0], member=member)


def test_an_unknown_setting_of_support_and_value_is_named(log):
    data = load_dataset(log)
    agent = BC(hidden=(8, 8), batch_size=16, device="cpu").fit(data, steps=1, threads=1)
    for function, close in ((package.support, "neighbours"), (package.value, "folds")):
        with pytest.raises(ConfigError, match=f"did you mean {close}"):
            function(agent, data, **{close[:-1]: 3})


def test_a_multiplier_that_has_run_away_is_said_without_a_run_folder(data):
    settings = {**TINY["cql"], "lagrange": True, "target_gap": -50.0, "lagrange_lr": 0.5}
    with pytest.warns(UserWarning, match="seed=0: multiplier at its bound at step 40: .* target_gap -50 is too low"):
        AGENTS["cql"](**settings).fit(data, steps=40, threads=1)
