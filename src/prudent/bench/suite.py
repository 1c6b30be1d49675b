"""The suite file: which algorithms to train on which data, read from TOML and checked before training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from prudent import algorithms, files
from prudent.config import from_json, read_toml
from prudent.data import BUILTIN
from prudent.engine.members import Member, grid, split_settings
from prudent.engine.options import Options
from prudent.environments.make import spec_of
from prudent.errors import ConfigError

ALL = "all"
"""Stands for a list of all algorithms for the environment's kind of actions."""

_SUITE_KEYS = {"title": str, "seeds": list, "train": dict, "settings": dict, "dataset": list}
_LOAD_OPTIONS = {
    "dones": str,
    "skip_bad_episodes": bool,
    "horizon": int,
    "action_low": None,
    "action_high": None,
    "discrete": bool,
    "n_actions": int,
    "first_action": int,
    "mapping": None,
    "last_rows": str,
    "recorders": int,
}
_DATASET_KEYS = {
    "name": str,
    "source": None,
    "env": str,
    "algorithms": None,
    "train": dict,
    "settings": dict,
    **_LOAD_OPTIONS,
}


@dataclass(frozen=True)
class Data:
    """A dataset of a suite: its name, its environment, and the arguments of :func:`prudent.data.load_dataset`."""

    name: str
    env: str
    sources: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Cell:
    """One algorithm on one dataset, all seeds as one population, in one run folder."""

    data: Data
    algorithm: str
    members: tuple[Member, ...]
    options: Options

    @property
    def name(self) -> str:
        """``pendulum-mixed/cql``, which is also its folder."""
        return f"{self.data.name}/{self.algorithm}"


@dataclass(frozen=True)
class Suite:
    """The content of a suite file; ``cells`` are in the order of the file."""

    name: str
    title: str
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def datasets(self) -> list[Data]:
        """Its datasets, each once."""
        return list({cell.data.name: cell.data for cell in self.cells}.values())

    def choose(self, only: Sequence[str] = (), datasets: Sequence[str] = ()) -> list[Cell]:
        """The cells of some algorithms and datasets; without names, all of them.

        Raises:
            ConfigError: the suite has no algorithm or dataset of that name.
        """
        used = list(dict.fromkeys(cell.algorithm for cell in self.cells))
        if absent := [name for name in only if name in algorithms.names() and name not in used]:
            raise ConfigError(f"suite {self.name}: {absent[0]} is not in this suite, which has {', '.join(used)}")
        _check_names(f"suite {self.name}", "algorithm", only, [cell.algorithm for cell in self.cells])
        _check_names(f"suite {self.name}", "dataset", datasets, [cell.data.name for cell in self.cells])
        chosen = [
            cell
            for cell in self.cells
            if (not only or cell.algorithm in only) and (not datasets or cell.data.name in datasets)
        ]
        if not chosen:
            raise ConfigError(f"suite {self.name} has none of these algorithms on none of these datasets")
        return chosen


def shipped() -> dict[str, str]:
    """Title of each suite that comes with prudent, by its name."""
    return {name: str(read_toml(path).get("title", "")) for name, path in _shipped_files().items()}


def load(name: str) -> Suite:
    """The suite called ``name``, or the one in a file.

    Raises:
        ConfigError: there is no such suite, or it is not valid.
    """
    suites = _shipped_files()
    if name in suites:
        return parse(read_toml(suites[name]), name, f"suite {name}")
    path = Path(name)
    if not path.is_file():
        close = get_close_matches(name, suites, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(suites)}, or name a .toml file"
        raise ConfigError(f"no suite and no file is called {name!r}: {hint}")
    return parse(read_toml(path), path.stem, str(path), path.parent)


def _shipped_files() -> dict[str, Traversable]:
    folder = resources.files("prudent.bench") / "suites"
    return {
        path.name.removesuffix(".toml"): path
        for path in sorted(folder.iterdir(), key=lambda p: p.name)
        if path.name.endswith(".toml")
    }


def parse(content: Mapping[str, Any], name: str, where: str, folder: Path | None = None) -> Suite:
    """The suite that the ``content`` of a TOML file describes; error messages begin with ``where``.

    ``folder`` is the folder of the file: sources that exist there are taken from there.

    Raises:
        ConfigError: a key, algorithm, setting or environment does not exist, or a value does not fit.
    """
    _check_keys(where, content, _SUITE_KEYS)
    seeds = content.get("seeds", [0])
    if not all(type(seed) is int for seed in seeds):
        raise ConfigError(f"{where}: seeds must be whole numbers, got {seeds}")
    entries = content.get("dataset", [])
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{where}: name at least one dataset, under [[dataset]]")
    cells: list[Cell] = []
    for number, entry in enumerate(entries, 1):
        cells += _cells(content, entry, seeds, f"{where}, dataset {entry.get('name', number)}", folder)
    if not cells:
        raise ConfigError(f"{where}: no algorithm is for the actions of these environments")
    names = [cell.name for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"{where}: {twice} is there twice; give datasets different names")
    _check_settings(content.get("settings", {}), [cell.algorithm for cell in cells], where)
    return Suite(name, str(content.get("title", name)), tuple(seeds), tuple(cells))


