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
from prudent.engine.population import MODE
from prudent.errors import MISFITS, PrudentError
from prudent.ope import Estimate
from prudent.ope.estimates import Support
from prudent.ope.policy import as_policy
from prudent.runs.folder import create, read_json, write_json

ESTIMATES = ("fqe", "wdr", "behaviour", "fitted_behaviour", "bad_ends", "behaviour_bad_ends")
"""Estimates that are stored whole, including what pairing needs. The last two are None if no episode ended badly."""


@dataclass(frozen=True, eq=False)
class StoredValue:
    """The value of one policy on one part: some estimates, and :meth:`ope.OffPolicyValue.summary` for the rest."""

    name: str
    fqe: Estimate
    wdr: Estimate
    behaviour: Estimate
    fitted_behaviour: Estimate
    summary: dict[str, Any]
    bad_ends: Estimate | None = None
    behaviour_bad_ends: Estimate | None = None

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
        return cls(content["name"], summary=content["summary"], **estimates)  # pyright: ignore[reportArgumentType]


def _to_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    plain = {key: _list(value) if isinstance(value, np.ndarray) else value for key, value in vars(estimate).items()}
    return plain | {"degrees": None if math.isinf(estimate.degrees) else estimate.degrees}


def _from_json(content: dict[str, Any] | None) -> Estimate | None:
    if content is None:
        return None
    arrays = {key: _array(content[key]) for key in ("influence", "replicates")}
    interval = None if content["interval"] is None else tuple(content["interval"])
    degrees = math.inf if content["degrees"] is None else content["degrees"]
    return Estimate(**{**content, **arrays, "interval": interval, "degrees": degrees})


def _list(values: np.ndarray) -> list[float | None]:
    """As JSON, which has no NaN: a refit that was left out is None."""
    return [None if math.isnan(value) else value for value in values.tolist()]


def _array(values: list[float | None] | None) -> np.ndarray | None:
    return None if values is None else np.array([math.nan if value is None else value for value in values])


class StoredValues:
    """Estimates values of policies on one part of the data, and stores each in ``folder``.

    The part is prepared only when a policy is not in the folder yet. ``doubt`` is that of the whole log, see
    :class:`prudent.ope.Evaluator`.
    """

    def __init__(
        self,
        dataset: Dataset,
        discount: float,
        settings: ope.Settings,
        seed: int,
        folder: Path,
        doubt: str = "",
    ):
        self.doubt = doubt
        self.dataset, self.discount, self.settings, self.seed, self.folder = dataset, discount, settings, seed, folder

    @cached_property
    def evaluator(self) -> ope.Evaluator:
        """The prepared part."""
        return ope.Evaluator(self.dataset, self.discount, self.settings, self.seed, self.doubt)

    def _request(self, step: int, acting: str) -> dict[str, Any]:
        """Everything that a stored value depends on, besides its name."""
        settings = asdict(self.settings) | {"hidden": list(self.settings.hidden)}
        about = {"step": step, "acting": acting, "discount": self.discount, "seed": self.seed, "settings": settings}
        return about | {"data": self.dataset.fingerprint}

    def _path(self, name: str, acting: str) -> Path:
        return self.folder / (f"{name}.json" if acting == MODE else f"{name},{acting}.json")

    def stored(self, name: str, step: int, acting: str = MODE) -> StoredValue | None:
        """The stored value of a policy at this step; None without one, or if it was estimated in another way."""
        path = self._path(name, acting)
        if not path.is_file():
            return None
        try:
            content, request = read_json(path), self._request(step, acting)
            return StoredValue.from_json(content["worth"]) if content.get("asked") == request else None
        except (PrudentError, *MISFITS):
            return None  # damaged: it is estimated again

    def value(self, name: str, step: int, acting: str, load: Callable[[], tuple[Any, int]]) -> StoredValue:
        """The stored value, or a new estimate for what ``load()`` returns (an agent and the number of its member).

        Raises:
            ConfigError: the policy has diverged.
        """
        stored = self.stored(name, step, acting)
        if stored is None:
            policy = as_policy(*load(), acting=acting)
            stored = StoredValue.of(name, self.evaluator.evaluate(policy))
            create(self.folder)
            write_json(self._path(name, acting), {"asked": self._request(step, acting), "worth": stored.to_json()})
        return stored
