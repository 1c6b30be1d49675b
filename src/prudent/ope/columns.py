"""The columns that a policy of the user's own gets."""

from difflib import get_close_matches

import numpy as np

from prudent.data.encoding import listed
from prudent.errors import shown
from prudent.user_code.raised import PlainError


class UnknownColumnError(PlainError, KeyError):
    """A function asked for a column that there is none of."""


class Columns(dict[str, np.ndarray]):
    """Columns by name, each (R,). Reading another name raises an error that lists those there are."""

    def __missing__(self, name: object) -> np.ndarray:
        close = get_close_matches(str(name), self, n=1)
        hint = f"; did you mean {shown(close[0])}?" if close else ""
        raise UnknownColumnError(f"there is no column {shown(name)} among {listed(list(self))}{hint}")
