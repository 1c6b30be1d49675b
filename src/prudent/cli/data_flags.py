"""The argument DATA, and the flags that say how to read it."""

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from prudent.errors import ConfigError

FLAGS = (
    *("dones", "action_low", "action_high", "discrete", "action_count", "first_action", "horizon"),
    *("last_rows", "recorders", "map", "skip_bad_episodes"),
)


def add_data(parser: ArgumentParser, nargs: str) -> None:
    """Add the argument DATA: one or more datasets."""
    parser.add_argument("data", nargs=nargs, help="dataset: file, Minari id, D4RL name or built-in; several are joined")


def add_data_flags(parser: ArgumentParser) -> None:
    """Add the flags that say what a file cannot say itself."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dones", choices=("terminated", "truncated"), help="what dones mean, where the file does not say"
    )
    group.add_argument(
        "--action-low", type=float, nargs="+", metavar="X", help="lower action bound: one number, or one per feature"
    )
    group.add_argument("--action-high", type=float, nargs="+", metavar="X", help="upper action bound")
    group.add_argument(
        "--discrete", choices=("yes", "no"), help="whether actions are discrete, where the file does not say"
    )
    # Not --n-actions: that is a setting of CQL.
    group.add_argument("--action-count", type=int, metavar="N", help="number of discrete actions")
    group.add_argument(
        "--first-action", type=int, metavar="N", help="number of the first discrete action: 1 if the log counts from 1"
    )
    group.add_argument("--map", metavar="FILE", help="TOML file: which column of a CSV or Parquet table means what")
    group.add_argument("--horizon", type=int, metavar="N", help="time limit of the task, for files without timeouts")
    group.add_argument(
        "--last-rows",
        choices=("drop", "terminated", "truncated"),
        help="last rows of episodes that did not terminate, if the file has no successor for them: drop them and their "
        "reward (default), or keep them as ends of value, or as ends of the recording",
    )
    group.add_argument(
        "--recorders",
        type=int,
        metavar="N",
        help="how many recorders' rows stand in turn; 1: rows are in order of time",
    )
    group.add_argument(
        "--skip-bad-episodes",
        action="store_true",
        default=None,
        help="leave out episodes with missing or infinite numbers or other faults, and count them",
    )


def load_named(arguments: Mapping[str, Any], data: list[str] | None) -> Any:
    """The dataset that ``data`` names, read as the flags say; None if there is no ``data``.

    Raises:
        ConfigError: there are flags but no ``data``.
        DataError: the dataset is missing or cannot be read.
    """
    from prudent.data import load_dataset

    options = data_options(arguments, data)
    return load_dataset(data, **options) if data else None


def data_options(arguments: Mapping[str, Any], data: object = True) -> dict[str, Any]:
    """Keyword arguments for ``load_dataset`` from the parsed flags; ``data`` is what the flags are about.

    Raises:
        ConfigError: there are flags but no ``data``. The dataset of a run is always read as it was for training.
    """
    options = {name: arguments[name] for name in FLAGS if arguments.get(name) is not None}
    if options and not data:
        flag = next(iter(options)).replace("_", "-")
        raise ConfigError(f"--{flag} says how to read data that are named here; the run's own are read as before")
    if "discrete" in options:
        options["discrete"] = options["discrete"] == "yes"
    if "action_count" in options:
        options["n_actions"] = options.pop("action_count")
    if "map" in options:
        options["mapping"] = options.pop("map")
    for name in ("action_low", "action_high"):
        if name in options and len(options[name]) == 1:
            options[name] = options[name][0]
    return options
