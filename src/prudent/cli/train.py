"""``prudent train``: start a run, continue one, or go on from one in another folder."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from prudent.cli.data_flags import add_data, add_data_flags, data_options, load_named
from prudent.cli.flags import Parser, add_flags, values_of
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.cli.run_folders import free_folder
from prudent.errors import ConfigError
from prudent.files import folder_name


def train(words: list[str]) -> None:
    # Which flags there are depends on these, which are therefore read first.
    first = Parser(prog="prudent train", add_help=False)
    for flag in ("--algo", "--preset", "--resume", "--from"):
        first.add_argument(flag)
    choice, _ = first.parse_known_args(words)
    if choice.resume is not None and vars(choice)["from"] is not None:
        raise ConfigError("train: --from begins a new run and --resume continues one in its folder: give one of them")
    if choice.resume is not None:
        _resume(words)
    elif (origin := vars(choice)["from"]) is not None:
        from prudent.cli.going_on import go_on

        _print_reports([go_on(words, Path(origin), _taken(choice.algo))])
    else:
        _start(words, _taken(choice.algo), choice.preset)


def _taken(algorithm: str | None) -> str | None:
    """The name of an algorithm that is given by name or as a file."""
    if algorithm is None:
        return None
    from prudent import algorithms

    return algorithms.take(algorithm)


def _resume(words: list[str]) -> None:
    from prudent.runs.folder import read_run
    from prudent.training import groups
    from prudent.training.resume import resume

    parser = Parser(
        prog="prudent train --resume",
        usage="prudent train --resume RUN [DATA ...] [--steps N] [--device NAME] [--threads N] [--env ID]"
        " [--max-minutes X] [--algo FILE]",
        description="Continue a run with its settings.",
    )
    parser.add_argument("data", nargs="*", help="where its dataset is now, if it has moved")
    parser.add_argument("--resume", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--steps", type=int, metavar="N", help="total gradient steps, to train for longer")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or mps, if it changes")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads, if they change")
    parser.add_argument("--env", metavar="ID", help="environment, if it changes or its id imports a module")
    parser.add_argument("--max-minutes", type=float, metavar="X", help="save and stop after this time, if it changes")
    parser.add_argument("--logger", type=str, nargs="+", metavar="NAME", help="where metrics go, if that changes")
    add_algo(parser)
    add_data_flags(parser)
    try:
        arguments = parser.parse_strict(words)
    except ConfigError as error:
        raise ConfigError(f"{error}; all other settings stay those of the run") from error
    take(arguments.algo)
    dataset = load_named(vars(arguments), arguments.data)
    changes = {name: vars(arguments)[name] for name in ("steps", "device", "threads", "env", "max_minutes", "logger")}
    several = groups.is_in(arguments.resume)
    if arguments.algo:
        runs = [*groups.runs_of(arguments.resume).values()] if several else [arguments.resume]
        check_used(arguments.algo, [read_run(run)["algorithm"] for run in runs], arguments.resume)
    if several:
        groups.resume(arguments.resume, dataset, **changes)
        _print_reports(groups.runs_of(arguments.resume).values())
    else:
        resume(arguments.resume, dataset=dataset, **changes)
        _print_reports([arguments.resume])


def _start(words: list[str], algorithm: str | None, preset_name: str | None) -> None:
    from prudent import algorithms, presets
    from prudent.data import load_dataset
    from prudent.engine import members
    from prudent.engine.options import Options
    from prudent.runs import loggers
    from prudent.runs.folder import check_free
    from prudent.training import groups, start

    preset = presets.get(preset_name) if preset_name else None
    name = algorithm or (preset.algorithm if preset else "cql")
    if preset and name != preset.algorithm:
        raise ConfigError(f"preset {preset_name} is for {preset.algorithm}, not for {name}")
    config_type = algorithms.get(name).Config
    base = preset.config if preset else config_type()
    arguments = _parse(words, name, base)
    if not arguments["data"]:
        raise ConfigError("train: name a dataset, or --resume RUN (see prudent train --help)")
    member_groups = members.groups(base, values_of(arguments, config_type), arguments["seeds"])
    if preset is not None:
        arguments.setdefault("eval_episodes", preset.eval_episodes)
    options = Options(**values_of(arguments, Options))
    loggers.check(options.logger)
    if arguments["out"] is not None:
        check_free(arguments["out"])
    sources = {"source": arguments["data"], **data_options(arguments)}
    dataset = load_dataset(**sources)
    out = arguments["out"] or free_folder(f"runs/{folder_name(f'{dataset.name}-{name}')}")
    if len(member_groups) > 1:
        groups.start(dataset, name, member_groups, options, out, sources)
        _print_reports(out / group.name for group in member_groups)
    else:
        start.train(start.Request(dataset, name, member_groups[0].members, options, out, sources))
        _print_reports([out])


def _parse(words: list[str], algorithm: str, base: Any) -> dict[str, Any]:
    """The arguments by name; ``base`` is the config whose values are the defaults in the help."""
    from prudent import algorithms, presets
    from prudent.engine.options import Options

    parser = Parser(
        prog="prudent train",
        description="Train a population: every combination of the values given for a setting, times the seeds. Several "
        "whole numbers or choices for one setting make several populations, in folders of their own.",
        usage="prudent train DATA [DATA ...] [--env ID] [--algo NAME] [--steps N] [--seeds N ...] [--out RUN] ...\n"
        "       prudent train --resume RUN [--steps N]\n"
        "       prudent train DATA --from RUN [--member NAME ...] [--scaling old|new] [--optimizer kept|fresh] ...",
    )
    add_data(parser, "*")
    parser.add_argument(
        "--algo",
        default=algorithm,
        metavar="NAME",
        help=f"{', '.join([*algorithms.names(), *algorithms.own_names()])}, or the file of one of your own, such as "
        "my_cql.py (default: cql)",
    )
    parser.add_argument("--preset", metavar="NAME", help=", ".join(presets.PRESETS))
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], metavar="N", help="one member per seed (default: 0)"
    )
    parser.add_argument("--out", type=Path, help="run folder to create (default: runs/DATA-ALGO, numbered)")
    parser.add_argument("--resume", metavar="RUN", help="continue a run; with --steps, train it for longer")
    parser.add_argument("--from", metavar="RUN", help="go on from a trained policy in a new run: see --from RUN --help")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("training"), Options)
    settings = parser.add_argument_group(
        f"settings of {algorithm} (where the usage shows several values, each of them is tried)"
    )
    add_flags(settings, type(base), base, several=True)
    parser.explain = lambda flag: _other_algorithms(flag, algorithm)
    return vars(parser.parse_strict(words))


def _other_algorithms(flag: str, algorithm: str) -> str:
    """The message that a flag is a setting of other algorithms; empty if it is not."""
    from prudent import algorithms

    setting = flag.removeprefix("--").replace("-", "_")
    others = [name for name in algorithms.names() if setting in {f.name for f in fields(algorithms.get(name).Config)}]
    return f"{algorithm} has no {setting}, which is a setting of {', '.join(others)}" if others else ""


def _print_reports(folders: Iterable[Path]) -> None:
    from prudent.runs.folder import read_json
    from prudent.runs.status import trouble

    for folder in folders:
        path = folder / "evaluation.json"
        best = read_json(path).get("best") if path.is_file() else None
        note = f" (best return {best['return']:.4g}, at step {best['step']})" if best else ""
        print(f"finished: {folder / 'report.html'}{note}{trouble(folder)}")
