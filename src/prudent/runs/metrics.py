"""The metrics of a run: their names, ``metrics.jsonl``, and TensorBoard's files.

To log one more metric, return it from a loss or an update of an algorithm: it appears as ``train/NAME``. Where metrics
go is decided in ``runs/loggers.py``, how often by ``log_every`` in ``engine/options.py``, and what the screen
shows by ``KEY_METRICS`` in ``training/progress.py``.

An *event* is one call of ``log(step, metrics)``. Every metric is one figure per member (shape ``(P,)``: a tensor, an
array or a list) or one figure for all of them. These are the documented names; an algorithm may log others:

==============================  ==============================================================================
name                            meaning (``train/``: mean over the steps since the last such line)
==============================  ==============================================================================
``train/critic_loss``           loss of the critics, summed over them: squared TD error plus alpha times the gap
``train/td_error``              squared TD error, mean over the critics
``train/cql_gap``               log-sum-exp of Q over the proposed actions, minus Q of the logged action
``train/cql_gap_normalized``    the gap minus T log N; comparable between numbers of proposals N
``train/alpha``                 weight of the gap; changes if it is learned (Lagrange) or annealed
``train/q_data``                Q of the logged actions
``train/q_policy``              Q of the policy's actions
``train/q_random``              Q of uniformly random actions
``train/q_next_policy``         Q of the policy's actions in the next states
``train/bound_rate``            share of the policy's proposals with Q below the logged return (Cal-QL)
``train/penalty``               mean Q of the negative actions minus that of the logged ones, at least 0 (CIQL)
``train/value``                 V of the logged states
``train/value_loss``            loss of the value network
``train/effective_share``       effective number of cloned rows, by their weights, over the batch size (0 to 1)
``train/target``                target of the critics: reward plus discounted next value
``train/actor_loss``            loss of the policy
``train/lagrange_loss``         loss of the Lagrange multiplier m; the weight of the gap is m * alpha
``train/bc_error``              squared error of the policy's mode against the logged action (CQL's ``bc_weight``)
``train/entropy``               entropy of the policy, in nats
``train/temperature``           weight of the entropy
``train/temperature_loss``      loss of the learned temperature
``time/steps_per_second``       gradient steps of the whole population per second, without evaluations
``time/ms_per_step``            milliseconds per gradient step of the whole population, without evaluations
``eval/return``                 undiscounted return of the deterministic policy, mean over episodes
``eval/return_std``             its standard deviation over episodes
``eval/normalized_score``       the return on the scale 0 = random, 100 = expert, where references exist
``eval/return_stochastic``      undiscounted return of the sampling policy, mean over episodes
``eval/predicted_value``        discounted return that the critics predict at the start states
``eval/realized_value``         discounted return of the sampling policy from the same start states
``eval/lower_bound_share``      share of start states where the prediction was not above that return (0 to 1)
``eval/failed``                 1 if the evaluation failed; training goes on
``guard/rollbacks``             how often the member was set back after it diverged
``guard/stopped``               1 if the member was stopped for good
==============================  ==============================================================================

Names that begin with ``init/`` stand at step 0. They are the ``train/`` figures of the last supervised step of
``value_init``.
"""

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from prudent import files
from prudent.errors import ConfigError, DataError
from prudent.runs.foreign import opened, parse_json

METRIC_NAMES: tuple[str, ...] = tuple(re.findall(r"^``(\S+/\S+)``", __doc__ or "", flags=re.MULTILINE))
"""The documented names, in the order of the table above."""

MOST_BYTES, MOST_LINE_BYTES = 4 << 30, 1 << 20
"""A longer ``metrics.jsonl``, or one with a longer line, is not read. It is read line by line."""
_MOST_STEP = 1 << 53  # larger whole numbers are not exact as floats
_RESERVED = ("step", "member", "name")


