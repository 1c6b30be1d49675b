"""Callbacks of a training, in memory and in a run folder."""

import json

import numpy as np
import pytest

import prudent as package
from helpers.runs import TINY, assert_same_weights, metrics_of, write_log
from prudent.data import load_dataset
from prudent.engine.population import Population
from prudent.errors import ConfigError, Interrupted
from prudent.runs import checkpoint
from prudent.runs.folder import read_json
from prudent.runs.metrics import read_metrics
from prudent.training import callbacks as module
from prudent.training.resume import resume

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")

EVERY = {"log_every": 10, "checkpoint_every": 20, "threads": 1}
ENV = {"env": "Pendulum-v1", "eval_every": 20, "eval_episodes": 1}
SETTINGS = {**TINY["cql"], "value_init": "zero", "seeds": [0, 1], "device": "cpu"}


@pytest.fixture
def data(tmp_path):
    return load_dataset(write_log(tmp_path / "log.npz"))


def agent(**settings):
    return package.CQL(**{**SETTINGS, **settings})


class Diary(package.Callback):
    """Writes down what it is told."""

    def __init__(self, stop_at=None, on="stepped", fail_at=None, error=KeyError):
        self.pages, self.seen = [], []
        self.stop_at, self.on, self.fail_at, self.error = stop_at, on, fail_at, error

    def note(self, event, training, *details):
        self.pages.append((event, training.step, *details))
        if event == self.on and training.step == self.stop_at:
            training.stop("enough is  \n known")
        if event == self.on and training.step == self.fail_at:
            raise self.error("a page is torn")

    def began(self, training):
        self.training = training
        self.note("began", training)

    def stepped(self, training, metrics):
        self.seen.append(("train", training.step, metrics))
        self.note("stepped", training)

    def evaluated(self, training, metrics):
        self.seen.append(("eval", training.step, metrics))
        self.note("evaluated", training)

    def saved(self, training, place):
        checkpoint.read(place)  # it is complete
        self.note("saved", training, place.name)

    def ended(self, training, state, message):
        self.note("ended", training, state, message)


def same(one, other):
    left, right = one.population.tensors(), other.population.tensors()
    return all(np.array_equal(left[name], right[name]) for name in left)


# --- what is called, and when ----------------------------------------------------------------------------------------


def test_in_a_folder_each_event_comes_in_its_order(data, tmp_path):
    diary = Diary()
    agent().fit(data, 45, tmp_path / "run", callbacks=[diary], **EVERY, **ENV)
    assert diary.pages == [
        ("began", 0),
        ("stepped", 10),
        ("stepped", 20),
        ("evaluated", 20),
        ("saved", 20, "step_20"),
        ("stepped", 30),
        ("stepped", 40),
        ("evaluated", 40),
        ("saved", 40, "step_40"),
        ("stepped", 45),
        ("evaluated", 45),
        ("saved", 45, "step_45"),
        ("ended", 45, "finished", ""),
    ]
    assert diary.training.folder == tmp_path / "run"
    assert (diary.training.steps, diary.training.names) == (45, ["seed=0", "seed=1"])


def test_figures_are_those_of_the_log_one_per_member(data, tmp_path):
    """A population of four: figures in the order of training.names."""
    diary = Diary()
    agent(alpha=[1.0, 5.0]).fit(data, 20, tmp_path / "run", callbacks=[diary], **EVERY, **ENV)
    rows = list(read_metrics(tmp_path / "run" / "metrics.jsonl"))
    assert [(kind, step) for kind, step, _ in diary.seen] == [("train", 10), ("train", 20), ("eval", 20)]
    for kind, step, metrics in diary.seen:
        for member, name in enumerate(diary.training.names):
            (row,) = [r for r in rows if r["step"] == step and r["name"] == name and f"{kind}/" in " ".join(r)]
            for metric, figures in metrics.items():
                assert figures.dtype == np.float64
                assert figures.shape == ((4,) if not metric.startswith("time/") else ())
                expected = row[metric]
                figure = figures[member] if figures.ndim else figures
                assert figure == expected or (np.isnan(figure) and np.isnan(expected))
    assert "train/critic_loss" in diary.seen[0][2]
    assert "eval/return" in diary.seen[2][2]


