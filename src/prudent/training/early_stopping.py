"""A callback that stops a training which no longer improves."""

import math
from collections.abc import Callable

import numpy as np

from prudent.config import AUTO
from prudent.errors import ConfigError
from prudent.training.callbacks import Callback, Figures, Training


class EarlyStopping(Callback):
    """Stops a training when none of its members has improved for a while.

    Each member has a best figure of its own. A figure that is better than that by more than ``min_delta`` is an
    improvement; NaN, as of a member that has diverged, never is. After ``patience`` measurements in a row without an
    improvement of any member, the training stops.

    Args:
        metric: a name of ``metrics.jsonl``, such as ``eval/return``, which is measured at evaluations, or
            ``train/critic_loss``, which is measured every ``log_every`` steps. Or a function that takes the
            :class:`~prudent.training.callbacks.Training` and returns a figure, or one per member (P,); it is called
            every ``log_every`` steps.
        patience: measurements without an improvement.
        mode: ``max`` if larger is better, ``min`` if smaller is. ``auto`` takes ``max`` for ``eval/`` metrics and
            ``min`` for those that end with ``_loss`` or ``_error``; others need one of the two.
        min_delta: a smaller difference is no improvement, in the unit of the metric.

    Raises:
        ConfigError: an argument cannot be used, or the metric is not among those that were measured.
    """

    def __init__(
        self,
        metric: str | Callable[[Training], object],
        patience: int = 5,
        *,
        mode: str = AUTO,
        min_delta: float = 0.0,
    ):
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ConfigError(f"patience must be a whole number of 1 or more, got {patience!r}")
        if not isinstance(min_delta, int | float) or not 0 <= min_delta < math.inf:
            raise ConfigError(f"min_delta must be 0 or more, got {min_delta!r}")
        if isinstance(metric, str) and "/" not in metric:
            raise ConfigError(f"no metric is called {metric!r}: names begin with train/ or eval/, see docs/training.md")
        self.metric, self.patience, self.mode, self.min_delta = metric, patience, mode, min_delta
        self._sign = {"max": 1.0, "min": -1.0}.get(_mode(metric, mode))
        if self._sign is None:
            raise ConfigError(f"whether {self._name} should rise or fall is not known: give mode max or min")
        self.best: np.ndarray | None = None  # (P,) the best figure of each member so far
        self.best_step = 0  # where a member last improved
        self._without = 0
        self.needs_evaluations = isinstance(metric, str) and metric.startswith("eval/")

    @property
    def _name(self) -> str:
        return self.metric if isinstance(self.metric, str) else getattr(self.metric, "__name__", "the metric")

    def began(self, training: Training) -> None:
        """Forget an earlier training."""
        self.best, self.best_step, self._without = None, training.step, 0

    def stepped(self, training: Training, metrics: Figures) -> None:
        """Look at a training metric, or ask the function."""
        if callable(self.metric):
            self._look(training, np.asarray(self.metric(training), dtype=np.float64))
        elif not self.needs_evaluations:
            self._look(training, self._measured(metrics))

    def evaluated(self, training: Training, metrics: Figures) -> None:
        """Look at a metric of evaluations."""
        if self.needs_evaluations:
            self._look(training, self._measured(metrics))

    def _measured(self, metrics: Figures) -> np.ndarray:
        assert isinstance(self.metric, str)
        if self.metric not in metrics:
            raise ConfigError(f"no metric is called {self.metric}; here there are {', '.join(sorted(metrics))}")
        return metrics[self.metric]

    def _look(self, training: Training, figure: np.ndarray) -> None:
        assert self._sign is not None
        value_P = np.broadcast_to(self._sign * figure, (len(training.names),))
        best_P = np.full(len(value_P), -np.inf) if self.best is None else self._sign * self.best
        better_P = value_P > best_P + self.min_delta
        self.best = self._sign * np.where(better_P, value_P, best_P)
        if better_P.any():
            self._without, self.best_step = 0, training.step
            return
        self._without += 1
        if self._without >= self.patience:
            word = "risen" if self._sign > 0 else "fallen"
            training.stop(f"{self._name} has not {word} since step {self.best_step}")


def _mode(metric: object, mode: str) -> str:
    if mode != AUTO or not isinstance(metric, str):
        return mode
    if metric.endswith(("_loss", "_error")):
        return "min"
    return "max" if metric.startswith("eval/") else mode
