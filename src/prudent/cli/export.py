"""``prudent export``: write a policy as a folder that acts without this library, or check such a folder."""

from pathlib import Path
from typing import Any

from prudent.cli.data_flags import add_data_flags, load_named
from prudent.cli.flags import Parser, add_threads, set_threads
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.cli.run_folders import check_folder, is_run, to_stderr, training_data
from prudent.errors import ConfigError, PrudentError

FORMATS, FALLBACKS = ("onnx", "torch"), ("flag", "refuse", "nearest")
LOGGED_DECISIONS = 5_000


def export(words: list[str]) -> None:
    arguments = _parse(words)
    set_threads(arguments["threads"], "export")
    take(arguments["algo"])
    if arguments["check"] is not None:
        from prudent.export.write import check

        if arguments["run"] is not None:
            check_folder(arguments["run"])
        check(arguments["check"], arguments["run"], print)
        return

    from prudent.export.formats import check_installed
    from prudent.runs.folder import check_free

    run, out = arguments["run"], arguments["out"]
    check_folder(run)
    check_installed(arguments["format"])
    check_free(out, "choose another folder with --out")
    content = _export(arguments, run, out)
    _say(content, out)


def _parse(words: list[str]) -> dict[str, Any]:
    parser = Parser(
        prog="prudent export",
        usage="prudent export RUN --out DIR [--member NAME] [--format onnx] [--fallback flag|refuse|nearest] ...\n"
        "       prudent export [RUN] --check DIR",
        description="Write a policy as a folder that acts without this library: a graph from observations to actions "
        "in the log's units, a description, a model card, a small program that acts. Or check such a folder.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder, tuned folder, or one checkpoint")
    parser.add_argument("--out", type=Path, metavar="DIR", help="new folder for the export")
    parser.add_argument(
        "--check", type=Path, metavar="DIR", help="verify an export: its files, and its graph beside its run"
    )
    parser.add_argument("--member", metavar="NAME", help="member of RUN, name or number (default: the best)")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="of the graph (default: onnx)")
    parser.add_argument(
        "--acting",
        choices=("mode", "sample"),
        help="act by the likeliest action, or by a sample (default: as the run is to)",
    )
    parser.add_argument(
        "--fallback",
        choices=FALLBACKS,
        default="flag",
        help="a decision outside the data: act and flag it (default), refuse to act, or take the nearest logged action",
    )
    parser.add_argument(
        "--logged-decisions",
        type=int,
        default=LOGGED_DECISIONS,
        metavar="N",
        help=f"most logged decisions inside the graph to compare with (default: {LOGGED_DECISIONS}); 0: no such check",
    )
    parser.add_argument("--license", metavar="TEXT", help="licence of the data, such as cc-by-4.0, for the model card")
    parser.add_argument(
        "--data", nargs="+", dest="logged", metavar="DATA", help="the log it learned from (default: the run's own)"
    )
    add_algo(parser)
    add_threads(parser, default=1)
    add_data_flags(parser)
    arguments = vars(parser.parse_strict(words))
    if arguments["check"] is not None:
        if arguments["out"] is not None:
            raise ConfigError("export: --out makes an export, --check verifies one: give one of them")
    elif arguments["run"] is None or arguments["out"] is None:
        raise ConfigError(
            "export: name a run and a new folder, prudent export RUN --out DIR, or verify one with --check DIR"
        )
    if arguments["logged_decisions"] < 0:
        raise ConfigError(f"export: --logged-decisions must be 0 or more, got {arguments['logged_decisions']}")
    if arguments["logged_decisions"] == 0 and arguments["fallback"] != "flag":
        raise ConfigError(
            f"export: --fallback {arguments['fallback']} needs logged decisions, --logged-decisions 0 leaves them out"
        )
    return arguments


