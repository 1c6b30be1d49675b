"""``prudent train --from``: a new run that goes on from a trained policy."""

from pathlib import Path
from typing import Any

from prudent.cli.data_flags import add_data, add_data_flags, data_options
from prudent.cli.flags import Parser, add_flags, values_of
from prudent.cli.run_folders import check_folder, free_folder
from prudent.errors import ConfigError
from prudent.files import folder_name


def go_on(words: list[str], path: Path, algorithm: str | None) -> Path:
    """Train as ``words`` say, from the policy in ``path``; returns the new run folder.

    ``algorithm`` is the name that ``--algo`` gives, also by a file; None without that flag.

    Raises:
        PrudentError: there is no such policy, or settings or data do not fit it. Nothing is written then.
    """
    from prudent.data import load_dataset
    from prudent.engine.options import Options
    from prudent.runs import checkpoint, tuned
    from prudent.runs.folder import check_free
    from prudent.runs.status import check_ended
    from prudent.training import going_on, start

    check_folder(path)
    if not tuned.is_tuned(path):
        check_ended(path)
    trained, _ = checkpoint.load(path, say=print)
    if algorithm not in (None, trained.algorithm_name):
        raise ConfigError(f"train: {path} is a policy of {trained.algorithm_name}, so {algorithm} cannot go on from it")
    arguments = _parse(words, trained)
    if not arguments["data"]:
        raise ConfigError("train: name the dataset to go on with: prudent train DATA --from RUN")
    trained = going_on.chosen(trained, _names(arguments["member"], trained), path)
    settings = _settings(arguments, type(trained.members[0].config))
    origin = going_on.origin_of(path, trained.state.step)
    plan = going_on.GoOn(arguments["scaling"], arguments["optimizer"], settings, origin)
    more = values_of(arguments, Options)
    if more.get("steps", 1) < 1:
        raise ConfigError(f"steps must be 1 or more, got {more['steps']}: they are made on top of those of {path}")
    options = Options(**{**more, "steps": trained.state.step + more.get("steps", Options.steps)})
    if arguments["out"] is not None:
        check_free(arguments["out"])
    sources = {"source": arguments["data"], **data_options(arguments)}
    dataset = load_dataset(**sources)
    out = arguments["out"] or free_folder(f"runs/{folder_name(f'{dataset.name}-{trained.algorithm_name}')}")
    parts = dataset, trained.algorithm_name, trained.members, options, out, sources
    start.train(start.Request(*parts, trained=trained, go_on=plan))
    return out


def _parse(words: list[str], trained: Any) -> dict[str, Any]:
    from prudent.engine.options import Options
    from prudent.training.going_on import OPTIMIZERS, SCALINGS

    name, base = trained.algorithm_name, trained.members[0].config
    parser = Parser(
        prog="prudent train",
        description="Go on from a trained policy with new or grown data, in a new run folder. Members, settings and "
        "the number of the step go on; RUN is not changed.",
        usage="prudent train DATA [DATA ...] --from RUN [--member NAME ...] [--scaling old|new] "
        "[--optimizer kept|fresh] [--steps N] [--out RUN] ...",
    )
    add_data(parser, "*")
    parser.add_argument(
        "--from", dest="origin", metavar="RUN", help="run folder, checkpoint or tuned folder to go on from"
    )
    parser.add_argument(
        "--member", nargs="+", metavar="NAME", help="members that go on, by name or number (default: all)"
    )
    parser.add_argument(
        "--scaling",
        choices=SCALINGS,
        default="old",
        help="scaling of observations and rewards: that of RUN, or one taken from DATA (default: old)",
    )
    parser.add_argument(
        "--optimizer", choices=OPTIMIZERS, default="kept", help="Adam's moments: kept, or fresh (default: kept)"
    )
    parser.add_argument(
        "--algo", metavar="NAME", help=f"only {name}, the algorithm of RUN; its file, if it is your own"
    )
    parser.add_argument("--out", type=Path, help="run folder to create (default: runs/DATA-ALGO, numbered)")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("training (--steps: more steps than RUN has made)"), Options)
    add_flags(parser.add_argument_group(f"settings of {name} that change (default: those of RUN)"), type(base), base)
    parser.explain = _explain
    return vars(parser.parse_strict(words))


def _explain(flag: str) -> str:
    reasons = {
        "--seeds": "members and seeds are those of the run that --from names: pick some with --member",
        "--preset": "settings are those of the run that --from names: change single ones by their flags",
    }
    return reasons.get(flag, "")


def _names(words: list[str] | None, trained: Any) -> list[str]:
    """Members by name or number."""
    names = trained.names
    return [
        names[int(word)] if word not in names and word.isdecimal() and int(word) < len(names) else word
        for word in words or ()
    ]


def _settings(arguments: dict[str, Any], config_type: type) -> dict[str, Any]:
    """The settings that change."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values_of(arguments, config_type).items()
    }