class Logger(Protocol):
    """Takes events. :meth:`close` makes them durable; the ``with`` statement calls it."""

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Record ``metrics`` at ``step``. ``members`` are the indices they belong to; None means all."""
        ...

    def sync(self) -> None:
        """Wait until everything is on the disk, if that matters to this logger.

        Raises:
            OSError: the disk refuses it.
        """

    def close(self) -> None:
        """Write everything out."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def rows(metrics: Mapping[str, Any], count: int) -> list[dict[str, float]]:
    """One dictionary of plain floats per member, from figures of shape ``(count,)`` or scalars.

    Raises ``ValueError`` for any other shape, which is a bug of the caller.
    """
    table: list[dict[str, float]] = [{} for _ in range(count)]
    for name, value in metrics.items():
        if name in _RESERVED:
            raise ValueError(f"a metric cannot be called {name!r}")
        figures = to_plain(value)
        column = list(figures) if isinstance(figures, (list, tuple)) else [figures] * count
        if len(column) != count:
            raise ValueError(f"metric {name!r} has {len(column)} figures for {count} members")
        for row, figure in zip(table, column, strict=True):
            row[name] = math.nan if figure is None else float(figure)
    return table


class JsonlLogger(Logger):
    """``metrics.jsonl``: one line per member and event, flushed at every event.

    ``{"step": 1000, "member": 0, "name": "alpha=5,seed=0", "train/critic_loss": 1.2, ...}``

    The lines are strict JSON. NaN and infinities are written as ``null``; a metric that was not measured is absent.

    With ``resume_at`` the file is continued after the checkpoint of that step. Later lines, and a line torn by a kill,
    are cut: the shorter file is written aside and renamed. If each event is logged *before* the checkpoint of its
    step, a resumed run has neither a gap nor a double line. Without ``resume_at`` a file with lines in it is refused
    (:class:`ConfigError`), never overwritten.
    """

    def __init__(self, path: Path | str, names: Sequence[str], resume_at: int | None = None):
        self.path, self.names = Path(path), list(names)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if resume_at is not None:
            _cut_after(self.path, resume_at)
        elif self.path.exists() and self.path.stat().st_size > 0:
            raise ConfigError(f"{self.path} already holds the metrics of a run; resume it or choose another folder")
        # Unbuffered: if a full disk takes only a part of a line, we know which part.
        self._file = self.path.open("ab", buffering=0)
        self._waiting = b""

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Append one line per member; see :class:`Logger`.

        Raises:
            OSError: the disk is full. The lines wait and are written with the next event.
        """
        members = range(len(self.names)) if members is None else members
        lines = []
        for member, row in zip(members, rows(metrics, len(members)), strict=True):
            line: dict[str, Any] = {"step": int(step), "member": int(member), "name": self.names[member]}
            line |= {name: figure if math.isfinite(figure) else None for name, figure in row.items()}
            lines.append(json.dumps(line, allow_nan=False) + "\n")
        self._waiting += "".join(lines).encode()
        self._write()

    def _write(self) -> None:
        # One write per event: a kill tears at most one event.
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) or 0 :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def sync(self) -> None:
        """See :class:`Logger`."""
        self._write()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Make the file durable and close it; closing twice is fine."""
        if not self._file.closed:
            try:
                self.sync()
            finally:
                self._file.close()


def read_metrics(path: Path | str) -> list[dict[str, Any]]:
    """The lines of a ``metrics.jsonl`` as dictionaries, ``null`` as NaN; an absent file has no lines.

    A torn last line, left by a kill, is skipped. Damage anywhere else raises :class:`DataError` with the line number.
    """
    return list(events(path))


def events(path: Path | str) -> Iterator[dict[str, Any]]:
    """The lines of :func:`read_metrics` one by one: a file of gigabytes is never in memory as a whole."""
    path = Path(path)
    if path.exists():
        for _, record in _whole_lines(path):
            yield _null_to_nan(record)


