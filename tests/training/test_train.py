"""Runs: what they leave behind, and that stopping one at any moment changes nothing about its end."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.runs import TINY, assert_same_weights, columns, flags, metrics_of, prudent, task_of, tree, write_log
from prudent import algorithms, files, report
from prudent.data import load_dataset
from prudent.data.readers.mapping import read_map
from prudent.engine.loop import Observer
from prudent.engine.members import grid
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.engine.process import choose_device
from prudent.errors import ConfigError, DataError, PrudentError
from prudent.evaluation import video
from prudent.runs import checkpoint, folder
from prudent.runs.folder import locked, read_json, write_json
from prudent.runs.metrics import METRIC_NAMES, JsonlLogger, read_metrics
from prudent.runs.status import write_status
from prudent.training import recorder
from prudent.training import start as train
from prudent.training.interrupts import stop_requests
from prudent.training.resume import resume
from prudent.types import Totals

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")

EVERY = {"log_every": 50, "checkpoint_every": 50, "threads": 1}


def members(algorithm="cql", seeds=(0, 1), varied=None, **settings):
    return grid(algorithms.get(algorithm).Config(**{**TINY[algorithm], **settings}), varied or {}, seeds)


def start(log, out, steps, algorithm="cql", **options):
    sources = {"source": str(log)}
    chosen = Options(steps=steps, **{**EVERY, **options})
    return train.train(
        train.Request(load_dataset(**sources), algorithm, members(algorithm), chosen, Path(out), sources)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One uninterrupted run of 200 steps per algorithm, made when first asked for."""
    made = {}

    def run(algorithm):
        if algorithm not in made:
            folder = tmp_path_factory.mktemp(f"whole-{algorithm}")
            made[algorithm] = folder / "run"
            start(write_log(folder / "log.npz"), made[algorithm], 200, algorithm)
        return made[algorithm]

    return run


# --- the same end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["cql", "sac", "bc"])
@pytest.mark.parametrize("how", ["python", "command line"])
def test_100_steps_and_100_more_are_200_bit_for_bit(log, tmp_path, whole, algorithm, how):
    run = tmp_path / "run"
    if how == "python":
        start(log, run, 100, algorithm)
        resume(run, steps=200)
    else:
        every = [word for name, value in EVERY.items() for word in ("--" + name.replace("_", "-"), value)]
        assert prudent("train", log, *flags(algorithm), "--seeds", 0, 1, "--steps", 100, *every, "--out", run) == 0
        assert prudent("train", "--resume", run, "--steps", 200) == 0
    assert_same_weights(run, whole(algorithm))
    assert metrics_of(run) == metrics_of(whole(algorithm))
    assert read_json(run / "status.json")["state"] == "finished"
    assert read_json(run / "config.json")["train"]["steps"] == 200


SLOW = """
import sys, time
from prudent import cli
from prudent.engine.population import Population
from prudent.report import style

def slow(self, data, real=Population.step):
    time.sleep(0.05 if self.state.step >= 50 else 0)
    return real(self, data)

Population.step = slow
style.save_png = lambda figure, path, dpi=0: (path.write_bytes(b""), path)[1]
cli.main(sys.argv[1:])
"""
"""The command line with slow steps from the first line of metrics on, so that there is time to stop it, and with blank
pictures."""


