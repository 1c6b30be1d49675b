"""Which evaluation of a training was the best so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prudent.engine.members import settings_of


@dataclass(frozen=True)
class _Best:
    mean_return: float  # of one setting, over its seeds
    step: int
    setting: int  # index into the settings


class BestEvaluation:
    """Remembers the step and the setting with the highest mean return over seeds.

    The mean is taken over the seeds of one setting. A mean over settings would be the return of no policy.
    """

    def __init__(self, member_names: Sequence[str]):
        self._settings = settings_of(member_names)
        self._best: _Best | None = None

    @property
    def step(self) -> int | None:
        """The step of the best evaluation; None before the first one."""
        return None if self._best is None else self._best.step

    def update(self, step: int, returns: Sequence[float | None]) -> bool:
        """Whether this evaluation is the best so far, given each member's mean return; None for a diverged member."""
        means: list[tuple[float, int]] = []
        for setting, members in enumerate(self._settings.values()):
            finite = [value for member in members if (value := returns[member]) is not None]
            if finite:
                means.append((sum(finite) / len(finite), setting))
        mean, setting = max(means, key=lambda pair: pair[0], default=(-math.inf, 0))
        if not means or (self._best is not None and mean <= self._best.mean_return):
            return False
        self._best = _Best(mean, step, setting)
        return True

    def to_json(self) -> dict[str, Any] | None:
        """``best`` in ``evaluation.json``."""
        if self._best is None:
            return None
        name = list(self._settings)[self._best.setting]
        return {"step": self._best.step, "return": self._best.mean_return, "setting": name}

    def tensor(self) -> Tensor | None:
        """For the checkpoint; None before the first evaluation."""
        if self._best is None:
            return None
        return torch.tensor((self._best.mean_return, self._best.step, self._best.setting), dtype=torch.float64)

    def restore(self, stored: Tensor) -> None:
        """The inverse of :meth:`tensor`."""
        mean, step, *setting = stored.tolist()
        # Older checkpoints do not say which setting it was.
        self._best = _Best(mean, int(step), int(setting[0]) if setting else 0)
