"""A training of SAC that goes on from its folder does what it does in one go."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

import helpers.toys  # noqa: F401 - registers the environments
from helpers.learners import FAST, QUICK
from helpers.runs import prudent, tree
from prudent.errors import ConfigError, Interrupted, PrudentError
from prudent.online.collect import Plan, collect
from prudent.online.sac_learner import SacLearner, SacSettings

TOY, PENDULUM = "prudent/Toy-v0", "Pendulum-v1"
SETTINGS = SacSettings(updates_per_step=0.5, **{**QUICK, **FAST, "eval_every": 60, "eval_episodes": 2})
REACHED = (0.0, 18.0)
"""Returns (random, expert) of the toy whose medium is reached at once, and whose expert is not."""


def plan(env, steps, level="medium-replay", **changes):
    """A plan whose level is out of reach, so that all ``steps`` are made."""
    learning = replace(SETTINGS, sac_steps=steps)
    rows = None if level == "medium-replay" else 60
    given = {"reference": (0.0, 1e6), "seed": 2, "envs": 2, "or_best": True, **changes}
    return Plan(env, ("sac",), steps=rows, level=level, learning=learning, **given)


def fingerprint(*words, **changes):
    return collect(plan(*words, **changes), "log")[0].fingerprint


@pytest.mark.parametrize("env", [TOY, PENDULUM])
def test_in_three_pieces_it_is_the_same_as_in_one(tmp_path, env):
    """The pieces end within episodes, and one of them where no evaluation of the whole training is."""
    keep = tmp_path / "kept"
    assert len(collect(plan(env, 90, keep=keep), "log")[0]) == 90
    collect(plan(env, 158, keep=keep), "log")
    assert fingerprint(env, 260, keep=keep) == fingerprint(env, 260)
    assert fingerprint(env, 260, "0.5", keep=keep) == fingerprint(env, 260, "0.5")


def test_the_levels_of_one_training_do_not_depend_on_their_order(tmp_path):
    """The policy of a level that was passed long ago is still there."""
    kept = {}
    for level in ("medium-expert", "medium", "medium-replay"):
        dataset, about = collect(plan(TOY, 260, level, keep=tmp_path / "kept", reference=REACHED), "log")
        kept[level] = dataset.fingerprint, [part["trained_steps"] for part in about["parts"]]
    assert kept["medium"][0] == fingerprint(TOY, 260, "medium", reference=REACHED)
    assert kept["medium-replay"][0] == fingerprint(TOY, 260, reference=REACHED)
    assert kept["medium"][1] == kept["medium-replay"][1] == kept["medium-expert"][1][:1]
    assert kept["medium-expert"][1][0] < kept["medium-expert"][1][1], "two policies, one of them left behind"


def test_a_signal_stops_it_after_saving(tmp_path, monkeypatch, capsys):
    whole = fingerprint(TOY, 260)
    step, seen = SacLearner.step, []

    def stopping(self):
        step(self)
        seen.append(self.steps)
        if self.steps == 150:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(SacLearner, "step", stopping)
        with pytest.raises(Interrupted, match=r"stopped by SIGTERM at step 150 of sac; go on with the same command"):
            collect(plan(TOY, 260, keep=tmp_path / "kept"), "log")
        assert seen[-1] == 150
        assert fingerprint(TOY, 260, keep=tmp_path / "kept") == whole
    assert seen[-1] == 260
    assert seen.count(152) == 1
    assert len(seen) == 130
    capsys.readouterr()


def test_rows_of_a_save_that_was_killed_are_made_again(tmp_path):
    keep = tmp_path / "kept"
    collect(plan(TOY, 100, keep=keep), "log")
    (keep / "rows" / "000009999.npz").write_bytes(b"half")
    assert fingerprint(TOY, 160, keep=keep) == fingerprint(TOY, 160)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 3}, "holds another training of sac, with seed"),
        ({"envs": 3}, "with envs 2 instead of 3: choose another folder"),
        ({"env": PENDULUM}, f"with env {TOY} instead of {PENDULUM}"),
        ({"steps": 80}, "holds a training of 100 steps: give --sac-steps 100 or more, or another folder"),
    ],
)
def test_another_training_is_refused(tmp_path, changes, said):
    keep = tmp_path / "kept"
    collect(plan(TOY, 100, keep=keep), "log")
    before = tree(tmp_path)
    with pytest.raises(ConfigError) as error:
        collect(plan(changes.pop("env", TOY), changes.pop("steps", 100), keep=keep, **changes), "log")
    assert said in str(error.value)
    assert tree(tmp_path) == before


def test_damage_is_told(tmp_path):
    keep = tmp_path / "kept"
    collect(plan(TOY, 100, keep=keep), "log")
    rows = sorted((keep / "rows").iterdir())
    content = rows[-1].read_bytes()
    rows[-1].write_bytes(content[:100])
    with pytest.raises(PrudentError, match="not the rows of this training"):
        collect(plan(TOY, 100, keep=keep), "log")
    rows[-1].unlink()
    with pytest.raises(PrudentError, match="of 50 steps are there"):
        collect(plan(TOY, 100, keep=keep), "log")


def test_an_environment_that_does_not_repeat_itself(tmp_path, monkeypatch):
    from prudent.online.interaction import Interaction

    keep = tmp_path / "kept"
    collect(plan(TOY, 90, keep=keep), "log")
    rejoin = Interaction.rejoin
    monkeypatch.setattr(Interaction, "rejoin", lambda *given: rejoin(*given) + np.float32(1e-3))
    with pytest.raises(PrudentError, match="does not repeat itself from its seed"):
        collect(plan(TOY, 100, keep=keep), "log")


def test_from_the_command_line(tmp_path, capsys):
    flags = {**QUICK, **FAST, "sac-steps": 100, "updates-per-step": 0.5, "envs": 2}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items() if name != "hidden"]
    common = ["data", "collect", "--env", TOY, "--policy", "sac", "--hidden", 16, "--reference", 0, 1000, *words]
    keep = tmp_path / "kept"
    assert prudent(*common, "--steps", 60, "--out", tmp_path / "a.hdf5", "--keep", keep) == 2
    assert "in 100 steps, the level asked for needs 333" in capsys.readouterr().err
    assert json.loads((keep / "training.json").read_text())["envs"] == 2
    assert prudent(*common, "--steps", 60, "--out", tmp_path / "a.hdf5", "--keep", keep, "--or-best") == 0
    said = capsys.readouterr().out
    assert "of the reference: 60 transitions in " in said
    assert "sac did not reach the level: up to " in said
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("mine")
    assert prudent(*common, "--out", tmp_path / "b.hdf5", "--keep", tmp_path / "other") == 2
    assert "is not empty and holds no training of sac: choose another folder" in capsys.readouterr().err
