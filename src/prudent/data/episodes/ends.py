"""Where episodes end, and which rows have a successor. Most flat logs state only a part of this."""

from dataclasses import dataclass

import numpy as np

from prudent.data.columns import Rows, counted, strays_of
from prudent.data.episodes import jumps
from prudent.errors import DataError

COMMON_HORIZON = 1000
"""Time limit of the locomotion tasks: their files are the ones that most often lack timeouts."""


@dataclass(frozen=True)
class EpisodeEnds:
    """The ends of episodes in a file, and where the successor of each row comes from.

    ``terminated``, ``truncated`` and ``keep`` are (rows,) bool; ``keep`` are the rows that have a successor. It is the
    next observation in the file if ``stated``, else the observation of the following row. The rows ``final`` (rising
    row numbers) are followed by themselves: no value comes after them.
    """

    terminated: np.ndarray
    truncated: np.ndarray
    keep: np.ndarray
    final: np.ndarray
    stated: bool
    notes: tuple[str, ...]

    def successors(self, observation: Rows, next_observation: Rows, block: slice) -> np.ndarray:
        """The observations after a block of rows, (rows, features)."""
        successors = next_observation[block] if self.stated else _next_rows(observation, block)
        final = jumps.within(self.final, block) - block.start
        if len(final):
            successors = successors.copy()
            successors[final] = observation[block][final]
        return successors

    def next_masks(self, mask: Rows, block: slice) -> np.ndarray:
        """The action masks after a block of rows, for files that have only those of the rows themselves."""
        # Among the rows kept, only terminal ones are not followed by a row of their own episode.
        return _next_rows(mask, block) | self.terminated[block, None]


def _next_rows(column: Rows, block: slice) -> np.ndarray:
    """The rows one after those of a block; the very last row is followed by itself."""
    after = column[slice(block.start + 1, block.stop + 1)]
    return after if block.stop < len(column) else np.concatenate([after, column[slice(len(column) - 1, len(column))]])


@dataclass(frozen=True)
class Successors:
    """Which rows to keep, and what follows each of them; arrays have the length of the file.

    ``next_mask`` is None where the file has no masks.
    """

    next_observation: np.ndarray
    truncated: np.ndarray
    keep: np.ndarray
    notes: tuple[str, ...]
    next_mask: np.ndarray | None = None


def find_successors(
    observation: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    next_observation: np.ndarray | None = None,
    horizon: int | None = None,
    fallback_horizon: int | None = None,
    mask: np.ndarray | None = None,
    name: str = "the file",
    strays: np.ndarray | None = None,
) -> Successors:
    """The successor of every row, for columns in memory; see :func:`find_ends` for the arguments.

    ``mask`` (rows, A) bool is given where the file has action masks but no next action masks: the mask of the following
    row is then the next one.
    """
    ends = find_ends(
        observation,
        terminated,
        truncated,
        next_observation,
        horizon,
        fallback_horizon,
        masks_follow=mask is not None,
        name=name,
        strays=strays,
    )
    rows = slice(0, len(observation))
    stated = observation if next_observation is None else next_observation
    next_mask = None if mask is None else ends.next_masks(mask, rows)
    return Successors(ends.successors(observation, stated, rows), ends.truncated, ends.keep, ends.notes, next_mask)


def find_ends(
    observation: Rows,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    next_observation: Rows | None = None,
    horizon: int | None = None,
    fallback_horizon: int | None = None,
    masks_follow: bool = False,
    name: str = "the file",
    strays: np.ndarray | None = None,
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

    Raises:
        DataError: masks follow from the order of the rows, but the rows are not in order.
    """
    notes: list[str] = []
    exact = next_observation is not None
    # Differences of numbers near the largest float overflow to infinity, which compares as it should.
    with np.errstate(over="ignore", invalid="ignore"):
        if next_observation is None:
            strays = gaps = jumps.jumps(observation)
        else:
            strays = gaps = strays_of(observation, next_observation) if strays is None else strays
    if exact and _without_order(gaps, terminated if truncated is None else terminated | truncated):
        notes.append("next_observations is not the following row: rows stand in no order of time, flags are used as is")
        if masks_follow:
            raise DataError(
                f"{name}: rows stand in no order of time, so action_masks needs next_action_masks beside it"
            )
        gaps = np.zeros_like(gaps)
    if truncated is None:
        truncated = _infer_truncations(terminated, gaps, exact, horizon, fallback_horizon, notes)
    else:
        truncated = _correct_truncations(terminated, truncated & ~terminated, gaps, exact, notes)
    if next_observation is None:
        return _ends_by_next_rows(terminated, truncated, notes)
    return _ends_by_statement(observation, next_observation, strays, terminated, truncated, notes, masks_follow)


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


def _ends_by_next_rows(terminated: np.ndarray, truncated: np.ndarray, notes: list[str]) -> EpisodeEnds:
    """Ends for a file without next observations: the following row is the successor."""
    orphans = np.flatnonzero(truncated)
    if not terminated[-1] and not truncated[-1]:
        orphans = np.append(orphans, len(truncated) - 1)
        notes.append("the rows after the last flag are kept as a truncated episode")
    # Value ends at a termination, so its successor is never used; the row after it belongs to another episode.
    return _drop(orphans, np.flatnonzero(terminated), terminated, truncated, False, notes)


def _ends_by_statement(
    observation: Rows,
    next_observation: Rows,
    strays: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    notes: list[str],
    needs_row: bool,
) -> EpisodeEnds:
    """Ends for a file with next observations; those that belong to the next episode are not used.

    ``strays`` are the rows whose next observation is not the following row. With ``needs_row`` the following row has to
    be there too, because the next action mask comes from it.
    """
    ends = np.flatnonzero((terminated | truncated)[:-1])
    borrowed = jumps.moved(observation, next_observation, ends[~strays[ends]])
    final, orphans = borrowed[terminated[borrowed]], borrowed[~terminated[borrowed]]
    if len(final):
        notes.append(
            f"{counted(len(final), 'terminal row')} with the next episode's first row as next "
            "observation; replaced by the row's own, which no value depends on"
        )
    if not (terminated[-1] or truncated[-1]):
        notes.append("the rows after the last flag are kept as a truncated episode")
    if not needs_row:
        return _drop(orphans, final, terminated, truncated, True, notes)
    lacking = truncated.copy()
    lacking[orphans] = True
    lacking[-1] |= not terminated[-1]
    return _drop(np.flatnonzero(lacking), final, terminated, truncated, True, notes, "next_action_masks")


def _drop(
    orphans: np.ndarray,
    final: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    stated: bool,
    notes: list[str],
    lacking: str = "successor",
) -> EpisodeEnds:
    """Do not keep the rows ``orphans``; the row before each is truncated instead, if its episode did not end there."""
    keep = np.ones(len(terminated), dtype=bool)
    if len(orphans):
        keep[orphans] = False
        truncated = truncated.copy()
        before = orphans[orphans > 0] - 1
        truncated[before[~terminated[before]]] = True
        notes.append(
            f"{counted(len(orphans), 'row')} dropped: the last step of a truncated episode has no {lacking} in the file"
        )
    return EpisodeEnds(terminated, truncated, keep, final, stated, tuple(notes))
