"""The logs: their names, environments, and what is recorded in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data import Dataset, load_dataset
from prudent.errors import ConfigError

ENVIRONMENTS = {
    "hopper": "Hopper-v5",
    "halfcheetah": "HalfCheetah-v5",
    "walker2d": "Walker2d-v5",
    "pendulum": "Pendulum-v1",
}
"""The environment of a log by the beginning of its name."""
ENDINGS = (".hdf5", ".h5", ".npz")
JOINED = "+"


@dataclass(frozen=True)
class Log:
    """A log: its name, the files (or the built-in dataset) whose rows it joins, and its environment."""

    name: str
    sources: tuple[str, ...]
    env: str

    def load(self) -> Dataset:
        """Read it."""
        return load_dataset(list(self.sources)) if len(self.sources) > 1 else load_dataset(self.sources[0])


def named(words: list[str], env: str | None = None) -> list[Log]:
    """The logs that a command names: files, built-in datasets, ``A+B`` for two files as one log, or folders of files.

    Raises:
        ConfigError: a folder has no log, or the name of a log does not say its environment.
    """
    found = []
    for word in words:
        if Path(word).is_dir():
            files = sorted(str(path) for path in Path(word).iterdir() if path.suffix in ENDINGS)
            if not files:
                raise ConfigError(f"{word}: no log ({', '.join(ENDINGS)}) in this folder; make logs writes some")
            found += [_log((file,), env) for file in files]
        else:
            found.append(_log(tuple(word.split(JOINED)), env))
    repeated = {log.name for log in found if [other.name for other in found].count(log.name) > 1}
    if repeated:
        raise ConfigError(f"two logs are called {min(repeated)}: rename a file, because results go by the name")
    return found


def _log(sources: tuple[str, ...], env: str | None) -> Log:
    name = JOINED.join(Path(source).stem for source in sources)
    task = next((task for task in ENVIRONMENTS if name.startswith(task)), None)
    if env is None and task is None:
        raise ConfigError(f"{name}: the name begins with none of {', '.join(ENVIRONMENTS)}: give --env")
    return Log(name, sources, env or ENVIRONMENTS[str(task)])


def recorded(log: Log, dataset: Dataset) -> dict[str, Any]:
    """What the log has: rows, episodes, mean return, that of the best tenth of its episodes, and the best.

    Raises:
        ConfigError: actions are choices.
    """
    if dataset.spec.discrete:
        raise ConfigError(f"{log.name}: actions are choices; the racers are for continuous ones")
    returns = np.sort(dataset.episode_returns)
    return {
        "env": log.env,
        "fingerprint": dataset.fingerprint,
        "rows": len(dataset),
        "episodes": len(returns),
        "mean": float(returns.mean()),
        "best_tenth": float(returns[-max(1, round(len(returns) / 10)) :].mean()),
        "best": float(returns[-1]),
    }
