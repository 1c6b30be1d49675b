"""The recipe of the logs: a TOML file that becomes one ``prudent data collect`` for each log."""

import itertools
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).with_name("recipe.toml")


@dataclass(frozen=True)
class Log:
    """One log: its task, its level, and the words after ``prudent data collect``."""

    task: str
    level: str
    path: Path
    sac_steps: int
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Such as ``hopper-medium``."""
        return f"{self.task}-{self.level}"

    @property
    def command(self) -> list[str]:
        """The command in this Python."""
        return [sys.executable, "-m", "prudent", "data", "collect", *self.words]


def read(path: Path = RECIPE) -> dict[str, Any]:
    """The recipe."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def logs(recipe: Mapping[str, Any], out: Path) -> list[Log]:
    """All logs, in the order in which they are made: the easy levels of all tasks come first."""
    return [_log(recipe, task, level, out) for level, task in itertools.product(recipe["levels"], recipe["tasks"])]


def _log(recipe: Mapping[str, Any], task: str, level: str, out: Path) -> Log:
    about = recipe["tasks"][task]
    path = out / f"{task}-{level}.hdf5"
    settings = {**recipe["sac"], **{name: value for name, value in about.items() if name != "env"}}
    flags: dict[str, Any] = {
        "env": about["env"],
        "policy": "sac",
        "level": level,
        **({} if level == "medium-replay" else {"steps": recipe["rows"]}),
        **{name: recipe[name] for name in ("seed", "envs", "threads")},
        **settings,
        "keep": out / "training" / task,
        "out": path,
    }
    words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", *_values(value))]
    return Log(task, level, path, about["sac_steps"], (*words, "--or-best"))


def _values(value: Any) -> list[str]:
    return [str(part) for part in (value if isinstance(value, list) else [value])]
