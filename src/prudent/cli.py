"""``prudent``: demo, train, evaluate, report, data.

User mistakes end in one line on standard error and exit code 2, without having written anything. Heavy imports wait
until a verb needs them, so that ``prudent --help`` answers at once.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from prudent.errors import ConfigError, PrudentError

INTERRUPTED = 130
"""Exit code of a run that a signal stopped, after saving."""

USAGE = """usage: prudent VERB ...

Offline reinforcement learning around Conservative Q-Learning: a fixed dataset goes in, a policy comes out,
with an honest statement of what it is worth.

verbs:
  demo                    train CQL and BC on a small built-in dataset and show what came out
  train DATA ...          train a population (algorithm x hyperparameters x seeds) and leave a run folder
  train --resume RUN      go on with a run that was stopped, or take it further with --steps
  evaluate RUN            run the policies in their environment; predicted beside realised value
  report RUN              write the run's pictures and report.html again, beside other runs if wanted
  data describe DATA      sizes, returns, action ranges, problems with row numbers, a suggested alpha

Each verb explains itself with --help. DATA is a file (.npz, .hdf5), a Minari dataset (minari:NAME), a D4RL name
(hopper-medium-expert-v2, looked up in $PRUDENT_DATA), or the built-in pendulum-mixed; several files join into one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    The exit code is 0, 2 for what a user can mend (one line on standard error says what), or 130 for a run that a
    signal stopped, after saving.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(words)
    except PrudentError as error:
        _end(_exit_code(error), str(error))
    except BrokenPipeError:
        # The reader of our output went away (| head). Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _end(2, f"{place}{error.strerror or error}")
    except MemoryError:
        _end(2, "not enough memory")
    except KeyboardInterrupt:
        _end(INTERRUPTED, "interrupted")


def _end(code: int, text: str) -> NoReturn:
    print(f"prudent: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(code)


def _exit_code(error: PrudentError) -> int:
    # Looked up, not imported: nothing can have been interrupted before training was there.
    recorder = sys.modules.get("prudent.recorder")
    return INTERRUPTED if recorder is not None and isinstance(error, recorder.Interrupted) else 2


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] == "--version":
        from prudent.version import __version__

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
        raise ConfigError(
            f"unknown verb {verb!r}" + (f"; did you mean {close[0]}?" if close else " (see prudent --help)")
        )
    VERBS[verb](rest)


# --- verbs ------------------------------------------------------------------------------------------------------------


def _train(words: list[str]) -> None:
    from prudent.flags import Parser

    first = Parser(prog="prudent train", add_help=False)
    for flag in ("--algo", "--preset", "--resume"):
        first.add_argument(flag)
    chosen, _ = first.parse_known_args(words)
    if chosen.resume is not None:
        _resume(words)
    else:
        _start(words, chosen.algo, chosen.preset)


def _resume(words: list[str]) -> None:
    from prudent import train
    from prudent.data import load_dataset
    from prudent.flags import Parser

    parser = Parser(
        prog="prudent train --resume",
        usage="prudent train --resume RUN [DATA ...] [--steps N] [--device NAME] [--threads N] [--env ID]",
        description="Go on with a run, with the settings it has.",
    )
    parser.add_argument("data", nargs="*", help="where its dataset is now, if it has moved")
    parser.add_argument("--resume", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--steps", type=int, metavar="N", help="gradient steps in all, to take it further")
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or mps, if another than before")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads, if others than before")
    parser.add_argument("--env", metavar="ID", help="environment, if another than before or one that imports a module")
    _add_data_flags(parser)
    try:
        found = parser.parse_strict(words)
    except ConfigError as error:
        raise ConfigError(f"{error}; all other settings stay those of the run") from error
    dataset = load_dataset(found.data, **_data_options(vars(found))) if found.data else None
    train.resume(found.resume, found.steps, dataset, found.device, found.threads, found.env)
    print(f"finished: {found.resume / 'report.html'}")


def _start(words: list[str], algorithm: str | None, preset_name: str | None) -> None:
    from dataclasses import fields

    from prudent import algorithms, loop, presets, runs, train
    from prudent.data import load_dataset
    from prudent.flags import Parser, add_flags
    from prudent.population import grid, split_settings

    preset = presets.get(preset_name) if preset_name else None
    name = algorithm or (preset.algorithm if preset else "cql")
    if preset and name != preset.algorithm:
        raise ConfigError(f"preset {preset_name} is for {preset.algorithm}, not for {name}")
    config_type = algorithms.get(name).Config
    base = preset.config if preset else config_type()

    parser = Parser(
        prog="prudent train",
        description="Train a population: every combination of the numbers given for a setting, times the seeds.",
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
    _add_data_flags(parser)
    add_flags(parser.add_argument_group("training"), loop.Options)
    settings_group = parser.add_argument_group(
        f"settings of {name} (where the usage shows several numbers, each is tried)"
    )
    add_flags(settings_group, config_type, base, several=True)
    given = vars(parser.parse_strict(words))

    if not given["data"]:
        raise ConfigError("train: name a dataset, or --resume RUN (see prudent train --help)")
    config, lists = split_settings(base, {f.name: given[f.name] for f in fields(config_type) if f.name in given})
    if preset is not None:
        given.setdefault("eval_episodes", preset.eval_episodes)
    options = loop.Options(**{f.name: given[f.name] for f in fields(loop.Options) if f.name in given})
    members = grid(config, lists, given["seeds"])
    if given["out"] is not None:
        runs.check_free(given["out"])
    sources = {"source": given["data"], **_data_options(given)}
    dataset = load_dataset(**sources)
    out = given["out"] or free_folder(f"runs/{_as_folder_name(f'{dataset.name}-{name}')}")
    train.train(dataset, name, members, options, out, sources)
    print(f"finished: {out / 'report.html'}")


def _as_folder_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_+." else "-" for c in text)[:100]


def free_folder(stem: str) -> Path:
    """``stem``, or with the first number behind it that makes it new."""
    names = (stem + (f"-{i}" if i > 1 else "") for i in range(1, 1_000_000))
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

    if not found.run.is_dir():
        raise ConfigError(f"{found.run}: no such folder")
    population, _, skipped = checkpoint.load(found.run)
    env_id = found.env or runs.environment_of(found.run)
    for reason in skipped:
        print(f"skipped a checkpoint: {reason}", file=sys.stderr)
    summary = evaluate_both(population, env_id, episodes=found.episodes, seed=found.seed).summary()
    if found.json:
        about = {"env": env_id, "step": population.state.step, "episodes": found.episodes}
        print(json.dumps({**about, **summary}, indent=1, allow_nan=False))
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
    parser.add_argument("--out", type=Path, help="folder for the two runs (default: demo, numbered)")
    parser.add_argument("--steps", type=int, default=None, metavar="N", help="CQL's gradient steps (default: enough)")
    found = parser.parse_strict(words)

    from prudent.demo import demo

    demo(found.out or free_folder("demo"), found.steps)


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
    group.add_argument(
        "--action-low", type=float, nargs="+", metavar="X", help="lower action bound, one or one per feature"
    )
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
