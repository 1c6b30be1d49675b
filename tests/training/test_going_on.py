"""Going on from a trained policy, in a run folder of its own."""

import json
import shutil

import numpy as np
import pytest
import torch

import prudent as package
from helpers.runs import TINY, assert_same_weights, columns, discrete_columns, metrics_of, tree, write_log
from prudent.data import load_dataset
from prudent.engine.loop import Observer
from prudent.errors import ConfigError, DataError
from prudent.report import html
from prudent.runs import checkpoint
from prudent.runs.folder import read_json
from prudent.runs.read import Run
from prudent.training import going_on
from prudent.training.going_on import GoOn, chosen, prepared
from prudent.training.resume import resume

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")

EVERY = {"log_every": 50, "checkpoint_every": 50, "threads": 1}
SETTINGS = {**TINY["cql"], "seeds": [0, 1], "device": "cpu"}


@pytest.fixture
def data(tmp_path):
    return load_dataset(write_log(tmp_path / "log.npz"))


@pytest.fixture
def grown(tmp_path):
    """As many rows again, and other rewards."""
    found = columns(480)
    found["observations"][240:] += 5
    found["next_observations"][240:] += 5
    return load_dataset(write_log(tmp_path / "grown.npz", **found))


def agent(**settings):
    return package.CQL(**{**SETTINGS, **settings})


def state(population):
    return {name: t.clone() for name, t in population.tensors().items()}


def differing(one, other):
    assert one.keys() == other.keys()
    return sorted(name for name in one if not torch.equal(one[name], other[name]))


# --- the same data, the old scaling, the optimiser kept --------------------------------------------------------------


def test_on_the_same_data_it_is_as_if_it_had_never_stopped(data, tmp_path):
    """Weights, moments, random numbers, metrics: all as after one training of 200 steps."""
    agent().fit(data, 200, tmp_path / "whole", **EVERY)
    agent().fit(data, 100, tmp_path / "first", **EVERY)
    loaded = package.load(tmp_path / "first", device="cpu")
    loaded.fit(data, 100, tmp_path / "second", warm_start=True, **EVERY)
    assert_same_weights(tmp_path / "second", tmp_path / "whole")
    after = [line for line in metrics_of(tmp_path / "whole") if json.loads(line)["step"] > 100]
    assert metrics_of(tmp_path / "second") == after
    resume(tmp_path / "first", steps=200, dataset=data)
    assert_same_weights(tmp_path / "second", tmp_path / "first")


def test_the_folder_says_where_it_comes_from(data, grown, tmp_path):
    agent(alpha=[1.0, 5.0]).fit(data, 100, tmp_path / "first", **EVERY)
    before = tree(tmp_path / "first")
    loaded = package.load(tmp_path / "first")
    loaded.fit(grown, 60, tmp_path / "second", warm_start=True, scaling="new", optimizer="fresh", **EVERY)
    stored = read_json(tmp_path / "second" / "config.json")
    place = tmp_path / "first" / "checkpoints" / "step_100"
    assert stored["continued_from"] == {
        "run": str(tmp_path / "first"),
        "checkpoint": "step_100",
        "sha256": checkpoint.digest(place),
        "step": 100,
        "scaling": "new",
        "optimizer": "fresh",
        "settings": {},
    }
    assert stored["train"]["steps"] == 160
    assert [m["name"] for m in stored["members"]] == loaded.names
    status = read_json(tmp_path / "second" / "status.json")
    assert (status["state"], status["step"]) == ("finished", 160)
    # What it starts from is its first checkpoint. The run that it comes from is as it was.
    assert [step for step, _ in checkpoint.steps(tmp_path / "second")] == [100, 150, 160]
    assert tree(tmp_path / "first") == before
    # An agent that trained in memory since then comes from no checkpoint. One that fit with out comes from that.
    loaded.fit(grown, 10, tmp_path / "third", warm_start=True, **EVERY)
    third = read_json(tmp_path / "third" / "config.json")["continued_from"]
    assert (third["run"], third["checkpoint"]) == (str(tmp_path / "second"), "step_160")
    loaded.fit(grown, 10, warm_start=True).fit(grown, 10, tmp_path / "fourth", warm_start=True, **EVERY)
    assert "run" not in read_json(tmp_path / "fourth" / "config.json")["continued_from"]
    loaded.update(next(grown.batches(16))) if loaded.population.hyper.n_steps == 1 else None
    loaded.fit(grown, 10, tmp_path / "fifth", warm_start=True, **EVERY)
    assert "run" not in read_json(tmp_path / "fifth" / "config.json")["continued_from"]


