"""``prudent value``: estimate from a log the value of a run's policy, of other runs, and of what made the log."""

import json
from pathlib import Path
from typing import Any

from prudent.cli import tuned_folders
from prudent.cli.data_flags import add_data_flags, load_named
from prudent.cli.flags import Parser, add_flags, add_threads, set_threads, values_of
from prudent.cli.run_folders import check_folder, is_run, named_runs, to_stderr, training_data
from prudent.errors import ConfigError, PrudentError


def value(words: list[str]) -> None:
    from prudent.ope import Settings

    arguments = _parse(words)
    settings = values_of(arguments, Settings)
    Settings(**settings)
    run, rivals = arguments["run"], named_runs(arguments["compare"], "value")
    for path in (run, *rivals.values()):
        check_folder(path)
    if arguments["seed"] < 0:
        raise ConfigError(f"value: --seed must be 0 or more, got {arguments['seed']}")
    set_threads(arguments["threads"], "value")
    figures = _estimate(arguments, rivals, settings)
    # Print before writing: if the folder cannot be written to, minutes of work are not lost.
    if arguments["json"]:
        print(json.dumps(figures, indent=1, allow_nan=False))
    else:
        from prudent.report.terminal import value_table

        print(value_table(figures))
        if "verdict" in figures:
            print(f"\nverdict: {figures['verdict']}")
    written = _write(run, figures, rivals)
    if written and not arguments["json"]:
        print(f"\nwritten: {', '.join(str(path) for path in written)}")


def _parse(words: list[str]) -> dict[str, Any]:
    from prudent.ope import Settings

    parser = Parser(
        prog="prudent value",
        usage="prudent value RUN [--data DATA ...] [--compare NAME=RUN ...] [--member NAME] [--discount X] ...",
        description="Estimate the value of a run's policy from a log alone: by fitted Q evaluation, weighted doubly "
        "robust and importance sampling, with intervals, or the reason why there is none. Writes RUN/value.json, and "
        "the report again.",
    )
    parser.add_argument("run", type=Path, help="run folder, tuned folder, or one checkpoint (then nothing is written)")
    parser.add_argument(
        "--data",
        nargs="+",
        dest="logged",
        metavar="DATA",
        help="episodes for the estimate, best held out from training (default: the run's own, which are optimistic; "
        "of a tuned folder its final part, which is held out)",
    )
    parser.add_argument("--compare", nargs="+", default=[], metavar="NAME=RUN", help="other runs to compare with")
    parser.add_argument("--member", metavar="NAME", help="member of RUN (default: the first seed of each setting)")
    parser.add_argument("--discount", type=float, metavar="X", help="gamma (default: that of the run)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of folds, resamples and fits (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_threads(parser)
    add_data_flags(parser)
    add_flags(parser.add_argument_group("estimation"), Settings)
    return vars(parser.parse_strict(words))


def _estimate(arguments: dict[str, Any], rivals: dict[str, Path], settings: dict[str, Any]) -> dict[str, Any]:
    """The figures of ``value.json``."""
    from prudent.ope.value import value
    from prudent.runs import checkpoint, tuned

    run = arguments["run"]
    population, _ = checkpoint.load(run, say=to_stderr)
    others = {name: checkpoint.load(path, say=to_stderr)[0] for name, path in rivals.items()}
    dataset = load_named(arguments, arguments["logged"])
    compare = {name: _member(other, _best_member(rivals[name])) for name, other in others.items()}
    found = tuned_folders.episodes(run, dataset) if tuned.is_tuned(run) else None
    if found is not None:
        dataset, seen = found.dataset, found.seen
        compare |= tuned_folders.rivals(run, population, [*compare])
    else:
        dataset = training_data(run) if dataset is None else dataset
        seen = _seen_data(run, dataset)
    result = value(
        population,
        dataset,
        compare=compare,
        member=arguments["member"] or _best_member(run),
        discount=arguments["discount"],
        seen=seen,
        seed=arguments["seed"],
        say=to_stderr,
        **settings,
    )
    figures = {"step": population.state.step, **result.to_json()}
    return figures if found is None else tuned_folders.described(run, figures, found)


def _best_member(path: Path) -> str | None:
    """The member to estimate: of the setting with the best return, the first that has not diverged.

    None for a checkpoint, and if no setting is known to be the best.
    """
    if not is_run(path):
        return None

    from prudent.report import read_run
    from prudent.runs.foreign import as_written

    run = read_run(path)
    with as_written(path):
        setting = run.best()[0]
        names, diverged = run.groups().get(setting, []) if setting else [], run.diverged()
    return next((name for name in names if name not in diverged), names[0] if names else None)


def _member(population: Any, name: str | None) -> Any:
    return population if name is None else population.member(population.names.index(name))


def _seen_data(path: Path, dataset: Any) -> Any:
    """The dataset that the run was trained on, True if it is ``dataset``, or None if it cannot be found."""
    from prudent.runs.folder import folder_of, read_run

    folder = folder_of(path)
    if folder is not None and read_run(folder)["dataset"]["fingerprint"] == dataset.fingerprint:
        return True
    try:
        return training_data(path)
    except PrudentError as error:
        to_stderr(f"whether the policy was trained on some of these episodes is not known: {error}")
        return None


def _write(run: Path, figures: dict[str, Any], rivals: dict[str, Path]) -> list[Path]:
    from prudent import report
    from prudent.runs import tuned
    from prudent.runs.folder import write_json

    if not (is_run(run) or tuned.is_tuned(run)):
        return []
    write_json(run / "value.json", figures)
    # A report shows run folders; all there is to show of a checkpoint is its value, which value.json has.
    others = {name: rival for name, rival in rivals.items() if is_run(rival)}
    if tuned.is_tuned(run):
        return [run / "value.json", tuned_folders.write_report(run)]
    return [run / "value.json", report.write_report(run, others or None)]
