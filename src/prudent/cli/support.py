"""``prudent support``: which decisions of a run's policies lie outside the data."""

import json
from pathlib import Path

from prudent.cli._common import add_data_flags, check_folder, data_options, own_dataset, to_stderr
from prudent.errors import ConfigError


def support(words: list[str]) -> None:
    from prudent.cli.flags import Parser, add_flags, values_of
    from prudent.coverage.support import Settings

    parser = Parser(
        prog="prudent support",
        usage="prudent support RUN [--data DATA ...] [--at DATA ...] [--neighbours N] [--level X] ...",
        description="Which decisions of a run's policies lie outside the data. Needs no environment.",
    )
    parser.add_argument("run", type=Path, help="run folder, or one checkpoint in it")
    parser.add_argument(
        "--data", nargs="+", dest="logged", metavar="DATA", help="the log to compare with (default: the run's own)"
    )
    parser.add_argument(
        "--at", nargs="+", metavar="DATA", help="decide at the states of these rollouts (default: at those of the log)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the scores into a PNG file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("support"), Settings)
    given = vars(parser.parse_strict(words))
    settings = values_of(given, Settings)
    Settings(**settings)
    check_folder(given["run"])
    _check_picture(given["picture"])

    from prudent.coverage.support import support
    from prudent.data import load_dataset
    from prudent.runs import checkpoint

    population, _ = checkpoint.load(given["run"], say=to_stderr)
    options = data_options(given, given["logged"] or given["at"])
    dataset = load_dataset(given["logged"], **options) if given["logged"] else own_dataset(given["run"])
    at = load_dataset(given["at"], **options) if given["at"] else None
    figures = {"step": population.state.step, **support(population, dataset, at=at, **settings).to_json()}
    if given["picture"]:
        from prudent.report.support import draw_support

        draw_support(figures, given["picture"])
    if given["json"]:
        print(json.dumps(figures, indent=1, allow_nan=False))
        return

    from prudent.report.terminal import support_table

    rows = figures["rows"]
    print(
        f"{given['run']}, step {figures['step']}: {rows['decisions']:,} decisions per member at states of "
        f"{figures['states']}, each held against {rows['reference']:,} of {figures['dataset']}"
    )
    print(support_table(figures))


def _check_picture(path: Path | None) -> None:
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--picture {path}: a PNG is drawn, so the name has to end in .png")
    if path.exists():
        raise ConfigError(f"--picture {path}: exists; choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"--picture {path}: there is no folder {path.parent}")
