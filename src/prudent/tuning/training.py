"""Trains the runs of a tuning, each in its folder, or goes on with them."""

from pathlib import Path

from prudent.data import Dataset
from prudent.engine.options import Options
from prudent.errors import Interrupted, PrudentError
from prudent.runs.folder import read_json
from prudent.runs.status import incidents, is_finished
from prudent.training import start
from prudent.training.resume import resume
from prudent.tuning.grid import Run


def train(run: Run, folder: Path, data: Dataset, options: Options) -> bool:
    """Train the rest of a grid's run; False if every member has diverged, as it would again."""
    if _all_stopped(run, folder, options):
        return False
    try:
        train_rest(run, folder, data, options)
    except Interrupted:
        raise
    except PrudentError as error:
        if not _all_stopped(run, folder, options):
            raise
        print(f"{folder}: {error}", flush=True)
        return False
    return True


def _all_stopped(run: Run, folder: Path, options: Options) -> bool:
    """Whether a run ended because the guard had stopped all of its members."""
    path = folder / "status.json"
    if not path.is_file() or read_json(path).get("state") != "failed":
        return False
    stopped = {row.get("member") for row in incidents(folder, options.steps) if row.get("kind") == "stopped"}
    return stopped >= {member.name for member in run.members}


def train_rest(run: Run, folder: Path, data: Dataset, options: Options) -> None:
    """Train the rest of a run."""
    try:
        if not (folder / "config.json").is_file():
            print(f"training {run.algorithm}: {len(run.members)} members, {options.steps:,} steps", flush=True)
            # What is remarkable about the log has been said once, for all of it.
            start.train(start.Request(data, run.algorithm, run.members, options, folder, remarks=False))
            return
        if is_finished(folder):
            return
        print(f"continuing {folder}", flush=True)
        resume(folder, options.steps, data, options.device, options.threads)
    except Interrupted as error:
        raise Interrupted(f"{folder} {str(error).partition(';')[0]}; the same command goes on") from None
