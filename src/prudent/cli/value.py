"""``prudent value``: what a run's policy is worth by a log, beside other runs and beside what made the log."""

import json
import sys
from pathlib import Path
from typing import Any

from prudent.cli._common import add_data_flags, check_folder, data_options, named_runs, own_dataset, to_stderr
from prudent.errors import ConfigError, PrudentError


def value(words: list[str]) -> None:
    from prudent.cli.flags import Parser, add_flags, values_of
    from prudent.ope import Settings

    parser = Parser(
        prog="prudent value",
        usage="prudent value RUN [--data DATA ...] [--compare NAME=RUN ...] [--member NAME] [--discount X] ...",
        description="What a run's policy is worth, from a log alone: by fitted Q evaluation, weighted doubly robust "
        "and importance sampling, with intervals, or why not. Writes RUN/value.json, and the report again.",
    )
    parser.add_argument("run", type=Path, help="run folder, or one checkpoint, of which nothing is written")
    parser.add_argument(
        "--data",
        nargs="+",
        dest="logged",
        metavar="DATA",
        help="episodes to weigh it on, best kept aside from training (default: the run's own, which flatter it)",
    )
    parser.add_argument("--compare", nargs="+", default=[], metavar="NAME=RUN", help="other runs to weigh beside it")
    parser.add_argument("--member", metavar="NAME", help="member of RUN (default: the first seed, of each setting)")
    parser.add_argument("--discount", type=float, metavar="X", help="gamma (default: that of the run)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of folds, resamples and fits (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("estimation"), Settings)
    given = vars(parser.parse_strict(words))
    settings = values_of(given, Settings)
    Settings(**settings)
    rivals = named_runs(given["compare"], "value")
    for path in (given["run"], *rivals.values()):
        check_folder(path)
    if given["seed"] < 0:
        raise ConfigError(f"value: --seed must be 0 or more, got {given['seed']}")
    figures = _weigh(given, rivals, settings)
    # Shown before it is written: a folder that cannot be written to does not cost the minutes that it took.
    if given["json"]:
        print(json.dumps(figures, indent=1, allow_nan=False))
    else:
        from prudent.report.terminal import value_table

        print(value_table(figures))
    written = _written(given["run"], figures, rivals)
    if written and not given["json"]:
        print(f"\nwritten: {', '.join(str(path) for path in written)}")


def _weigh(given: dict[str, Any], rivals: dict[str, Path], settings: dict[str, Any]) -> dict[str, Any]:
    from prudent.data import load_dataset
    from prudent.ope.value import value
    from prudent.runs import checkpoint

    population, _ = checkpoint.load(given["run"], say=to_stderr)
    others = {name: checkpoint.load(path, say=to_stderr)[0] for name, path in rivals.items()}
    options = data_options(given, given["logged"])
    dataset = load_dataset(given["logged"], **options) if given["logged"] else own_dataset(given["run"])
    found = value(
        population,
        dataset,
        compare={name: _one(loaded, _best(rivals[name])) for name, loaded in others.items()},
        member=given["member"] or _best(given["run"]),
        discount=given["discount"],
        seen=_seen(given["run"], dataset),
        seed=given["seed"],
        told=lambda line: print(line, file=sys.stderr, flush=True),
        **settings,
    )
    return {"step": population.state.step, **found.to_json()}


def _best(path: Path) -> str | None:
    """Of the setting that did best in the environment, the first member that has not diverged; None without."""
    if not (path / "config.json").is_file():
        return None

    from prudent.report import read_run

    run = read_run(path)
    setting = run.best()[0]
    names, lost = run.groups().get(setting, []) if setting else [], run.diverged()
    return next((name for name in names if name not in lost), names[0] if names else None)


def _one(population: Any, name: str | None) -> Any:
    return population if name is None else population.member(population.names.index(name))


def _seen(path: Path, dataset: Any) -> Any:
    """What a run learned from, or True where it is all of the dataset; None where it cannot be found again."""
    from prudent.runs.folder import folder_of, read_run

    folder = folder_of(path)
    if folder is not None and read_run(folder)["dataset"]["fingerprint"] == dataset.fingerprint:
        return True
    try:
        return own_dataset(path)
    except PrudentError as error:
        told = "whether the policy learned from some of these episodes is not known"
        print(f"{told}: {error}", file=sys.stderr)
        return None


def _written(path: Path, figures: dict[str, Any], rivals: dict[str, Path]) -> list[Path]:
    if not (path / "config.json").is_file():
        return []

    from prudent import report
    from prudent.runs.folder import write_json

    write_json(path / "value.json", figures)
    # Of one checkpoint there is no more to show than its value, which is there already.
    whole = {name: rival for name, rival in rivals.items() if (rival / "config.json").is_file()}
    return [path / "value.json", report.write_report(path, whole or None)]
