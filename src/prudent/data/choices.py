"""Discrete actions: how many there are, and the number of the first one."""

import numpy as np

from prudent.data.columns import MOST_ACTIONS
from prudent.errors import DataError


def count_actions(action: np.ndarray, declared: int | None, name: str, first_action: int = 0) -> int:
    """The number of discrete actions: as declared, else those from ``first_action`` to the largest in the log."""
    largest = int(action.max())
    seen = largest - first_action + 1
    if declared is not None and declared < seen:
        # A log that counts from 1 has exactly one action too many, and none with number 0.
        shifted = int(action.min()) > first_action and seen == declared + 1
        hint = (
            f": if the log counts from {first_action + 1}, declare first_action={first_action + 1}" if shifted else ""
        )
        span = f"{first_action} to {first_action + declared - 1}"
        raise DataError(f"{name}: actions go up to {largest}, but only {declared} are declared ({span}){hint}")
    return seen if declared is None else declared


def declared_first(user: int | None, file: int | None, discrete: bool | None, name: str) -> int | None:
    """The number of the first discrete action: as the user says, else as the file says; None leaves it at 0.

    Raises:
        DataError: it is no whole number or out of range, or the actions are declared continuous.
    """
    first = file if user is None else user
    if first is None:
        return None
    if isinstance(first, bool) or not isinstance(first, int | np.integer) or abs(first) > MOST_ACTIONS:
        raise DataError(f"{name}: first_action must be a whole number from {-MOST_ACTIONS} to {MOST_ACTIONS}")
    if discrete is False:
        raise DataError(f"{name}: first_action is for discrete actions, and these are declared continuous")
    return int(first)
