"""Where episodes end, and which rows have a successor. Most flat logs state only a part of this."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data.columns import Rows, counted, strays_of
from prudent.data.episodes import jumps
from prudent.data.episodes.dropped import LastRows
from prudent.data.episodes.recorders import check_next_rows, check_stated, cut, hint
from prudent.data.episodes.recorders import last_rows as last_rows_of
from prudent.errors import DataError

COMMON_HORIZON = 1000
"""Time limit of the locomotion tasks: their files are the ones that most often lack timeouts."""

NO_ORDER = "next_observations is not the following row: rows stand in no order of time, flags are used as is"
KEEP_THEM = 'if an episode\'s last row is its end, say last_rows="terminated" (--last-rows terminated)'
"""Advice where last rows were dropped."""


@dataclass(frozen=True)
class EpisodeEnds:
    """The ends of episodes in a file, and where the successor of each row comes from.

    ``terminated``, ``truncated`` and ``keep`` are (rows,) bool; ``keep`` are the rows that have a successor. It is the
    next observation in the file if ``stated``, else the observation of the following row. The rows ``final`` (rising
    row numbers) are followed by themselves: no value comes after them, or ``last_rows`` says so. ``lacking`` counts the
    last rows without a successor, about which ``last_rows`` decides.
    """

    terminated: np.ndarray
    truncated: np.ndarray
    keep: np.ndarray
    final: np.ndarray
    stated: bool
    notes: tuple[str, ...]
    lacking: int = 0

    def successors(self, observation: Rows, next_observation: Rows, block: slice) -> np.ndarray:
        """The observations after a block of rows, (rows, features)."""
        successors = next_observation[block] if self.stated else _next_rows(observation, block)
        final = jumps.within(self.final, block) - block.start
        if len(final):
            successors = successors.copy()
            successors[final] = observation[block][final]
        return successors

    def next_masks(self, mask: Rows, next_mask: Rows | None, block: slice) -> np.ndarray:
        """The action masks after a block of rows: those in the file, or the following row's if it has none."""
        # Among the rows kept, only terminal ones and those in ``final`` are not followed by a row of their own episode.
        after = (_next_rows(mask, block) if next_mask is None else next_mask[block]) | self.terminated[block, None]
        final = jumps.within(self.final, block)
        final = final[~self.terminated[final]] - block.start
        after[final] = mask[block][final]
        return after


def _next_rows(column: Rows, block: slice) -> np.ndarray:
    """The rows one after those of a block; the very last row is followed by itself."""
    after = column[slice(block.start + 1, block.stop + 1)]
    return after if block.stop < len(column) else np.concatenate([after, column[slice(len(column) - 1, len(column))]])


@dataclass(frozen=True)
class Successors:
    """Which rows to keep, and what follows each of them; arrays have the length of the file.

    ``next_mask`` is None where the file has no masks.
    """

    ends: EpisodeEnds
    next_observation: np.ndarray
    next_mask: np.ndarray | None = None


def find_successors(
    observation: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    next_observation: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    next_mask: np.ndarray | None = None,
    **options: Any,
) -> Successors:
    """The successor of every row, for columns in memory; see :func:`find_ends` for the arguments.

    ``mask`` and ``next_mask`` (rows, A) bool are the masks of the file. Without ``next_mask`` that of the following row
    is the next one.
    """
    options["masks_follow"] = mask is not None and next_mask is None
    ends = find_ends(observation, terminated, truncated, next_observation, **options)
    rows = slice(0, len(observation))
    stated = observation if next_observation is None else next_observation
    after = None if mask is None else ends.next_masks(mask, next_mask, rows)
    return Successors(ends, ends.successors(observation, stated, rows), after)


