"""Action bounds of a file that are open on some sides, and what the user says about them."""

import numpy as np

from prudent.data.columns import Bound
from prudent.errors import DataError

Bounds = tuple[Bound | None, Bound | None]
"""The lower and the upper bound."""


def with_user(user: Bounds, file: Bounds, name: str) -> Bounds:
    """The bounds that hold: those of the ``user``, else those of the ``file`` (A,), in which infinity is an open side.

    One number of the user's where the file leaves some features open is for these features; otherwise it is for all.
    A file that leaves every side open declares no bounds.

    Raises:
        DataError: a side is open and the user does not say what the bound is.
    """
    nobody_says = all(bound is not None and not np.isfinite(bound).any() for bound in file)
    if user[0] is None and user[1] is None and nobody_says:
        return None, None
    low, high = (_side(mine, theirs) for mine, theirs in zip(user, file, strict=True))
    for bound, theirs, side in ((low, file[0], "lower"), (high, file[1], "upper")):
        if bound is theirs and bound is not None and not np.isfinite(bound).all():
            open_features = np.flatnonzero(~np.isfinite(np.ravel(bound))).tolist()
            more = ", ..." if len(open_features) > 8 else ""
            listed = ", ".join(map(str, open_features[:8])) + more
            raise DataError(
                f"{name}: the {side} action bound is open in feature {listed}: "
                "declare finite bounds with --action-low and --action-high (action_low, action_high)"
            )
    return low, high


def _side(user: Bound | None, file: Bound | None) -> Bound | None:
    if user is None:
        return file
    if file is None or np.size(user) != 1 or np.isfinite(file).all() or not np.isfinite(file).any():
        return user
    return np.where(np.isfinite(file), file, np.ravel(user)[0])