def test_in_memory_it_is_told_of_steps_alone_and_trains_the_same(data):
    diary, plain = Diary(), agent().fit(data, 25)
    told = agent().fit(data, 25, callbacks=[diary], log_every=10)
    assert [page[:2] for page in diary.pages] == [
        ("began", 0), ("stepped", 10), ("stepped", 20), ("stepped", 25), ("ended", 25)
    ]  # fmt: skip
    assert diary.pages[-1] == ("ended", 25, "finished", "")
    assert diary.training.folder is None
    assert all(figures.shape == (2,) for _, _, metrics in diary.seen for figures in metrics.values())
    assert same(told, plain)
    # Going on: steps count on.
    told.fit(data, 10, warm_start=True, callbacks=[diary], log_every=10)
    assert [page[:2] for page in diary.pages[5:]] == [("began", 25), ("stepped", 30), ("stepped", 35), ("ended", 35)]
    assert diary.training.steps == 35


def test_the_means_are_those_of_every_step_in_between(data, monkeypatch):
    diary, steps = Diary(), []
    step = Population.step

    def kept(self, source):
        metrics = step(self, source)
        steps.append({name: value.numpy().copy() for name, value in metrics.items()})
        return metrics

    monkeypatch.setattr(Population, "step", kept)
    agent().fit(data, 20, callbacks=[diary], log_every=10)
    for index, (_, _, metrics) in enumerate(diary.seen):
        part = [one["critic_loss"] for one in steps[10 * index : 10 * index + 10]]
        np.testing.assert_allclose(metrics["train/critic_loss"], np.mean(part, axis=0), rtol=1e-5)


def test_without_callbacks_nothing_is_fetched(data, monkeypatch):
    """A metric leaves the device when a callback is to be told, and only then."""
    fetched = []
    monkeypatch.setattr(module, "figures", lambda metrics: fetched.append(1) or metrics)
    agent().fit(data, 40)
    assert fetched == []
    agent().fit(data, 40, callbacks=[Diary()], log_every=10)
    assert len(fetched) == 4


def test_any_object_with_one_of_the_methods_will_do(data, tmp_path):
    class Counter:
        count = 0

        def saved(self, training, place):
            self.count += training.step == int(place.name[5:])

    counter = Counter()
    agent().fit(data, 40, tmp_path / "run", callbacks=[counter, Diary()], **EVERY)
    assert counter.count == 2


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Diary(), "callbacks must be a list"),
        ("began", "callbacks must be a list"),
        ([len], "none of the methods began, stepped, evaluated, saved, ended"),
        ([Diary], "Diary is a class: hand over an object"),
        ([package.EarlyStopping("eval/return")], r"EarlyStopping waits for evaluations: give an environment \(env\)"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_is_written(data, tmp_path, callbacks, message):
    for out in (None, tmp_path / "run"):
        one = agent()
        with pytest.raises(ConfigError, match=message):
            one.fit(data, 10, out, callbacks=callbacks)
        assert one.population is None
        assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="log_every: only with out"):
        agent().fit(data, 10, log_every=5)


# --- stopping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "at"), [("began", 0), ("stepped", 10), ("stepped", 20), ("evaluated", 20), ("saved", 20)]
)
def test_a_callback_stops_the_training_cleanly(data, tmp_path, on, at):
    diary = Diary(stop_at=at, on=on)
    stopped = agent().fit(data, 100, tmp_path / "run", callbacks=[diary], **EVERY, **ENV)
    message = f"stopped by Diary at step {at} of 100: enough is known"
    assert stopped.population.state.step == at
    assert diary.pages[-1] == ("ended", at, "stopped", message)
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["step"], status["steps"]) == ("finished", at, 100)
    assert (status["stopped_by"], status["message"]) == ("Diary", message)
    # It is logged, evaluated and saved as after a last step, and nothing twice.
    pages = [page[0] for page in diary.pages if page[1] == at]
    assert pages.count("saved") == pages.count("evaluated") == 1
    assert pages.count("stepped") == (1 if at else 0), "without a step there are no figures of steps"
    assert read_json(tmp_path / "run" / "evaluation.json")["step"] == at
    loaded, _ = checkpoint.load(tmp_path / "run")
    assert loaded.state.step == at
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_stopped_run_can_be_taken_on(data, tmp_path):
    agent().fit(data, 60, tmp_path / "whole", **EVERY)
    agent().fit(data, 60, tmp_path / "run", callbacks=[Diary(stop_at=30)], **EVERY)
    diary = Diary()
    resume(tmp_path / "run", dataset=data, callbacks=[diary])
    assert diary.pages[0] == ("began", 30)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "whole")
    assert "stopped_by" not in read_json(tmp_path / "run" / "status.json")


def test_in_memory_too(data):
    stopped = agent().fit(data, 100, callbacks=[Diary(stop_at=30)], log_every=10)
    assert stopped.population.state.step == 30
    assert same(stopped, agent().fit(data, 30))
    at_once = agent().fit(data, 100, callbacks=[Diary(stop_at=0, on="began")])
    assert at_once.population.state.step == 0