def find_ends(
    observation: Rows,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    next_observation: Rows | None = None,
    *,
    horizon: int | None = None,
    fallback_horizon: int | None = None,
    masks_follow: bool = False,
    name: str = "the file",
    strays: np.ndarray | None = None,
    last_rows: LastRows | None = None,
    recorders: int | None = None,
    action: Rows | None = None,
    certain: bool = False,
) -> EpisodeEnds:
    """Find where episodes end and which rows have a successor. Observations are read block by block.

    Args:
        observation: (rows, S).
        terminated: (rows,) bool.
        truncated: (rows,) bool, None if the file has no such flags: they are then inferred.
        next_observation: (rows, S), None if the file has none.
        horizon: a time limit that is known.
        fallback_horizon: a time limit to assume where nothing else ends an episode.
        masks_follow: whether the mask of the following row is the next action mask.
        name: the file, for messages.
        strays: (rows,) bool, those of the :class:`Dataset` if they are known.
        last_rows: what becomes of last rows that have no successor; None drops them.
        recorders: how many recorders the user declares; the rows of each are together already.
        action: (rows, A), to tell whether a row's successor is the next one; None if there are none.
        certain: the file says of every row whether its episode ends there: jumps of the observation prove nothing.

    Raises:
        DataError: successors or masks follow from the order of the rows, but the rows are not in order.
    """
    exact, flagged = next_observation is not None, terminated if truncated is None else terminated | truncated
    notes = [] if exact else check_next_rows(observation, action, flagged, recorders, name)
    # Differences of numbers near the largest float overflow to infinity, which compares as it should.
    with np.errstate(over="ignore", invalid="ignore"):
        if next_observation is None:
            strays = gaps = jumps.jumps(observation)
        else:
            strays = gaps = strays_of(observation, next_observation) if strays is None else strays
    if next_observation is not None:
        check_stated(gaps, recorders, name)
        if _without_order(gaps, flagged):
            side_by_side = hint(observation, next_observation, flagged)
            if masks_follow:
                raise DataError(
                    f"{name}: rows stand in no order of time, so action_masks needs next_action_masks beside it"
                    f"{side_by_side}"
                )
            notes.append(f"{NO_ORDER}{side_by_side}")
            gaps = np.zeros_like(gaps)
    # In a file that flags all its ends, a last row without a flag is where the recording stopped, not an end.
    stops = last_rows_of(len(terminated), recorders or 1)
    cut_off = stops[:0] if truncated is None else stops[~flagged[stops]]
    gaps = gaps.copy()
    gaps[stops] = False
    if certain and not exact:
        truncated = np.zeros_like(terminated) if truncated is None else truncated & ~terminated
    elif truncated is None:
        truncated = _infer_truncations(terminated, gaps, exact, horizon, fallback_horizon, notes)
    else:
        truncated = _correct_truncations(terminated, truncated & ~terminated, gaps, exact, notes)
    if not (terminated | truncated)[stops].all():
        notes.append("the rows after the last flag are kept as a truncated episode")
    truncated = cut(terminated, truncated, recorders)
    final, orphans, lacking = np.flatnonzero(terminated), _open_ends(terminated, truncated), "successor"
    if next_observation is not None:
        final, borrowed = _borrowed(observation, next_observation, strays, terminated, truncated, notes)
        orphans, lacking = (orphans, "next_action_masks") if masks_follow else (borrowed, lacking)
    ends = EpisodeEnds(terminated, truncated, np.ones(len(terminated), dtype=bool), final, exact, ())
    return _settle(ends, orphans, last_rows or "drop", cut_off, notes, lacking)


def _without_order(strays: np.ndarray, flagged: np.ndarray) -> bool:
    """Whether most rows inside an episode, which no flag ends, are not followed by their next observation."""
    # After a flagged end another episode follows: such rows say nothing about the order, and short episodes have many.
    inside = ~flagged
    inside[-1] = False
    return bool(np.count_nonzero(strays & inside) > np.count_nonzero(inside) / 2)


def note_on_equal_lengths(terminated: np.ndarray) -> list[str]:
    """A note if all episodes that end in a termination (rows,) are equally long: that looks like a time limit."""
    lengths = np.diff(np.flatnonzero(np.concatenate([[True], terminated])))
    if len(lengths) < 2 or not (lengths == lengths[0]).all() or lengths[0] == 1:
        return []
    return [
        f"all terminations come after exactly {lengths[0]} steps, which looks like a time limit; "
        'if it is one, read the file with dones="truncated" (--dones truncated)'
    ]


def _infer_truncations(
    terminated: np.ndarray,
    gaps: np.ndarray,
    exact: bool,
    horizon: int | None,
    fallback: int | None,
    notes: list[str],
) -> np.ndarray:
    """Truncation flags for a file without any."""
    truncated = gaps & ~terminated
    if truncated.any():
        why = "next_observations differs from the following row" if exact else "the observation jumps"
        notes.append(f"no timeouts in the file: {truncated.sum()} inferred where {why}")
    limit = horizon or fallback
    if limit is not None:
        cuts = _rows_at_limit(limit, terminated | truncated, len(terminated))
        if len(cuts):
            truncated[cuts] = True
            source = "the time limit" if horizon else "the usual time limit, assumed,"
            notes.append(f"no timeouts in the file: {len(cuts)} set after {limit} steps, {source} of the task")
    return truncated


