"""``prudent finetune``: a finished run goes on in its environment."""

from pathlib import Path

from prudent.cli._common import add_data_flags, check_folder, data_options, free_folder


def finetune(words: list[str]) -> None:
    from prudent.cli.flags import Parser, add_flags, values_of
    from prudent.online.finetune import Settings
    from prudent.runs.folder import check_free

    parser = Parser(
        prog="prudent finetune",
        usage="prudent finetune RUN [--env ID] [--steps N] [--out RUN] [--mix X] ...",
        description="Go on with a finished run online: half of each batch from its dataset, half fresh.",
    )
    parser.add_argument("run", type=Path, help="run folder to go on from; it stays as it is")
    parser.add_argument("--out", type=Path, help="run folder to create (default: RUN-online, numbered)")
    parser.add_argument(
        "--data", nargs="+", dest="moved", metavar="DATA", help="where its dataset is now, if it has moved"
    )
    add_data_flags(parser)
    add_flags(parser.add_argument_group("online"), Settings)
    given = vars(parser.parse_strict(words))
    settings = Settings(**values_of(given, Settings))
    if given["out"] is not None:
        check_free(given["out"], "choose another folder")
    check_folder(given["run"])

    from prudent.data import load_dataset
    from prudent.online import finetune as online

    options = data_options(given, given["moved"])
    dataset = load_dataset(given["moved"], **options) if given["moved"] else None
    out = given["out"] or free_folder(f"{given['run']}-online")
    online.finetune(given["run"], settings, out, dataset)
    print(f"finished: {out / 'report.html'}")
