"""The regression check: compares the ratios of this run with the stored ones, never absolute times."""

from collections.abc import Mapping
from typing import Any

Stored = Mapping[str, Any]
"""A :class:`benchmarks.harness.Result`, as read from its file."""


class NotComparableError(Exception):
    """There is no stored result, or it is of another kind of machine."""


def worse(stored: Stored, found: Stored) -> list[str]:
    """A line for each ratio that got worse by more than its range and the stored margin; lower is always better.

    A ratio is worse if its first quartile is above the stored third quartile by more than the margin. So a single
    disturbed round decides nothing.

    Raises:
        NotComparableError: processor, threads or what is measured differ, or a ratio is missing on either side.
    """
    for key in ("processor", "threads"):
        before, now = stored["environment"][key], found["environment"][key]
        if before != now:
            raise NotComparableError(f"{found['part']}: the stored result has {key} {before}, this run {now}")
    for key in ("what", "clock"):
        if stored[key] != found[key]:
            raise NotComparableError(f"{found['part']}: stored {key} is {stored[key]!r}, measured {found[key]!r}")
    missing = sorted(stored["ratios"].keys() ^ found["ratios"].keys())
    if missing:
        raise NotComparableError(f"{found['part']}: only one of both has {', '.join(missing)}")
    told = []
    for name, before in stored["ratios"].items():
        now, limit = found["ratios"][name], before["q3"] * (1 + stored["margin"])
        if now["q1"] > limit:
            told.append(
                f"{found['part']}, {name}: {now['median']:.3g} ({now['q1']:.3g} to {now['q3']:.3g}), stored "
                f"{before['median']:.3g} ({before['q1']:.3g} to {before['q3']:.3g}), worse by more than "
                f"{100 * stored['margin']:.0f} % beyond the range"
            )
    return told
