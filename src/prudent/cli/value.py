"""``prudent value``: estimate from a log the value of a policy, of others, and of what made the log."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from prudent.cli import policy_files, tuned_folders
from prudent.cli.data_flags import add_data_flags, load_named
from prudent.cli.flags import Parser, add_flags, add_threads, set_threads, values_of
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.cli.policy_files import COLUMN
from prudent.cli.run_folders import check_folder, is_run, named_runs, to_stderr, training_data
from prudent.errors import ConfigError, PrudentError


def value(words: list[str]) -> None:
    from prudent.ope import Settings

    arguments = _parse(words)
    settings = values_of(arguments, Settings)
    Settings(**settings)
    run, rivals = arguments["run"], named_runs(arguments["compare"], "value")
    policies = {name: policy_files.load(str(path)) for name, path in rivals.items() if _is_given(path)}
    rivals = {name: path for name, path in rivals.items() if name not in policies}
    for path in (run, *rivals.values()):
        if path is not None:
            check_folder(path)
    if arguments["seed"] < 0:
        raise ConfigError(f"value: --seed must be 0 or more, got {arguments['seed']}")
    set_threads(arguments["threads"], "value")
    _check_out(arguments["out"])
    # What a given policy prints is no result.
    with contextlib.redirect_stdout(sys.stderr):
        figures = _estimate(arguments, rivals, policies, settings)
    # Print before writing: if the folder cannot be written to, minutes of work are not lost.
    if arguments["json"]:
        print(json.dumps(figures, indent=1, allow_nan=False))
    else:
        from prudent.report.terminal import value_table

        print(value_table(figures))
        if "verdict" in figures:
            print(f"\nverdict: {figures['verdict']}")
    written = _write(arguments, figures, rivals)
    if written and not arguments["json"]:
        print(f"\nwritten: {', '.join(str(path) for path in written)}")


def _is_given(path: Path) -> bool:
    return policy_files.is_policy(str(path)) or (str(path) == COLUMN and not path.is_dir())


def _parse(words: list[str]) -> dict[str, Any]:
    from prudent.ope import Settings

    parser = Parser(
        prog="prudent value",
        usage="prudent value RUN [--data DATA ...] [--compare NAME=RUN ...] [--member NAME] [--discount X] ...\n"
        "       prudent value --policy FILE.py:FUNCTION --data DATA ... [--compare NAME=RUN ...] [--discount X] ...",
        description="Estimate the value of a policy, a run's or a given one, from a log alone: by fitted Q evaluation, "
        "weighted doubly robust and importance sampling, with intervals, or the reason why there is none. Of a run it "
        "writes RUN/value.json, and the report again; of a given policy it writes nothing without --out.",
    )
    parser.add_argument(
        "run", type=Path, nargs="?", help="run folder, tuned folder, or one checkpoint (then nothing is written)"
    )
    parser.add_argument(
        "--policy",
        metavar="POLICY",
        help="a given policy instead of a run: FILE.py:FUNCTION, MODULE:FUNCTION, or target_prob for the "
        "probabilities that the log's mapping names so",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        dest="logged",
        metavar="DATA",
        help="episodes for the estimate, best held out from training (default: the run's own, which are optimistic; "
        "of a tuned folder its final part, which is held out)",
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="NAME=RUN",
        help="other runs or given policies (NAME=FILE.py:FUNCTION) to compare with",
    )
    parser.add_argument("--member", metavar="NAME", help="member of RUN (default: the first seed of each setting)")
    parser.add_argument(
        "--discount", type=float, metavar="X", help="gamma (default: that of the run); not for logs of single decisions"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of folds, resamples and fits (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_algo(parser)
    add_threads(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures to this JSON file too")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("estimation"), Settings)
    return _checked(vars(parser.parse_strict(words)))


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    run, policy = arguments["run"], arguments["policy"]
    if (run is None) == (policy is None):
        raise ConfigError(
            "value: name a run folder, or a given policy with --policy"
            if run is None
            else f"value: {run} is a run and --policy {policy} is a given policy: name one, and --compare the other"
        )
    if policy is not None and arguments["member"] is not None:
        raise ConfigError("value: --member is for the members of a run, and a given policy has none")
    if policy is not None and not arguments["logged"]:
        raise ConfigError("value: a given policy has no log of its own: name one with --data")
    return arguments


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.exists():
        raise ConfigError(f"--out {out}: exists; choose another name")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {out.parent}")


def _estimate(
    arguments: dict[str, Any], rivals: dict[str, Path], policies: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """The figures of ``value.json``."""
    from prudent.ope.value import value
    from prudent.runs import checkpoint, tuned

    run: Path | None = arguments["run"]
    if run is not None and tuned.is_tuned(run):
        tuned_folders.check(run)
    take(arguments["algo"])
    agent = policy_files.load(arguments["policy"]) if run is None else checkpoint.load(run, say=to_stderr)[0]
    others = {name: checkpoint.load(path, say=to_stderr)[0] for name, path in rivals.items()}
    opened = ([] if run is None else [agent]) + [*others.values()]
    check_used(arguments["algo"], [population.algorithm_name for population in opened], "the run")
    dataset = load_named(arguments, arguments["logged"])
    compare = {name: _member(other, _best_member(rivals[name])) for name, other in others.items()} | policies
    found, seen = None, None
    if run is not None and tuned.is_tuned(run):
        found = tuned_folders.episodes(run, dataset)
        dataset, seen = found.dataset, found.seen
        compare |= tuned_folders.rivals(run, agent, [*compare])
    elif run is not None:
        dataset = training_data(run) if dataset is None else dataset
        seen = _seen_data(run, dataset)
    result = value(
        agent,
        dataset,
        compare=compare,
        member=arguments["member"] or (None if run is None else _best_member(run)),
        discount=arguments["discount"],
        seen=seen,
        seed=arguments["seed"],
        say=to_stderr,
        **settings,
    )
    figures = {**({} if run is None else {"step": agent.state.step}), **result.to_json()}
    return figures if run is None or found is None else tuned_folders.described(run, figures, found)


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


def _write(arguments: dict[str, Any], figures: dict[str, Any], rivals: dict[str, Path]) -> list[Path]:
    from prudent import report
    from prudent.runs import tuned
    from prudent.runs.folder import write_json

    run, out = arguments["run"], arguments["out"]
    written = []
    if out is not None:
        write_json(out, figures)
        written.append(out)
    if run is None or not (is_run(run) or tuned.is_tuned(run)):
        return written
    write_json(run / "value.json", figures)
    # A report shows run folders; all there is to show of a checkpoint is its value, which value.json has.
    others = {name: rival for name, rival in rivals.items() if is_run(rival)}
    page = tuned_folders.write_report(run) if tuned.is_tuned(run) else report.write_report(run, others or None)
    return [*written, run / "value.json", page]
