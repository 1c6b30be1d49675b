"""Members that diverge are stopped or set back, and nobody else notices."""

import math
import re

import numpy as np
import pytest
import torch

from helpers.runs import TINY, assert_same_weights, flags, metrics_of, prudent, write_log
from prudent import algorithms
from prudent.data import load_dataset
from prudent.engine.guard import Guard, largest_value
from prudent.engine.loop import Observer, fit
from prudent.engine.members import grid
from prudent.engine.options import Options
from prudent.engine.population import new_population
from prudent.errors import ConfigError
from prudent.report.verdict import judge
from prudent.runs import checkpoint
from prudent.runs.folder import read_json
from prudent.runs.metrics import read_metrics
from prudent.runs.read import read_run
from prudent.training import start
from prudent.training.resume import resume

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")

SETTINGS = {**TINY["cql"], "value_init": "zero"}


def members(**varied):
    return grid(algorithms.get("cql").Config(**SETTINGS), varied, [0])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(write_log(tmp_path_factory.mktemp("log") / "log.npz"))


def population_of(dataset, **varied):
    return new_population(dataset, "cql", members(**varied), "cpu")


def guard_of(population, dataset, **options):
    guard = Guard(population, Options(**options), largest_value(population, dataset))
    assert guard.begin() == []
    return guard


def weights(population, member):
    return {n: t[member].clone() for n, t in population.tensors().items() if n.startswith("networks.")}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def run(dataset, out, steps=60, keep=3, rollbacks=0, **varied):
    options = Options(steps=steps, log_every=10, checkpoint_every=10, keep=keep, rollbacks=rollbacks, threads=1)
    return start.train(start.Request(dataset, "cql", members(**varied), options, out))


# --- who has diverged -------------------------------------------------------------------------------------------------


def test_values_are_held_against_the_rewards(dataset):
    population = population_of(dataset, discount=[0.9, 0.99], reward_scale=[1.0, 10.0], reward_shift=[0.0, 5.0])
    largest = largest_value(population, dataset)
    low, high = float(dataset.reward.min()), float(dataset.reward.max())
    expected = [
        max(abs(scale * low + shift), abs(scale * high + shift)) / (1 - discount)
        for discount in (0.9, 0.99)
        for scale in (1, 10)
        for shift in (0, 5)
    ]
    assert torch.allclose(largest, torch.tensor(expected), rtol=1e-4)


def test_tiny_rewards_and_short_steps_leave_room(dataset):
    from dataclasses import replace

    population = population_of(dataset, discount=[0.99])
    small = replace(dataset, reward=dataset.reward * 1e-6)
    assert torch.allclose(largest_value(population, small), torch.tensor([100.0]), rtol=1e-4)
    fast = replace(small, extra={"dt": np.where(np.arange(len(small)) == 7, 0.5, 1.0).astype(np.float32)})
    assert torch.allclose(largest_value(population, fast), torch.tensor([1 / (1 - 0.99**0.5)]), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "figure", "why"),
    [
        ("critic_loss", math.nan, "critic_loss is nan"),
        ("value_loss", math.inf, "value_loss is inf"),
        ("q_data", -1e9, "q_data is -1e\\+09, the limit for its rewards"),
        ("target", 1e9, "target is 1e\\+09"),
    ],
)
def test_a_figure_stops_its_member_alone(dataset, name, figure, why):
    population = population_of(dataset, alpha=[1.0, 5.0])
    guard, other = guard_of(population, dataset), weights(population, 0)
    (incident,) = guard.check({name: [1.0, figure], "cql_gap": [math.nan, -1e30]})
    assert (incident.kind, incident.member) == ("stopped", "alpha=5,seed=0")
    assert re.match(why, incident.why), incident.why
    assert guard.stopped == {1}
    assert all(t.isnan().all() for t in weights(population, 1).values())
    assert same(weights(population, 0), other)
    assert guard.check({name: [1.0, figure]}) == [], "it is told once"


def test_weights_that_are_no_numbers_are_seen_before_a_loss_is(dataset):
    """As after a gradient that was not finite in the last step."""
    population = population_of(dataset, alpha=[1.0, 5.0])
    guard = guard_of(population, dataset)
    population.state.networks["actor"]["w1"][0, 2, 3] = math.inf
    (incident,) = guard.check({"critic_loss": [1.0, 1.0]})
    assert (incident.member, incident.why) == ("alpha=1,seed=0", "its weights are not finite")


def test_without_a_factor_only_numbers_count(dataset):
    population = population_of(dataset, alpha=[1.0])
    guard = guard_of(population, dataset, divergence_factor=None)
    assert guard.check({"q_data": [1e30]}) == []
    assert guard_of(population, dataset, divergence_factor=1e-3).check({"q_data": [3.0]}) != []


