"""What the estimators say of policies on one part of the data, each kept in a file, so that nothing is done twice."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from prudent import ope
from prudent.data import Dataset
from prudent.errors import PrudentError
from prudent.ope import Estimate
from prudent.ope.estimates import Support
from prudent.runs.folder import create, read_json, write_json

KEPT = ("fqe", "wdr", "behaviour", "fitted_behaviour")
"""Estimates that are kept whole, with what pairing needs."""


@dataclass(frozen=True, eq=False)
class Worth:
    """One policy on one part: four estimates, and everything else as :meth:`ope.OffPolicyValue.summary` has it."""

    name: str
    fqe: Estimate
    wdr: Estimate
    behaviour: Estimate
    fitted_behaviour: Estimate
    summary: dict[str, Any]

    @property
    def lower_bound(self) -> float:
        """By which the grid is ranked; minus infinity where the data do not support a value."""
        return -math.inf if self.fqe.interval is None else self.fqe.interval[0]

    @classmethod
    def of(cls, name: str, found: ope.OffPolicyValue) -> "Worth":
        """From what an evaluator found."""
        return cls(name, found.fqe, found.wdr, found.behaviour, found.fitted_behaviour, found.summary())

    def to_json(self) -> dict[str, Any]:
        """The inverse of :meth:`from_json`."""
        estimates = {key: _plain(getattr(self, key)) for key in KEPT}
        return {"name": self.name, "estimates": estimates, "summary": self.summary}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Worth":
        """Out of a file.

        Raises:
            KeyError: something is not in it, as in one of another version.
        """
        absent = {f.name for f in fields(Support)} - set(content["summary"]["support"])
        if absent:
            raise KeyError(*sorted(absent))
        estimates = {key: _estimate(content["estimates"][key]) for key in KEPT}
        return cls(content["name"], summary=content["summary"], **estimates)


def _plain(estimate: Estimate) -> dict[str, Any]:
    found = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(estimate).items()}
    return found | {"degrees": None if math.isinf(estimate.degrees) else estimate.degrees}


def _estimate(content: dict[str, Any]) -> Estimate:
    arrays = {key: None if content[key] is None else np.array(content[key]) for key in ("influence", "replicates")}
    interval = None if content["interval"] is None else tuple(content["interval"])
    degrees = math.inf if content["degrees"] is None else content["degrees"]
    return Estimate(**{**content, **arrays, "interval": interval, "degrees": degrees})


class Scales:
    """Weighs policies on one part of the data; the part is prepared when the first one is not yet in its ``folder``."""

    def __init__(self, dataset: Dataset, discount: float, settings: ope.Settings, seed: int, folder: Path):
        self.dataset, self.discount, self.settings, self.seed, self.folder = dataset, discount, settings, seed, folder

    @cached_property
    def evaluator(self) -> ope.Evaluator:
        """The part, prepared."""
        return ope.Evaluator(self.dataset, self.discount, self.settings, self.seed)

    def _asked(self, step: int) -> dict[str, Any]:
        settings = asdict(self.settings) | {"hidden": list(self.settings.hidden)}
        about = {"step": step, "discount": self.discount, "seed": self.seed, "settings": settings}
        return about | {"data": self.dataset.fingerprint}

    def known(self, name: str, step: int) -> Worth | None:
        """What the folder holds of the policy at this step, if it was asked in the same way."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return None
        try:
            content = read_json(path)
            return Worth.from_json(content["worth"]) if content.get("asked") == self._asked(step) else None
        except (PrudentError, KeyError, TypeError):
            return None  # damaged: it is estimated again

    def weigh(self, name: str, step: int, policy: Callable[[], tuple[Any, int]]) -> Worth:
        """:meth:`known`, or the estimate of what ``policy()`` returns (an agent and the number of its member).

        Raises:
            ConfigError: the policy has diverged.
        """
        found = self.known(name, step)
        if found is None:
            found = Worth.of(name, self.evaluator.evaluate(*policy()))
            create(self.folder)
            write_json(self.folder / f"{name}.json", {"asked": self._asked(step), "worth": found.to_json()})
        return found