def test_the_first_to_ask_is_the_one_that_is_named(data, tmp_path):
    class Other(Diary):
        pass

    both = [Other(stop_at=10), Diary(stop_at=10)]
    agent().fit(data, 50, tmp_path / "run", callbacks=both, **EVERY)
    assert read_json(tmp_path / "run" / "status.json")["stopped_by"] == "Other"
    assert both[1].pages[-1][2] == "stopped"


def test_an_interrupted_run_ends_as_such(data, tmp_path):
    diary = Diary()
    with pytest.raises(Interrupted):
        agent().fit(data, 50, tmp_path / "run", callbacks=[diary], max_minutes=1e-9, **EVERY)
    event, step, state, message = diary.pages[-1]
    assert (event, step, state) == ("ended", 1, "interrupted")
    assert "max_minutes" in message
    assert read_json(tmp_path / "run" / "status.json")["state"] == "interrupted"


# --- exceptions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on", "at"), [("began", 0), ("stepped", 10), ("evaluated", 20), ("saved", 20)])
@pytest.mark.parametrize("error", [KeyError, OSError, SystemExit])
def test_an_exception_ends_the_run_after_saving(data, tmp_path, on, at, error):
    diary, other = Diary(fail_at=at, on=on, error=error), Diary()
    with pytest.raises(error, match="a page is torn") as caught:
        agent().fit(data, 60, tmp_path / "run", callbacks=[diary, other], **EVERY, **ENV)
    note = f"raised by the callback Diary.{on} at step {at}"
    assert caught.value.__notes__ == [note]
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["step"]) == ("failed", at)
    assert note in status["message"]
    assert error.__name__ in status["message"]
    # Only ended is still called, of both.
    for one in (diary, other):
        assert one.pages[-1][:3] == ("ended", at, "failed")
    assert (on, at) not in [page[:2] for page in other.pages]
    # Nothing is lost: the run can be resumed.
    agent().fit(data, 60, tmp_path / "whole", **EVERY, **ENV)
    resume(tmp_path / "run", dataset=data)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_callback_that_interrupts_ends_the_run_after_saving(data, tmp_path):
    """As Ctrl-C does: the line says how to go on, and that is possible."""
    diary = Diary(fail_at=10, error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt, match="go on with"):
        agent().fit(data, 20, tmp_path / "run", callbacks=[diary], **EVERY)
    assert diary.pages[-1][:3] == ("ended", 10, "failed")
    assert read_json(tmp_path / "run" / "status.json")["step"] == 10
    agent().fit(data, 20, tmp_path / "whole", **EVERY)
    resume(tmp_path / "run", dataset=data)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_in_memory_the_agent_stays_as_it_was(data):
    one, diary = agent(), Diary(fail_at=10)
    with pytest.raises(KeyError):
        one.fit(data, 30, callbacks=[diary], log_every=10)
    assert one.population is None
    assert diary.pages[-1][:3] == ("ended", 10, "failed")
    diary = Diary(fail_at=10, error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        agent().fit(data, 30, callbacks=[diary], log_every=10)
    assert diary.pages[-1][:3] == ("ended", 10, "failed")
    one.fit(data, 20)
    with pytest.raises(KeyError):
        one.fit(data, 30, warm_start=True, callbacks=[Diary(fail_at=30)], log_every=10)
    assert one.population.state.step == 30, "a warm start keeps the steps made so far"


def test_ended_of_all_is_called_and_its_exception_is_raised(data, tmp_path):
    diary, other = Diary(fail_at=20, on="ended"), Diary()
    with pytest.raises(KeyError, match="a page is torn"):
        agent().fit(data, 20, tmp_path / "run", callbacks=[diary, other], **EVERY)
    assert other.pages[-1][:3] == ("ended", 20, "finished")
    assert read_json(tmp_path / "run" / "status.json")["state"] == "finished"
    with pytest.raises(KeyError):
        agent().fit(data, 20, callbacks=[Diary(fail_at=20, on="ended")])


def test_what_ended_raises_does_not_hide_what_came_first(data, tmp_path):
    class Both(Diary):
        def stepped(self, training, metrics):  # noqa: ARG002
            raise ZeroDivisionError("first")

        def ended(self, training, state, message):  # noqa: ARG002
            raise KeyError("second")

    for out in (tmp_path / "run", None):
        with pytest.raises(ZeroDivisionError, match="first") as caught:
            agent().fit(data, 10, out, callbacks=[Both()])
        assert caught.value.__notes__[-1] == "and then: KeyError: 'second'"
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"