@pytest.mark.parametrize("at", [100, 120, 150, 170])
def test_it_is_resumed_bit_for_bit(data, grown, tmp_path, at, monkeypatch):
    agent().fit(data, 100, tmp_path / "first", **EVERY)

    def go(out):
        loaded = package.load(tmp_path / "first", device="cpu")
        loaded.fit(
            grown, 100, tmp_path / out, warm_start=True, scaling="new", optimizer="fresh", env="Pendulum-v1",
            eval_every=50, eval_episodes=1, **EVERY
        )  # fmt: skip

    go("whole")
    stepped = Observer.stepped

    def killed(self, step, totals):
        if step > at:
            raise KeyboardInterrupt
        stepped(self, step, totals)

    with monkeypatch.context() as patch:
        patch.setattr(Observer, "stepped", killed)
        with pytest.raises(KeyboardInterrupt):
            go("again")
    resume(tmp_path / "again", dataset=grown)
    assert_same_weights(tmp_path / "again", tmp_path / "whole")
    assert metrics_of(tmp_path / "again") == metrics_of(tmp_path / "whole")
    # The curve begins with the policies as they came.
    assert json.loads(metrics_of(tmp_path / "whole")[0])["step"] == 100
    assert "eval/return" in json.loads(metrics_of(tmp_path / "whole")[0])
    left = [read_json(tmp_path / name / "evaluation.json") for name in ("whole", "again")]
    assert left[0] == left[1]


def test_killed_before_its_first_evaluation_it_makes_up_for_it(data, tmp_path, monkeypatch):
    agent().fit(data, 100, tmp_path / "first", **EVERY)
    options = {"env": "Pendulum-v1", "eval_every": 50, "eval_episodes": 1, **EVERY}

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("prudent.training.recorder.Recorder.begin_with_evaluation", killed)
        with pytest.raises(KeyboardInterrupt):
            package.load(tmp_path / "first", device="cpu").fit(data, 50, tmp_path / "again", warm_start=True, **options)
    resume(tmp_path / "again", dataset=data)
    package.load(tmp_path / "first", device="cpu").fit(data, 50, tmp_path / "whole", warm_start=True, **options)
    assert metrics_of(tmp_path / "again") == metrics_of(tmp_path / "whole")
    assert_same_weights(tmp_path / "again", tmp_path / "whole")


def test_without_any_checkpoint_it_does_not_start_from_new_weights(data, tmp_path):
    agent().fit(data, 50, tmp_path / "first", **EVERY)
    package.load(tmp_path / "first").fit(data, 50, tmp_path / "second", warm_start=True, **EVERY)
    shutil.rmtree(tmp_path / "second" / "checkpoints")
    with pytest.raises(ConfigError, match="not even the one that it went on from: start anew with prudent train"):
        resume(tmp_path / "second", dataset=data)


# --- scaling and optimiser -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["old", "new"])
@pytest.mark.parametrize("optimizer", ["kept", "fresh"])
def test_what_is_the_same_when_it_begins(data, grown, scaling, optimizer):
    first = agent().fit(data, 60).population
    ready = prepared(first, grown, GoOn(scaling, optimizer), "cpu")
    assert ready.state.step == 60
    before, after = state(first), state(ready)
    changed = differing(before, after)
    assert not [name for name in changed if name.startswith("rng.")], "random states always go on"
    if scaling == "old":
        assert [name for name in changed if name.startswith("networks.")] == []
    else:
        assert {name.rpartition(".")[2] for name in changed if name.startswith("networks.")} == {"w0", "b0"}
    moments = {name: t for name, t in after.items() if name.startswith("optimizers.")}
    if optimizer == "fresh":
        assert all((t == 0).all() for t in moments.values())
    else:
        kept = [name for name in changed if name.startswith("optimizers.")]
        assert {name.rpartition(".")[2] for name in kept} == ({"w0"} if scaling == "new" else set())
        assert all(float(t) == 60 for name, t in moments.items() if name.endswith(".count") and "critic" in name)
    assert differing(state(first), before) == [], "what it comes from is not changed"
    if scaling == "old":
        assert torch.equal(ready.scaling.observation_mean, first.scaling.observation_mean)
        assert (ready.scaling.observation_range[1] > first.scaling.observation_range[1]).all()
    else:
        np.testing.assert_allclose(ready.scaling.observation_mean, grown.observation.mean(0), rtol=1e-4)
    rows = data.observation[:20]
    np.testing.assert_allclose(ready.act(np.stack([rows] * 2)), first.act(np.stack([rows] * 2)), atol=1e-5)


