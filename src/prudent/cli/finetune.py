"""``prudent finetune``: continue a finished run online, in its environment."""

from pathlib import Path

from prudent.cli.data_flags import add_data_flags, load_named
from prudent.cli.flags import Parser, add_flags, values_of
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.cli.run_folders import check_folder, free_folder


def finetune(words: list[str]) -> None:
    from prudent.online.finetune import Settings
    from prudent.runs.folder import check_free
    from prudent.runs.status import trouble

    parser = Parser(
        prog="prudent finetune",
        usage="prudent finetune RUN [--env ID] [--steps N] [--out RUN] [--mix X] ...",
        description="Continue a finished run online: half of each batch comes from its dataset, half is new.",
    )
    parser.add_argument("run", type=Path, help="run folder or tuned folder to start from; it is not changed")
    parser.add_argument("--out", type=Path, help="run folder to create (default: RUN-online, numbered)")
    parser.add_argument(
        "--data", nargs="+", dest="moved", metavar="DATA", help="where its dataset is now, if it has moved"
    )
    add_algo(parser)
    add_data_flags(parser)
    add_flags(parser.add_argument_group("online"), Settings)
    arguments = vars(parser.parse_strict(words))
    settings = Settings(**values_of(arguments, Settings))
    if arguments["out"] is not None:
        check_free(arguments["out"], "choose another folder")
    check_folder(arguments["run"])

    from prudent.online import finetune as online
    from prudent.runs import tuned
    from prudent.runs.folder import read_run

    take(arguments["algo"])
    if arguments["algo"]:
        run = arguments["run"]
        check_used(
            arguments["algo"], [read_run(tuned.run_of(run)[0] if tuned.is_tuned(run) else run)["algorithm"]], run
        )

    dataset = load_named(arguments, arguments["moved"])
    out = arguments["out"] or free_folder(f"{arguments['run']}-online")
    online.finetune(arguments["run"], settings, out, dataset)
    print(f"finished: {out / 'report.html'}{trouble(out)}")