def launch(log, run, *more):
    """``prudent train`` in a process of its own, returned when its first line of metrics is out."""
    words = ["train", log, *flags("cql"), "--seeds", 0, 1, "--steps", 200, "--log-every", 50, "--threads", 1]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, [*words, *more]), "--out", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("step"):
            return process
    raise AssertionError(process.communicate()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_the_resumed_run_ends_the_same(log, tmp_path, whole, number, capsys):
    run = tmp_path / "run"
    process = launch(log, run, "--checkpoint-every", 50)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert errors.count("\n") == 1
    assert f"stopped by {number.name}" in errors
    assert f"prudent train --resume {run}" in errors
    status = read_json(run / "status.json")
    assert status["state"] == "interrupted"
    assert 50 <= status["step"] < 200
    assert checkpoint.steps(run)[-1][0] == status["step"]
    assert "<html" in (run / "report.html").read_text()
    assert prudent("train", "--resume", run) == 0
    assert "may differ" not in capsys.readouterr().out
    assert_same_weights(run, whole("cql"))
    assert metrics_of(run) == metrics_of(whole("cql"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_second_signal_ends_a_run_at_once(log, tmp_path, number):
    """Also one that is busy for a minute: here its first step after the first signal."""
    script = """
import sys, time
from prudent import cli
from prudent.engine.population import Population

def busy(self, data, real=Population.step):
    if self.state.step == 20:
        print("busy", flush=True)
        time.sleep(60)
    return real(self, data)

Population.step = busy
cli.main(sys.argv[1:])
"""
    words = ["train", log, *flags("bc"), "--steps", 1000, "--checkpoint-every", 10, "--threads", 1]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words), "--out", str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("busy"):
            break
    process.send_signal(signal.SIGINT)
    # The first one is heard when Python gets to it; until then a second of its kind would be the same one.
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
        process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == -number, errors
    assert checkpoint.steps(tmp_path / "run")[-1][0] == 20


def test_the_time_limit_saves_and_the_resumed_run_ends_the_same(log, tmp_path, whole, monkeypatch, capsys):
    run, real = tmp_path / "run", time.monotonic
    ahead = 0.0

    def step(self, data, real=Population.step):
        nonlocal ahead
        if self.state.step == 60:
            ahead = 90 * 60
        return real(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Population, "step", step)
        patch.setattr(recorder.time, "monotonic", lambda: real() + ahead)
        every = [word for name, value in EVERY.items() for word in ("--" + name.replace("_", "-"), value)]
        words = [*flags("cql"), "--seeds", 0, 1, "--steps", 200, *every, "--max-minutes", 60, "--out", run]
        assert prudent("train", log, *words) == 130
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "stopped at step 61, after the 60 minutes of max_minutes" in errors
    assert f"prudent train --resume {run}" in errors
    assert read_json(run / "status.json")["state"] == "interrupted"
    assert prudent("train", "--resume", run, "--max-minutes", 1e-9) == 130
    assert checkpoint.steps(run)[-1][0] == 62
    assert prudent("train", "--resume", run) == 0
    assert_same_weights(run, whole("cql"))
    assert metrics_of(run) == metrics_of(whole("cql"))


@pytest.mark.parametrize("checkpoint_every", [10, 2000])
def test_a_killed_run_ends_the_same(log, tmp_path, whole, checkpoint_every, capsys):
    """With a checkpoint behind it, or killed before the first one."""
    run = tmp_path / "run"
    process = launch(log, run, "--checkpoint-every", checkpoint_every)
    process.kill()
    process.communicate()
    assert read_json(run / "status.json")["state"] == "running"
    assert prudent("train", "--resume", run) == 0
    assert ("starts over" in capsys.readouterr().out) == (checkpoint_every == 2000)
    assert_same_weights(run, whole("cql"))
    assert metrics_of(run) == metrics_of(whole("cql"))


def full_disk(monkeypatch, steps):
    """Only a part of the checkpoints of these steps fits on the disk."""
    real = files.write

    def full(path, content):
        if any(f"step_{step}" in str(path) for step in steps) and path.name != checkpoint.STATE:
            path.write_bytes(content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, content)

    monkeypatch.setattr(files, "write", full)


def test_a_full_disk_at_the_end_is_one_line_and_the_run_can_go_on(log, tmp_path, whole, monkeypatch, capsys):
    run = tmp_path / "run"
    every = ["--log-every", 50, "--checkpoint-every", 50, "--threads", 1]
    with monkeypatch.context() as patch:
        full_disk(patch, [100, 150, 200])
        assert prudent("train", log, *flags("cql"), "--seeds", 0, 1, "--steps", 200, *every, "--out", run) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "the last steps are not saved: " in said.err
    assert "checkpoint.json: No space left on device; mend that and go on with: prudent train --resume" in said.err
    assert said.out.count("save failed at step") == 2
    assert [f.name for f in (run / "checkpoints").iterdir()] == ["step_50"]
    assert read_json(run / "status.json")["state"] == "failed"
    assert prudent("train", "--resume", run) == 0
    assert_same_weights(run, whole("cql"))
    assert metrics_of(run) == metrics_of(whole("cql"))
    assert "incidents" not in read_json(run / "status.json"), "they were of steps that were made again"


def test_a_full_disk_on_the_way_is_said_and_tried_again(log, tmp_path, monkeypatch, capsys):
    start(log, tmp_path / "never", 40, "bc", checkpoint_every=10, log_every=10)
    full_disk(monkeypatch, [10, 30])
    start(log, tmp_path / "run", 40, "bc", checkpoint_every=10, log_every=10)
    assert [step for step, _ in checkpoint.steps(tmp_path / "run")] == [20, 40]
    assert "save failed at step 10: " in capsys.readouterr().out
    status = read_json(tmp_path / "run" / "status.json")
    assert status["state"] == "finished"
    assert [(i["step"], i["kind"], i["member"]) for i in status["incidents"]] == [
        (10, "save failed", None),
        (30, "save failed", None),
    ]
    assert "No space left" in status["incidents"][0]["why"]
    assert_same_weights(tmp_path / "run", tmp_path / "never")


def test_small_files_that_cannot_be_written_do_not_stop_a_run(log, tmp_path, monkeypatch, capsys):
    real = files.replace

    def refuse(path, content, durable=True):
        if path.name in ("status.json", "evaluation.json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, content, durable)

    monkeypatch.setattr(files, "replace", refuse)
    start(log, tmp_path / "run", 20, "bc", env="Pendulum-v1", eval_every=10, eval_episodes=1, log_every=5)
    out = capsys.readouterr().out
    assert out.count("status.json: Permission denied; training goes on") == 1
    assert out.count("evaluation.json: Permission denied; training goes on") == 2
    assert checkpoint.steps(tmp_path / "run")[-1][0] == 20


def test_metrics_that_a_full_disk_does_not_take_wait_and_hold_the_checkpoint_back(log, tmp_path, monkeypatch):
    start(log, tmp_path / "never", 40, "bc", checkpoint_every=10, log_every=10)
    real, step_now = JsonlLogger._write, Population.step

    def write(self):
        if 10 <= now[0] < 30:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        real(self)

    def step(self, data):
        now[0] += 1
        return step_now(self, data)

    now = [0]
    monkeypatch.setattr(JsonlLogger, "_write", write)
    monkeypatch.setattr(Population, "step", step)
    start(log, tmp_path / "run", 40, "bc", checkpoint_every=10, log_every=10)
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "never")
    assert [step for step, _ in checkpoint.steps(tmp_path / "run")] == [30, 40]
    kinds = [i["kind"] for i in read_json(tmp_path / "run" / "status.json")["incidents"]]
    assert kinds == ["metrics wait", "save failed"] * 2


@pytest.mark.parametrize("error", [RuntimeError("the simulator\nfell over"), PrudentError("reward is NaN")])
def test_an_evaluation_that_fails_is_recorded_and_training_goes_on(log, tmp_path, monkeypatch, capsys, error):
    start(log, tmp_path / "never", 30, "bc", checkpoint_every=10, log_every=10)
    real = recorder.rollouts.evaluate_both

    def both(population, env, **options):
        if population.state.step == 20:
            raise error
        return real(population, env, **options)

    monkeypatch.setattr(recorder.rollouts, "evaluate_both", both)
    options = {"env": "Pendulum-v1", "eval_every": 10, "eval_episodes": 1}
    start(log, tmp_path / "run", 30, "bc", checkpoint_every=10, log_every=10, **options)
    assert "evaluation failed at step 20: " in capsys.readouterr().out
    (incident,) = read_json(tmp_path / "run" / "status.json")["incidents"]
    assert (incident["step"], incident["kind"]) == (20, "evaluation failed")
    assert "\n" not in incident["why"]
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert {row["step"] for row in rows if "eval/return" in row} == {10, 30}
    assert {row["step"] for row in rows if row.get("eval/failed") == 1} == {20}
    for name, tensor in checkpoint.load(tmp_path / "never")[0].tensors().items():
        assert torch.equal(checkpoint.load(tmp_path / "run")[0].tensors()[name], tensor), name


def test_a_clock_that_is_set_back_changes_nothing(log, tmp_path, monkeypatch):
    options = {"log_every": 10, "checkpoint_every": 10, "max_minutes": 60.0}
    start(log, tmp_path / "never", 40, "bc", **options)
    clock = itertools.count(4e9, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    start(log, tmp_path / "run", 20, "bc", **options)
    resume(tmp_path / "run", steps=40)
    assert next(clock) < 4e9 - 2 * 3600, "nothing read the clock"
    assert_same_weights(tmp_path / "run", tmp_path / "never")
    assert metrics_of(tmp_path / "run") == metrics_of(tmp_path / "never")
    assert [step for step, _ in checkpoint.steps(tmp_path / "run")] == [20, 30, 40]


def test_a_report_that_cannot_be_written_is_no_lost_run(log, tmp_path, monkeypatch, capsys):
    def full(_folder):
        raise OSError(errno.ENOSPC, "No space left on device", "run/curves.png")

    monkeypatch.setattr(report, "write_report", full)
    run = tmp_path / "run"
    assert prudent("train", log, *flags("bc"), "--steps", 5, "--out", run) == 2
    assert capsys.readouterr().err == (
        f"prudent: {run} is finished and saved, its report is not (run/curves.png: No space left on device); "
        f"once that is mended: prudent report {run}\n"
    )
    assert read_json(run / "status.json")["state"] == "finished"


def test_a_run_folder_that_may_not_be_written_to_is_refused(log, tmp_path, monkeypatch):
    start(log, tmp_path / "run", 5, "bc")
    before = tree(tmp_path / "run")
    monkeypatch.setattr(folder.os, "access", lambda _path, _mode: False)
    with pytest.raises(ConfigError, match="may not be written to: mend its permissions"):
        resume(tmp_path / "run", steps=10)
    assert tree(tmp_path / "run") == before


def test_a_run_taken_further_between_two_lines_keeps_its_averages(log, tmp_path):
    start(log, tmp_path / "once", 30, "bc", log_every=20)
    start(log, tmp_path / "twice", 15, "bc", log_every=20)
    resume(tmp_path / "twice", steps=30)
    once, twice = metrics_of(tmp_path / "once"), metrics_of(tmp_path / "twice")
    # Its own last line stays; all others are those of the run that was never stopped.
    assert [line for line in twice if '"step": 15' not in line] == once
    assert_same_weights(tmp_path / "once", tmp_path / "twice")


# --- intervals --------------------------------------------------------------------------------------------------------


def test_the_last_step_is_logged_evaluated_and_saved_whatever_the_intervals(log, tmp_path):
    run = tmp_path / "run"
    start(log, run, 25, env="Pendulum-v1", log_every=10, eval_every=15, checkpoint_every=20, eval_episodes=1, keep=9)
    rows = read_metrics(run / "metrics.jsonl")
    assert sorted({row["step"] for row in rows if "train/critic_loss" in row}) == [10, 20, 25]
    assert rows[0]["step"] == 0
    assert "init/critic_loss" in rows[0]
    assert sorted({row["step"] for row in rows if "eval/return" in row}) == [15, 25]
    saved = {step for step, _ in checkpoint.steps(run)}
    assert {15, 20, 25} == saved  # 15: the best evaluation so far
    assert all(row["time/ms_per_step"] > 0 for row in rows if "time/ms_per_step" in row)


def test_fewer_steps_than_every_interval(log, tmp_path):
    start(log, tmp_path / "run", 3, log_every=1000, checkpoint_every=1000)
    assert {row["step"] for row in read_metrics(tmp_path / "run" / "metrics.jsonl")} == {0, 3}
    assert [step for step, _ in checkpoint.steps(tmp_path / "run")] == [3]


def test_status_moves_with_every_line_of_metrics(log, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(recorder, "write_status", lambda *words: told.append(words[1:4]))
    start(log, tmp_path / "run", 30, "bc", log_every=10, checkpoint_every=1000)
    assert [words for i, words in enumerate(told) if words not in told[:i]] == [
        ("running", 0, 30),
        ("running", 10, 30),
        ("running", 20, 30),
        ("running", 30, 30),
        ("finished", 30, 30),
    ]


def test_newest_and_best_checkpoints_stay(log, tmp_path, monkeypatch):
    returns = iter([1.0, 5.0, 2.0, 3.0, 4.0, 0.0])

    class Found:
        def summary(self):
            figures = dict.fromkeys(
                ("return_std", "normalized_score", "predicted_value", "realized_value", "lower_bound_share")
            )
            figures["return_mean"] = next(values)
            table = {"overall": figures, "members": dict.fromkeys(["seed=0", "seed=1"], figures)}
            return {**table, "deterministic": table, "stochastic": table}

    def both(*_words, **_options):
        nonlocal values
        value = next(returns)
        values = iter(lambda: value, None)
        return Found()

    values = iter(())
    monkeypatch.setattr(recorder.rollouts, "evaluate_both", both)
    start(log, tmp_path / "run", 60, "bc", env="Pendulum-v1", eval_every=10, checkpoint_every=10, keep=2)
    assert [step for step, _ in checkpoint.steps(tmp_path / "run")] == [20, 50, 60]


def test_metrics_of_some_steps_only_are_averaged_over_those():
    observer = Observer()
    for step in range(1, 5):
        metrics = {"a": torch.tensor([1.0]), **({"b": torch.tensor([3.0])} if step % 2 else {})}
        observer.stepped(step, Totals.of(metrics))
    assert {name: mean.item() for name, mean in observer.totals.means().items()} == {"a": 1.0, "b": 3.0}


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize("algorithm", algorithms.names())
def test_every_metric_is_documented(tmp_path, algorithm):
    settings = {"cql": {"lagrange": True}}.get(algorithm, {})
    env, columns = task_of(algorithm)
    options = Options(steps=2, env=env, eval_episodes=1, log_every=1, threads=1)
    data = load_dataset(write_log(tmp_path / "log.npz", **columns))
    train.train(train.Request(data, algorithm, members(algorithm, **settings), options, tmp_path / "run"))
    names = {key for row in read_metrics(tmp_path / "run" / "metrics.jsonl") for key in row if "/" in key}
    assert {name.replace("init/", "train/") for name in names} <= set(METRIC_NAMES)
    loss = "train/critic_loss" if algorithms.get(algorithm).POLICY == "greedy" else "train/actor_loss"
    assert {loss, "time/ms_per_step", "time/steps_per_second", "eval/return"} <= names


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("report_works", [True, False])
def test_a_failure_is_told_and_never_hidden_by_another(log, tmp_path, monkeypatch, report_works):
    real = Population.step

    def step(self, data):
        if self.state.step == 5:
            raise RuntimeError("the machine is on fire")
        return real(self, data)

    def broken(_folder):
        raise OSError("no report either")

    monkeypatch.setattr(Population, "step", step)
    if not report_works:
        monkeypatch.setattr(report, "write_report", broken)
    with pytest.raises(RuntimeError, match="on fire"):
        start(log, tmp_path / "run", 30)
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["step"]) == ("failed", 5)
    assert "on fire" in status["message"]
    assert (tmp_path / "run" / "report.html").exists() == report_works


def test_a_diverged_member_is_named_and_a_run_of_only_such_stops(log, tmp_path, capsys):
    sources, options = {"source": str(log)}, Options(steps=40, log_every=10, threads=1)
    some = members(varied={"critic_lr": [1e-3, 1e30]}, seeds=[0])
    train.train(train.Request(load_dataset(**sources), "cql", some, options, tmp_path / "some", sources))
    out = capsys.readouterr().out
    assert out.count("stopped at step") == 1
    assert "critic_lr=1e+30,seed=0: stopped at step 0: its weights are not finite" in out
    assert "nan" not in out.split("stopped at step")[1].partition("\n")[2], "the mean is of the members that train"
    with pytest.raises(PrudentError, match="every member has diverged by step"):
        train.train(
            train.Request(load_dataset(**sources), "cql", members(critic_lr=1e30), options, tmp_path / "all", sources)
        )
    assert read_json(tmp_path / "all" / "status.json")["state"] == "failed"


def test_a_second_process_on_a_run_is_refused(log, tmp_path):
    start(log, tmp_path / "run", 5, "bc")
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with locked(tmp_path / "run"), pytest.raises(ConfigError, match="another process"):
        resume(tmp_path / "run", steps=10)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    assert resume(tmp_path / "run", steps=10).state.step == 10


def test_other_data_are_refused_and_moved_data_are_found_when_named(log, tmp_path, capsys):
    start(log, tmp_path / "run", 5, "bc")
    moved = tmp_path / "elsewhere.npz"
    shutil.move(log, moved)
    assert prudent("train", "--resume", tmp_path / "run", "--steps", 10) == 2
    errors = capsys.readouterr().err
    assert "no such file" in errors
    assert "if they are elsewhere now, name them" in errors
    assert errors.count("\n") == 1
    assert prudent("train", "--resume", tmp_path / "run", moved, "--steps", 10) == 0
    other = write_log(tmp_path / "other.npz", rewards=torch.zeros(240).numpy())
    assert prudent("train", "--resume", tmp_path / "run", other, "--steps", 15) == 2
    assert "other data" in capsys.readouterr().err
    assert checkpoint.steps(tmp_path / "run")[-1][0] == 10


def test_a_run_finds_its_data_from_another_folder(log, tmp_path, monkeypatch):
    monkeypatch.chdir(log.parent)
    assert prudent("train", log.name, *flags("bc"), "--steps", 5, "--out", tmp_path / "run") == 0
    monkeypatch.chdir(tmp_path)
    assert prudent("train", "--resume", "run", "--steps", 10) == 0


def test_data_from_memory_have_to_be_handed_over_again(log, tmp_path):
    dataset = load_dataset(log)
    train.train(train.Request(dataset, "bc", members("bc"), Options(steps=5, threads=1), tmp_path / "run"))
    with pytest.raises(ConfigError, match="lived in memory"):
        resume(tmp_path / "run", steps=10)
    assert resume(tmp_path / "run", steps=10, dataset=dataset).state.step == 10


def test_nothing_left_to_do_is_said_and_missing_ends_are_made(log, tmp_path, capsys):
    run = tmp_path / "run"
    start(log, run, 20, "bc")
    capsys.readouterr()
    before = (run / "metrics.jsonl").read_bytes()
    (run / "report.html").unlink()
    write_status(run, "running", 20, 20)
    assert prudent("train", "--resume", run) == 0
    assert "nothing left to do: it is at step 20" in capsys.readouterr().out
    assert (run / "report.html").exists()
    assert read_json(run / "status.json")["state"] == "finished"
    assert prudent("train", "--resume", run, "--steps", 10) == 0
    assert "at step 20, 10 were asked for" in capsys.readouterr().out
    assert read_json(run / "config.json")["train"]["steps"] == 20
    assert (run / "metrics.jsonl").read_bytes() == before


def test_what_the_reader_noticed_is_said_before_training(tmp_path, capsys):
    log = write_log(tmp_path / "ends.npz", terminals=None, timeouts=None, dones=np.arange(1, 241) % 40 == 0)
    assert prudent("train", log, *flags("bc"), "--steps", 5, "--out", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert out.startswith("ends.npz: dones alone cannot tell a termination from a time limit"), out
    assert out.index("looks like a time limit") < out.index("memory:"), out


def test_another_machine_is_mentioned(log, tmp_path, capsys):
    start(log, tmp_path / "run", 5, "bc")
    stored = read_json(tmp_path / "run" / "environment.json")
    write_json(tmp_path / "run" / "environment.json", {**stored, "torch": "1.0"})
    resume(tmp_path / "run", steps=10)
    assert f"torch is {torch.__version__} here, was 1.0" in capsys.readouterr().out


def test_no_picture_is_one_line_and_no_failure(log, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(video, "why_not", lambda _env: "this machine has no eyes")
    options = {"env": "Pendulum-v1", "eval_every": 5, "eval_episodes": 1, "video": True}
    start(log, tmp_path / "blind", 10, "bc", **options)
    assert capsys.readouterr().out.count("no video: this machine has no eyes") == 1
    monkeypatch.setattr(video, "why_not", lambda _env: None)
    tried = []
    monkeypatch.setattr(video, "record", lambda *words: tried.append(words))
    start(log, tmp_path / "broken", 10, "bc", **options)
    assert len(tried) == 1
    for name in ("blind", "broken"):
        assert read_json(tmp_path / name / "status.json")["state"] == "finished"
        assert not (tmp_path / name / "videos").exists()


def test_an_environment_lends_its_bounds_to_data_without(tmp_path):
    log = write_log(tmp_path / "log.npz", action_low=None, action_high=None)
    with pytest.raises(DataError, match="outside -1 to 1"):
        start(log, tmp_path / "run", 2, "bc")
    assert not (tmp_path / "run").exists()
    population = start(log, tmp_path / "run", 2, "bc", env="Pendulum-v1", eval_episodes=1)
    assert population.spec.action_high == (2.0,)


def test_bounds_from_an_environment_are_said_and_squashed_actions_noticed(tmp_path, capsys):
    """Actions that stop at exactly 1 where the environment goes to 2 were scaled by the recorder."""
    actions = columns()["actions"]
    for name, largest in (("squashed", 1.0), ("gentle", 0.7)):
        scaled = actions * largest / np.abs(actions).max()
        log = write_log(tmp_path / f"{name}.npz", actions=scaled, action_low=None, action_high=None)
        start(log, tmp_path / name, 2, "bc", env="Pendulum-v1", eval_episodes=1)
    notes = [line for line in capsys.readouterr().out.splitlines() if "taken from Pendulum-v1" in line]
    assert len(notes) == 2
    assert all("no action bounds are declared: -2 to 2 taken from Pendulum-v1" in note for note in notes)
    assert "(feature 0) stop at exactly 1: if the recorder scaled them" in notes[0]
    assert "stop at exactly" not in notes[1]
    assert "logged actions (feature 0) only go from" in notes[1]
    assert "are they in the environment's units?" in notes[1]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-2, 2, None),
        (-1, 1, "-1 to 1 are kept, though Pendulum-v1 takes -2 to 2: if the recorder scaled them to [-1, 1], multiply"),
        (-1.5, 1.5, "-1.5 to 1.5 are kept, though Pendulum-v1 takes -2 to 2: are both in the same units?"),
    ],
)
def test_declared_bounds_that_are_narrower_than_the_environments_are_said(tmp_path, capsys, low, high, words):
    actions = columns()["actions"]
    log = write_log(
        tmp_path / "log.npz", actions=actions / np.abs(actions).max() * high, action_low=low, action_high=high
    )
    population = start(log, tmp_path / "run", 2, "bc", env="Pendulum-v1", eval_episodes=1)
    assert population.spec.action_high == (high,), "what is declared holds"
    said = [line for line in capsys.readouterr().out.splitlines() if "are kept, though" in line]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def test_a_run_in_another_thread_needs_no_signals(log, tmp_path):
    thread = threading.Thread(target=start, args=(log, tmp_path / "run", 5, "bc"))
    thread.start()
    thread.join()
    assert read_json(tmp_path / "run" / "status.json")["state"] == "finished"


def test_the_first_signal_asks_and_the_second_acts():
    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with stop_requests() as requests:
            os.kill(os.getpid(), signal.SIGINT)
            assert requests == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)


def test_a_signal_at_the_last_step_comes_too_late_to_matter(log, tmp_path, monkeypatch):
    real = Population.step

    def step(self, data):
        if self.state.step == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, data)

    monkeypatch.setattr(Population, "step", step)
    start(log, tmp_path / "run", 10, "bc")
    assert read_json(tmp_path / "run" / "status.json")["state"] == "finished"


