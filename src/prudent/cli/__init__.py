"""``prudent``: demo, train, tune, finetune, evaluate, support, value, report, bench, data.

User mistakes end in one line on standard error and exit code 2, without having written anything. Heavy imports wait
until a verb needs them, so that ``prudent --help`` answers at once.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from prudent.errors import ConfigError, Interrupted, PrudentError

INTERRUPTED = 130
"""Exit code of a run that a signal or its time limit stopped, after saving."""

USAGE = """usage: prudent VERB ...

Offline reinforcement learning around Conservative Q-Learning: a fixed dataset goes in, a policy comes out,
with an honest statement of what it is worth.

verbs:
  demo                    train CQL and BC on a small built-in dataset and show what came out
  train DATA ...          train a population (algorithm x hyperparameters x seeds) and leave a run folder
  train --resume RUN      go on with a run that was stopped, or take it further with --steps
  tune DATA ...           which alpha, which policy, and is it better than BC and the log: needs no environment
  finetune RUN            go on with a finished run online, half of each batch from its dataset
  evaluate RUN            run the policies in their environment; predicted beside realised value
  support RUN             which decisions of the policies lie outside the data, the worst of them, the actions
  value RUN               what a policy is worth by a log alone, beside other runs and beside what made the log
  report RUN              write the run's pictures and report.html again, beside other runs if wanted
  bench SUITE             train algorithms x datasets x seeds of a suite; one table, one figure
  data describe DATA      sizes, returns, action ranges, problems with row numbers, a suggested alpha
  data import TABLE       a CSV or Parquet table, its columns mapped to roles by --map FILE, to HDF5 or Minari
  data convert DATA       a folder of columns read from disk as needed: datasets larger than memory
  data collect            make a dataset: a random policy, a run's, or SAC trained to a stated level

Each verb explains itself with --help. DATA is a file (.npz, .hdf5; .parquet, .csv with --map), a Minari dataset
(minari:NAME), a D4RL name (hopper-medium-expert-v2, looked up in $PRUDENT_DATA), or built-in: pendulum-mixed,
cartpole-mixed, lunarlander-mixed. Several files join into one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    The exit code is 0, 2 for what a user can mend (one line on standard error says what), or 130 for a run that a
    signal or its time limit stopped, after saving; ``bench`` alone also knows 1, for cells that failed.
    """
    own = arguments is None
    words = list(sys.argv[1:] if own else arguments)
    try:
        try:
            if own:
                sys.unraisablehook = _interrupt_again
            _dispatch(words)
        finally:
            # What is done is done: while the interpreter clears away, nothing is left that Ctrl-C could stop.
            if own:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
    except PrudentError as error:
        _end(INTERRUPTED if isinstance(error, Interrupted) else 2, str(error))
    except BrokenPipeError:
        # The reader of our output went away (| head). Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _end(2, f"{place}{error.strerror or error}")
    except MemoryError:
        _end(2, "not enough memory")
    except KeyboardInterrupt as error:
        _end(INTERRUPTED, str(error) or "interrupted")


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Ctrl-C that fell into a destructor or a callback, from where Python raises nothing, comes again in a moment."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    from _thread import interrupt_main
    from threading import Timer

    again = Timer(0.02, interrupt_main)
    again.daemon = True
    again.start()


def _end(code: int, text: str) -> NoReturn:
    print(f"prudent: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(code)


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] == "--version":
        from prudent.version import __version__

        print(f"prudent {__version__}")
        return
    verb, rest = words[0], words[1:]
    if verb in GROUPS:
        if not rest or rest[0] in ("-h", "--help"):
            print(f"usage: prudent {verb} VERB ...\n\nverbs:")
            print("\n".join(line for line in USAGE.splitlines() if line.startswith(f"  {verb} ")))
            return
        verb, rest = f"{verb} {rest[0]}", rest[1:]
    if verb not in VERBS:
        from difflib import get_close_matches

        close = get_close_matches(verb, VERBS, n=1)
        raise ConfigError(
            f"unknown verb {verb!r}" + (f"; did you mean {close[0]}?" if close else " (see prudent --help)")
        )
    VERBS[verb](rest)


def _verb(module: str, function: str) -> Callable[[list[str]], None]:
    """A verb of a file of this folder, which is imported when the verb is called."""
    return lambda words: getattr(import_module(f"prudent.cli.{module}"), function)(words)


VERBS: dict[str, Callable[[list[str]], None]] = {
    "demo": _verb("run", "demo"),
    "train": _verb("train", "train"),
    "tune": _verb("tune", "tune"),
    "finetune": _verb("finetune", "finetune"),
    "evaluate": _verb("run", "evaluate"),
    "support": _verb("support", "support"),
    "value": _verb("value", "value"),
    "report": _verb("run", "report"),
    "bench": _verb("bench", "bench"),
    "data describe": _verb("data", "describe"),
    "data import": _verb("data", "import_"),
    "data convert": _verb("data", "convert"),
    "data collect": _verb("data", "collect"),
}
GROUPS = {verb.split()[0] for verb in VERBS if " " in verb}
"""First words of the verbs that have two."""
