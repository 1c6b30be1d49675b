"""``prudent train``: start a run, or go on with one."""

from collections.abc import Iterable
from pathlib import Path

from prudent.cli._common import add_data_flags, data_options, free_folder
from prudent.errors import ConfigError
from prudent.files import folder_name


def train(words: list[str]) -> None:
    from prudent.cli.flags import Parser

    first = Parser(prog="prudent train", add_help=False)
    for flag in ("--algo", "--preset", "--resume"):
        first.add_argument(flag)
    chosen, _ = first.parse_known_args(words)
    if chosen.resume is not None:
        _resume(words)
    else:
        _start(words, chosen.algo, chosen.preset)


def _resume(words: list[str]) -> None:
    from prudent.cli.flags import Parser
    from prudent.data import load_dataset
    from prudent.training import groups
    from prudent.training.resume import resume

    parser = Parser(
        prog="prudent train --resume",
        usage="prudent train --resume RUN [DATA ...] [--steps N] [--device NAME] [--threads N] [--env ID]"
        " [--max-minutes X]",
        description="Go on with a run, with the settings it has.",
    )
    parser.add_argument("data", nargs="*", help="where its dataset is now, if it has moved")
    parser.add_argument("--resume", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--steps", type=int, metavar="N", help="gradient steps in all, to take it further")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or mps, if another than before")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads, if others than before")
    parser.add_argument("--env", metavar="ID", help="environment, if another than before or one that imports a module")
    parser.add_argument("--max-minutes", type=float, metavar="X", help="save and stop after this time, if another")
    add_data_flags(parser)
    try:
        found = parser.parse_strict(words)
    except ConfigError as error:
        raise ConfigError(f"{error}; all other settings stay those of the run") from error
    options = data_options(vars(found), found.data)
    dataset = load_dataset(found.data, **options) if found.data else None
    changed = {name: vars(found)[name] for name in ("steps", "device", "threads", "env", "max_minutes")}
    if groups.is_in(found.resume):
        groups.resume(found.resume, dataset, **changed)
        _finished(groups.runs_of(found.resume).values())
    else:
        resume(found.resume, dataset=dataset, **changed)
        _finished([found.resume])


def _finished(folders: Iterable[Path]) -> None:
    from prudent.runs.folder import read_json

    for folder in folders:
        path = folder / "evaluation.json"
        best = read_json(path).get("best") if path.is_file() else None
        told = f" (best return {best['return']:.4g}, at step {best['step']})" if best else ""
        print(f"finished: {folder / 'report.html'}{told}")


def _start(words: list[str], algorithm: str | None, preset_name: str | None) -> None:
    from prudent import algorithms, presets
    from prudent.cli.flags import Parser, add_flags, values_of
    from prudent.data import load_dataset
    from prudent.engine import members
    from prudent.engine.options import Options
    from prudent.runs.folder import check_free
    from prudent.training import groups, start

    preset = presets.get(preset_name) if preset_name else None
    name = algorithm or (preset.algorithm if preset else "cql")
    if preset and name != preset.algorithm:
        raise ConfigError(f"preset {preset_name} is for {preset.algorithm}, not for {name}")
    config_type = algorithms.get(name).Config
    base = preset.config if preset else config_type()

    parser = Parser(
        prog="prudent train",
        description="Train a population: every combination of the values given for a setting, times the seeds. Several "
        "whole numbers or choices for one make several populations, in folders of their own.",
        usage="prudent train DATA [DATA ...] [--env ID] [--algo NAME] [--steps N] [--seeds N ...] [--out RUN] ...\n"
        "       prudent train --resume RUN [--steps N]",
    )
    parser.add_argument("data", nargs="*", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--algo", default=name, metavar="NAME", help=f"{', '.join(algorithms.names())} (default: cql)")
    parser.add_argument("--preset", metavar="NAME", help=", ".join(presets.PRESETS))
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], metavar="N", help="one member per seed (default: 0)"
    )
    parser.add_argument("--out", type=Path, help="run folder to create (default: runs/DATA-ALGO, numbered)")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run; --steps may take it further")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("training"), Options)
    settings_group = parser.add_argument_group(
        f"settings of {name} (where the usage shows several values, each is tried)"
    )
    add_flags(settings_group, config_type, base, several=True)
    parser.explain = lambda flag: _foreign(flag, name)
    given = vars(parser.parse_strict(words))

    if not given["data"]:
        raise ConfigError("train: name a dataset, or --resume RUN (see prudent train --help)")
    found = members.groups(base, values_of(given, config_type), given["seeds"])
    if preset is not None:
        given.setdefault("eval_episodes", preset.eval_episodes)
    options = Options(**values_of(given, Options))
    if given["out"] is not None:
        check_free(given["out"])
    sources = {"source": given["data"], **data_options(given)}
    dataset = load_dataset(**sources)
    out = given["out"] or free_folder(f"runs/{folder_name(f'{dataset.name}-{name}')}")
    if len(found) > 1:
        groups.start(dataset, name, found, options, out, sources)
        _finished(out / group.name for group in found)
    else:
        start.train(start.Request(dataset, name, found[0].members, options, out, sources))
        _finished([out])


def _foreign(flag: str, algorithm: str) -> str:
    """That a flag is a setting of other algorithms, where it is."""
    from dataclasses import fields

    from prudent import algorithms

    setting = flag.removeprefix("--").replace("-", "_")
    having = [one for one in algorithms.names() if setting in {f.name for f in fields(algorithms.get(one).Config)}]
    return f"{algorithm} has no {setting}, which is a setting of {', '.join(having)}" if having else ""
