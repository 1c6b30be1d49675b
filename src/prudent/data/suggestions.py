"""Settings that a log suggests: a discount that does not look past its recordings, and where to begin with alpha.

Both follow from the rows alone, never from a file's name, and from no unit: with rewards times 1000 or time in minutes
they say the same.
"""

import math
from dataclasses import dataclass

import numpy as np

from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import percent
from prudent.data.spread import USUAL, behind, spread_to_go
from prudent.errors import DataError

DISCOUNTS = (0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1)
"""Usual discounts, per step of mean length."""

ENOUGH_EPISODES, ENOUGH_ROWS = 20, 1000
"""With fewer, a log tells too little about its returns for a suggested alpha."""

SHARE, LEAST, MOST = 0.006, 0.003, 0.1
"""The suggested alpha as a share of the spread of returns-to-go: ``SHARE`` times their reach, within these limits."""

MOST_BEHIND = 0.15
"""Largest share of a value that may lie behind the ends of the recordings."""


@dataclass(frozen=True)
class DiscountSuggestion:
    """A ``discount`` (gamma, per unit of time), the share of a value ``behind`` the recordings with it, and why."""

    discount: float
    behind: float
    why: str


@dataclass(frozen=True)
class AlphaSuggestion:
    """Where to begin with CQL's ``alpha``.

    Attributes:
        alpha: with ``reward_scale = auto``; 1, 3, 10 and so on, because it is known no better.
        low, high: the neighbours that are worth trying, with ``reward_scale = auto``.
        raw: ``alpha`` for rewards as they are in the log (``reward_scale`` 1).
        reward_scale: what ``auto`` is for this log and ``discount``.
        discount: the discount for which all this holds.
        why: the reason in words.
    """

    alpha: float
    low: float
    high: float
    raw: float
    reward_scale: float
    discount: float
    why: str

    @property
    def grid(self) -> tuple[float, ...]:
        """Five values of alpha for ``reward_scale = auto``, half a decade apart, around the suggestion."""
        return tuple(_half_decade(self.alpha, steps) for steps in (-2, -1, 0, 1, 2))


def suggest_alpha(dataset: Dataset, discount: float | None = None) -> AlphaSuggestion | None:
    """Where to begin with ``alpha`` of ``cql``, its kin and ``discrete_cql``; None if nobody can say.

    Alpha is compared with values, so it has their size: the suggestion is a share of the spread of the log's
    returns-to-go (:func:`prudent.data.spread.spread_to_go`). The share grows with their reach, which is how many times
    they spread further than if rewards were independent in time. With a reach near 1 a value is mostly the rewards
    that follow at once, which the log shows. With a large one it is mostly a prediction of later values, in which the
    errors of actions that were not tried build up, so that these need a larger penalty.

    This is a rule of thumb, right within a factor of three to ten: docs/algorithms.md has the problems on which it was
    checked. Try the neighbours, and further ones while the best lies at the edge. ``discount`` None is that of
    :func:`suggest_discount`. None comes back for less than 20 episodes or 1000 rows, for rows that are not in order of
    time, and where returns do not differ.
    """
    if dataset.n_episodes < ENOUGH_EPISODES or len(dataset) < ENOUGH_ROWS:
        return None
    discount = suggest_discount(dataset).discount if discount is None else discount
    try:
        spread = spread_to_go(dataset, discount)
    except DataError:  # rows that are not in order of time: the audit says so
        return None
    if spread.std == 0:
        return None
    share = min(max(SHARE * spread.reach, LEAST), MOST)
    alpha = _half_decade(share * USUAL)
    return AlphaSuggestion(
        alpha=alpha,
        low=_half_decade(alpha, -1),
        high=_half_decade(alpha, 1),
        raw=alpha * spread.std / USUAL,
        reward_scale=USUAL / spread.std,
        discount=discount,
        why=_why_alpha(spread.std, spread.reach),
    )


def _half_decade(value: float, steps: int = 0) -> float:
    """The number nearest to ``value`` among ..., 0.3, 1, 3, 10, ..., or the one ``steps`` further up."""
    decade, half = divmod(round(2 * math.log10(value)) + steps, 2)
    return float(f"{3 if half else 1}e{decade}")


def _why_alpha(std: float, reach: float) -> str:
    returns = f"discounted returns-to-go have a standard deviation of {std:.4g}"
    if math.isinf(reach):
        return f"{returns}, though all rewards are the same: values are all about what comes later"
    if reach < 2:
        return f"{returns}, about as if rewards were independent: values are mostly the rewards that follow soon"
    kind = "partly" if reach < 5 else "mostly"
    return f"{returns}, {reach:.2g} times that of independent rewards: values are {kind} about what comes later"


def suggest_discount(dataset: Dataset) -> DiscountSuggestion:
    """The largest usual discount that does not look past the recordings.

    What happens after an episode was cut is not in the log, so that part of a value is extrapolated. Its share is the
    mean of ``discount ** T``, T being the length of an episode, with 0 for episodes that terminated
    (:func:`prudent.data.spread.behind`). The suggestion is the largest of :data:`DISCOUNTS` for which it is at most
    :data:`MOST_BEHIND`, or the smallest of them if none is. If all episodes terminate, that is 0.99, and larger ones
    are as sound.

    These are discounts per step. With a column ``dt`` the suggestion is per unit of time: a step of mean length d then
    discounts by one of them, which is ``gamma ** (1 / d)`` in whatever unit the log measures time.
    """
    step = 1.0 if "dt" not in dataset.extra else float(dataset.extra["dt"].mean(dtype=np.float64))
    candidates = [gamma ** (1 / step) for gamma in DISCOUNTS]
    shares = [behind(dataset, gamma) for gamma in candidates]
    chosen = next((k for k, share in enumerate(shares) if share <= MOST_BEHIND), len(shares) - 1)
    return DiscountSuggestion(candidates[chosen], shares[chosen], _why(candidates, shares, chosen))


def _why(candidates: list[float], shares: list[float], chosen: int) -> str:
    if shares[0] == 0:
        return "all episodes terminate, so nothing lies behind their ends; larger ones are as sound"
    share = "less than 1 %" if shares[chosen] < 0.01 else percent(shares[chosen])
    here = f"{share} of the value of a start state lies behind the ends of the recordings"
    if chosen == 0:
        return here
    if shares[chosen] > MOST_BEHIND:
        return f"{here}, and even more with a larger one: the recordings are too short to look ahead"
    return f"{here}; with {candidates[chosen - 1]:.4g} it would be {percent(shares[chosen - 1])}"
