"""Off-policy values of policies on one part of the data, each stored in a file, so that nothing is estimated twice."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from prudent import ope
from prudent.data import Dataset
from prudent.errors import MISFITS, PrudentError
from prudent.ope import Estimate
from prudent.ope.estimates import Support
from prudent.runs.folder import create, read_json, write_json

ESTIMATES = ("fqe", "wdr", "behaviour", "fitted_behaviour")
"""Estimates that are stored whole, including what pairing needs."""


@dataclass(frozen=True, eq=False)
class StoredValue:
    """The value of one policy on one part: four estimates, and :meth:`ope.OffPolicyValue.summary` for the rest."""

    name: str
    fqe: Estimate
    wdr: Estimate
    behaviour: Estimate
    fitted_behaviour: Estimate
    summary: dict[str, Any]

    @classmethod
    def of(cls, name: str, value: ope.OffPolicyValue) -> "StoredValue":
        """From the result of an evaluator."""
        return cls(name, summary=value.summary(), **{key: getattr(value, key) for key in ESTIMATES})

    def to_json(self) -> dict[str, Any]:
        """The inverse of :meth:`from_json`."""
        estimates = {key: _to_json(getattr(self, key)) for key in ESTIMATES}
        return {"name": self.name, "estimates": estimates, "summary": self.summary}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "StoredValue":
        """From the content of a file.

        Raises:
            KeyError: something is missing, as in a file of another version.
        """
        missing = {f.name for f in fields(Support)} - set(content["summary"]["support"])
        if missing:
            raise KeyError(*sorted(missing))
        estimates = {key: _from_json(content["estimates"][key]) for key in ESTIMATES}
        return cls(content["name"], summary=content["summary"], **estimates)


def _to_json(estimate: Estimate) -> dict[str, Any]:
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(estimate).items()}
    return plain | {"degrees": None if math.isinf(estimate.degrees) else estimate.degrees}


def _from_json(content: dict[str, Any]) -> Estimate:
    arrays = {key: None if content[key] is None else np.array(content[key]) for key in ("influence", "replicates")}
    interval = None if content["interval"] is None else tuple(content["interval"])
    degrees = math.inf if content["degrees"] is None else content["degrees"]
    return Estimate(**{**content, **arrays, "interval": interval, "degrees": degrees})


class StoredValues:
    """Estimates values of policies on one part of the data, and stores each in ``folder``.

    The part is prepared only when a policy is not in the folder yet.
    """

    def __init__(self, dataset: Dataset, discount: float, settings: ope.Settings, seed: int, folder: Path):
        self.dataset, self.discount, self.settings, self.seed, self.folder = dataset, discount, settings, seed, folder

    @cached_property
    def evaluator(self) -> ope.Evaluator:
        """The prepared part."""
        return ope.Evaluator(self.dataset, self.discount, self.settings, self.seed)

    def _request(self, step: int) -> dict[str, Any]:
        """Everything that a stored value depends on, besides its name."""
        settings = asdict(self.settings) | {"hidden": list(self.settings.hidden)}
        about = {"step": step, "discount": self.discount, "seed": self.seed, "settings": settings}
        return about | {"data": self.dataset.fingerprint}

    def stored(self, name: str, step: int) -> StoredValue | None:
        """The stored value of a policy at this step; None without one, or if it was estimated in another way."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return None
        try:
            content = read_json(path)
            return StoredValue.from_json(content["worth"]) if content.get("asked") == self._request(step) else None
        except (PrudentError, *MISFITS):
            return None  # damaged: it is estimated again

    def value(self, name: str, step: int, load: Callable[[], tuple[Any, int]]) -> StoredValue:
        """The stored value, or a new estimate for what ``load()`` returns (an agent and the number of its member).

        Raises:
            ConfigError: the policy has diverged.
        """
        stored = self.stored(name, step)
        if stored is None:
            stored = StoredValue.of(name, self.evaluator.evaluate(*load()))
            create(self.folder)
            write_json(self.folder / f"{name}.json", {"asked": self._request(step), "worth": stored.to_json()})
        return stored
