"""Early stopping."""

from types import SimpleNamespace

import numpy as np
import pytest

import prudent as package
from helpers.runs import TINY, columns, write_log
from prudent import EarlyStopping
from prudent.data import load_dataset
from prudent.errors import ConfigError
from prudent.runs.folder import read_json

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")


class Stub(SimpleNamespace):
    """As much of a training as early stopping asks for."""

    def __init__(self, members=1):
        super().__init__(names=[str(i) for i in range(members)], step=0, reason=None)

    def stop(self, reason):
        self.reason = reason


def run(stopping, *measurements, members=1, name="eval/return"):
    """Feeds figures until it stops; the number of them that it took, and the reason."""
    training = Stub(members)
    stopping.began(training)
    for count, figure in enumerate(measurements, start=1):
        training.step = 10 * count
        metrics = {name: np.atleast_1d(np.array(figure, dtype=np.float64))}
        (stopping.evaluated if name.startswith("eval/") else stopping.stepped)(training, metrics)
        if training.reason is not None:
            return count, training.reason
    return None, None


def test_it_stops_after_so_many_measurements_without_a_better_one():
    stopping = EarlyStopping("eval/return", patience=2)
    assert run(stopping, 1, 2, 1.5, 2) == (4, "eval/return has not risen since step 20")
    assert (stopping.best.tolist(), stopping.best_step) == ([2.0], 20)
    assert run(stopping, 1, 2, 1.5, 3, 2, 2.5) == (6, "eval/return has not risen since step 40"), "it begins anew"
    assert run(stopping, 1, 2, 3, 4, 5) == (None, None)


def test_losses_are_to_fall_and_min_delta_counts():
    name = "train/critic_loss"
    assert run(EarlyStopping(name, patience=1), 3, 2, 2.5, name=name) == (3, f"{name} has not fallen since step 20")
    small = EarlyStopping(name, patience=2, min_delta=0.5)
    assert run(small, 3, 2.6, 2.5, name=name)[0] == 3, "2.5 is not better than 3 by more than 0.5"
    assert run(small, 3, 2.4, 2.3, 1.8, name=name)[0] is None
    rising = EarlyStopping("train/q_data", patience=1, mode="max")
    assert run(rising, 1, 2, 1, name="train/q_data")[0] == 3


def test_each_member_has_its_own_best_and_the_last_to_improve_decides():
    stopping = EarlyStopping("eval/return", patience=2)
    assert run(stopping, [1, 5], [0, 6], [0, 5], [2, 5], [1, 1], [1, 1], members=2)[0] == 6
    assert stopping.best.tolist() == [2, 6]
    assert run(stopping, [np.nan, 5], [np.nan, 6], [np.nan, 5], [np.nan, 6], members=2)[0] == 4
    assert run(stopping, [np.nan, np.nan], [np.nan, np.nan], members=2)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "train/q_data"}, "whether train/q_data should rise or fall is not known: give mode max or min"),
        ({"metric": "actor_loss"}, "no metric is called 'actor_loss': names begin with train/ or eval/"),
        ({"metric": "eval/return", "min_delta": "a"}, "min_delta must be 0 or more"),
        ({"metric": "eval/return", "min_delta": float("inf")}, "min_delta must be 0 or more"),
        ({"metric": len}, "give mode max or min"),
        ({"metric": "eval/return", "mode": "up"}, "give mode max or min"),
        ({"metric": "eval/return", "patience": 0}, "patience must be a whole number of 1 or more"),
        ({"metric": "eval/return", "patience": 1.5}, "patience must be a whole number"),
        ({"metric": "eval/return", "min_delta": -1.0}, "min_delta must be 0 or more"),
        ({"metric": "eval/return", "min_delta": float("nan")}, "min_delta must be 0 or more"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, message):
    with pytest.raises(ConfigError, match=message):
        EarlyStopping(**arguments)


@pytest.fixture
def data(tmp_path):
    return load_dataset(write_log(tmp_path / "log.npz", **columns()))


def test_a_run_is_stopped_by_its_evaluations(data, tmp_path, monkeypatch):
    """Returns by evaluation: 1, 3, 2, 2, 2. With a patience of 3 it stops at the fifth."""
    returns = iter([1.0, 3.0, 2.0, 2.0, 2.0, 9.0])
    monkeypatch.setattr(
        "prudent.training.recorder.evaluation_metrics", lambda _: {"eval/return": [next(returns), None]}
    )
    agent = package.CQL(**{**TINY["cql"], "value_init": "zero"}, seeds=[0, 1], device="cpu")
    options = {"env": "Pendulum-v1", "eval_every": 10, "eval_episodes": 1, "log_every": 100, "threads": 1}
    agent.fit(data, 100, tmp_path / "run", callbacks=[EarlyStopping("eval/return", patience=3)], **options)
    status = read_json(tmp_path / "run" / "status.json")
    assert status["stopped_by"] == "EarlyStopping"
    assert status["message"] == "stopped by EarlyStopping at step 50 of 100: eval/return has not risen since step 20"
    assert agent.population.state.step == 50


def test_a_function_measures_what_one_likes_in_memory_too(data):
    """Behaviour cloning stops when the error on other rows no longer falls."""
    held_out = data.observation[:40], data.action[:40]
    asked = []

    def error(training):
        rows = np.stack([held_out[0]] * len(training.names))
        asked.append(np.square(training.population.act(rows) - held_out[1]).mean((1, 2)))
        return asked[-1] if len(asked) < 4 else np.full(2, np.inf)

    agent = package.BC(**TINY["bc"], seeds=[0, 1], device="cpu")
    stopping = EarlyStopping(error, patience=2, mode="min")
    agent.fit(data, 1000, callbacks=[stopping], log_every=10)
    assert agent.population.state.step == 10 * len(asked) <= 50
    np.testing.assert_array_equal(stopping.best, np.min(asked[:3], axis=0))


def test_a_metric_that_is_not_measured_is_one_line(data):
    agent = package.BC(**TINY["bc"], device="cpu")
    with pytest.raises(ConfigError, match=r"no metric is called train/critic_loss; here there are train/actor_loss"):
        agent.fit(data, 10, callbacks=[EarlyStopping("train/critic_loss")])
