"""The recipe of the logs, the commands that it becomes, and how they are run."""

import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchmarks.logs import jobs, recipe, table
from benchmarks.logs.__main__ import main

from prudent.data import load_dataset

TINY = """
seed = 0
rows = 60
envs = 2
threads = 1
levels = ["medium-replay"]
[sac]
updates_per_step = 0.5
learning_starts = 60
eval_every = 60
eval_episodes = 2
hidden = [16]
batch_size = 16
reference = [-1300.0, 0.0]
[tasks.pendulum]
env = "Pendulum-v1"
sac_steps = 120
"""


@dataclass(frozen=True)
class Scripted(recipe.Log):
    """A log whose command is a script; ``{path}`` in it is the log's file."""

    script: str = ""

    @property
    def command(self):
        return [sys.executable, "-S", "-c", self.script.format(path=self.path)]


def scripted(folder, task, level, script):
    return Scripted(task, level, folder / f"{task}-{level}.hdf5", 100, (), script)


MADE = "print('step  50/100'); open({path!r}, 'w').close()".replace("{path!r}", "'{path}'")


def test_nine_logs_in_the_order_in_which_they_are_made():
    logs = recipe.logs(recipe.read(), Path("logs"))
    assert [log.name for log in logs[:3]] == ["hopper-medium", "walker2d-medium", "halfcheetah-medium"]
    assert logs[3].name == "hopper-medium-replay"
    assert len({log.path for log in logs}) == 9
    words = " ".join(logs[0].words)
    assert "--env Hopper-v5 --policy sac --level medium --steps 200000 --seed 0 --envs 4" in words
    assert "--keep logs/training/hopper --out logs/hopper-medium.hdf5 --or-best" in words
    assert "--steps 200000" not in " ".join(logs[3].words), "a replay log has all that was seen"


def test_a_recipe_is_made_and_a_second_call_makes_nothing(tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(TINY)
    words = ["--recipe", tmp_path / "tiny.toml", "--out", tmp_path / "out", "--results", tmp_path / "logs.json"]
    assert main([str(word) for word in words]) == 0
    assert "[0 of 1 logs] pendulum-medium-replay: step  60/120" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "logs.json").read_text())
    replay = load_dataset(tmp_path / "out" / "pendulum-medium-replay.hdf5")
    assert (row["rows"], row["fingerprint"], row["env"]) == (len(replay), replay.fingerprint, "Pendulum-v1")
    assert row["mean"] == pytest.approx(replay.episode_returns.mean())
    assert row["best"] == row["best_tenth"] == replay.episode_returns.max()
    head, (cells,) = table.table([row])
    assert len(head) == len(cells)
    assert (tmp_path / "out" / "training" / "pendulum" / "rows").is_dir()
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().out == ""


def test_logs_of_one_task_are_made_one_after_the_other(tmp_path):
    waits = "import time; assert not list(__import__('pathlib').Path('{path}').parent.glob('a-busy')); "
    waits += "busy = __import__('pathlib').Path('{path}').parent / 'a-busy'; busy.touch(); time.sleep(0.3); "
    logs = [scripted(tmp_path, "a", level, waits + "busy.unlink(); " + MADE) for level in ("one", "two")]
    logs.append(scripted(tmp_path, "b", "one", MADE))
    finished = []
    assert jobs.make(logs, 3, finished.append) == []
    assert sorted(log.name for log in finished) == ["a-one", "a-two", "b-one"]
    assert [log.name for log in finished if log.task == "a"] == ["a-one", "a-two"]


def test_a_failure_stops_its_task_only(tmp_path):
    logs = [
        scripted(tmp_path, "a", "one", "raise SystemExit(2)"),
        scripted(tmp_path, "b", "one", MADE),
        scripted(tmp_path, "a", "two", MADE),
    ]
    finished = []
    assert jobs.make(logs, 1, finished.append) == ["a-one", "a-two"]
    assert [log.name for log in finished] == ["b-one"]
    assert not logs[2].path.exists()


def test_an_interruption_stops_the_commands_and_waits_for_them(tmp_path, monkeypatch):
    """The command has the time to save what it has."""
    saves = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), "
    saves += "open('{path}.saved', 'w').close(), sys.exit(130))); open('{path}.begun', 'w').close(); time.sleep(60)"
    log = scripted(tmp_path, "a", "one", saves)
    begun = log.path.with_name("a-one.hdf5.begun")

    def sleep(seconds):
        threading.Event().wait(seconds)
        if begun.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(jobs.time, "sleep", sleep)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        jobs.make([log], 1, lambda _: None)
    assert log.path.with_name("a-one.hdf5.saved").exists()
    assert not log.path.exists()
    assert time.monotonic() - began < 60


def test_the_time_left_follows_from_the_steps_that_are_told():
    now = [0.0]
    logs = [scripted(Path("x"), task, "one", "") for task in ("a", "b")]
    trainings = jobs.Trainings(logs, 1, clock=lambda: now[0])
    trainings.heard("a", "step  10/100  any")
    assert trainings.left() == ""
    now[0] = 20.0
    trainings.heard("a", "step  20/100")
    trainings.heard("a", "step  5/60: of a recording")
    trainings.heard("b", "no step")
    assert trainings.left() == ", at most 6:00 left", "80 and 100 steps of two seconds, one after the other"
    trainings.jobs = 2
    assert trainings.left() == ", at most 3:20 left", "the longer one, beside the other"
    trainings.over("b")
    assert trainings.left() == ", at most 2:40 left"


def test_a_mistake(capsys):
    for words, said in ((["--only", "hopper-large"], "no log is called hopper-large"), (["--jobs", "0"], "1 or more")):
        with pytest.raises(SystemExit):
            main(words)
        assert said in capsys.readouterr().err
    assert main(["--show", "--only", "walker2d-medium-replay", "--out", "there"]) == 0
    assert capsys.readouterr().out.startswith(
        "prudent data collect --env Walker2d-v5 --policy sac --level medium-replay"
    )
