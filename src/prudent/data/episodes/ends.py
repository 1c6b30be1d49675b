"""Where episodes end, and which rows have a successor: what every flat log leaves partly unsaid."""

from dataclasses import dataclass

import numpy as np

from prudent.data.columns import Rows, counted, strays_of
from prudent.data.episodes import jumps
from prudent.errors import DataError

COMMON_HORIZON = 1000
"""Time limit of the locomotion tasks whose files most often come without timeouts."""


@dataclass(frozen=True)
class Decided:
    """What becomes of every row of a file; arrays are (rows,) bool, but ``own`` are rising row numbers.

    ``keep`` are the rows that have a successor: the following row, or the one that the file states where it
    ``states`` them, or for the rows ``own``, behind which there is no value, their own observation.
    """

    terminated: np.ndarray
    truncated: np.ndarray
    keep: np.ndarray
    own: np.ndarray
    states: bool
    notes: tuple[str, ...]

    def successors(self, observation: Rows, next_observation: Rows, block: slice) -> np.ndarray:
        """What follows a block of rows, (rows, features)."""
        found = next_observation[block] if self.states else _following(observation, block)
        own = jumps.within(self.own, block) - block.start
        if len(own):
            found = found.copy()
            found[own] = observation[block][own]
        return found

    def next_masks(self, mask: Rows, block: slice) -> np.ndarray:
        """Masks of what follows a block of rows, where the file has only those of the rows themselves."""
        # Of the rows kept, only terminal ones are not followed by a row of their own episode.
        return _following(mask, block) | self.terminated[block, None]


def _following(column: Rows, block: slice) -> np.ndarray:
    """The rows behind those of a block; the last one of all is followed by itself."""
    found = column[slice(block.start + 1, block.stop + 1)]
    return found if block.stop < len(column) else np.concatenate([found, column[slice(len(column) - 1, len(column))]])


@dataclass(frozen=True)
class Settled:
    """Rows to keep and what follows each of them; arrays have the length of the file.

    ``next_mask`` is None where the file has no masks.
    """

    next_observation: np.ndarray
    truncated: np.ndarray
    keep: np.ndarray
    notes: tuple[str, ...]
    next_mask: np.ndarray | None = None


