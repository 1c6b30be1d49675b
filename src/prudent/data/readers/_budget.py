"""How many bytes a file may ask for."""

import os

from prudent.errors import DataError
from prudent.files import human_bytes

DEFAULT_BYTES = 4 << 30
"""Bytes that one file may declare, unless ``PRUDENT_MAX_BYTES`` sets another limit."""

# Deflate cannot shrink data more than 1032 times; below the floor a false declaration does no harm.
MAX_RATIO = 1100
FLOOR_BYTES = 16 << 20

# Logs of measurements shrink less than ten times; a file that shrinks more than this was made to fill memory.
SUSPICIOUS_RATIO = 250
SUSPICIOUS_BYTES = 64 << 20


class Budget:
    """Counts the bytes that a file declares, before they are read."""

    def __init__(self, limit: int | None = None):
        variable = os.environ.get("PRUDENT_MAX_BYTES")
        self.set_by_user = limit is not None or variable is not None
        self.limit = limit if limit is not None else DEFAULT_BYTES if variable is None else _number(variable)
        self.spent = self.stored = 0

    def spend(self, declared: int, *, stored: int, key: str, name: str, taken: int = 0) -> None:
        """Account for an array of ``declared`` bytes of which the file holds ``stored`` (compressed).

        ``taken`` are the bytes it takes in memory, if that is more.

        Raises:
            DataError: the array cannot be in the file, or the file asks for more than the limit in total.
        """
        if declared > FLOOR_BYTES and declared > MAX_RATIO * stored:
            raise DataError(
                f"{name}: {key} declares {human_bytes(declared)} but the file stores only {human_bytes(stored)} of it"
            )
        self.spent += max(declared, taken)
        self.stored += stored
        if self.spent > self.limit:
            raise DataError(
                f"{name}: {key} brings the file to {human_bytes(self.spent)} in memory, above the limit of "
                f"{human_bytes(self.limit)}; set PRUDENT_MAX_BYTES to allow more"
            )

    def most(self, stored: int) -> int:
        """The most bytes in memory that a file of ``stored`` bytes may ask for."""
        return self.limit if self.set_by_user else min(self.limit, max(SUSPICIOUS_BYTES, SUSPICIOUS_RATIO * stored))

    def settle(self, name: str) -> None:
        """Call when everything is counted: refuse a file that grows out of proportion as a whole.

        Raises:
            DataError: it does.
        """
        self.proportion(self.spent, self.stored, name)

    def proportion(self, declared: int, stored: int, name: str) -> None:
        """Refuse a small file that grows out of proportion, unless the user has set a limit.

        Raises:
            DataError: it does.
        """
        if not self.set_by_user and declared > SUSPICIOUS_BYTES and declared > SUSPICIOUS_RATIO * stored:
            raise DataError(
                f"{name}: the file's {human_bytes(stored)} declare {human_bytes(declared)}, "
                "out of all proportion for a log; "
                "if it is sound all the same, set PRUDENT_MAX_BYTES to what it may take"
            )


def _number(text: str) -> int:
    if not text.isdecimal():
        raise DataError(f"PRUDENT_MAX_BYTES must be a whole number of bytes, got {text!r}")
    return int(text)
