"""Puts the rows of a table into the order of their episodes."""

from dataclasses import dataclass

import numpy as np

from prudent.data.columns import counted
from prudent.data.episodes import recorders as turns
from prudent.data.episodes.dropped import LastRows
from prudent.data.episodes.ends import note_on_kept
from prudent.data.exact import exact_power
from prudent.errors import DataError, EpisodeError, shown

Labels = tuple[np.ndarray, list]
"""Numbers from 0, (rows,) int64, and the list of what each number stands for."""

_REGULAR = 0.75
_BLURRED = 0.01
"""Times that are rounded by more than this share of the usual step are refused."""


@dataclass(frozen=True)
class Times:
    """Points in time of rows: ``values`` (rows,) float64 or int64, of which ``per_unit`` make a unit of time.

    ``spacing`` is how far apart the largest of them have to be to differ; 0 if they are exact. ``in_seconds`` says
    whether the unit is a second, as of timestamps, or that of a column of numbers.
    """

    values: np.ndarray
    per_unit: float = 1.0
    spacing: float = 0.0
    in_seconds: bool = False

    def text(self, row: int) -> str:
        """The time of a row, for messages."""
        return f"{self.values[row] / self.per_unit:g}"


@dataclass(frozen=True)
class Order:
    """The order of a table's rows; all arrays have the length of the file.

    ``rows`` are the row numbers of the file, one episode after another. ``truncated``, ``keep`` and ``final`` are in
    that order; ``terminated``, ``step`` and ``dt`` are in the order of the file. The rows ``final`` (rows,) bool are
    truncated, but kept with their own observation as successor. ``lacking`` counts the last rows without a successor,
    about which ``last_rows`` decides. ``dt_unit`` is how much time a ``dt`` of 1 is, in seconds if
    ``in_seconds``; None without ``dt``.
    """

    rows: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    keep: np.ndarray
    final: np.ndarray
    lacking: int
    step: np.ndarray | None
    dt: np.ndarray | None
    notes: tuple[str, ...]
    dt_unit: float | None = None
    in_seconds: bool = False


def arrange(
    count: int,
    name: str,
    *,
    episode: Labels | None,
    step: np.ndarray | None,
    time: Times | None,
    terminated: np.ndarray | None,
    truncated: np.ndarray | None,
    needs_row: bool,
    time_unit: float | None,
    last_rows: LastRows = "drop",
    recorders: int | None = None,
) -> Order:
    """Order ``count`` rows by episode (in order of first appearance), inside an episode by ``step``, else by ``time``.

    With ``needs_row`` the successor has to be the next row, which the last row of an episode does not have: if the
    episode did not terminate, ``last_rows`` says what becomes of it. Without ``episode`` the rows keep their order and
    the flags divide them; with ``recorders`` each one's rows are put together first.

    Raises:
        DataError: a step or time occurs twice in an episode, or a flag is set inside one.
    """
    notes: list[str] = [] if episode is None or step is not None else _note_returning(episode)
    ended = terminated.copy() if terminated is not None else np.zeros(count, dtype=bool)
    cut = (truncated if truncated is not None else np.zeros(count, dtype=bool)) & ~ended
    key = Times(step) if step is not None else time
    rows, last = _sorted(count, name, episode, key, step is not None, notes)
    if episode is None:
        rows = turns.order(count, recorders or 1)
        stopped = turns.last_rows(count, recorders or 1)
        last = (ended | cut)[rows]
        notes += turns.notes(recorders, count, name)
        last[stopped] = True
    else:
        _check_flags(ended[rows], cut[rows], last, rows, episode, name)
    _note_flags(terminated, truncated, int((last & ~(ended | cut)[rows]).sum()), notes)
    gaps = np.zeros(count, dtype=bool) if step is None else _gaps(step[rows], last, rows, notes)
    stops = last | gaps
    dt, dt_unit = (None, None) if time is None else _dt(time, rows, stops, step is not None, time_unit, name, notes)
    keep = np.ones(count, dtype=bool)
    final = np.zeros(count, dtype=bool)
    lacking = stops & ~ended[rows] & needs_row
    # A gap is no end of the episode, nor is a last row without a flag where flags alone divide the rows.
    ends = lacking & last
    if episode is None and truncated is not None:
        ends &= cut[rows]
    decided = ends if last_rows == "terminated" else lacking
    if last_rows != "drop" and decided.any():
        if last_rows == "terminated":
            ended[rows[decided]] = True
        else:
            final = decided
        lacking = lacking & ~decided
        notes.append(note_on_kept(int(decided.sum()), last_rows))
    if lacking.any():
        keep[lacking] = False
        stops = stops.copy()
        stops[:-1] |= lacking[1:]
        notes.append(
            f"{counted(int(lacking.sum()), 'row')} dropped: the last step of an episode that did not terminate "
            "has no successor in the file"
        )
    count_decided = int(decided.sum())
    in_seconds = time is not None and time.in_seconds
    cut = stops & ~ended[rows]
    return Order(rows, ended, cut, keep, final, count_decided, step, dt, tuple(notes), dt_unit, in_seconds)