@pytest.mark.parametrize("bad", [{"divergence_factor": 0.0}, {"rollbacks": -1}, {"rollbacks": 1.5}])
def test_settings_are_checked(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Options(**bad)


# --- what happens to it -----------------------------------------------------------------------------------------------


def test_a_member_is_set_back_with_fresh_batches_and_smaller_steps_and_then_stopped(dataset):
    population = population_of(dataset, alpha=[1.0, 5.0])
    guard = guard_of(population, dataset, rollbacks=2)
    fit(population, dataset, 5, Observer())
    assert guard.check({"q_data": [0.0, 0.0]}) == []
    well, rates = weights(population, 1), population.hyper.critic_lr.clone()
    fit(population, dataset, 8, Observer())
    drawn, other = population.rngs["sample"].state().clone(), weights(population, 0)
    (incident,) = guard.check({"q_data": [0.0, math.inf]})
    assert (incident.kind, incident.step) == ("rolled back", 8)
    assert incident.why.endswith("back to step 5, learning rates halved")
    assert same(weights(population, 1), well)
    assert same(weights(population, 0), other)
    assert torch.equal(population.rngs["sample"].state(), drawn), "the batches would be those that led it astray"
    assert torch.equal(population.hyper.critic_lr, rates * torch.tensor([1.0, 0.5]))
    assert guard.check({"critic_loss": [0.0, math.nan]})[0].kind == "rolled back"
    assert population.hyper.actor_lr[1] == population.hyper.actor_lr[0] / 4
    assert guard.check({"critic_loss": [0.0, math.nan]})[0].kind == "stopped"


def test_a_member_on_its_way_out_is_not_remembered(dataset):
    population = population_of(dataset, alpha=[1.0])
    guard, first = guard_of(population, dataset, rollbacks=1), weights(population, 0)
    fit(population, dataset, 5, Observer())
    assert guard.check({"q_data": [guard.limits[0] * 0.5]}) == []
    guard.check({"q_data": [math.inf]})
    assert same(weights(population, 0), first)


@pytest.mark.parametrize("rollbacks", [0, 2])
def test_the_others_train_on_bit_for_bit(dataset, tmp_path, rollbacks):
    """Plain CQL with a critic_lr of 1000 diverges within ten steps."""
    both = run(dataset, tmp_path / "both", rollbacks=rollbacks, critic_lr=[1e-3, 1e3])
    alone = run(dataset, tmp_path / "alone", rollbacks=rollbacks, critic_lr=[1e-3])
    for name, tensor in both.member(0).tensors().items():
        assert torch.equal(tensor, alone.tensors()[name]), name
    incidents = read_json(tmp_path / "both" / "status.json")["incidents"]
    assert [i["kind"] for i in incidents] == ["rolled back"] * rollbacks + ["stopped"]
    assert {i["member"] for i in incidents} == {"critic_lr=1000,seed=0"}
    assert "incidents" not in read_json(tmp_path / "alone" / "status.json")
    rows = read_metrics(tmp_path / "both" / "metrics.jsonl")
    guarded = [(r["step"], r["guard/rollbacks"], r["guard/stopped"]) for r in rows if "guard/stopped" in r]
    assert guarded == [(10 * (k + 1), min(k + 1, rollbacks), float(k == rollbacks)) for k in range(rollbacks + 1)]
    assert {r["member"] for r in rows if "guard/stopped" in r} == {1}


def test_the_last_checkpoint_in_which_a_stopped_member_was_well_stays(dataset, tmp_path):
    run(dataset, tmp_path / "run", keep=1, rollbacks=2, critic_lr=[1e-3, 1e3])
    assert [step for step, _ in checkpoint.steps(tmp_path / "run")] == [20, 60]
    kept = checkpoint.load(tmp_path / "run" / "checkpoints" / "step_20")[0]
    assert all(t.isfinite().all() for t in weights(kept, 1).values())


def test_a_run_with_setbacks_resumes_bit_for_bit(dataset, tmp_path):
    run(dataset, tmp_path / "once", rollbacks=9, critic_lr=[1e-3, 1e3])
    run(dataset, tmp_path / "twice", steps=25, rollbacks=9, critic_lr=[1e-3, 1e3])
    # What a kill after the checkpoint of step 20 leaves.
    for step, folder in checkpoint.steps(tmp_path / "twice"):
        if step > 20:
            folder.rename(tmp_path / "gone")
    resume(tmp_path / "twice", steps=60, dataset=dataset)
    assert_same_weights(tmp_path / "once", tmp_path / "twice")
    assert metrics_of(tmp_path / "once") == metrics_of(tmp_path / "twice")
    once, twice = (read_json(tmp_path / name / "status.json") for name in ("once", "twice"))
    assert once == twice
    assert len(once["incidents"]) >= 3


def test_a_member_that_was_no_number_to_begin_with_is_named(dataset):
    population = population_of(dataset, alpha=[1.0, 5.0])
    population.state.networks["critic"]["w0"][1] = math.nan
    guard = Guard(population, Options(rollbacks=3), largest_value(population, dataset))
    assert [(i.kind, i.member) for i in guard.begin()] == [("stopped", "alpha=5,seed=0")]


# --- weights that run away --------------------------------------------------------------------------------------------

IMPOSSIBLE = {"lagrange": True, "target_gap": -50.0, "lagrange_lr": 0.5}


def run_of(dataset, out, algorithm, steps, seeds=(0,), **settings):
    config = algorithms.get(algorithm).Config(**{**TINY[algorithm], "value_init": "zero", **settings})
    options = Options(steps=steps, log_every=10, checkpoint_every=10, threads=1, divergence_factor=None)
    return start.train(start.Request(dataset, algorithm, grid(config, {}, seeds), options, out))


@pytest.mark.parametrize("algorithm", ["cql", "cal_ql", "cql_redq"])
def test_a_multiplier_at_its_bound_is_said_recorded_and_reported(dataset, tmp_path, capsys, algorithm):
    population = run_of(dataset, tmp_path / "run", algorithm, 50, seeds=(0, 1), **IMPOSSIBLE)
    assert population.state.networks["lagrange"]["log"].tolist() == pytest.approx([math.log(1e6)] * 2)
    status = read_json(tmp_path / "run" / "status.json")
    found = [(row["kind"], row["member"], row["step"]) for row in status["incidents"]]
    assert found == [("multiplier at its bound", name, 30) for name in ("seed=0", "seed=1")], "once for each member"
    assert status["state"] == "finished"
    assert status["message"].endswith("step 50 of 50; not all went well: multiplier at its bound (2 members)")
    out = capsys.readouterr().out
    assert out.count("multiplier at its bound at step 30: the multiplier of alpha has grown to its bound of 1e+06") == 2
    assert "target_gap -50 is too low for these data, or lagrange_lr 0.5 too high" in out
    sentences = judge(read_run(tmp_path / "run"), {}).reasons
    assert any("Member seed=0: multiplier at its bound at step 30" in sentence for sentence in sentences)


def test_a_multiplier_at_zero_or_on_its_way_is_no_incident(dataset, tmp_path):
    population = run_of(dataset, tmp_path / "low", "cql", 50, lagrange=True, target_gap=1e4, lagrange_lr=0.5)
    assert float(population.state.networks["lagrange"]["log"]) < -5
    run_of(dataset, tmp_path / "way", "cql", 20, **IMPOSSIBLE)
    run_of(dataset, tmp_path / "off", "cql", 50, **{**IMPOSSIBLE, "lagrange": False})
    for name in ("low", "way", "off"):
        assert "incidents" not in read_json(tmp_path / name / "status.json")


def test_a_resumed_run_says_it_once(dataset, tmp_path, capsys):
    run_of(dataset, tmp_path / "run", "cql", 40, **IMPOSSIBLE)
    capsys.readouterr()
    resume(tmp_path / "run", 60, dataset)
    assert "multiplier at its bound at" not in capsys.readouterr().out
    status = read_json(tmp_path / "run" / "status.json")
    assert [row["step"] for row in status["incidents"]] == [30]
    assert status["message"].endswith("step 60 of 60; not all went well: multiplier at its bound")


@pytest.mark.parametrize("algorithm", ["cql", "sac"])
def test_a_temperature_that_runs_away_is_said(dataset, tmp_path, capsys, algorithm):
    """No policy within bounds has an entropy of 100, so tau grows in every step."""
    settings = {"target_entropy": 100.0, "temperature_lr": 1.0}
    run_of(dataset, tmp_path / "run", algorithm, 20, **settings)
    (row,) = read_json(tmp_path / "run" / "status.json")["incidents"]
    assert (row["kind"], row["member"], row["step"]) == ("temperature above all values", "seed=0", 10)
    assert "lower target_entropy or temperature_lr" in capsys.readouterr().out
    run_of(dataset, tmp_path / "fixed", algorithm, 20, **settings, learn_temperature=False, temperature=1e6)
    run_of(dataset, tmp_path / "falls", algorithm, 20, temperature=1e6)
    for name in ("fixed", "falls"):
        assert "incidents" not in read_json(tmp_path / name / "status.json")


def test_the_last_line_of_a_training_says_that_not_all_went_well(tmp_path, capsys):
    log = write_log(tmp_path / "log.npz")
    words = ["--lagrange", "--target-gap", "-50", "--lagrange-lr", "0.5", "--steps", "40", "--log-every", "10"]
    assert prudent("train", log, *flags("cql"), *words, "--threads", "1", "--out", tmp_path / "run") == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"finished: {tmp_path / 'run' / 'report.html'}; not all went well: multiplier at its bound"
    assert prudent("train", log, *flags("cql"), "--steps", "4", "--threads", "1", "--out", tmp_path / "sound") == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"finished: {tmp_path / 'sound' / 'report.html'}"
