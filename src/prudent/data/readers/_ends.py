"""Columns that mark ends of episodes, under the names that the field uses for them.

Every such column is read or refused. One that is only passed over lets transitions lead into the next episode.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prudent.data.columns import flags
from prudent.data.end_names import clue_of, is_certain_name, meaning_of, words
from prudent.data.readers import _clues
from prudent.data.readers._keys import plain
from prudent.data.readers.declared import Declared
from prudent.errors import DataError

CANONICAL = ("dones", "terminals", "timeouts")
"""The names that this library uses: ``done``, ``terminated`` and ``truncated``."""

_WORD = {"terminated": "terminals", "truncated": "timeouts", "done": "dones"}


def pick(columns: Mapping[str, tuple[tuple[int, ...], str]], known: Iterable[str]) -> list[str]:
    """The keys that mark ends of episodes. ``columns`` has shape and kind of type (``f``, ``i`` ...) of every array.

    Under an uncertain name only a column of one number per row counts: ``terminal_observations`` is none. What lies
    below ``metadata`` holds for the whole file.
    """
    picked = []
    rows = columns["observations"][0][:1] if "observations" in columns else ()
    for key, (shape, kind) in columns.items():
        is_column = kind in "fiub" and (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1))
        if key in known or key.startswith("metadata/"):
            continue
        clue = clue_of(key)
        if clue is not None and kind in "fiub" and len(shape) in (1, 2) and shape[1:] in ((), (1,)):
            picked += [key] if (shape[:1] == rows) != (clue == "lengths") else []
        if meaning_of(key) is None:
            continue
        # Masks of actions are wide, and a discount may be one number for the whole file.
        must_be_column = meaning_of(key) in ("alive", "label") or not is_certain_name(key)
        # Episodes may have names; the reader of the column says that it takes numbers.
        is_column |= meaning_of(key) == "label" and len(shape) == 1
        if (is_column and shape[:1] == rows) or not must_be_column:
            picked.append(key)
    return picked


@dataclass(frozen=True)
class Ends:
    """The flags of a file under this library's names, each (rows,) bool.

    ``columns`` holds some of :data:`CANONICAL`. ``certain`` says that no episode ends anywhere else.
    """

    columns: Mapping[str, np.ndarray]
    certain: bool
    notes: tuple[str, ...]


def resolve(columns: Mapping[str, np.ndarray], rows: int, name: str, user: Declared) -> Ends:
    """Put the flags of a file together; ``columns`` are all that :func:`pick` found, and those of :data:`CANONICAL`.

    Raises:
        DataError: two of them contradict each other, one has no clear meaning, or a declaration is missing.
    """
    return _Flags(columns, rows, name).ends(user)


class _Flags:
    """The flags of one file, by meaning."""

    def __init__(self, columns: Mapping[str, np.ndarray], rows: int, name: str):
        self.name = name
        self.notes: list[str] = []
        self.found: dict[str, tuple[str, np.ndarray]] = {}
        self.unclear: list[tuple[str, np.ndarray]] = []
        self.clues: list[tuple[str, np.ndarray]] = []
        self.listed: str | None = None
        for key, column in columns.items():
            if np.ndim(column) == 0:
                raise DataError(f"{name}: {plain(key)} has one value, expected one per row")
            if clue_of(key) is not None:
                self._add_clue(key, column, rows)
            elif len(column) == rows or not self._add_list(key, column, rows):
                if len(column) != rows:
                    raise DataError(f"{name}: {plain(key)} has {len(column)} rows, observations has {rows}")
                self._add(key, column)

    def _add_list(self, key: str, column: np.ndarray, rows: int) -> bool:
        """Take a column of row numbers; False if it is none."""
        meaning = meaning_of(key)
        ends = _clues.listed_ends(column, rows, starts=meaning == "start") if meaning in ("end", "start") else None
        if ends is None:
            return False
        which = "first" if meaning == "start" else "last"
        self.listed = key
        self._put("end", key, ends, f"{plain(key)} was read as the numbers of the {which} rows of all episodes")
        return True

    def _add_clue(self, key: str, column: np.ndarray, rows: int) -> None:
        if clue_of(key) != "lengths":
            self.clues.append((key, column))
            return
        ends = _clues.ends_of_lengths(column, rows, key, self.name)
        if ends is None:
            self._not_read(key)
            return
        self.listed = key
        self._put("end", key, ends, f"{plain(key)} was read as the lengths of all episodes")

    def _not_read(self, key: str) -> None:
        if not key.startswith("infos/"):
            self.notes.append(f"keys not read: {plain(key)}")

    def _follow_clues(self) -> None:
        """Look for ends in counters and numbers of parts, where no column says which rows are the last ones."""
        flagged = [self.found[meaning][1] for meaning in ("terminated", "truncated", "done") if meaning in self.found]
        known = np.any(flagged, axis=0) if flagged else None
        for key, column in self.clues:
            clue = clue_of(key)
            if clue == "outcome":
                continue
            if clue == "part":
                number = np.ravel(column)
                anew = np.append(number[1:] != number[:-1], True)
                anew = anew if anew[:-1].any() and anew.mean() <= 0.5 else None
            else:
                anew = _clues.restarts(column, at_same=clue == "clock")
            ends = self._get("end") if known is None or "end" in self.found else known
            if anew is None or (ends is not None and not (anew[:-1] & ~ends[:-1]).any()):
                self._not_read(key)  # it never begins anew, or only where the flags say so
            elif (
                "end" in self.found or (ends is not None and (ends & ~anew).any()) or (clue == "time" and known is None)
            ):
                self.notes.append(f"{plain(key)} begins anew in other rows than the flags say, and was not read")
            elif clue == "time":
                count = int((anew & ~ends)[:-1].sum()) if ends is not None else 0
                self.notes.append(
                    f"{plain(key)} begins anew after {count:,} rows without a flag, and was not read: if an episode "
                    "ends there, flag these rows as timeouts"
                )
            else:
                what = "another number" if clue == "part" else "anew"
                self._put("end", key, anew, f"every episode ends where {plain(key)} begins {what}")

    def _question_outcomes(self, terminated: np.ndarray | None, ends: np.ndarray | None) -> None:
        """Ask about columns like ``crashed``, where no value ends."""
        for key, column in self.clues:
            if clue_of(key) == "outcome":
                none = terminated is None or not terminated.any()
                note = _clues.outcome_note(key, column, ends) if none and ends is not None else None
                if note is None:
                    self._not_read(key)
                else:
                    self.notes.append(note)

    def _add(self, key: str, column: np.ndarray) -> None:
        meaning = meaning_of(key)
        if not is_certain_name(key) and not np.isin(column, (0, 1)).all():
            self.notes.append(f"keys not read: {plain(key)}")  # numbers of something, no flags
        elif meaning == "unclear":
            is_type = words(key)[:2] == ["step", "type"] or words(key)[:1] == ["steptype"]
            # dm_env counts 0 for the first step, 1 inside, 2 for the last one.
            self.unclear.append((key, np.ravel(column) == 2 if is_type else flags(column, key, self.name)))
        elif meaning == "alive":
            # A discount between 0 and 1 says that value goes on; without a 0 it is only a setting.
            is_discount = "discount" in key.lower()
            alive = np.ravel(column) != 0 if is_discount else flags(column, key, self.name)
            if is_discount and alive.all():
                self.notes.append(f"keys not read: {plain(key)}")
                return
            self._put("terminated", key, ~alive, f"{plain(key)} was read as 1 - terminals: value ends where it is 0")
        elif meaning == "label":
            self._put("end", key, self._label_ends(key, column), f"{plain(key)} was read as the number of the episode")
        elif meaning == "start":
            ends = np.append(flags(column, key, self.name)[1:], True)
            self._put("end", key, ends, f"{plain(key)} was read as the first rows of episodes")
        elif meaning == "end":
            self._put(
                "end", key, flags(column, key, self.name), f"{plain(key)} was read as the last rows of all episodes"
            )
        elif meaning is not None:
            word = _WORD[meaning]
            note = "" if key == word else f"{plain(key)} was read as {word}"
            self._put(meaning, key, flags(column, key, self.name), note)

    def _label_ends(self, key: str, column: np.ndarray) -> np.ndarray:
        """(rows,) bool: the last rows of episodes, where each row has the number of its episode."""
        number = np.ravel(column)
        ends = np.append(number[1:] != number[:-1], True)
        # A number may come again, in another file of those put together, but not in every other row.
        if len(np.unique(number)) < ends.sum() and ends.sum() > len(ends) / 2:
            raise DataError(
                f"{self.name}: the rows of an episode do not stand together by {plain(key)}: sort the rows by it, or "
                "remove it if next observations and flags say it all"
            )
        return ends

    def _put(self, meaning: str, key: str, column: np.ndarray, note: str) -> None:
        if meaning in self.found:
            other, before = self.found[meaning]
            # The first rows of episodes do not tell whether the recording ends with the last one.
            differ = np.flatnonzero(before != column)
            if meaning == "end":
                differ = differ[differ < len(column) - 1]
            if len(differ):
                raise DataError(
                    f"{self.name}: {plain(other)} and {plain(key)} mean the same but differ in row {differ[0]}; "
                    "remove the one that is wrong"
                )
            column = before & column
        self.found[meaning] = key, column
        if note:
            self.notes.append(note)

    def _get(self, meaning: str) -> np.ndarray | None:
        return self.found[meaning][1] if meaning in self.found else None

    def _require(self, part: np.ndarray, whole: np.ndarray, keys: Sequence[str]) -> None:
        outside = np.flatnonzero(part & ~whole)
        if len(outside):
            raise DataError(
                f"{self.name}: {plain(keys[0])} is set in row {outside[0]}, {plain(keys[1])} is not, though it marks "
                "every end of an episode; correct one of them"
            )

    def ends(self, user: Declared) -> Ends:
        """See :func:`resolve`."""
        if self.listed is not None and (user.recorders or 1) > 1:
            raise DataError(f"{self.name}: {plain(self.listed)} counts rows, so recorders does not apply to it")
        self._follow_clues()
        terminated, truncated, done = (self._get(meaning) for meaning in ("terminated", "truncated", "done"))
        if terminated is not None and truncated is not None and done is not None:
            self._check_done(terminated, truncated, done)
            done = None
        if terminated is not None and done is not None:
            self._require(terminated, done, (self.found["terminated"][0], self.found["done"][0]))
            if (done & ~terminated).any():
                truncated = done & ~terminated
            done = None
        end = self._get("end")
        if end is not None:
            terminated, truncated, done = self._with_end(end, terminated, truncated, done, user)
        self._check_unclear(terminated, truncated, done)
        every = [column for column in (terminated, truncated, done, end) if column is not None]
        self._question_outcomes(terminated if done is None else done, np.any(every, axis=0) if every else None)
        by_name = {"terminals": terminated, "timeouts": truncated, "dones": done}
        present = {key: column for key, column in by_name.items() if column is not None}
        return Ends(present, end is not None, tuple(self.notes))

    def _check_done(self, terminated: np.ndarray, truncated: np.ndarray, done: np.ndarray) -> None:
        differ = np.flatnonzero(done != (terminated | truncated))
        if len(differ) and (done != terminated).any():
            keys = [plain(self.found[meaning][0]) for meaning in ("done", "terminated", "truncated")]
            raise DataError(
                f"{self.name}: {keys[0]} is neither {keys[1]} nor {keys[1]} or {keys[2]}, the first such row is "
                f"{differ[0]}; remove the column that is wrong"
            )

    def _with_end(
        self,
        end: np.ndarray,
        terminated: np.ndarray | None,
        truncated: np.ndarray | None,
        done: np.ndarray | None,
        user: Declared,
    ) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
        """Terminations, truncations and dones, where a column says which rows are the last of their episodes."""
        key = self.found["end"][0]
        if user.horizon is not None:
            raise DataError(f"{self.name}: horizon does not apply to it, {plain(key)} says where episodes end")
        for meaning, column in (("terminated", terminated), ("truncated", truncated), ("done", done)):
            if column is not None:
                self._require(column, end, (self.found[meaning][0] if meaning in self.found else "dones", key))
        if terminated is None and truncated is not None:
            self.notes.append(f"{plain(key)} without a timeout was read as a termination")
            return end & ~truncated, truncated, None
        if terminated is None and done is not None and (end & ~done).any():
            self.notes.append(f"{plain(self.found['done'][0])} was read as terminals: {plain(key)} has further ends")
            terminated = done
        if terminated is not None:
            return terminated, end & ~terminated, None
        if done is None and user.dones is None:
            raise DataError(
                f"{self.name}: {plain(key)} says where episodes end, not whether value ends there: add terminals, or "
                'say dones="terminated" or dones="truncated" (--dones)'
            )
        return None, None, end

    def _check_unclear(
        self, terminated: np.ndarray | None, truncated: np.ndarray | None, done: np.ndarray | None
    ) -> None:
        """Refuse columns whose meaning is unclear, unless they only repeat what others say."""
        columns = [column for column in (terminated, truncated, done) if column is not None]
        if terminated is not None and truncated is not None:
            columns.append(terminated | truncated)
        # RLDS has the three of them together, and no action in its last rows: agreement says nothing there.
        if "".join(words(self.found.get("terminated", ("",))[0])) == "isterminal":
            columns = []
        for key, column in self.unclear:
            if any((column == other).all() or (column == ~other).all() for other in columns):
                continue
            starts = "first" in words(key) and any((column[1:] == other[:-1]).all() for other in columns)
            if not starts:
                raise DataError(f"{self.name}: {_advice(key)}")


def _advice(key: str) -> str:
    if "".join(words(key)) in ("islast", "isfirst", "steptype", "steptypes"):
        return (
            f"{plain(key)} is not read: in some logs its row has an action (then store it as episode_ends, last rows, "
            "or episode_starts, first rows), in RLDS the last row has none (then drop that row and set terminals and "
            "timeouts in the row before)"
        )
    return (
        f"{plain(key)} looks like the end of an episode but has no clear meaning: rename it to terminals (value ends) "
        "or timeouts (only the recording does), or remove it"
    )


def unmapped(names: Iterable[str], mapped: Iterable[str], *, episode: bool, terminated: bool) -> list[str]:
    """Notes on the columns of a table that look like ends of episodes but have no role; empty without any.

    Without a column ``episode`` counters count as well, and without ``terminated`` outcomes such as ``died``.
    """
    taken = set(mapped)
    free = [key for key in names if key not in taken]
    flags_ = [key for key in free if meaning_of(key) is not None]
    counters = [key for key in free if not episode and clue_of(key) in ("clock", "time", "part")]
    outcomes = [key for key in free if not terminated and clue_of(key) == "outcome"]
    questions = (
        (flags_, "by its name it may mark ends of episodes", "map it to terminated or truncated if it does"),
        (
            counters,
            "by its name it may begin anew with each episode",
            "only flags end an episode here: map episode if so",
        ),
        (outcomes, "by its name value may end there", "map it to terminated if it does"),
    )
    return [
        f"not mapped, though {why}: {', '.join(map(plain, found[:8]))}{', ...' if len(found) > 8 else ''}; {advice}"
        for found, why, advice in questions
        if found
    ]
