"""The sum of rewards per episode as recorded: no discount, and a truncation ends an episode."""

from dataclasses import replace

import numpy as np

from prudent.ope import abstention, importance, interval
from prudent.ope.episodes import Episodes
from prudent.ope.importance import Weights
from prudent.ope.interval import Estimate
from prudent.ope.settings import Settings


def returns(log: Episodes, weights: Weights | None, reason: str, settings: Settings) -> dict[str, Estimate]:
    """That of a policy with these importance weights (``pdwis``), and of the behaviour policy (``behaviour``).

    ``reason`` says why there are no ``weights``.
    """
    summed = Episodes(log.dataset, 1.0)
    earned_E = importance.monte_carlo(summed, np.zeros(len(summed)))
    behaviour = interval.from_influence("behaviour", float(earned_E.mean()), summed.per_unit(earned_E))
    return {"pdwis": _weighted(summed, weights, reason, settings), "behaviour": behaviour}


def _weighted(summed: Episodes, weights: Weights | None, reason: str, settings: Settings) -> Estimate:
    if weights is None:
        return interval.unsupported("pdwis", reason)
    weights = replace(weights, episodes=summed)
    effective = weights.effective_sample_size()
    if effective < settings.min_effective:
        return interval.unsupported("pdwis", abstention.too_few(effective, f"whole {summed.by}", summed, settings))
    value, influence_E = importance.pdwis(weights, np.zeros(len(summed)))
    return interval.from_influence("pdwis", value, summed.per_unit(influence_E), effective)
