"""Checks of all columns of a dataset together: what :meth:`prudent.data.Dataset.from_columns` accepts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prudent.data import choices, columns, masks, precision, target_prob, terminal
from prudent.data.columns import Bound
from prudent.data.end_names import is_flag_name
from prudent.errors import DataError
from prudent.types import Spec


def check_columns(
    *,
    observation: np.ndarray,
    action: np.ndarray,
    reward: np.ndarray,
    next_observation: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    action_low: Bound | None,
    action_high: Bound | None,
    discrete: bool,
    n_actions: int | None,
    first_action: int,
    extra: Mapping[str, np.ndarray],
    name: str,
    notes: Sequence[str],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The columns, ``extra``, ``spec`` and ``notes`` of a dataset; and its ``strays``, if the checks found them.

    Raises:
        DataError: see :meth:`prudent.data.Dataset.from_columns`.
    """
    given = {"observation": observation, "action": action, "reward": reward, "next_observation": next_observation}
    given |= {"terminated": terminated, "truncated": truncated, **extra}
    for key, column in given.items():
        if np.ma.is_masked(column):  # what lies behind a mask is no value
            raise DataError(f"{name}: {key} has masked values: fill them, or leave out the rows")
    same = next_observation is observation
    strays = None if same else columns.finite_strays_of(observation, next_observation)
    finite = strays is not None
    dtype, remarks = _observation_type(observation, None if same else next_observation)
    observation = columns.floats(observation, "observations", name, ndim=2, finite=finite, dtype=dtype)
    next_observation = (
        observation
        if same
        else columns.floats(next_observation, "next_observations", name, ndim=2, finite=True, dtype=dtype)
    )
    remarks += precision.blurred("rewards", np.asarray(reward)) + precision.blurred("actions", np.asarray(action))
    reward = columns.floats(reward, "rewards", name, ndim=1)
    first_action = choices.declared_first(first_action or None, None, discrete, name) or 0
    action = columns.actions(action, discrete, name, first_action)
    # A copy: the recorder may reuse its arrays.
    terminated = columns.flags(terminated, "terminals", name).copy()
    truncated = columns.flags(truncated, "timeouts", name) & ~terminated
    others = {"actions": action, "rewards": reward, "terminals": terminated, "timeouts": truncated, **extra}
    _check_shapes(observation, next_observation, others, name)
    ends = [key for key in extra if is_flag_name(key)]
    if ends:
        raise DataError(f"{name}: extra holds {ends[0]}, which marks ends: give it as terminated or as truncated")
    found: list[str] = []
    if not (same or finite):
        next_observation, found = terminal.filled(next_observation, observation, terminated, name)
    extra, more = terminal.filled_masks(extra, terminated)
    allowed = masks.check(extra, action, terminated, name, first_action)
    n_actions = masks.count(allowed, n_actions, name)
    spec = Spec(
        observation_size=observation.shape[1],
        action_size=choices.count_actions(action, n_actions, name, first_action) if discrete else action.shape[1],
        discrete=discrete,
        action_low=columns.bounds(action_low, action, "action_low", name),
        action_high=columns.bounds(action_high, action, "action_high", name),
        first_action=first_action,
    )
    columns.check_bounds(action, spec, name)
    target = target_prob.check(extra, spec, allowed, terminated, name)
    # An episode that is still open on the last row is truncated there.
    truncated[-1] |= not terminated[-1]
    table = {
        "observation": observation,
        "action": action,
        "reward": reward,
        "next_observation": next_observation,
        "terminated": terminated,
        "truncated": truncated,
        "spec": spec,
        "extra": {**extra, **allowed, **target},
        "notes": (*notes, *remarks, *found, *more),
    }
    return table, {} if strays is None else {"strays": strays}


def _observation_type(observation: np.ndarray, next_observation: np.ndarray | None) -> tuple[type, list[str]]:
    """See :func:`prudent.data.precision.observation_type`; float32 for columns that are refused later."""
    columns_ = [np.asarray(column) for column in (observation, next_observation) if column is not None]
    if any(column.ndim != 2 or column.shape != columns_[0].shape or column.size == 0 for column in columns_):
        return np.float32, []
    return precision.observation_type(
        columns_[0], columns_[1] if len(columns_) > 1 else None, *(column.dtype for column in columns_)
    )


def _check_shapes(
    observation: np.ndarray, next_observation: np.ndarray, others: Mapping[str, np.ndarray], name: str
) -> None:
    rows = len(observation)
    if rows == 0:
        raise DataError(f"{name}: the dataset has no transitions")
    if next_observation.shape != observation.shape:
        raise DataError(
            f"{name}: next_observations has shape {next_observation.shape}, observations {observation.shape}"
        )
    for key, column in others.items():
        if len(column) != rows:
            raise DataError(f"{name}: {key} has {len(column)} rows, observations has {rows}")