def _export(arguments: dict[str, Any], run: Path, out: Path) -> dict[str, Any]:
    from prudent.export import write
    from prudent.ope import policy as policies
    from prudent.runs import checkpoint, tuned
    from prudent.runs.folder import fits_fingerprint, folder_of, read_run

    whole, _ = checkpoint.load(run, say=to_stderr)
    check_used(arguments["algo"], [whole.algorithm_name], run)
    population = whole.member(_member(run, whole, arguments["member"]))
    dataset = load_named(arguments, arguments["logged"])
    if dataset is None:
        dataset = training_data(run)
    elif (folder := folder_of(run)) is not None:
        fits_fingerprint(dataset, read_run(folder)["dataset"]["fingerprint"], folder)
    policies.check(policies.as_policy(population), dataset)
    request = write.Request(
        population,
        dataset,
        arguments["format"],
        arguments["acting"] or population.acting,
        arguments["fallback"],
        _reference(arguments, population, dataset),
        _worth(run, population),
        arguments["license"],
        tuned.policy_of(run) if tuned.is_tuned(run) else run,
    )
    return write.export(request, out)


def _member(run: Path, population: Any, wanted: str | None) -> int:
    """The index of a member, by name or number; of several without a word, the one with the best return."""
    names = population.names
    if wanted is not None:
        for labels in (names, [str(index) for index in range(len(names))]):
            if wanted in labels:
                return labels.index(wanted)
        raise ConfigError(f"export: {run} has no member {wanted!r}: {', '.join(names)}")
    if len(names) == 1:
        return 0
    from prudent.runs.folder import folder_of
    from prudent.runs.foreign import as_written
    from prudent.runs.read import as_number, read_run

    folder = folder_of(run)
    returns: dict[str, float] = {}
    if folder is not None:
        with as_written(folder):
            rows = read_run(folder).summary()[0]
            returns = {n: mean for n in names if (mean := as_number(rows.get(n, {}).get("return_mean"))) is not None}
    if not returns:
        raise ConfigError(
            f"export: {run} has {len(names)} members, and which is the best is not known: choose with --member "
            f"({', '.join(names)})"
        )
    best = max(returns, key=returns.__getitem__)
    to_stderr(f"{best} has the best return of {len(names)} members; --member chooses another")
    return names.index(best)


def _reference(arguments: dict[str, Any], population: Any, dataset: Any) -> Any:
    """Logged decisions for the support check; None without one."""
    from prudent.coverage.reference import reference
    from prudent.export.reference import Reference

    size = arguments["logged_decisions"]
    if size == 0:
        return None
    is_mode = (arguments["acting"] or population.acting) == "mode"
    try:
        return Reference(**reference(population, dataset, reference=size, deterministic=is_mode))
    except PrudentError as error:
        if arguments["fallback"] != "flag":
            raise
        to_stderr(f"the export has no output outside: {error}")
        return None


def _worth(run: Path, population: Any) -> dict[str, Any]:
    from prudent.export import worth, write
    from prudent.report import read_run
    from prudent.report.verdict import judge
    from prudent.runs import tuned
    from prudent.runs.folder import folder_of
    from prudent.runs.foreign import as_written

    if tuned.is_tuned(run):
        return worth.of_tuning(run)
    folder = folder_of(run)
    if folder is None or not is_run(folder):
        return write.UNKNOWN
    name, step = population.names[0], population.state.step
    with as_written(folder):
        stored = read_run(folder)
        one = len(stored.names) == 1 and stored.status.get("step") == step
        verdict = judge(stored, {}) if one else None
    headline, reasons = (None, []) if verdict is None else (verdict.headline, verdict.reasons)
    return worth.of_run(folder, name, step, headline, reasons)


def _say(content: dict[str, Any], out: Path) -> None:
    checked, outside = content["checked"], content["outside"]
    print(
        f"{out}: {content['title']}, {content['member']['name']}, step {content['step']:,}; acts by "
        f"{'its likeliest action' if content['noise'] is None else 'a sample, with noise as an input'}"
    )
    print(
        f"the graph does what the policy does: on {checked['rows']:,} rows of {checked['source']} the largest "
        f"difference is {checked['largest_difference']:.1e}"
    )
    if outside is not None:
        print(
            f"outside the data: {100 * outside['share']:.1f} % of its decisions at the log's states, against "
            f"{outside['logged_decisions']:,} logged ones; there it {_DOES[outside['fallback']]}"
        )


_DOES = {"flag": "acts and says so", "refuse": "refuses to act", "nearest": "takes the nearest logged action"}
