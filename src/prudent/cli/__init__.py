"""``prudent``, the command line: every verb has a file of its name.

``data.py`` has the five verbs that begin with ``data``. The other files are no verbs:

``flags``        the argument parser, and flags made from dataclass fields
``data_flags``   the argument DATA, and the flags that say how to read it
``run_folders``  checks and names of run folders
``going_on``     ``train --from``
``policy_files``, ``own_algorithms``  code of the user's that is named on the command line
``tuned_folders``  a tuned folder in place of a run: what its value rests on
``screen``       output that never stops the work and passes on no control codes

A user's mistake ends with one line on standard error and exit code 2, and nothing is written. The file of a verb is
imported when the verb is called, so that ``prudent --help`` answers at once.
"""

import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from prudent import progress
from prudent.cli.screen import screens
from prudent.errors import ConfigError, Interrupted, PrudentError, is_out_of_memory

INTERRUPTED = 130
"""Exit code of a run that a signal or its time limit stopped, after saving."""

USAGE = """usage: prudent VERB ...

Offline reinforcement learning around Conservative Q-Learning: a fixed dataset goes in, a policy comes out,
with an honest statement of what it is worth.

verbs:
  demo                    train CQL and BC on a small built-in dataset and show the results
  train DATA ...          train a population (algorithm x hyperparameters x seeds) into a run folder
  train --resume RUN      continue a run that was stopped, or train it for longer with --steps
  train DATA --from RUN   go on from a trained policy with new or grown data, in a new run folder
  tune DATA ...           choose alpha and a policy from the log alone: is it better than BC and the log?
  finetune RUN            continue a finished run online; half of each batch comes from its dataset
  evaluate RUN            run the policies in their environment; compare predicted and realised value
  support RUN             find the decisions of the policies that lie outside the data
  value RUN               estimate the value of a policy from a log alone, and compare it with other runs
  export RUN              write a policy as an ONNX graph with a description, which acts without this library
  report RUN              write the run's pictures and report.html again; --compare adds other runs
  bench SUITE             train algorithms x datasets x seeds of a suite; one table, one figure
  data describe DATA      sizes, returns, action ranges, problems with row numbers, suggested settings
  data import TABLE       write a CSV or Parquet table as HDF5 or Minari; --map FILE says what its columns mean
  data convert DATA       write a folder of columns that are read from disk: for datasets larger than memory
  data split DATA         divide a log by episode or group into parts, each of which every verb takes as DATA
  data collect            make a dataset with a random policy, a run's policy, or SAC trained to a given level
  new algorithm NAME      write a working start for an algorithm of your own, which train takes as --algo FILE

Each verb explains itself with --help. DATA is a file (.npz, .hdf5; .parquet, .csv with --map), a Minari dataset
(minari:NAME), a D4RL name (hopper-medium-expert-v2, looked up in $PRUDENT_DATA), or built-in: pendulum-mixed,
cartpole-mixed, lunarlander-mixed. Several files are joined."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ``arguments`` are those of the process unless given.

    The exit code is 0; 2 for a user's mistake (one line on standard error says which); 130 for a run that a signal or
    its time limit stopped, after saving; 1 if standard output could not be written, or if cells of ``bench`` failed.
    """
    is_program = arguments is None
    words = list(sys.argv[1:] if is_program else arguments)
    with screens() as (out, _):
        _run(words, is_program)
    if isinstance(out.failed, BrokenPipeError):
        sys.exit(1)  # the reader of our output has gone (| head)
    if out.failed is not None:
        _end(1, f"standard output could not be written ({out.failed}); everything else was done")


def _run(words: list[str], is_program: bool) -> None:
    try:
        try:
            if is_program:
                sys.unraisablehook = _interrupt_again
            _dispatch(words)
        finally:
            # The work is done; Ctrl-C while the interpreter shuts down would only print a traceback.
            if is_program:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
    except PrudentError as error:
        _end(INTERRUPTED if isinstance(error, Interrupted) else 2, str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _end(2, f"{place}{error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _end(2, "not enough memory for this, on this machine or under its ulimit -v; take smaller networks or batches")
    except KeyboardInterrupt as error:
        _end(INTERRUPTED, str(error) or "interrupted")


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Send Ctrl-C again if it arrived in a destructor or callback, where Python ignores exceptions."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    from _thread import interrupt_main
    from threading import Timer

    again = Timer(0.02, interrupt_main)
    again.daemon = True
    again.start()


def _end(code: int, text: str) -> NoReturn:
    progress.clear()
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


def _verb(module: str, function: str = "") -> Callable[[list[str]], None]:
    """The function of a verb; its file is imported when it is called."""
    return lambda words: getattr(import_module(f"prudent.cli.{module}"), function or module)(words)


VERBS: dict[str, Callable[[list[str]], None]] = {
    **{
        verb: _verb(verb)
        for verb in ("demo", "train", "tune", "finetune", "evaluate", "support", "value", "export", "report", "bench")
    },
    "data describe": _verb("data", "describe"),
    "data import": _verb("data", "import_"),
    "data convert": _verb("data", "convert"),
    "data split": _verb("data", "split"),
    "data collect": _verb("data", "collect"),
    "new algorithm": _verb("new", "algorithm"),
}
GROUPS = {verb.split()[0] for verb in VERBS if " " in verb}
"""First words of the verbs that consist of two."""
