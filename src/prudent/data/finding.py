"""One problem of a dataset: what :mod:`prudent.data.audit` finds."""

from dataclasses import dataclass
from typing import Any

import numpy as np

SHOWN = 10
"""Row numbers kept per finding; ``count`` is how many rows there are in all."""


@dataclass(frozen=True)
class Finding:
    """One problem: its ``kind``, the first rows that have it, how many have it, and what to do.

    ``unit`` says what is counted if not rows: features, actions, episodes or transitions.
    """

    kind: str
    rows: tuple[int, ...]
    count: int
    advice: str
    unit: str = "rows"

    def __str__(self) -> str:
        return f"{self.kind} ({self.count:,}): {self.advice}"

    def as_dict(self) -> dict[str, Any]:
        """The finding, ready for JSON."""
        return {
            "kind": self.kind,
            "unit": self.unit,
            "count": self.count,
            "rows": list(self.rows),
            "advice": self.advice,
        }


def rows_finding(
    kind: str, mask: np.ndarray | np.bool, advice: str, unit: str = "rows", first: int = 0
) -> Finding | None:
    """The finding about the rows (features, actions) where ``mask`` is True, numbered from ``first``; or None."""
    rows = np.flatnonzero(np.atleast_1d(mask)) + first
    if len(rows) == 0:
        return None
    return Finding(kind, tuple(rows[:SHOWN].tolist()), len(rows), advice, unit)
