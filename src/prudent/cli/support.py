"""``prudent support``: find the decisions of a run's policies that lie outside the data."""

import json
from pathlib import Path

from prudent.cli.data_flags import add_data_flags, data_options
from prudent.cli.flags import Parser, add_flags, add_threads, set_threads, values_of
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.cli.run_folders import check_folder, to_stderr, training_data
from prudent.errors import ConfigError


def support(words: list[str]) -> None:
    from prudent.coverage.support import Settings

    parser = Parser(
        prog="prudent support",
        usage="prudent support RUN [--data DATA ...] [--at DATA ...] [--neighbours N] [--level X] ...",
        description="Find the decisions of a run's policies that lie outside the data. Needs no environment.",
    )
    parser.add_argument("run", type=Path, help="run folder, tuned folder, or one checkpoint")
    parser.add_argument(
        "--data", nargs="+", dest="logged", metavar="DATA", help="log to compare with (default: the run's own)"
    )
    parser.add_argument(
        "--at", nargs="+", metavar="DATA", help="rollouts whose states the policies decide in (default: the log)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the scores as a PNG file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_algo(parser)
    add_threads(parser)
    add_data_flags(parser)
    add_flags(parser.add_argument_group("support"), Settings)
    arguments = vars(parser.parse_strict(words))
    run, picture = arguments["run"], arguments["picture"]
    settings = values_of(arguments, Settings)
    Settings(**settings)
    check_folder(run)
    _check_picture(picture)
    set_threads(arguments["threads"], "support")

    from prudent.coverage.support import support
    from prudent.data import load_dataset, outcomes
    from prudent.runs import checkpoint

    take(arguments["algo"])
    population, _ = checkpoint.load(run, say=to_stderr)
    check_used(arguments["algo"], [population.algorithm_name], run)
    options = data_options(arguments, arguments["logged"] or arguments["at"])
    dataset = load_dataset(arguments["logged"], **options) if arguments["logged"] else training_data(run)
    at = load_dataset(arguments["at"], **options) if arguments["at"] else None
    for log in (dataset,) if at is None else (dataset, at):
        for warning in outcomes.warnings(log):
            to_stderr(warning)
    figures = {"step": population.state.step, **support(population, dataset, at=at, **settings).to_json()}
    if picture:
        from prudent.report.support import draw_support

        draw_support(figures, picture)
    if arguments["json"]:
        print(json.dumps(figures, indent=1, allow_nan=False))
        return

    from prudent.report.terminal import support_table

    rows = figures["rows"]
    print(
        f"{run}, step {figures['step']}: {rows['decisions']:,} decisions per member at states of {figures['states']}, "
        f"each compared with {rows['reference']:,} of {figures['dataset']}"
    )
    print(support_table(figures))


def _check_picture(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--picture {path}: the picture is a PNG, so the name has to end in .png")
    if path.exists():
        raise ConfigError(f"--picture {path}: exists; choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"--picture {path}: there is no folder {path.parent}")