def test_a_new_scaling_keeps_the_bounds_of_actions(data, tmp_path):
    narrow = load_dataset(
        write_log(tmp_path / "narrow.npz", actions=columns()["actions"] / 2, action_low=-1.0, action_high=1.0)
    )
    first = agent().fit(data, 5).population
    ready = prepared(first, narrow, GoOn("new"), "cpu")
    assert ready.spec == first.spec
    assert ready.scaling.action_half_range.tolist() == [2.0]


def test_a_new_reward_scale_keeps_what_is_predicted(data, grown):
    """return_range takes the scale from the data: values change their unit, and Adam starts afresh."""
    first = package.IQL(**TINY["iql"], return_range=100.0, seeds=[0], device="cpu").fit(data, 30)
    old = prepared(first.population, grown, GoOn(), "cpu")
    assert old.reward_scale == first.population.reward_scale
    with pytest.raises(ConfigError, match=r"reward_scale changes from .* let the optimiser start afresh"):
        prepared(first.population, grown, GoOn("new"), "cpu")
    new = prepared(first.population, grown, GoOn("new", "fresh"), "cpu")
    returns = grown.episode_returns
    np.testing.assert_allclose(new.reward_scale, 100 / (returns.max() - returns.min()), rtol=1e-6)
    rows, actions = data.observation[None, :20], data.action[None, :20]
    np.testing.assert_allclose(
        new.q_value(rows, actions) / new.reward_scale,
        first.population.q_value(rows, actions) / first.population.reward_scale,
        rtol=1e-3,
        atol=1e-5,
    )
    auto = prepared(first.population, grown, GoOn(optimizer="fresh", settings={"return_range": 10.0}), "cpu")
    np.testing.assert_allclose(auto.reward_scale, new.reward_scale / 10, rtol=1e-6)


def test_choices_that_would_be_ignored_are_refused(data, tmp_path):
    one = agent()
    for ignored in ({"scaling": "new"}, {"optimizer": "fresh"}):
        with pytest.raises(ConfigError, match="only with warm_start"):
            one.fit(data, 5, **ignored)
    one.fit(data, 5)
    before = state(one.population)
    for wrong, message in (({"scaling": "mine"}, "old or new"), ({"optimizer": "Adam"}, "kept or fresh")):
        with pytest.raises(ConfigError, match=message):
            one.fit(data, 5, tmp_path / "run", warm_start=True, **wrong)
    assert not (tmp_path / "run").exists()
    assert differing(state(one.population), before) == []


# --- settings and members --------------------------------------------------------------------------------------------


