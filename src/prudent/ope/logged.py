"""A policy whose probabilities the log itself has, in the column ``target_prob``.

Fitted values also need its probabilities in the state after each row. Those are in ``next_target_prob``, or in the next
row of the episode. After the last row of a truncated episode there may be none. That row then serves only as the state
in which the recording stopped: its reward is left out, and the row before it is the last.
"""

from dataclasses import dataclass, replace

import numpy as np

from prudent.data import Dataset
from prudent.data.columns import COLUMNS, counted
from prudent.data.target_prob import KEY, NEXT_KEY
from prudent.errors import ConfigError, DataError
from prudent.ope.policy import LoggedPolicy


@dataclass(frozen=True, eq=False)
class Logged:
    """The log that the policy can be valued on, the policy, and a remark on rows that were left out, or ``""``."""

    dataset: Dataset
    policy: LoggedPolicy
    remark: str = ""


def of(dataset: Dataset) -> Logged:
    """The policy of the column ``target_prob``.

    Raises:
        ConfigError: the log has no such column.
        DataError: every episode is a single row that was truncated, and the probabilities after it are not known.
    """
    if KEY not in dataset.extra:
        raise ConfigError(f"{dataset.name} has no {KEY}: name the columns of the policy's probabilities in the mapping")
    if dataset.extra[KEY].ndim == 1:
        return Logged(dataset, LoggedPolicy(dataset.spec, _log(dataset.extra[KEY])))
    usable, remark = (dataset, "") if NEXT_KEY in dataset.extra else _with_next(dataset)
    table = _normalised(usable.extra[KEY])
    taken = table[np.arange(len(usable)), usable.spec.index_of(usable.action)]
    following = np.where(usable.terminated[:, None], table, usable.extra[NEXT_KEY])
    return Logged(usable, LoggedPolicy(usable.spec, _log(taken), table, _normalised(following)), remark)


def _log(probability: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(probability.astype(np.float64))


def _normalised(table: np.ndarray) -> np.ndarray:
    """Rows that sum to 1 exactly: those of a file are rounded."""
    return (table / table.sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)


def _with_next(dataset: Dataset) -> tuple[Dataset, str]:
    """The log with ``next_target_prob`` from the next rows, without those rows that have none; and the remark."""
    following = np.concatenate([dataset.extra[KEY][1:], dataset.extra[KEY][-1:]])
    last = dataset.episode_bounds[1:] - 1
    unknown = np.zeros(len(dataset), dtype=bool)
    unknown[last] = ~dataset.terminated[last]
    extra = {**dataset.extra, NEXT_KEY: following}
    if not unknown.any():
        return replace(dataset, extra=extra), ""
    keep = ~unknown
    if not keep.any():
        raise DataError(
            f"{dataset.name}: every episode is one truncated row, and the policy's probabilities after it are not in "
            f"the log: flag them as terminated if nothing follows, or give {NEXT_KEY}"
        )
    stops = np.append(unknown[1:], False)  # the row after this one is where the recording stops
    inside = stops & ~(dataset.terminated | dataset.truncated)
    columns = {key: getattr(dataset, key)[keep] for key in COLUMNS}
    columns["truncated"] = (dataset.truncated | inside)[keep]
    count = counted(int(unknown.sum()), "truncated episode")
    remark = (
        f"the last row of {count} serves only as the state where the recording stopped, and its reward is left out: "
        f"the policy's probabilities after it are not in the log"
    )
    return replace(dataset, **columns, extra={key: column[keep] for key, column in extra.items()}), remark
