"""The discount of a tuning: one that does not look past the end of the recordings, or a question about it."""

import numpy as np

from prudent.data import Dataset
from prudent.data.spread import behind
from prudent.data.suggestions import DISCOUNTS, MOST_BEHIND, suggest_discount
from prudent.ope.episodes import lay_out


def choose(dataset: Dataset, given: float | None) -> tuple[float, str]:
    """The discount, per unit of time, and a line that says what was taken or questions it; empty if all is as usual.

    A discount that the user gave stays. Without one it is 0.99 per step of mean length, or less if that looks past the
    recordings: in whatever unit the log measures time, the same.

    Raises:
        DataError: rows do not follow each other, or a step lasts no time.
    """
    lay_out(dataset, 0.0, least=1)
    timed = "dt" in dataset.extra
    step = float(dataset.extra["dt"].mean(dtype=np.float64)) if timed else 1.0
    usual = DISCOUNTS[0] ** (1 / step)
    discount = usual if given is None else given
    past, clock = behind(dataset, discount), f" per {dataset.meanings.clock}" if timed else ""
    if past <= MOST_BEHIND:
        lasting = dataset.meanings.duration(step)
        same = f"discount {usual:.6g}{clock}: {DISCOUNTS[0]:g} per step, which lasts {lasting} on average"
        return discount, same if timed and given is None else ""
    suggested = suggest_discount(dataset)
    if suggested.discount >= discount:  # the recordings are too short for any
        return discount, ""
    line = (
        f"{100 * past:.0f} % of the value lies behind the end of the recordings at discount {discount:.6g}{clock}, "
        f"where nothing was observed; at {suggested.discount:.6g} it would be {100 * suggested.behind:.0f} %"
    )
    if given is None:
        return suggested.discount, f"{line}: that one is taken (--discount {discount:.6g} keeps the first)"
    return discount, f"{line} (--discount {suggested.discount:.6g})"