def test_settings_may_change_where_the_networks_stay(data):
    first = agent(alpha=[1.0, 5.0]).fit(data, 5).population
    ready = prepared(first, data, GoOn(settings={"actor_lr": 1e-5, "outside_range": "warn", "batch_size": 32}), "cpu")
    assert {m.config.actor_lr for m in ready.members} == {1e-5}
    assert ready.hyper.actor_lr.tolist() == pytest.approx([1e-5] * 4)
    assert ready.scaling.outside_range == "warn"
    assert ready.names == first.names
    one = chosen(first, ["alpha=5,seed=1"], "run")
    renamed = prepared(one, data, GoOn(settings={"alpha": 2.0}), "cpu")
    assert renamed.names == ["seed=1"], "a name does not say what is no longer so"
    assert renamed.hyper.alpha.tolist() == [2.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": (9, 9)}, "hidden: this makes other networks"),
        ({"n_critics": 3}, "n_critics: this makes other networks"),
        ({"layer_norm": True}, "layer_norm: this makes other networks"),
        ({"value_init": "constant"}, "value_init says how a first training begins"),
        ({"temperature": 2.0}, "temperature says how a first training begins"),
        ({"normalize_observations": False}, "ask for the new one"),
        ({"alpha": 3.0}, "members differ in alpha"),
        ({"alpha": -1.0}, "alpha"),
        ({"alhpa": 1.0}, "did you mean alpha"),
        ({"n_steps": 400}, "n_steps 400 is longer than every episode"),
        ({"bc_warmup_steps": 2}, "bc_warmup_steps counts from the first step of all: give more than 2"),
        ({"reward_scale": 2.0}, "let the optimiser start afresh"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(data, settings, message):
    first = agent(alpha=[1.0, 5.0]).fit(data, 2).population
    with pytest.raises(ConfigError, match=message) as caught:
        prepared(first, data, GoOn(settings=settings), "cpu")
    assert "\n" not in str(caught.value)


def test_members_are_chosen_by_name_with_their_state(data):
    first = agent(alpha=[1.0, 5.0]).fit(data, 20).population
    both = chosen(first, ["alpha=5,seed=1", "alpha=1,seed=0"], "run")
    assert both.names == ["alpha=5,seed=1", "alpha=1,seed=0"]
    for name, t in both.tensors().items():
        whole = first.tensors()[name]
        assert torch.equal(t, whole if t.dim() == 0 else whole[[3, 0]])
    assert chosen(first, [], "run") is first
    with pytest.raises(ConfigError, match=r"run has no member nobody; it has alpha=1,seed=0, "):
        chosen(first, ["nobody"], "run")
    with pytest.raises(ConfigError, match="named twice"):
        chosen(first, ["alpha=5,seed=1"] * 2, "run")


def test_a_member_alone_goes_on_as_in_its_population(data):
    whole = agent().fit(data, 20)
    alone = prepared(chosen(whole.population, ["seed=1"], "run"), data, GoOn(), "cpu")
    whole.fit(data, 10, warm_start=True)
    one = agent(seeds=[1])
    one.population = alone
    one.fit(data, 10, warm_start=True)
    expected = chosen(whole.population, ["seed=1"], "run")
    assert differing(state(one.population), state(expected)) == []


def test_a_member_that_diverged_has_nothing_to_go_on_from(data):
    first = agent().fit(data, 2).population
    first.state.networks["actor"]["w0"][1].fill_(np.nan)
    assert going_on.diverged(first) == ["seed=1"]
    with pytest.raises(ConfigError, match="run: seed=1 has diverged"):
        chosen(first, [], "run")
    assert chosen(first, ["seed=0"], "run").names == ["seed=0"]


# --- data that do not fit --------------------------------------------------------------------------------------------


def test_other_spaces_are_refused_and_nothing_is_written(data, tmp_path):
    loaded = agent().fit(data, 2)
    wide = columns()
    spaces = {name: np.concatenate([wide[name]] * 2, axis=1) for name in ("observations", "next_observations")}
    others = {
        "wide": write_log(tmp_path / "wide.npz", **spaces),
        "choices": write_log(tmp_path / "choices.npz", **discrete_columns()),
        "far": write_log(tmp_path / "far.npz", actions=wide["actions"] * 3, action_low=-6.0, action_high=6.0),
    }
    for name, path in others.items():
        with pytest.raises(DataError, match=f"{name}.*(does not fit what was trained|outside the declared bounds)"):
            loaded.fit(load_dataset(path), 5, tmp_path / "run", warm_start=True)
        assert not (tmp_path / "run").exists()


def test_the_report_says_where_it_comes_from():
    origin = {"run": "/home/me/runs/first", "checkpoint": "step_1000", "step": 1000, "scaling": "old"}
    run = Run(folder=None, config={"members": [{"name": "seed=0"}], "continued_from": origin})
    assert html._facts(run) == ["no environment", "goes on from step 1,000 of first", "1 member"]
    # An agent that trained in memory has no run. A file that somebody edited may hold anything.
    for edited, words in (({"step": 5}, ["goes on from step 5"]), ({"step": "5"}, []), ("first", [])):
        changed = Run(folder=None, config={"continued_from": edited})
        assert html._facts(changed) == ["no environment", *words, "0 members"]
