"""Keys of a file that are not read: noted, or refused if they look like a column under a wrong name."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from prudent.errors import DataError

WRONG = {
    **dict.fromkeys(("mask", "masks", "action_mask", "actions_mask", "actions_masks"), "action_masks"),
    **dict.fromkeys(("next_mask", "next_masks", "next_action_mask"), "next_action_masks"),
}
"""Wrong names of optional columns, and the right ones. Without the column the data would load, with another meaning."""
_SILENT = ("infos", "metadata")
_SHOWN, _LONGEST = 8, 40


def unread(keys: Iterable[str], known: Collection[str], name: str) -> list[str]:
    """A note on the keys of a file that are not ``known``; empty without any. ``infos`` and ``metadata`` do not count.

    Raises:
        DataError: a key is a :data:`WRONG` name of a column that the file does not have.
    """
    keys = set(keys)
    unknown = sorted(key for key in keys - set(known) if key.split("/")[0] not in _SILENT)
    for key in unknown:
        right = WRONG.get(key.lower())
        if right in known and right not in keys:
            raise DataError(f"{name}: {plain(key)} is not read: the column is called {right}, rename it in the file")
    if not unknown:
        return []
    more = f", and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
    return [f"keys not read: {', '.join(_with_hint(key, known) for key in unknown[:_SHOWN])}{more}"]


def _with_hint(key: str, known: Collection[str]) -> str:
    close = get_close_matches(key[:_LONGEST].lower(), known, n=1, cutoff=0.75)
    return plain(key) + (f" (did you mean {close[0]}?)" if close else "")


def plain(key: str) -> str:
    """A name out of a file, short and without control characters."""
    short = key if len(key) <= _LONGEST else f"{key[: _LONGEST - 3]}..."
    return short if short.isprintable() else ascii(short)
