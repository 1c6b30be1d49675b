"""The names that columns which mark ends of episodes have in the field, and what each of them means."""

import re
from typing import Literal

Meaning = Literal["terminated", "truncated", "done", "end", "start", "label", "alive", "unclear"]
"""``terminated``: no value comes after the row. ``truncated``: only the recording stops. ``done``: one of the two.
``end``: the last row of every episode. ``start``: the first row. ``label``: the number of the row's episode.
``alive``: 0 where no value comes after. ``unclear``: programs mean different things by it."""

_NAMES: dict[Meaning, str] = {
    "terminated": "terminal terminals terminated terminateds termination terminations isterminal isterminals "
    "isterminated terminalflag terminalflags absorbing",
    "truncated": "timeout timeouts timedout truncated truncateds truncation truncations istimeout istruncated",
    "done": "done dones isdone isdones doneflag doneflags",
    "end": "episodeterminal episodeterminals episodeend episodeends episodedone episodedones episodeover endofepisode "
    "ends donefloat donesfloat trajectoryend trajectoryends trajend trajends",
    "start": "episodestart episodestarts startofepisode starts trajectorystart trajectorystarts trajstart trajstarts",
    "label": "episode episodes episodeid episodeids episodeindex episodeindices episodenumber trajid trajids "
    "trajectoryid trajectoryids trajectoryindex trajindex",
    "alive": "notdone notdones nonterminal nonterminals notterminal notterminals masks discount discounts",
    "unclear": "isfirst islast",
}
_MEANINGS: dict[str, Meaning] = {word: meaning for meaning, listed in _NAMES.items() for word in listed.split()}
_END_WORDS = {"done", "terminal", "terminated", "termination", "truncated", "truncation", "timeout", "reset"}
_ALONE = ("first", "last", "final", "end", "start")
_UNITS, _BORDERS = {"episode", "traj", "trajectory", "rollout"}, {"end", "start", "first", "last", "over"}


def words(key: str) -> list[str]:
    """The words in the last part of a key, in lower case: ``info/TimeLimit.isTruncated`` has ``is truncated``."""
    last = re.split(r"[/.]", key[-200:])[-1]
    return [word for word in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).lower()) if word]


def meaning_of(key: str) -> Meaning | None:
    """What a column of this name says about ends of episodes; None if nothing.

    Case, underscores and what stands before a slash or a dot do not matter.
    """
    parts = words(key)
    known = _MEANINGS.get("".join(parts))
    if known is not None:
        return known
    if len(parts) == 1 and parts[0] in _ALONE:
        return "unclear"
    single = {word.removesuffix("s") for word in parts}
    return "unclear" if single & _END_WORDS or (single & _BORDERS and single & _UNITS) else None


def is_certain_name(key: str) -> bool:
    """Whether the name is one that the field uses for flags, or for the number of an episode."""
    return "".join(words(key)) in _MEANINGS


def is_flag_name(key: str) -> bool:
    """Whether the name is one that the field uses for flags."""
    return is_certain_name(key) and meaning_of(key) != "label"
