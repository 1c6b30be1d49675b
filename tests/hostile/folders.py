"""Folders that prudent wrote, whose JSON somebody edited, read with every verb that takes such a folder.

Four kinds: a run (with its evaluation, support and value), a tuning, a folder of groups and a folder of ``bench``. What
is fuzzed is one file of it, as its name, a zero byte and its content.
"""

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import edits
import numpy as np

from prudent import cli
from prudent.report import html

KINDS = ("run", "tuned", "groups", "bench")
_EXIT_CODES = (0, 1, 2, 130)
_STEPS = ["--steps", 4, "--threads", 1]
_NETS = ["--hidden", 4, "--batch-size", 8]
_LEARN = [*_STEPS, *_NETS, "--log-every", 2, "--checkpoint-every", 2]
_VALUE = ["--steps", 8, "--n-bootstrap", 2, "--hidden", 4, "--batch-size", 8, "--folds", 2]
_TUNE = ["--alpha", 1, "--seeds", 0, *_STEPS, *_NETS, "--checkpoints", 2]
_TUNE += ["--rank-steps", 8, "--final-steps", 8, "--resamples", 2, "--n-actions", 2]


def log(path: Path) -> Path:
    """A log with the spaces of Pendulum-v1: 24 episodes of 5 steps."""
    rng = np.random.default_rng(0)
    observation, successor = rng.normal(size=(2, 120, 3)).astype(np.float32)
    ends = np.arange(1, 121) % 5 == 0
    successor[:-1] = np.where(ends[:-1, None], successor[:-1], observation[1:])
    columns = {"observations": observation, "actions": rng.uniform(-2, 2, (120, 1)), "rewards": rng.normal(size=120)}
    columns |= {"next_observations": successor, "terminals": np.zeros(120, bool), "timeouts": ends}
    np.savez(path, **columns, action_low=np.float32(-2), action_high=np.float32(2))
    return path


def words_for(kind: str, folder: Path) -> list[list[Any]]:
    """What makes a folder of this kind, below ``folder``, as typed."""
    data = log(folder / "log.npz")
    if kind == "run":
        evaluated = ["--env", "Pendulum-v1", "--eval-episodes", 1, "--eval-every", 2]
        train = ["train", data, "--algo", "bc", *_LEARN, *evaluated, "--out", folder / "run"]
        return [train, ["value", folder / "run", "--data", data, *_VALUE]]
    if kind == "tuned":
        return [["tune", data, *_TUNE, "--out", folder / "tuned"]]
    if kind == "groups":
        return [["train", data, "--algo", "iql", *_LEARN, "--batch-size", 8, 12, "--out", folder / "groups"]]
    lines = ['title = "t"', "seeds = [0]", "[train]", "steps = 4", "eval_episodes = 1", "log_every = 2"]
    lines += ["[settings]", "hidden = [4]", "batch_size = 8", "[[dataset]]", 'name = "d"', f'source = "{data}"']
    (folder / "suite.toml").write_text("\n".join([*lines, 'env = "Pendulum-v1"', 'algorithms = ["bc"]', ""]))
    return [["bench", folder / "suite.toml", "--out", folder / "bench"]]


def verbs(kind: str, folder: Path) -> list[list[Any]]:
    """What reads a folder of this kind, as typed; ``folder`` has its log and suite."""
    place, data = folder / kind, folder / "log.npz"
    if kind == "tuned":
        tune = ["tune", data, *_TUNE, "--out", place]
        return [tune, tune, ["report", place / "grid"], ["report", place]]
    if kind == "groups":
        return [["train", "--resume", place, "--steps", 6], ["report", place]]
    if kind == "bench":
        words = ["bench", folder / "suite.toml", "--out", place]
        return [[*words, "--dry-run"], [*words, "--render"], words]
    return [
        ["report", place, "--compare", f"same={folder / 'sound' / kind}"],
        ["report", folder / "sound" / kind, "--compare", f"edited={place}"],
        ["evaluate", place, "--episodes", 1],
        ["support", place, "--decisions", 60, "--reference", 80],
        ["value", place, *_VALUE],
        ["finetune", place, "--steps", 4, "--start-after", 2, "--out", folder / "online"],
        ["train", "--resume", place, "--steps", 6],
    ]


def command(words: list[Any]) -> str:
    """Run the command line in this process; returns what it said on standard error.

    Raises:
        AssertionError: it ended otherwise than it should, or with more than one line of its own.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
    said = err.getvalue()
    if code not in _EXIT_CODES or said.count("prudent: ") > 1 or "Traceback" in said:
        raise AssertionError(f"{words} ended with {code}: {said}")
    return said if code else ""


def make(folder: Path, kind: str) -> None:
    """The folder as prudent writes it, ``folder / "sound" / kind``, and next to it what its verbs need."""
    sound = folder / "sound"
    sound.mkdir(exist_ok=True)
    for words in words_for(kind, sound):
        if said := command(words):
            raise AssertionError(f"{words}: {said}")
    for path in (*sound.glob("log.npz"), *sound.glob("suite.toml")):
        shutil.copy(path, folder / path.name)


def seeds(folder: Path, kind: str) -> list[bytes]:
    """Every JSON file of a folder."""
    place = folder / "sound" / kind
    found = sorted(path for path in place.rglob("*.json*") if "checkpoints" not in path.parts)
    return [f"{path.relative_to(place)}\0".encode() + path.read_bytes() for path in found]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One or two values of the JSON are others, or their keys gone."""
    name, _, text = content.partition(b"\0")
    lines = [json.loads(line) for line in text.splitlines()] if name.endswith(b".jsonl") else json.loads(text)
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.choice(list(edits.paths(lines)))
        lines = edits.edited(lines, place, rng.choice((*edits.WRONG, edits.GONE)))
    is_lines = name.endswith(b".jsonl") and isinstance(lines, list)
    return name + b"\0" + "\n".join(map(json.dumps, lines if is_lines else [lines])).encode()


def _nothing(*_: Any) -> dict[str, Path]:
    return {}


def reader(kind: str) -> Callable[[bytes, Path], None]:
    """What reads one edited file with one of the verbs, most reports without pictures, which are slow."""

    def read(content: bytes, place: Path) -> None:
        name, _, text = content.partition(b"\0")
        choice = random.Random(content)
        edits.fresh(place / "sound" / kind, place / kind)
        shutil.rmtree(place / "online", ignore_errors=True)
        if choice.random() < 0.5:  # a tuning that has its split stored reads nothing else
            (place / kind / "split.json").unlink(missing_ok=True)
        (place / kind / name.decode()).write_bytes(text)
        with patch.object(
            html, "draw_figures", choice.choice((html.draw_figures if kind == "run" else _nothing, _nothing))
        ):
            command(choice.choice(verbs(kind, place)))

    return read
