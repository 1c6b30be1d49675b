"""``prudent``: demo, train, evaluate, report, data.

User mistakes end in one line on standard error and exit code 2, without having written anything. Heavy imports wait
until a verb needs them, so that ``prudent --help`` answers at once.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError, PrudentError

USAGE = """usage: prudent VERB ...

Offline reinforcement learning around Conservative Q-Learning: a fixed dataset goes in, a policy comes out,
with an honest statement of what it is worth.

verbs:
  demo                    train CQL and BC on a small built-in dataset and show what came out
  train DATA ...          train a population (algorithm x hyperparameters x seeds) and leave a run folder
  evaluate RUN            run the policies in their environment; predicted beside realised value
  report RUN              write the run's pictures and report.html again, beside other runs if wanted
  data describe DATA      sizes, returns, action ranges, problems with row numbers, a suggested alpha

Each verb explains itself with --help. DATA is a file (.npz, .hdf5), a Minari dataset (minari:NAME), a D4RL name
(hopper-medium-expert-v2, looked up in $PRUDENT_DATA), or the built-in pendulum-mixed; several files join into one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit code is 0, 2 for a user's mistake, 130 for a run stopped by a signal."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(words)
    except PrudentError as error:
        print(f"prudent: {error}", file=sys.stderr)
        sys.exit(_exit_code(error))
    except BrokenPipeError:
        # The reader of our output went away (| head): nobody is left to tell.
        sys.stderr.close()


def _exit_code(error: PrudentError) -> int:
    if "prudent.train" in sys.modules:
        from prudent.train import INTERRUPTED, Interrupted

        if isinstance(error, Interrupted):
            return INTERRUPTED
    return 2


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] == "--version":
        from prudent import __version__

        print(f"prudent {__version__}")
        return
    verb, rest = words[0], words[1:]
    if verb == "data":
        if not rest or rest[0] in ("-h", "--help"):
            print("usage: prudent data describe DATA ... [--json]")
            return
        verb, rest = f"data {rest[0]}", rest[1:]
    if verb not in VERBS:
        from difflib import get_close_matches

        close = get_close_matches(verb, VERBS, n=1)
        raise ConfigError(f"unknown verb {verb!r}" + (f"; did you mean {close[0]}?" if close else " (see prudent --help)"))
    VERBS[verb](rest)


# --- verbs ------------------------------------------------------------------------------------------------------------


