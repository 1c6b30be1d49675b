"""The names that columns which mark ends of episodes have in the field, and what each of them means.

Beside them stand clues: names of columns that are no flags, but may show where episodes end.
"""

import re
from typing import Literal

Meaning = Literal["terminated", "truncated", "done", "end", "start", "label", "alive", "unclear"]
"""``terminated``: no value comes after the row. ``truncated``: only the recording stops. ``done``: one of the two.
``end``: the last row of every episode. ``start``: the first row. ``label``: the number of the row's episode.
``alive``: 0 where no value comes after. ``unclear``: programs mean different things by it."""

_NAMES: dict[Meaning, str] = {
    "terminated": "terminal terminals terminated terminateds termination terminations isterminal isterminals "
    "isterminated terminalflag terminalflags absorbing",
    "truncated": "timeout timeouts timedout truncated truncateds truncation truncations istimeout istruncated "
    "timelimit timelimits timelimitreached reachedtimelimit maxstepsreached",
    "done": "done dones isdone isdones doneflag doneflags gameover",
    "end": "episodeterminal episodeterminals episodeend episodeends episodedone episodedones episodeover endofepisode "
    "ends donefloat donesfloat trajectoryend trajectoryends trajend trajends endoftrajectory eoe",
    "start": "episodestart episodestarts startofepisode starts trajectorystart trajectorystarts trajstart trajstarts "
    "newepisode isnewepisode",
    "label": "episode episodes episodeid episodeids episodeindex episodeindices episodenumber episodenum episodeidx "
    "ep epid epids epidx epindex epnum traj trajid trajids trajidx trajnum trajindex trajectory trajectories "
    "trajectoryid trajectoryids trajectoryidx trajectoryindex trajectorynumber rolloutid rolloutidx rolloutindex",
    "alive": "notdone notdones nonterminal nonterminals notterminal notterminals masks discount discounts "
    "continue continues cont",
    "unclear": "isfirst islast steptype steptypes bootstrap bootstraps",
}
_MEANINGS: dict[str, Meaning] = {word: meaning for meaning, listed in _NAMES.items() for word in listed.split()}
Clue = Literal["clock", "time", "part", "outcome", "lengths"]
"""``clock``: counts the steps of an episode. ``time``: a time, in the episode or not. ``part``: the number of a part of
the log, an episode or more. ``outcome``: how an episode went. ``lengths``: one number for each episode."""
_CLUES: dict[Clue, str] = {
    "clock": "t step steps stepid stepidx stepindex stepnumber stepcount timestep timesteps stepinepisode "
    "stepsinepisode episodestep episodesteps elapsedstep elapsedsteps envstep frame frameid frameidx frameindex",
    "time": "time times timestamp timestamps simtime elapsedtime episodetime timeinepisode",
    "part": "run runid runs trial trialid session sessionid demo demoid game gameid sequence sequenceid seqid",
    "outcome": "success successes issuccess goalreached reachedgoal atgoal crash crashed failure failed fail died dead "
    "death isdead collision collided fell fallen solved won completed finished",
    "lengths": "episodelength episodelengths episodelens eplens epslens trajectorylength trajectorylengths trajlengths "
    "trajlens pathlengths lengths",
}
_CLUE_OF: dict[str, Clue] = {word: clue for clue, listed in _CLUES.items() for word in listed.split()}
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


def clue_of(key: str) -> Clue | None:
    """What a column of this name may show about ends of episodes, though it is no flag; None if nothing."""
    return _CLUE_OF.get("".join(words(key)))


def is_certain_name(key: str) -> bool:
    """Whether the name is one that the field uses for flags, or for the number of an episode."""
    return "".join(words(key)) in _MEANINGS


def is_flag_name(key: str) -> bool:
    """Whether the name is one that the field uses for flags."""
    return is_certain_name(key) and meaning_of(key) != "label"
