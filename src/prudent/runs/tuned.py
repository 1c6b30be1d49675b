"""A tuned folder, as ``prudent tune`` leaves it: the policy that it keeps, the parts of its log, its BC.

The folder holds ``plan.json`` from the start, ``tune.json`` once there is a verdict, ``policy/`` if a policy is kept,
and ``parts/`` with the division of the log (:mod:`prudent.data.split`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from prudent.data import Dataset, load_dataset
from prudent.data.mapped.folder import is_folder_of_columns
from prudent.errors import ConfigError, PrudentError, in_one_line, shown
from prudent.runs import folder
from prudent.runs.folder import fits_fingerprint, read_json, reopened
from prudent.runs.foreign import as_written, check_plain, parse_json, read_bytes

RESULT, PLAN, POLICY, PARTS = "tune.json", "plan.json", "policy", "parts"
AGAIN = "the same prudent tune command goes on"
KEEP_LOG = "keep what made the log"
"""The one verdict that may leave no policy."""


def is_tuned(path: Path) -> bool:
    """Whether a folder is one of a tuning, finished or not."""
    return (path / RESULT).is_file() or (path / PLAN).is_file()


def read(path: Path) -> dict[str, Any]:
    """The content of ``tune.json``.

    Raises:
        ConfigError: the tuning is not finished, or the folder holds a link.
        PrudentError: the file is damaged, or its verdict keeps a policy and none is named.
    """
    check_plain(path)
    if not (path / RESULT).is_file():
        raise ConfigError(f"{path} holds a tuning that is not finished, so there is no verdict yet: {AGAIN}")
    content = read_json(path / RESULT)
    kept = content.get("kept")
    if not isinstance(content.get("verdict"), str) or not ("kept" in content and isinstance(kept, str | None)):
        raise PrudentError(f"{path / RESULT} is damaged: it does not say its verdict and which policy is kept")
    if kept is None and content["verdict"].split() != KEEP_LOG.split():
        raise PrudentError(
            f"{path / RESULT} contradicts itself: its verdict is {shown(content['verdict'])}, and no policy is kept"
        )
    return content


def policy_of(path: Path) -> Path:
    """The folder of the policy that a tuning keeps, with its checkpoint.

    Raises:
        ConfigError: the tuning keeps none (the line says its verdict), is not finished, or its policy is gone.
        PrudentError: ``tune.json`` is damaged.
    """
    content = read(path)
    if content["kept"] is None:
        raise ConfigError(f"{path} holds no policy: its verdict is: {' '.join(content['verdict'].split())}")
    if not (path / POLICY / "checkpoints").is_dir():
        raise ConfigError(
            f"{path} is incomplete: {RESULT} says that {shown(content['kept'])} is kept, but there is no "
            f"{path / POLICY / 'checkpoints'}: {AGAIN}"
        )
    return path / POLICY


def run_of(path: Path) -> tuple[Path, str]:
    """The run below a tuned folder that the kept policy is a member of, and the member's name.

    Raises:
        ConfigError, PrudentError: as :func:`policy_of`; or there is no such run.
    """
    places = sorted((policy_of(path) / "checkpoints").glob("step_*/checkpoint.json"))
    with as_written(path / POLICY):
        about = parse_json(read_bytes(places[-1])) if places else {"members": [{"name": ""}], "algorithm": ""}
        algorithm, name = about["algorithm"], about["members"][0]["name"]
    for place in sorted(path.glob("*/config.json")):
        run = read_json(place)
        with as_written(place):
            if run["algorithm"] == algorithm and name in [member["name"] for member in run["members"]]:
                return place.parent, name
    raise ConfigError(f"{path} is incomplete: the run that its policy comes from is gone: {AGAIN}")


def bc_of(path: Path) -> tuple[Path, str, str]:
    """The checkpoint of the BC that a tuning compared its winner with, the name of the member in it, and how it acts.

    Raises:
        PrudentError: it is gone, or ``tune.json`` is damaged.
    """
    with as_written(path / RESULT):
        split = read(path)["splits"][0]
        (bc,) = (c for c in split["imitators"] if c["name"] == split["imitator"])
        place = path / str(bc.get("run", "bc")) / "checkpoints" / f"step_{int(bc['step'])}"
        name, acting = str(bc["member"]), str(bc["acting"])
    if not place.is_dir():
        raise ConfigError(f"{path} is incomplete: its BC is gone from {place}: {AGAIN}")
    return place, name, acting


def environment_of(path: Path) -> str:
    """The environment in which a run, the run of a checkpoint, or a tuning was evaluated.

    Raises:
        PrudentError: the folder does not say which.
    """
    if not is_tuned(path):
        return folder.environment_of(path)
    with as_written(path / RESULT):
        env = read(path)["plan"]["settings"].get("env")
    if env is None:
        raise PrudentError(f"{path} was tuned without an environment: name one with --env")
    return folder.safe_env_id(env)


def part(path: Path, name: str) -> Dataset:
    """A part of the log of a tuning: ``train``, ``evaluation`` or ``final``.

    It is stored below ``parts/`` if the log is small. Otherwise the log is read again as it was for the tuning.

    Raises:
        ConfigError: the folder has no parts, or the log is another one now.
        DataError: the log is gone, or cannot be read.
        PrudentError: a file is damaged.
    """
    place = path / PARTS
    if not (place / "parts.json").is_file():
        raise ConfigError(f"{path} has no parts of its log: name the episodes with --data, or {AGAIN} and saves them")
    about = read_json(place / "parts.json")
    with as_written(place / "parts.json"):
        size, fingerprint = about["parts"][name], about["fingerprint"]
        if is_folder_of_columns(place / name):
            stored = load_dataset(place / name)
            fits_fingerprint(stored, size["fingerprint"], path)
            return stored
        numbers = _numbers(place / f"{name}.npy")
        log = reopened(path, place / "parts.json", about["sources"], fingerprint)
    if len(numbers) != size["episodes"] or numbers.min() < 0 or numbers.max() >= log.n_episodes:
        raise PrudentError(f"{place / f'{name}.npy'} is damaged: these are no episodes of the log")
    return log.episodes(numbers).relabelled(name=f"{log.name} ({name} part)")


def _numbers(path: Path) -> np.ndarray:
    """Numbers of episodes, (episodes,) int64."""
    try:
        numbers = np.load(path, allow_pickle=False)
    except OSError as error:
        raise PrudentError(f"{path} cannot be read: {error.strerror or 'it is damaged'}") from error
    except (ValueError, EOFError) as error:
        raise PrudentError(f"{path} is damaged: {in_one_line(error)}") from error
    if not isinstance(numbers, np.ndarray) or numbers.dtype != np.int64 or numbers.ndim != 1 or not len(numbers):
        raise PrudentError(f"{path} is damaged: it holds no numbers of episodes")
    return numbers