def _sorted(
    count: int, name: str, episode: Labels | None, order: Times | None, by_step: bool, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The row numbers in order, and (rows,) bool: which of them are the last of their episode."""
    rows = np.arange(count)
    if episode is None:
        return rows, np.zeros(count, dtype=bool)
    codes, key = episode[0], None if order is None else order.values
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    appearance = np.empty(len(first), dtype=np.int64)
    appearance[np.argsort(first)] = np.arange(len(first))
    place = appearance[inverse]
    rows = np.lexsort((rows, place) if key is None else (rows, key, place))
    last = np.ones(count, dtype=bool)
    last[:-1] = place[rows][1:] != place[rows][:-1]
    if order is not None and key is not None:
        what = "step" if by_step else "time"
        same = ~last[:-1] & (key[rows][1:] == key[rows][:-1])
        if same.any():
            at = int(np.flatnonzero(same)[0])
            raise EpisodeError(
                f"{name}: {counted(int(same.sum()), 'row')} with a {what} that their episode has already, the first is "
                f"row {rows[at + 1]} ({what} {order.text(rows[at])}, as row {rows[at]}): which of them happened?",
                rows[1:][same],
                f"{what} {order.text(rows[at])} occurs twice",
            )
        by_appearance = np.lexsort((np.arange(count), place))
        fell = (np.diff(key[by_appearance]) < 0) & (np.diff(place[by_appearance]) == 0)
        if fell.any():
            where = by_appearance[1:][fell]
            notes.append(f"{counted(len(where), 'row')} out of order of {what}, the first is row {where.min()}: sorted")
    return rows, last


def _note_returning(episode: Labels) -> list[str]:
    """A note on episodes whose rows do not stand together: without steps nobody sees whether a label is used again."""
    codes = episode[0]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    again = np.ones(len(starts), dtype=bool)
    again[np.unique(codes[starts], return_index=True)[1]] = False
    if not again.any():
        return []
    row = starts[again][0]
    return [
        f"{counted(len(np.unique(codes[starts[again]])), 'episode')} in several pieces, the first is "
        f"{shown(episode[1][codes[row]])}, which goes on at row {row}: the pieces are put together; if the label is "
        "used again for another episode, number episodes anew"
    ]


def _check_flags(
    ended: np.ndarray, cut: np.ndarray, last: np.ndarray, rows: np.ndarray, episode: Labels, name: str
) -> None:
    for flag, what in ((ended, "terminated"), (cut, "truncated")):
        inside = np.flatnonzero(flag & ~last)
        if len(inside):
            row = rows[inside[0]]
            label = str(episode[1][episode[0][row]])[:40]
            raise EpisodeError(
                f"{name}: {what} is set in {counted(len(inside), 'row')} after which the episode goes on, the first is "
                f"row {row} in episode {label!r}: number episodes anew, or mend the flag (if the column names "
                "recorders, map no episode and say --recorders)",
                rows[inside],
                f"{what} is set, and the episode goes on",
            )


def _note_flags(terminated: np.ndarray | None, truncated: np.ndarray | None, unflagged: int, notes: list[str]) -> None:
    if terminated is None:
        notes.append("no terminated column is named: no episode is taken to end in a termination")
    if truncated is None and unflagged:
        notes.append(
            f"no truncated column is named: {counted(unflagged, 'episode')} without a termination, read as truncated"
        )
    elif truncated is not None and unflagged:
        notes.append(f"{counted(unflagged, 'episode')} without a flag at the end, read as truncated")


def _gaps(step: np.ndarray, last: np.ndarray, rows: np.ndarray, notes: list[str]) -> np.ndarray:
    """(rows,) bool: where steps are missing after the row. The episode ends there. Irregular steps have no gaps."""
    gaps = np.zeros(len(step), dtype=bool)
    difference = np.diff(step)[~last[:-1]]
    if len(difference) == 0:
        return gaps
    usual = int(np.median(difference))
    if (difference == usual).mean() < _REGULAR:
        notes.append("steps rise by different amounts: no gaps are looked for")
        return gaps
    gaps[:-1] = ~last[:-1] & (np.diff(step) > usual)
    if gaps.any():
        at = int(np.flatnonzero(gaps)[0])
        notes.append(
            f"{counted(int(gaps.sum()), 'gap')} in the steps, the first after row {rows[at]} (step {step[at]}, then "
            f"{step[at + 1]}): episodes are cut there, as truncated"
        )
    return gaps


def _dt(
    time: Times,
    rows: np.ndarray,
    stops: np.ndarray,
    by_step: bool,
    unit: float | None,
    name: str,
    notes: list[str],
) -> tuple[np.ndarray, float]:
    """Time to the next row in units of ``unit``, or else of the median; (rows,) float32 in the order of the file.

    Also returned: the unit.
    """
    values = time.values
    dt = np.zeros(len(values))
    with np.errstate(over="ignore"):
        dt[:-1] = np.diff(values[rows]) / time.per_unit
    inside = ~stops
    inside[-1] = False
    if by_step and (dt[inside] <= 0).any():
        wrong = np.flatnonzero(inside & (dt <= 0))
        before, after = rows[wrong[0]], rows[wrong[0] + 1]
        raise EpisodeError(
            f"{name}: time does not rise from row {before} to row {after}, though step does",
            rows[wrong],
            "time does not rise to the next row, though step does",
        )
    median = float(np.median(dt[inside])) if inside.any() else 1.0
    scale = unit if unit is not None else median
    # Nothing is discounted after an end; the median keeps the column plausible.
    dt[~inside] = median
    if unit is None:
        kind = " seconds" if time.in_seconds else ""
        notes.append(f"dt is in units of the median time between rows, {median:g}{kind}; time_unit sets another")
    with np.errstate(over="ignore", under="ignore"):
        scaled = (dt / scale).astype(np.float32)
    if not (np.isfinite(scaled).all() and (scaled > 0).all()):
        raise DataError(
            f"{name}: times between rows range from {dt.min():g} to {dt.max():g}, too far apart to reckon with"
        )
    if values.dtype.kind == "f" and np.abs(values).max() >= 2.0 ** exact_power(values.dtype):
        raise DataError(
            f"{name}: times of up to {np.abs(values).max():g} are too large for float64 to tell moments apart: "
            "store whole numbers or timestamps"
        )
    if time.spacing > _BLURRED * median:
        raise DataError(
            f"{name}: times of up to {np.abs(values).max():.12g} are stored to {time.spacing:.2g} only, and rows are "
            f"{median:.2g} apart: store whole numbers, decimals or timestamps, or count from a later start"
        )
    in_file_order = np.empty(len(values), dtype=np.float32)
    in_file_order[rows] = scaled
    return in_file_order, scale
