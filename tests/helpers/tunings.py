"""A finished tuning of a tiny log with a known answer, whose policy is the winner of its grid."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import known
from prudent import TuneResult, ope, tune
from prudent.data import Dataset, writers
from prudent.tuning import plan, run
from prudent.tuning.verdict import DEPLOY

PROBLEM = known.tabular(1, discount=0.8)
SMALL = {
    "alpha": [0.1],
    "seeds": [0],
    "steps": 400,
    "checkpoints": 2,
    "hidden": (16,),
    "batch_size": 64,
    "discount": PROBLEM.discount,
    "critic_lr": 1e-2,
}
QUICK = ope.Settings(members=2, hidden=(16,), batch_size=64, behaviour_steps=100, steps=30, n_bootstrap=2)


@contextmanager
def deployed() -> Iterator[None]:
    """Tunings with fast estimates, no reports of runs, and a winner that is deployed whatever its value."""
    judge = run.verdict.judge
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.Settings, "ranking", property(lambda _: replace(QUICK, n_bootstrap=0)))
        patch.setattr(plan.Settings, "final", property(lambda _: QUICK))
        patch.setattr("prudent.report.write_report", lambda folder, _=None: Path(folder) / "report.html")
        patch.setattr("prudent.coverage.support.write", lambda *_: None)
        patch.setattr(run.verdict, "judge", lambda *args, **named: replace(judge(*args, **named), verdict=DEPLOY))
        yield


def save(path: Path, log: Dataset) -> Path:
    """A log of :data:`PROBLEM` as a file, which keeps the last rows of truncated episodes."""
    path.unlink(missing_ok=True)
    writers.write(log, str(path), {})
    return path


def make(folder: Path, log: Dataset, **settings) -> TuneResult:
    """The tuning, in ``folder``."""
    with deployed():
        return tune(log, folder, **{**SMALL, **settings})
