"""Whether a discount looks past the end of the recordings, and one that does not."""

from prudent.data import Dataset
from prudent.data.spread import behind

PAST = 0.2
"""Share of the value behind the end of the recordings from which on a discount is questioned."""
LEFT = 0.05
"""A suggested discount, of two digits, leaves no more than this share behind the end."""


def choose(dataset: Dataset, given: float | None, default: float) -> tuple[float, str]:
    """The discount of a tuning, and a line that questions it; empty if it does not look past the recordings.

    A discount that the user gave stays. The ``default`` gives way to the suggested one.
    """
    discount = default if given is None else given
    past = behind(dataset, discount)
    if past <= PAST:
        return discount, ""
    suggested, left = suggest(dataset, discount)
    clock = " per unit of time" if "dt" in dataset.extra else ""
    line = (
        f"{100 * past:.0f} % of the value lies behind the end of the recordings at discount {discount:g}{clock}, where "
        f"nothing was observed; at {suggested:g} it would be {100 * left:.0f} %"
    )
    if given is None:
        return suggested, f"{line}: {suggested:g} is taken (--discount {discount:g} keeps {discount:g})"
    return discount, f"{line} (--discount {suggested:g})"


def suggest(dataset: Dataset, largest: float) -> tuple[float, float]:
    """The largest discount below ``largest`` that does not look past the recordings, and the share it leaves behind."""
    for hundredths in range(99, 0, -1):
        discount = hundredths / 100
        if discount < largest and (left := behind(dataset, discount)) <= LEFT:
            return discount, left
    return 0.0, 0.0
