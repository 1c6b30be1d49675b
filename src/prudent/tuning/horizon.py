"""Whether a discount looks past the end of the recordings, and one that does not."""

from prudent.data import Dataset
from prudent.ope.episodes import lay_out

PAST = 0.2
"""Share of the value behind the end of the recordings from which on a discount is questioned."""

ROUND = (0.99, 0.98, 0.97, 0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1, 0.0)
"""Discounts that are suggested: the first that leaves no more than :data:`LEFT` behind the end."""
LEFT = 0.05


def choose(dataset: Dataset, given: float | None, default: float) -> tuple[float, str]:
    """The discount of a tuning, and a line that questions it; empty if it does not look past the recordings.

    A discount that the user gave stays. The ``default`` gives way to the suggested one.

    Raises:
        ConfigError, DataError: as :func:`prudent.ope.episodes.lay_out`.
    """
    discount = default if given is None else given
    log = lay_out(dataset, discount, least=1)
    past = log.tail_weight
    if past <= PAST:
        return discount, ""
    lower = (d for d in ROUND if d < discount)
    suggested, left = next(
        ((d, w) for d in lower if (w := lay_out(dataset, d, least=1).tail_weight) <= LEFT), (0.0, 0.0)
    )
    clock = "" if log.clock == "step" else f" per {log.clock}"
    line = (
        f"{100 * past:.0f} % of the value lies behind the end of the recordings at discount {discount:g}{clock}, where "
        f"nothing was observed; at {suggested:g} it would be {100 * left:.0f} %"
    )
    if given is None:
        return suggested, f"{line}: {suggested:g} is taken (--discount {discount:g} keeps it)"
    return discount, f"{line} (--discount {suggested:g})"