def _null_to_nan(record: dict[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in record.items()}


def _whole_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The complete lines, and the events that they hold.

    Raises:
        DataError: a line is damaged, or the file is too long to read.
    """
    damaged = number = 0
    try:
        with opened(path, MOST_BYTES) as file:
            while line := file.readline(MOST_LINE_BYTES + 1):
                number += 1
                if not line.strip():
                    continue
                if damaged:
                    raise DataError(f"{path}, line {damaged}: not a metrics line; remove that line to go on")
                record = _event(line)
                if record is None:
                    damaged = number  # the last line may be torn
                else:
                    yield line, record
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error


def _event(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None if it holds none."""
    # A kill may tear a multi-byte character. A line that cannot be decoded cannot be parsed either.
    try:
        record = parse_json(line) if len(line) <= MOST_LINE_BYTES else None
    except ValueError:
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return record if type(step) is int and 0 <= step < _MOST_STEP else None


def _cut_after(path: Path, step: int) -> None:
    """Rewrite the file without the lines after ``step``. Readers see the old file or the new one."""
    if path.exists():
        kept = (line for line, record in _whole_lines(path) if record["step"] <= step)
        files.replace(path, (line.rstrip(b"\n") + b"\n" for line in kept))


class TensorBoardLogger(Logger):
    """The same figures for TensorBoard, a sub-run per member: ``folder/<member name>/events.out.tfevents.*``.

    It uses TensorBoard's record writer directly: no thread per member, no import of TensorFlow. After a resume a new
    file with a session start tells TensorBoard to forget the steps after ``resume_at``.
    """

    def __init__(self, folder: Path | str, names: Sequence[str], resume_at: int | None = None):
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._writers: list[Any] = []
        proto = _tensorboard_messages()
        for sub_run in _folder_names(names):
            place = Path(folder) / sub_run
            place.mkdir(parents=True, exist_ok=True)
            file = _next_file(place).open("xb")
            writer = RecordWriter(file)
            self._writers.append(writer)
            event = proto.Event(wall_time=time.time(), file_version="brain.Event:2")
            writer.write(event.SerializeToString())
            if resume_at is not None:
                start = proto.SessionLog(status=proto.SessionLog.START)
                event = proto.Event(wall_time=time.time(), step=resume_at + 1, session_log=start)
                writer.write(event.SerializeToString())

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Append one event per member; see :class:`Logger`."""
        proto = _tensorboard_messages()
        members = range(len(self._writers)) if members is None else members
        for member, row in zip(members, rows(metrics, len(members)), strict=True):
            event = proto.Event(wall_time=time.time(), step=int(step))
            for name, figure in row.items():
                event.summary.value.add(tag=name, simple_value=figure)
            self._writers[member].write(event.SerializeToString())
            self._writers[member].flush()

    def close(self) -> None:
        """Close the files; closing twice is fine."""
        while self._writers:
            self._writers.pop().close()


def _next_file(folder: Path) -> Path:
    """A name that sorts after those of earlier files, because TensorBoard reads files in this order.

    It holds the time in nanoseconds, or one more than the newest file if the clock was set back.
    """
    stem = "events.out.tfevents."
    numbers = [path.name.removeprefix(stem) for path in folder.glob(f"{stem}*")]
    newest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return folder / f"{stem}{max(time.time_ns(), newest + 1):019d}"


def _tensorboard_messages() -> Any:
    # Any: the classes of this module are generated at import and have no static types.
    from tensorboard.compat.proto import event_pb2

    return event_pb2


def _folder_names(names: Sequence[str]) -> list[str]:
    """Names that are safe as one path component each, and distinct."""
    safe = [re.sub(r"[^\w=,+.-]", "_", name).strip(".")[:120] or "member" for name in names]
    return [f"{name}-{i}" if safe.count(name) > 1 else name for i, name in enumerate(safe)]


class Loggers(Logger):
    """Several loggers as one."""

    def __init__(self, loggers: Sequence[Logger]):
        self.loggers = list(loggers)

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Hand the event to each; see :class:`Logger`."""
        # Copied from the device once, not once per logger.
        fetched = {name: to_plain(value) for name, value in metrics.items()}
        self._each(lambda logger: logger.log(step, fetched, members))

    def sync(self) -> None:
        """See :class:`Logger`."""
        self._each(lambda logger: logger.sync())

    def close(self) -> None:
        """Close each."""
        self._each(lambda logger: logger.close())

    def _each(self, action: Callable[[Logger], None]) -> None:
        """Call ``action`` on every logger, even if one fails. Then raise the first failure."""
        failures: list[OSError] = []
        for logger in self.loggers:
            try:
                action(logger)
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def to_plain(value: Any) -> Any:
    """Tensors and arrays as lists or one number, from any device. Does not import torch."""
    return value.tolist() if hasattr(value, "tolist") else value