def _train(words: list[str]) -> None:
    from prudent import algorithms, presets, train
    from prudent.flags import Parser, add_flags

    first = Parser(add_help=False)
    first.add_argument("--algo", default=None)
    first.add_argument("--preset", default=None)
    chosen, _ = first.parse_known_args(words)
    preset = presets.get(chosen.preset) if chosen.preset else None
    name = chosen.algo or (preset.algorithm if preset else "cql")
    if preset and name != preset.algorithm:
        raise ConfigError(f"preset {chosen.preset} is for {preset.algorithm}, not for {name}")
    algorithm = algorithms.get(name)
    base = preset.config if preset else algorithm.Config()

    parser = Parser(
        prog="prudent train",
        description="Train a population: every combination of the numbers given for a setting, times the seeds.",
        usage="prudent train DATA [DATA ...] [--env ID] [--algo NAME] [--steps N] [--seeds N ...] [--out RUN] ...\n"
        "       prudent train --resume RUN [--steps N]",
    )
    parser.add_argument("data", nargs="*", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--algo", default=name, metavar="NAME", help=f"{', '.join(algorithms.names())} (default: cql)")
    parser.add_argument("--preset", metavar="NAME", help=", ".join(presets.PRESETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="one member per seed (default: 0)")
    parser.add_argument("--out", type=Path, help="run folder to create (default: runs/DATA-ALGO, numbered)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run; --steps may extend it")
    _add_data_flags(parser)
    add_flags(parser.add_argument_group("training"), train.Options)
    add_flags(parser.add_argument_group(f"settings of {name} (numbers marked X take several)"), algorithm.Config, base, True)
    given = vars(parser.parse_strict(words))
    if given.pop("resume") is not None:
        _resume(words)
    else:
        _start(given, algorithm.Config, base, preset.eval_episodes if preset else None)


def _resume(words: list[str]) -> None:
    from prudent import train
    from prudent.flags import Parser

    parser = Parser(prog="prudent train --resume", usage="prudent train --resume RUN [--steps N]")
    parser.add_argument("--resume", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=None)
    found = parser.parse_strict(words)
    train.resume(found.resume, found.steps)
    print(f"finished: {found.resume / 'report.html'}")


def _start(given: dict[str, Any], config_type: type, base: Any, eval_episodes: int | None) -> None:
    from dataclasses import fields

    from prudent import train
    from prudent.data import load_dataset
    from prudent.population import grid, split_settings

    if not given["data"]:
        raise ConfigError("train: name a dataset, or --resume RUN (see prudent train --help)")
    own = {f.name for f in fields(config_type)}
    settings = {key: value for key, value in given.items() if key in own}
    config, lists = split_settings(base, settings)
    options = {f.name: given[f.name] for f in fields(train.Options) if f.name in given}
    if eval_episodes is not None:
        options.setdefault("eval_episodes", eval_episodes)
    chosen = train.Options(**options)
    members = grid(config, lists, given["seeds"])
    sources = {"source": given["data"], **_data_options(given)}
    dataset = load_dataset(**sources)
    out = given["out"] or _default_folder(dataset.name, given["algo"])
    train.train(dataset, given["algo"], members, chosen, out, sources)
    print(f"finished: {out / 'report.html'}")


def _default_folder(dataset: str, algorithm: str) -> Path:
    stem = "".join(c if c.isalnum() or c in "-_+." else "-" for c in f"{dataset}-{algorithm}")
    names = (f"runs/{stem}" + (f"-{i}" if i > 1 else "") for i in range(1, 10_000))
    return next(Path(name) for name in names if not Path(name).exists())


def _evaluate(words: list[str]) -> None:
    from prudent.flags import Parser

    parser = Parser(prog="prudent evaluate", description="Run the policies of a run in their environment.")
    parser.add_argument("run", type=Path, help="run folder, or one checkpoint in it")
    parser.add_argument("--env", help="Gymnasium id (default: the one of the run)")
    parser.add_argument("--episodes", type=int, default=10, metavar="N", help="episodes per member (default: 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of start states and sampling (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    found = parser.parse_strict(words)
    if found.episodes < 1:
        raise ConfigError(f"evaluate: --episodes must be 1 or more, got {found.episodes}")

    from prudent import checkpoint, runs
    from prudent.evaluate import evaluate_both

    population, _, skipped = checkpoint.load(found.run)
    for reason in skipped:
        print(f"skipped a checkpoint: {reason}", file=sys.stderr)
    env_id = found.env or runs.environment_of(found.run)
    summary = evaluate_both(population, env_id, episodes=found.episodes, seed=found.seed).summary()
    if found.json:
        print(json.dumps({"env": env_id, "step": population.state.step, "episodes": found.episodes, **summary}, indent=1))
    else:
        from prudent.tables import evaluation_table

        print(f"{found.run}, step {population.state.step}: {found.episodes} episodes per member in {env_id}")
        print(evaluation_table(summary))


def _report(words: list[str]) -> None:
    from prudent.flags import Parser

    parser = Parser(prog="prudent report", description="Write a run's pictures and report.html.")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--compare", nargs="+", default=[], metavar="NAME=RUN", help="other runs to show beside it")
    found = parser.parse_strict(words)
    pairs = [text.partition("=") for text in found.compare]
    if any(not separator or not name or not run for name, separator, run in pairs):
        raise ConfigError("report: --compare takes NAME=RUN, such as BC=runs/bc")

    from prudent.report import write_report

    print(write_report(found.run, {name: Path(run) for name, _, run in pairs} or None))


def _describe(words: list[str]) -> None:
    from prudent.flags import Parser

    parser = Parser(prog="prudent data describe", description="What a dataset holds, and what is wrong with it.")
    parser.add_argument("data", nargs="+", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    _add_data_flags(parser)
    found = parser.parse_strict(words)

    from prudent.data import load_dataset
    from prudent.data.describe import describe, describe_dict

    dataset = load_dataset(found.data, **_data_options(vars(found)))
    print(json.dumps(describe_dict(dataset), indent=1) if found.json else describe(dataset))


def _demo(words: list[str]) -> None:
    from prudent.flags import Parser

    parser = Parser(prog="prudent demo", description="Train CQL and BC on pendulum-mixed and show what came out.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the two runs (default: demo)")
    parser.add_argument("--steps", type=int, default=None, metavar="N", help="CQL's gradient steps (default: enough)")
    found: Namespace = parser.parse_strict(words)

    from prudent.demo import demo

    demo(found.out, found.steps)


VERBS = {
    "demo": _demo,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
    "data describe": _describe,
}


# --- data flags -------------------------------------------------------------------------------------------------------


def _add_data_flags(parser: Any) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--dones", choices=("terminated", "truncated"), help="what dones mean where a file cannot tell")
    group.add_argument("--action-low", type=float, nargs="+", metavar="X", help="lower action bound, one or one per feature")
    group.add_argument("--action-high", type=float, nargs="+", metavar="X", help="upper action bound")
    group.add_argument("--horizon", type=int, metavar="N", help="time limit of the task, for files without timeouts")


def _data_options(given: dict[str, Any]) -> dict[str, Any]:
    names = ("dones", "action_low", "action_high", "horizon")
    found = {name: given[name] for name in names if given.get(name) is not None}
    for name in ("action_low", "action_high"):
        if name in found and len(found[name]) == 1:
            found[name] = found[name][0]
    return found


if __name__ == "__main__":
    main()
