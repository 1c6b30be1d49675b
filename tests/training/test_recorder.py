"""The best evaluation of a training, told from what is written down."""

import json
from types import SimpleNamespace

import pytest
import torch

from helpers.toys import FIGURES, Constants
from prudent.engine.options import Options
from prudent.training import recorder
from prudent.training.best_evaluation import BestEvaluation

TOY = "prudent/Toy-v0"
GRID = ["alpha=1,seed=0", "alpha=1,seed=1", "alpha=5,seed=0", "alpha=5,seed=1"]


class Scripted:
    """A summary in which every member returned what is written down."""

    def __init__(self, names, returns):
        empty = dict.fromkeys(FIGURES)
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
    monkeypatch.setattr(recorder.rollouts, "evaluate_both", lambda *_, **__: Scripted(names, next(given)))
    log = SimpleNamespace(log=lambda *_: None)
    population.state = SimpleNamespace(step=40)
    guard = SimpleNamespace(restore=lambda _: None)
    one = recorder.Recorder(population, Options(), folder, log, log, guard)
    found = []
    for step in range(10, 10 * len(evaluations) + 1, 10):
        best = one.evaluate(step, TOY)
        found.append((best, json.loads((folder / "evaluation.json").read_text())["best"]))
    return found, one


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
    assert one.best.tensor().tolist() == [10.5, 30, 0]


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
    one.best = BestEvaluation(["seed=0", "seed=1"])
    one.restore({"best": torch.tensor([7.0, 40.0, 0.0])})
    assert one.best.to_json() == {"step": 40, "return": 7.0, "setting": "all seeds"}
    one.restore({"best": torch.tensor([8.0, 50.0])})  # a checkpoint from before settings
    assert one.best.tensor().tolist() == [8.0, 50, 0]


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ("prudent/ToyRaise-v0", "the simulator fell over"),
        ("prudent/ToyReward-v0", "nan"),
        ("prudent/ToyObservation-v0", "nan"),
    ],
)
def test_an_environment_that_fails_is_an_incident(tmp_path, env, why):
    population = Constants([0.0])
    population.state = SimpleNamespace(step=40)
    said, logged = [], []
    progress = SimpleNamespace(log=lambda *_: None, say=said.append)
    log = SimpleNamespace(log=lambda *words: logged.append(words[:2]))
    one = recorder.Recorder(population, Options(), tmp_path, log, progress, None)
    assert not one.evaluate(40, env)
    (incident,) = one.incidents
    assert (incident["step"], incident["kind"], incident["member"]) == (40, "evaluation failed", None)
    assert why in incident["why"].lower()
    assert "\n" not in incident["why"]
    assert logged == [(40, {"eval/failed": 1.0})]
    assert said == [f"evaluation failed at step 40: {incident['why']}; training goes on"]
    assert json.loads((tmp_path / "status.json").read_text())["incidents"] == [incident]
    assert one.evaluate(40, TOY), "the next one counts"
