"""Where the metrics of a run go: the names that ``--logger`` takes, whether each is installed, and opening them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from prudent.errors import ConfigError
from prudent.runs import own_loggers
from prudent.runs.metrics import JsonlLogger, Logger, Loggers, TensorBoardLogger
from prudent.runs.trackers import wandb_tracker
from prudent.runs.trackers.mlflow_tracker import MlflowTracker
from prudent.runs.trackers.tracker import Tracker
from prudent.runs.trackers.wandb_tracker import WandbTracker

JSONL, TENSORBOARD = "jsonl", "tensorboard"


@dataclass(frozen=True)
class _Kind:
    """A tracker: its class, the modules it needs, and what else must be right before anything is written."""

    tracker: type[Tracker]
    modules: tuple[str, ...]
    check: Callable[[], None] = lambda: None


_TRACKERS = {
    "wandb": _Kind(WandbTracker, ("wandb",), wandb_tracker.check_environment),
    "mlflow": _Kind(MlflowTracker, ("mlflow", "sqlalchemy", "alembic")),
}
NAMES = (JSONL, TENSORBOARD, *_TRACKERS)
"""The loggers there are. ``metrics.jsonl`` is always written, as the report reads it."""


def check(chosen: Sequence[str] | None) -> None:
    """Refuse loggers that do not exist or are not installed. None stands for the default.

    Raises:
        ConfigError: there is one; the line names the extra that installs it.
    """
    for name in chosen or ():
        if name not in NAMES:
            _check_own(name)
            continue
        modules = _TRACKERS[name].modules if name in _TRACKERS else (name,) if name != JSONL else ()
        if any(find_spec(module) is None for module in modules):
            raise ConfigError(f"logger {name} is not installed: pip install 'prudent[{name}]'")
        if name in _TRACKERS:
            _TRACKERS[name].check()


def _check_own(name: str) -> None:
    """Refuse a logger that no installed package offers, or that cannot be imported."""
    offered = own_loggers.names()
    if name in offered:
        own_loggers.found(name)
        return
    known = (*NAMES, *offered)
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    raise ConfigError(f"no logger is called {name!r}: {hint}")


def local_loggers(
    chosen: Sequence[str] | None, folder: Path | str, names: Sequence[str], resume_at: int | None = None
) -> Loggers:
    """The loggers that write into the run folder, and those that installed packages offer.

    ``metrics.jsonl`` always; ``events.tensorboard/`` if it is ``chosen``, or if that is None and TensorBoard installed.
    """
    folder = Path(folder)
    loggers: list[Logger] = [JsonlLogger(folder / "metrics.jsonl", names, resume_at)]
    if find_spec(TENSORBOARD) is not None if chosen is None else TENSORBOARD in chosen:
        loggers.append(TensorBoardLogger(folder / "events.tensorboard", names, resume_at))
    own = [name for name in chosen or () if name not in NAMES]
    loggers += [own_loggers.opened(name, folder, names, resume_at) for name in own]
    return Loggers(loggers)


def tracker_types(chosen: Sequence[str] | None) -> dict[str, type[Tracker]]:
    """The classes of the trackers among the ``chosen`` loggers, by name, each once."""
    return {name: _TRACKERS[name].tracker for name in chosen or () if name in _TRACKERS}