def test_devices_that_are_not_there():
    assert choose_device("cpu") == choose_device("cpu:0").__class__("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("tpu", "cuda:one", "cuda:", "cpu:7", "cuda:99", ""):
        with pytest.raises(ConfigError, match="device"):
            choose_device(name)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"steps": 1.5}, {"keep": -1}, {"threads": 0}, {"video": True}, {"max_minutes": 0}]
)
def test_options_are_checked(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Options(**bad)


def test_paths_are_accepted_as_strings(log, tmp_path):
    out = str(tmp_path / "run")
    dataset = load_dataset(log)
    train.train(train.Request(dataset, "bc", members("bc"), Options(steps=2, threads=1), out, {"source": [Path(log)]}))
    assert read_json(Path(out) / "config.json")["train"]["sources"] == {"source": [str(log)]}
    assert resume(out, steps=4).state.step == 4


def test_a_run_on_a_table_resumes_from_any_folder(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    (tmp_path / "log.csv").write_text("id,x,u,r\n" + "".join(f"{i // 8},{i % 8},0.{i % 7},{i}\n" for i in range(64)))
    (tmp_path / "map.toml").write_text('episode = "id"\nobservation = "x"\naction = "u"\nreward = "r"\n')
    said = {"episode": "id", "observation": ["x"], "action": ["u"], "reward": "r"}
    (tmp_path / "elsewhere").mkdir()
    kinds = {"path": "map.toml", "dictionary": {**said, "observation": "x"}, "object": read_map(said)}
    for kind, mapping in kinds.items():
        monkeypatch.chdir(tmp_path)
        sources, options = {"source": "log.csv", "mapping": mapping}, Options(steps=2, threads=1)
        train.train(train.Request(load_dataset(**sources), "bc", members("bc"), options, tmp_path / kind, sources))
        assert read_json(tmp_path / kind / "config.json")["train"]["sources"]["mapping"] == said
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert resume(tmp_path / kind, steps=4).state.step == 4, f"mapping given as {kind}"
    (tmp_path / "log.csv").write_text("id,x,u,rew\n0,1,0.5,1\n")
    with pytest.raises(ConfigError, match=r"no column 'r' for reward.*\(the data of .*; if they are elsewhere now"):
        resume(tmp_path / "path", steps=6)