def settle(
    observation: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    next_observation: np.ndarray | None = None,
    horizon: int | None = None,
    fallback_horizon: int | None = None,
    mask: np.ndarray | None = None,
    name: str = "the file",
    strays: np.ndarray | None = None,
) -> Settled:
    """Decide where episodes end and drop the rows whose successor the file does not hold: :func:`decide` in memory.

    ``mask`` (rows, A) bool is given where the file has action masks but not those of what follows: they are then the
    following row's.
    """
    found = decide(
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
    every = slice(0, len(observation))
    following = found.successors(observation, observation if next_observation is None else next_observation, every)
    next_mask = None if mask is None else found.next_masks(mask, every)
    return Settled(following, found.truncated, found.keep, found.notes, next_mask)


def decide(
    observation: Rows,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    next_observation: Rows | None = None,
    horizon: int | None = None,
    fallback_horizon: int | None = None,
    masks_follow: bool = False,
    name: str = "the file",
    strays: np.ndarray | None = None,
) -> Decided:
    """Decide where episodes end and which rows have a successor, reading observations block by block.

    ``truncated`` None means that the file has no such flags; they are then inferred. ``horizon`` is a time
    limit known to hold, ``fallback_horizon`` one assumed for stretches that nothing else divides. ``masks_follow``
    where action masks of what follows are to be the following row's. ``strays`` are those of a :class:`Dataset` if they
    are known. Shapes: observations (rows, S), flags and strays (rows,) bool.

    Raises:
        DataError: masks are to follow from the order of the rows, and the rows stand in none.
    """
    notes: list[str] = []
    exact = next_observation is not None
    # Differences of numbers near the largest float overflow to infinity, which compares as it should.
    with np.errstate(over="ignore", invalid="ignore"):
        if next_observation is None:
            strays = gaps = jumps.jumps(observation)
        else:
            strays = gaps = strays_of(observation, next_observation) if strays is None else strays
    if exact and np.count_nonzero(gaps) > len(gaps) / 2:
        notes.append("next_observations is not the following row: rows stand in no order of time, flags are used as is")
        if masks_follow:
            raise DataError(
                f"{name}: rows stand in no order of time, so action_masks needs next_action_masks beside it"
            )
        gaps = np.zeros_like(gaps)
    if truncated is None:
        truncated = _infer(terminated, gaps, exact, horizon, fallback_horizon, notes)
    else:
        truncated = _align(terminated, truncated & ~terminated, gaps, exact, notes)
    if next_observation is None:
        return _next_rows(terminated, truncated, notes)
    return _given_rows(observation, next_observation, strays, terminated, truncated, notes, masks_follow)


def note_on_equal_lengths(terminated: np.ndarray) -> list[str]:
    """A note where all episodes that end in a termination (rows,) are equally long: that looks like a time limit."""
    lengths = np.diff(np.flatnonzero(np.concatenate([[True], terminated])))
    if len(lengths) < 2 or not (lengths == lengths[0]).all() or lengths[0] == 1:
        return []
    return [
        f"all terminations come after exactly {lengths[0]} steps, which looks like a time limit; "
        'if it is one, read the file with dones="truncated" (--dones truncated)'
    ]


def _infer(
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
        cuts = _every(limit, terminated | truncated, len(terminated))
        if len(cuts):
            truncated[cuts] = True
            whence = "the time limit" if horizon else "the usual time limit, assumed,"
            notes.append(f"no timeouts in the file: {len(cuts)} set after {limit} steps, {whence} of the task")
    return truncated


def _every(limit: int, ends: np.ndarray, rows: int) -> np.ndarray:
    """Rows where a stretch without an end has lasted ``limit`` steps, again and again."""
    stops = np.append(np.flatnonzero(ends) + 1, rows)
    starts = np.concatenate([[0], stops[:-1]])
    cuts = [np.arange(a + limit - 1, b, limit) for a, b in zip(starts, stops, strict=True) if b - a >= limit]
    found = np.concatenate(cuts) if cuts else np.empty(0, dtype=np.int64)
    return found[~ends[found]]


def _align(
    terminated: np.ndarray, truncated: np.ndarray, gaps: np.ndarray, exact: bool, notes: list[str]
) -> np.ndarray:
    """The file's flags, corrected where its observations contradict them.

    AntMaze v0 has timeouts that drift away from the resets, so that transitions lead across the whole maze.
    Jumps are evidence only when they are about as many as the flags they contradict; differing successors are
    proof.
    """
    unflagged = np.flatnonzero(gaps)
    unflagged = unflagged[~(terminated[unflagged] | truncated[unflagged])]
    if not len(unflagged):
        return truncated
    idle = truncated & ~gaps
    idle[-1] = False
    idling = int(np.count_nonzero(idle))
    drifted = idling / 2 <= len(unflagged) <= 2 * idling
    if not drifted and not exact:
        return truncated
    if drifted:
        notes.append(
            f"{counted(idling, 'timeout')} inside an episode moved to the {counted(len(unflagged), 'row')} "
            f"where the observations start anew, the first is row {unflagged[0]}"
        )
        corrected = truncated & ~idle
    else:
        notes.append(
            f"{counted(len(unflagged), 'episode end')} without a flag (next_observations differs from the next row), "
            f"read as truncated, the first is row {unflagged[0]}"
        )
        corrected = truncated.copy()
    corrected[unflagged] = True
    return corrected


def _next_rows(terminated: np.ndarray, truncated: np.ndarray, notes: list[str]) -> Decided:
    """Successors taken from the following row."""
    orphans = np.flatnonzero(truncated)
    if not terminated[-1] and not truncated[-1]:
        orphans = np.append(orphans, len(truncated) - 1)
        notes.append("the rows after the last flag are kept as a truncated episode")
    # Value ends at a termination, so its successor is never used; the row after it belongs to another
    # episode.
    return _without(orphans, np.flatnonzero(terminated), terminated, truncated, False, notes)


def _given_rows(
    observation: Rows,
    next_observation: Rows,
    strays: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    notes: list[str],
    needs_row: bool,
) -> Decided:
    """Successors stated by the file, except those that belong to the next episode.

    ``strays`` are not the row that follows. With ``needs_row`` something else is to come from that row, so it has to be
    there.
    """
    ends = np.flatnonzero((terminated | truncated)[:-1])
    borrowed = jumps.moved(observation, next_observation, ends[~strays[ends]])
    own, orphans = borrowed[terminated[borrowed]], borrowed[~terminated[borrowed]]
    if len(own):
        notes.append(
            f"{counted(len(own), 'terminal row')} with the next episode's first row as next "
            "observation; replaced by the row's own, which no value depends on"
        )
    if not (terminated[-1] or truncated[-1]):
        notes.append("the rows after the last flag are kept as a truncated episode")
    if not needs_row:
        return _without(orphans, own, terminated, truncated, True, notes)
    lacking = truncated.copy()
    lacking[orphans] = True
    lacking[-1] |= not terminated[-1]
    return _without(np.flatnonzero(lacking), own, terminated, truncated, True, notes, "next_action_masks")


def _without(
    orphans: np.ndarray,
    own: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    states: bool,
    notes: list[str],
    lacking: str = "successor",
) -> Decided:
    """Drop the rows of these numbers; the row before each, if of the same episode, is truncated then."""
    keep = np.ones(len(terminated), dtype=bool)
    if len(orphans):
        keep[orphans] = False
        truncated = truncated.copy()
        before = orphans[orphans > 0] - 1
        truncated[before[~terminated[before]]] = True
        notes.append(
            f"{counted(len(orphans), 'row')} dropped: the last step of a truncated episode has no {lacking} in the file"
        )
    return Decided(terminated, truncated, keep, own, states, tuple(notes))