def _rows_at_limit(limit: int, ends: np.ndarray, rows: int) -> np.ndarray:
    """Every ``limit``-th row of each episode, unless the episode ends there anyway."""
    stops = np.append(np.flatnonzero(ends) + 1, rows)
    starts = np.concatenate([[0], stops[:-1]])
    cuts = [np.arange(a + limit - 1, b, limit) for a, b in zip(starts, stops, strict=True) if b - a >= limit]
    at_limit = np.concatenate(cuts) if cuts else np.empty(0, dtype=np.int64)
    return at_limit[~ends[at_limit]]


def _correct_truncations(
    terminated: np.ndarray, truncated: np.ndarray, gaps: np.ndarray, exact: bool, notes: list[str]
) -> np.ndarray:
    """The file's truncation flags, corrected where its observations contradict them.

    AntMaze v0 has timeouts that drift away from the resets, so that transitions lead across the whole maze. Jumps are
    evidence only if they are about as many as the flags they contradict; differing successors are proof.
    """
    unflagged = np.flatnonzero(gaps)
    unflagged = unflagged[~(terminated[unflagged] | truncated[unflagged])]
    if not len(unflagged):
        return truncated
    inside = truncated & ~gaps
    inside[-1] = False
    count = int(np.count_nonzero(inside))
    drifted = count / 2 <= len(unflagged) <= 2 * count
    if not drifted and not exact:
        return truncated
    if drifted:
        notes.append(
            f"{counted(count, 'timeout')} inside an episode moved to the {counted(len(unflagged), 'row')} "
            f"where the observations start anew, the first is row {unflagged[0]}"
        )
        corrected = truncated & ~inside
    else:
        notes.append(
            f"{counted(len(unflagged), 'episode end')} without a flag (next_observations differs from the next row), "
            f"read as truncated, the first is row {unflagged[0]}"
        )
        corrected = truncated.copy()
    corrected[unflagged] = True
    return corrected


def _open_ends(terminated: np.ndarray, truncated: np.ndarray) -> np.ndarray:
    """The numbers of the rows that end an episode without terminating it; the file's end does so too."""
    orphans = truncated & ~terminated
    orphans[-1] = not terminated[-1]
    return np.flatnonzero(orphans)


def _borrowed(
    observation: Rows,
    next_observation: Rows,
    strays: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """The last rows whose next observation is the next episode's first: terminal ones, and others (row numbers).

    ``strays`` are the rows whose next observation is not the following row.
    """
    ends = np.flatnonzero((terminated | truncated)[:-1])
    borrowed = jumps.moved(observation, next_observation, ends[~strays[ends]])
    final, orphans = borrowed[terminated[borrowed]], borrowed[~terminated[borrowed]]
    if len(final):
        notes.append(
            f"{counted(len(final), 'terminal row')} with the next episode's first row as next "
            "observation; replaced by the row's own, which no value depends on"
        )
    return final, orphans


def _settle(
    ends: EpisodeEnds, orphans: np.ndarray, last_rows: LastRows, cut_off: np.ndarray, notes: list[str], lacking: str
) -> EpisodeEnds:
    """Decide about the rows ``orphans``, which end an episode and lack a successor (or a next mask).

    ``cut_off`` are those that are no ends: the recording stopped there.
    """
    decided = np.setdiff1d(orphans, cut_off) if last_rows == "terminated" else orphans
    terminated, truncated = ends.terminated, ends.truncated.copy()
    final, keep = ends.final, ends.keep
    if last_rows != "drop" and len(decided):
        terminated = terminated.copy()
        terminated[decided], truncated[decided] = last_rows == "terminated", last_rows == "truncated"
        final, orphans = np.union1d(final, decided), np.setdiff1d(orphans, decided)
        notes.append(note_on_kept(len(decided), last_rows))
    if len(orphans):
        keep = keep.copy()
        keep[orphans] = False
        # The row before each is the last one now, unless its episode ended there.
        before = orphans[orphans > 0] - 1
        truncated[before[~terminated[before]]] = True
        notes.append(
            f"{counted(len(orphans), 'row')} dropped: the last step of a truncated episode has no {lacking} in the file"
        )
    return EpisodeEnds(terminated, truncated, keep, final, ends.stated, tuple(notes), len(decided))


def note_on_kept(count: int, last_rows: LastRows) -> str:
    """The note on last rows without a successor that are kept."""
    rows = f"{counted(count, 'last row')} without a successor kept as {last_rows}, as asked"
    if last_rows == "terminated":
        return f"{rows}: no value comes after {'it' if count == 1 else 'them'}"
    return f"{rows}: the row's own observation stands as successor"