def _cells(
    content: Mapping[str, Any], entry: Mapping[str, Any], seeds: Any, where: str, folder: Path | None
) -> list[Cell]:
    """The cells of one dataset of the file."""
    _check_keys(where, entry, _DATASET_KEYS)
    data = _data(entry, where, folder)
    options = _options({**content.get("train", {}), **entry.get("train", {})}, data.env, where)
    names = _algorithms(entry, data.env, where)
    _check_settings(entry.get("settings", {}), names, where)
    cells = []
    for algorithm in names:
        settings = _for_algorithm(content.get("settings", {}), algorithm)
        settings |= _for_algorithm(entry.get("settings", {}), algorithm)
        try:
            config, lists = split_settings(algorithms.get(algorithm).Config(), settings)
            if lists:
                raise ConfigError(f"{next(iter(lists))} takes one value in a suite")
            members = grid(config, {}, seeds)
        except ConfigError as error:
            raise ConfigError(f"{where}, {algorithm}: {error}") from error
        cells.append(Cell(data, algorithm, tuple(members), options))
    return cells


def _data(entry: Mapping[str, Any], where: str, folder: Path | None) -> Data:
    name = entry.get("name")
    if not name or not all(letter.isalnum() or letter in "-_+." for letter in name) or name.startswith("."):
        raise ConfigError(
            f"{where}: name must be of letters, digits and -_+. (its folder has that name), got {name!r}; files and "
            "Minari ids go into source"
        )
    source = entry.get("source", name)
    sources = [source] if isinstance(source, str) else source
    if not isinstance(sources, list) or not sources or not all(isinstance(text, str) for text in sources):
        raise ConfigError(f"{where}: source must be a name, a file or a list of them, got {source!r}")
    sources = [_in_folder(text, folder) for text in sources]
    env = entry.get("env") or (BUILTIN[sources[0]].env_id if sources[0] in BUILTIN else None)
    if env is None:
        raise ConfigError(f"{where}: give env, the Gymnasium id to evaluate in")
    if ":" in env:
        # Suites come from strangers too: importing the module would run code that they chose.
        raise ConfigError(f"{where}: env {env!r} would import a module; a suite takes ids that Gymnasium knows itself")
    options = {key: entry[key] for key in _LOAD_OPTIONS if key in entry}
    if isinstance(options.get("mapping"), str):
        options["mapping"] = _in_folder(options["mapping"], folder)
    return Data(name, env, {"source": sources, **options})


def _in_folder(text: str, folder: Path | None) -> str:
    """The path of a file in ``folder`` if there is one of that name, else the text itself."""
    return str(folder / text) if folder is not None and files.is_there(folder / text) else text


def _options(train: Mapping[str, Any], env: str, where: str) -> Options:
    try:
        if "env" in train:
            raise ConfigError("env belongs to [[dataset]]")
        return from_json(Options, {**train, "env": env})
    except ConfigError as error:
        raise ConfigError(f"{where}, [train]: {error}") from error


def _algorithms(entry: Mapping[str, Any], env: str, where: str) -> list[str]:
    names = entry.get("algorithms", ALL)
    if names == ALL:
        try:
            discrete = spec_of(env).discrete
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        return [name for name in algorithms.names() if algorithms.is_discrete(name) == discrete]
    if not isinstance(names, list) or not names:
        raise ConfigError(f'{where}: algorithms must be "{ALL}" or a list of names, got {names!r}')
    for name in names:
        try:
            if algorithms.is_file(str(name)):
                # Suites come from strangers too: a file is code.
                stem = Path(str(name)).stem
                raise ConfigError(f"a suite names no files: write {stem}, and give the file with --algo {name}")
            algorithms.get(str(name))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return names


def _for_algorithm(settings: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """The settings of a [settings] table for one algorithm: the shared ones that it has, then its own table."""
    names = {f.name for f in fields(algorithms.get(algorithm).Config)}
    shared = {key: value for key, value in settings.items() if key in names and not isinstance(value, dict)}
    table = settings.get(algorithm)
    return shared | (table if isinstance(table, dict) else {})


def _check_settings(settings: Mapping[str, Any], used: Sequence[str], where: str) -> None:
    """Refuse a setting that no algorithm in ``used`` has, and settings of an algorithm that is not in ``used``."""
    known = {f.name for algorithm in used for f in fields(algorithms.get(algorithm).Config)}
    for key, value in settings.items():
        if isinstance(value, dict):
            if key not in (known := [*algorithms.names(), *algorithms.own_names()]):
                _refuse(f"{where}, [settings]", "algorithm", key, known)
            if key not in used:
                raise ConfigError(f"{where}: [settings.{key}] changes nothing: {key} is not trained")
        elif key not in known:
            _refuse(f"{where}, [settings]", "setting", key, sorted(known))


def _check_keys(where: str, table: Mapping[str, Any], known: Mapping[str, type | None]) -> None:
    for key, value in table.items():
        if key not in known:
            _refuse(where, "key", key, list(known))
        kind = known[key]
        if kind is not None and type(value) is not kind:
            kinds = {str: "text", list: "a list", dict: "a table", int: "a whole number", bool: "true or false"}
            raise ConfigError(f"{where}: {key} must be {kinds[kind]}, got {value!r}")


def _check_names(where: str, what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            _refuse(where, what, name, list(dict.fromkeys(known)))


def _refuse(where: str, what: str, name: str, known: Sequence[str]) -> None:
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else f" (there are {', '.join(known)})"
    raise ConfigError(f"{where}: no {what} is called {name!r}{hint}")
